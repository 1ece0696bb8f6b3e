"""Files of samples: JSON lines, lists in a .json, both also compressed, and Parquet."""

import dataclasses
from collections import Counter
from collections.abc import Iterator

import pyarrow.parquet as pq

from bench_shadows.config import FieldsConfig
from bench_shadows.data.counts import Counts
from bench_shadows.data.json_lists import elements, opens_a_list
from bench_shadows.data.sources import jsonl, storage
from bench_shadows.data.sources.files import domain_of
from bench_shadows.data.sources.part import Part, Record
from bench_shadows.errors import DataError

EXPECTED = ".jsonl, .json or .parquet"
_BATCH = 64  # rows of a Parquet file that are held at once: they may hold images


def form(file: storage.File) -> str | None:
    """How a file is read, json (lines) or parquet; None where it holds no samples by its name."""
    ending = storage.content_ending(file.name)
    if ending == ".parquet":
        return None if storage.compression(file.name) else "parquet"
    return "json" if ending in (".jsonl", ".ndjson", ".json") else None


def pieces(file: storage.File, size: int) -> Iterator[Part]:
    """What one process reads of a file: all of it, or about `size` bytes of JSON lines."""
    kind = form(file) or ""
    if kind == "json" and opens_a_list(file.path):
        kind = "list"
    step = size if kind == "json" and not storage.compression(file.name) else max(1, file.bytes)
    for begin in range(0, max(1, file.bytes), step):
        end = None if step >= file.bytes else min(begin + step, file.bytes)
        facts = (("bytes", min(step, file.bytes - begin)), ("modified_ns", file.modified_ns))
        name = f"{file.name} (from byte {begin})" if begin else file.name
        yield Part(name, kind, (file.path,), begin, end, facts, domain_of(file))


def parts(source: str, size: int) -> list[Part]:
    """The pieces of a file, folder, glob or URI, sorted by name; other files of a folder are told by the first.

    Raises DataError where there is none.
    """
    files, _ = storage.find(source)
    ignored = Counter(storage.ending(file.name) or "no ending" for file in files if form(file) is None)
    found = [part for file in files if form(file) is not None for part in pieces(file, size)]
    if not found:
        listed = ", ".join(f"{count:,} with {ending}" for ending, count in sorted(ignored.items()))
        raise DataError(
            f"config.data.sources: {storage.shown(source)!r} holds no samples ({listed}); expected {EXPECTED}"
        )
    return [dataclasses.replace(found[0], ignored=tuple(sorted(ignored.items()))), *found[1:]]


def records(part: Part, counts: Counts) -> Iterator[Record]:
    """Yields what a piece holds; what cannot be read is counted with its place."""
    if part.format == "json":
        yield from jsonl.records(part, FieldsConfig(), counts)
    elif part.format == "list":
        yield from _elements(part, counts)
    else:
        yield from _rows(part, counts)


def _elements(part: Part, counts: Counts) -> Iterator[Record]:
    number = -1
    try:
        for number, (value, _) in enumerate(elements(part.paths[0])):
            yield Record(f"{part.name}[{number}]", part.name, value)
    except (*storage.READ_ERRORS, ValueError) as error:
        where = f"{part.name}[{number + 1}]"
        counts.leave_out(where, "the rest of the file cannot be read", storage.one_line(error))


def _rows(part: Part, counts: Counts) -> Iterator[Record]:
    number = 0
    try:
        system, inside = storage.connect(part.paths[0])
        with pq.ParquetFile(system.open_input_file(inside), pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for index in range(len(batch)):  # a cell that is not UTF-8 costs its row, not the batch
                    number += 1
                    where = f"{part.name}:{number}"
                    try:
                        yield Record(where, part.name, batch.slice(index, 1).to_pylist()[0])
                    except UnicodeDecodeError as error:
                        counts.leave_out(where, "not UTF-8", str(error))
    except (*storage.READ_ERRORS, UnicodeDecodeError) as error:
        where = f"{part.name}:{number + 1}"
        counts.leave_out(where, "the rest of the file cannot be read", storage.one_line(error))
