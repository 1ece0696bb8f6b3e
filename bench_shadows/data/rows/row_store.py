"""Rows on disk: documents packed into ArrayRecord shards, and read back by number.

A row is `seq_len` token ids, uint32, little endian, one record. A folder of rows is described by its
`rows.json`; it is written under a temporary name and renamed, so a folder that is there is whole.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from bench_shadows.errors import DataError, RunError
from bench_shadows.files import atomic_path, hash_file, read_json, write_json

TOKEN = np.dtype("<u4")
RECORD_OPTIONS = "group_size:1,uncompressed"  # every row can be read alone
_RANDOM = "readahead_buffer_size:0,max_parallelism:0"  # three times as fast as the data source of array_record
_OPEN_SHARDS = 512  # fewer than a process may open files
SHARD_BYTES = 256 * 2**20
"""Token ids of one shard; a run at laptop size has one, the paper's 300 M rows have 18,000."""
_IDS_AT_ONCE = 2**22
NAMES = ("first", "second", "rewritten")
"""Row sets that a study of documents trains on, in the order of global row ids."""


def pack(documents: Iterable[np.ndarray], seq_len: int, end_of_text: int) -> Iterator[np.ndarray]:
    """Rows of one domain: documents in order, each followed by `end_of_text`, cut every `seq_len` tokens.

    Yields blocks uint32 [rows, seq_len], at last what is left: uint32 [tokens] of fewer than `seq_len` tokens.
    """
    end = np.array([end_of_text], dtype=TOKEN)
    left = np.empty(0, dtype=TOKEN)
    for document in documents:
        stream = np.concatenate((left, document.astype(TOKEN, copy=False), end))
        whole = len(stream) // seq_len * seq_len
        if whole:
            yield stream[:whole].reshape(-1, seq_len)
        left = stream[whole:]
    yield left


def documents_of(rows: Any, start: int) -> Any:
    """Which of its row's documents each token belongs to, int32 [..., T], counted from 0 or 1.

    A document begins with `start` (`Tokenizer.start`): what the tokenizer puts before a text, or else the end of
    the text before it, since behind that a model is asked about a text as well. What stands before a row's first
    `start` is the rest of a document, number 0.

    Args:
      rows: token ids [..., T], of NumPy or JAX, as which the numbers come back.
    """
    return (rows == start).cumsum(axis=-1, dtype=np.int32)


def write_rows(
    folder: Path | str,
    domains: Iterable[tuple[str, Iterable[np.ndarray]]],
    seq_len: int,
    end_of_text: int,
    limit: int | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, Any]:
    """Packs documents into rows and writes a folder of shards, atomically.

    Args:
      folder: where the rows go; a folder that is there already is replaced.
      domains: pairs of a domain and its documents' token ids, uint32 [tokens] each; a domain stands once.
      limit: rows kept of each domain; what is over is counted in `dropped_tokens`.
    Returns:
      What rows.json holds: seq_len, count, files, rows_per_file, domains {name: [start, stop]}, tokens (in
      rows), documents, dropped_tokens (remainders and what is over the limit), sha256 {file: hash}.
    """
    rows_per_file = max(1, shard_bytes // (TOKEN.itemsize * seq_len))
    spans: dict[str, list[int]] = {}
    totals = {"documents": 0, "dropped_tokens": 0}

    def blocks() -> Iterator[np.ndarray]:
        stop = 0
        for domain, documents in domains:
            if domain in spans:
                raise ValueError(f"domain {domain!r} stands twice")
            start, room = stop, limit

            def counted(documents: Iterable[np.ndarray] = documents) -> Iterator[np.ndarray]:
                for document in documents:
                    totals["documents"] += 1
                    yield document

            for block in pack(counted(), seq_len, end_of_text):
                kept = block if block.ndim == 2 else block[:0].reshape(0, seq_len)
                kept = kept if room is None else kept[: room - (stop - start)]
                totals["dropped_tokens"] += block.size - kept.size
                stop += len(kept)
                yield kept
            spans[domain] = [start, stop]

    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        rows = itertools.chain.from_iterable(blocks())
        files: list[str] = []
        for first in rows:
            files.append(f"rows-{len(files):05d}.array_record")
            writer = ArrayRecordWriter(str(temporary / files[-1]), RECORD_OPTIONS)
            for row in itertools.chain([first], itertools.islice(rows, rows_per_file - 1)):
                writer.write(row.tobytes())
            writer.close()
        count = max((stop for _, stop in spans.values()), default=0)
        description = {
            "seq_len": seq_len,
            "count": count,
            "files": files,
            "rows_per_file": rows_per_file,
            "domains": spans,
            "tokens": count * seq_len,
            **totals,
            "sha256": {name: hash_file(temporary / name) for name in files},
        }
        write_json(temporary / "rows.json", description)
    return description


class RowSet:
    """A folder of rows, read by number; holds no rows in memory.

    Raises RunError, naming the file, where rows.json is missing or wrong, or a shard is missing or has
    another number of rows than rows.json says.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        path = self.folder / "rows.json"
        try:
            self.description: dict[str, Any] = read_json(path)
            self.seq_len: int = self.description["seq_len"]
            self.count: int = self.description["count"]
            self.domains: dict[str, tuple[int, int]] = {
                name: (start, stop) for name, (start, stop) in self.description["domains"].items()
            }
            self._rows_per_file: int = self.description["rows_per_file"]
            files: list[str] = self.description["files"]
        except FileNotFoundError as error:
            raise RunError(f"{path}: missing; run the prepare stage again") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: not a description of rows ({error}); delete {self.folder} and prepare again"
            ) from error
        self._paths = [self.folder / name for name in files]
        for path in self._paths:
            if not path.is_file():
                raise RunError(
                    f"{path}: missing, though rows.json names it; delete {self.folder} and prepare again"
                )
        self._reader = functools.lru_cache(_OPEN_SHARDS)(self._open)
        found = sum(self._reader(shard).num_records() for shard in range(len(self._paths)))
        if found != self.count:
            raise RunError(
                f"{self.folder}: rows.json says {self.count} rows, shards hold {found}; delete it, prepare again"
            )

    def _open(self, shard: int) -> ArrayRecordReader:
        try:
            return ArrayRecordReader(str(self._paths[shard]), _RANDOM)
        except Exception as error:  # array_record raises what its C++ part raises
            raise RunError(
                f"{self.folder}: shards cannot be read ({error}); delete it and prepare again"
            ) from error

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        """Row `index`, uint32 [seq_len]."""
        return self.read([index])[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rows by number, in that order, uint32 [len(indices), seq_len]."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.count:
            raise IndexError(f"{self.folder}: rows {wanted.min()}..{wanted.max()} of {self.count}")
        rows = np.empty((len(wanted), self.seq_len), dtype=TOKEN)
        shards, inside = np.divmod(wanted, self._rows_per_file)
        for shard in np.unique(shards).tolist():
            [mine] = np.nonzero(shards == shard)
            data = b"".join(self._reader(shard).read(inside[mine].tolist()))
            if len(data) != len(mine) * self.seq_len * TOKEN.itemsize:
                raise RunError(
                    f"{self._paths[shard]}: a row is not {self.seq_len} tokens long; delete the folder and "
                    "prepare again"
                )
            rows[mine] = np.frombuffer(data, dtype=TOKEN).reshape(len(mine), self.seq_len)
        return rows

    def verify(self) -> None:
        """Compares every shard with its SHA-256; raises RunError naming the first that differs."""
        for path in self._paths:
            if hash_file(path) != self.description["sha256"][path.name]:
                raise RunError(
                    f"{path}: its SHA-256 is not the one in rows.json; delete {self.folder} and prepare again"
                )


class RowStore:
    """Several row sets as one, by global row id: [first | second | rewritten], or [baseline | deduplicated]."""

    def __init__(self, sets: Sequence[RowSet]):
        if not sets:
            raise DataError("no row sets")
        lengths = {rows.seq_len for rows in sets}
        if len(lengths) > 1:
            where = ", ".join(f"{rows.folder}: {rows.seq_len}" for rows in sets)
            raise RunError(f"rows of different seq_len cannot be read together ({where}); prepare again")
        self.sets = tuple(sets)
        self.seq_len = sets[0].seq_len
        self.starts = np.cumsum([0, *map(len, sets)])

    @classmethod
    def open(cls, folder: Path | str, names: Sequence[str] = NAMES) -> "RowStore":
        """The sets that training reads (`Kind.row_sets`), under RUN/data/rows."""
        return cls([RowSet(Path(folder) / name) for name in names])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> np.ndarray:
        """Row of a global id, uint32 [seq_len]."""
        return self.read([index])[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rows by global id, in that order, uint32 [len(indices), seq_len]; IndexError outside the store."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()}..{wanted.max()} of {len(self)}")
        owner = np.searchsorted(self.starts, wanted, side="right") - 1
        rows = np.empty((len(wanted), self.seq_len), dtype=TOKEN)
        for number in np.unique(owner):
            mine = owner == number
            rows[mine] = self.sets[number].read(wanted[mine] - self.starts[number])
        return rows

    def domain_counts(self, indices: np.ndarray) -> dict[str, int]:
        """How many of these global row ids lie in each domain; domains sorted, none of zero."""
        spans = [
            (int(offset) + start, name)
            for rows, offset in zip(self.sets, self.starts, strict=False)
            for name, (start, stop) in rows.domains.items()
            if stop > start
        ]
        spans.sort()
        starts = np.array([start for start, _ in spans], dtype=np.int64)
        hits = np.zeros(len(spans), dtype=np.int64)
        for begin in range(0, len(indices), _IDS_AT_ONCE):  # a plan of the paper has 300 M positions
            owner = np.searchsorted(starts, indices[begin : begin + _IDS_AT_ONCE], side="right") - 1
            hits += np.bincount(owner, minlength=len(spans))
        counts: dict[str, int] = {}
        for (_, name), hit in zip(spans, hits, strict=True):
            counts[name] = counts.get(name, 0) + int(hit)
        return {name: count for name, count in sorted(counts.items()) if count}
