"""Documents on disk, by number: what a part of the sources becomes before anything is chosen from it.

A part's folder is written once, whole:

    documents.array_record   a record for each document, compressed, each can be read alone
    columns.arrow            domain, language, kind, bytes, characters, digest and work of each
    sketches.bin             MinHash sketches, uint32 [documents, PERMUTATIONS], little endian
    part.json                how many documents and bytes, and what reading counted

Texts are read and sketches memory-mapped when they are asked for; a column that is asked for is held in memory.
"""

import functools
import hashlib
import json
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench_shadows.data.corpus.array_records import ArrayRecords, by_file, writer
from bench_shadows.data.corpus.deduplicate import PERMUTATIONS, digest, sketches
from bench_shadows.data.corpus.document import FIELDS, Document
from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path, read_json, write_json

VERSION = 2
"""Of the files of a part's folder and what is in them; raised with every change."""
COLUMNS = pa.schema(
    {"domain": pa.string(), "language": pa.string(), "kind": pa.string()}
    | {"bytes": pa.int64(), "characters": pa.int64(), "digest": pa.binary(16), "work": pa.int64()}
)
"""`work` is a number that documents of one work share; 0: the document is one itself."""
_fields = operator.attrgetter(*FIELDS)
_CHUNK_DOCUMENTS, _CHUNK_CHARACTERS = 1024, 2**20  # sketched and written at once
_MAPPED = 64  # sketches of the most recently read parts


def write_part(
    folder: Path,
    documents: Iterable[Document],
    counted: Callable[[], dict[str, Any]],
    seen: Callable[[float], None],
) -> None:
    """Writes the folder of one part, atomically.

    `counted` gives, after the last document, what reading counted, in JSON values; `seen` is told the megabytes of
    text that were written.
    """
    totals = Counter(documents=0, bytes=0, characters=0)
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        records = writer(temporary / "documents.array_record")
        with (
            pa.OSFile(str(temporary / "columns.arrow"), "wb") as file,
            pa.ipc.new_file(file, COLUMNS) as columns,
            open(temporary / "sketches.bin", "wb") as sketch_file,
        ):
            for chunk in _chunks(documents):
                for document in chunk:
                    records.write(json.dumps(_fields(document), ensure_ascii=False).encode())
                batch = _columns(chunk)
                columns.write_batch(batch)
                sketch_file.write(sketches([document.text for document in chunk]).tobytes())
                size, characters = (sum(batch.column(name).to_pylist()) for name in ("bytes", "characters"))
                totals.update(documents=len(chunk), bytes=size, characters=characters)
                seen(size / 1e6)
        records.close()
        write_json(temporary / "part.json", {**totals, "counts": counted()})


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.text)
        if len(chunk) >= _CHUNK_DOCUMENTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _columns(documents: Sequence[Document]) -> pa.RecordBatch:
    texts = [document.text for document in documents]
    columns: dict[str, list[Any]] = {
        **{name: [getattr(one, name) for one in documents] for name in ("domain", "language", "kind")},
        "bytes": [len(text.encode()) for text in texts],
        "characters": list(map(len, texts)),
        "digest": list(map(digest, texts)),
        "work": list(map(_number, documents)),
    }
    return pa.RecordBatch.from_pydict(columns, schema=COLUMNS)


def _number(document: Document) -> int:
    """The number of a document's work."""
    hashed = hashlib.blake2b(document.work.encode(), digest_size=8).digest() if document.work else b""
    return int.from_bytes(hashed, "little", signed=True)


class Store:
    """The documents of several parts, numbered from 0 in the order of the parts.

    Raises RunError, naming the folder, where a part is missing, damaged or not of this version.
    """

    def __init__(self, folders: Sequence[Path | str]):
        self.folders = tuple(map(Path, folders))
        try:
            self.parts: list[dict[str, Any]] = [read_json(folder / "part.json") for folder in self.folders]
            self.starts = np.cumsum([0, *(part["documents"] for part in self.parts)])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"a part of the corpus cannot be read ({error}); delete its folder, prepare again"
            ) from error
        self._records = ArrayRecords([folder / "documents.array_record" for folder in self.folders], self.starts)
        self._sketches = functools.lru_cache(_MAPPED)(self._map)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def _map(self, part: int) -> np.ndarray:
        shape = (self.parts[part]["documents"], PERMUTATIONS)
        return np.memmap(self.folders[part] / "sketches.bin", dtype="<u4", mode="r", shape=shape)

    def read(self, numbers: Sequence[int] | np.ndarray) -> list[Document]:
        """Documents by number, in that order."""
        return [Document(*json.loads(record)) for record in self._records.read(numbers)]

    def texts(self, numbers: Sequence[int] | np.ndarray) -> list[str]:
        """Texts by number, in that order."""
        return [document.text for document in self.read(numbers)]

    def sketches(self, numbers: np.ndarray) -> np.ndarray:
        """MinHash sketches by number, uint32 [len(numbers), PERMUTATIONS]."""
        found = np.empty((len(numbers), PERMUTATIONS), dtype=np.uint32)
        for part, positions, inside in by_file(self.starts, numbers):
            found[positions] = self._sketches(part)[inside]
        return found

    def columns(self, *names: str) -> pa.Table:
        """Columns of all documents, in memory."""
        options = pa.ipc.IpcReadOptions(included_fields=[COLUMNS.get_field_index(name) for name in names])
        tables = [COLUMNS.empty_table().select(names)]
        for folder in self.folders:
            try:
                with pa.OSFile(str(folder / "columns.arrow")) as file:
                    tables.append(pa.ipc.open_file(file, options=options).read_all().select(names))
            except (OSError, pa.ArrowException) as error:
                raise RunError(f"{folder}: cannot be read ({error}); delete the folder, prepare again") from error
        return pa.concat_tables(tables)

    def digests(self) -> np.ndarray:
        """Digests of all documents, uint64 [documents, 2]."""
        chunks = self.columns("digest").column("digest").chunks
        parts = [
            np.frombuffer(one.buffers()[1], np.uint64, 2 * len(one), 16 * one.offset) for one in chunks if len(one)
        ]
        return np.concatenate([np.empty(0, np.uint64), *parts]).reshape(-1, 2)
