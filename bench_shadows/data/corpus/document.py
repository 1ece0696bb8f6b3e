"""One document, and the Parquet columns that hold it."""

import dataclasses
from collections.abc import Iterable

import pyarrow as pa

KINDS = ("text", "exercise", "code")


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One piece of text.

    `language` is ISO 639-1 ("en", "zh") for text and exercises, the programming language's name in lower
    case ("python") for code. `source` says where it was read: an archive and its version, or a file. `work` is
    what it is a part of, where its source says so: what is held out shares no work with what is trained on.
    """

    id: str
    text: str
    domain: str
    language: str
    kind: str
    source: str
    work: str = ""


FIELDS = tuple(field.name for field in dataclasses.fields(Document))
SCHEMA = pa.schema([(name, pa.string()) for name in FIELDS])


def to_batch(documents: Iterable[Document]) -> pa.RecordBatch:
    """Documents as one record batch with the columns of `Document`, all strings."""
    documents = list(documents)
    columns = [pa.array([getattr(document, name) for document in documents], pa.string()) for name in FIELDS]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def from_batch(batch: pa.RecordBatch | pa.Table) -> list[Document]:
    """The documents of a record batch or a table that has the columns of `Document`."""
    return [Document(*row) for row in zip(*(batch.column(name).to_pylist() for name in FIELDS), strict=True)]
