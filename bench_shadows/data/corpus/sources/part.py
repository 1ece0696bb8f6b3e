"""The small interface of all sources: a part, which is a unit of work, and the records that it holds."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

USUAL_TEXTS = ("text", "content", "document", "body", "raw_content", "article", "passage", "story", "markdown")
"""What others call the field of the text."""
LONGEST_RECORD = 2**26
"""Bytes of a record (a line, a cell, a file); a longer one is counted and skipped without being held in memory."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What one worker reads, and what is read again after a crash: a file, or a piece of something larger.

    It can be pickled and hashed, and is made without reading any data. The order of the documents in it never
    changes while its identity does not.
    """

    name: str
    """Unique among the parts of a config: a path, a URI, or what the piece is called."""
    format: str
    """Which reader takes it; a key of `documents.FORMATS`."""
    paths: tuple[str, ...] = ()
    """Files, URIs or the one set that it is read from."""
    begin: int = 0
    end: int | None = None
    """The piece of it, as its reader counts: bytes of a file, examples of a set; None is the end."""
    facts: tuple[tuple[str, Any], ...] = ()
    """What tells whether it is the same as before, without reading it."""
    domain: str = ""
    """Domain of documents that name none."""
    ignored: tuple[tuple[str, int], ...] = ()
    """Files of the folder that are no source: (ending, how many), told by the folder's first part."""

    @property
    def first(self) -> int:
        """The number of a piece's first record in its file, from 0, where its reader counts records."""
        return self.identity().get("first", 0)

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


class BadRecordError(Exception):
    """A record that cannot be used; its arguments are the reason and the details."""


def fields_there(names: Sequence[Any], texts: Sequence[Any]) -> str:
    """What a record without the field of the text has instead, and which of its fields may be it.

    Args:
      names: of all fields; texts: of those that hold text, the likeliest first.
    """
    usual = [name for name in USUAL_TEXTS if name in texts] or list(texts[:1])
    has = ", ".join(str(name)[:40] for name in names[:8]) or "none"
    return f"it has {has}" + (f"; its text may be in --config.data.fields.text={usual[0]}" if usual else "")


def split_of(source: str, prefix: str) -> tuple[str, str]:
    """(`NAME`, `SPLIT`) of a source `PREFIX:NAME@SPLIT`; the split is `train` where there is none."""
    name, at, split = source.removeprefix(prefix).rpartition("@")
    return (name, split) if at and "/" not in split else (source.removeprefix(prefix), "train")
