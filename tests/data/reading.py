"""Sources read to their end, and the records that tests put into them."""

import json
from collections.abc import Iterator

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus.documents import Counts, Document, parts, read_part


def read_documents(config: DataConfig, counts: Counts) -> Iterator[Document]:
    """The documents of all parts, one after the other."""
    for part in parts(config):
        yield from read_part(part, config, counts)


def read(*sources: object, limit: int = 100, **fields: str) -> tuple[list[Document], Counts]:
    """The documents of sources whose fields have these names, and what was counted."""
    config = DataConfig(sources=tuple(map(str, sources)), fields=FieldsConfig(**fields), bad_records_limit=limit)
    counts = Counts(limit)
    return list(read_documents(config, counts)), counts


def texts(*sources: object, **fields: str) -> list[str]:
    """The texts alone, where no record is bad."""
    return [document.text for document in read(*sources, limit=0, **fields)[0]]


def lines(*values: object) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def records(count: int, word: str = "text") -> bytes:
    """JSON lines of documents whose texts are numbered."""
    return lines(*({"text": f"{word} {number}", "language": "en", "kind": "text"} for number in range(count)))
