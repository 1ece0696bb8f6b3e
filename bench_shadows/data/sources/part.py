"""The small interface of all sources: a part, which is a unit of work, and the records that it holds."""

import dataclasses
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class Part:
    """What one worker reads, and what is read again after a crash: a file, or a piece of something larger.

    It can be pickled and hashed, and is made without reading any data. Its order among the parts, and the order
    of the documents in it, never change while its identity does not.
    """

    name: str
    """Unique among the parts of a config: a path, a URI, or what the piece is called."""
    format: str
    """Which reader takes it: builtin, json, parquet."""
    paths: tuple[str, ...] = ()
    """Files it is read from."""
    begin: int = 0
    end: int | None = None
    """The piece of it: bytes of a file, or examples of a set; None is the end."""
    facts: tuple[tuple[str, Any], ...] = ()
    """What tells whether it is the same as before, without reading it."""
    domain: str = ""
    """Domain of documents that name none."""

    def identity(self) -> dict[str, Any]:
        """JSON values that change when the data changes: bytes and modified_ns of files, versions of sets."""
        return dict(self.facts)


class Record(NamedTuple):
    """One record as it lies in a source, before it is checked."""

    where: str
    """Its position, as a user would look for it: file:line."""
    source: str
    """The file or set that it is from."""
    values: Any
    """A mapping of fields where it is well-formed."""
