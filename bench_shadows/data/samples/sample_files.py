"""Files of samples: JSON lines, lists in a .json, both also compressed, and Parquet."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import files, json_lists, jsonl, parquet, storage
from bench_shadows.data.corpus.sources.part import Part, Record
from bench_shadows.errors import DataError
from bench_shadows.progress import Progress

EXPECTED = ".jsonl, .json or .parquet"


def whole(file: storage.File) -> Part | None:
    """A file of samples as one part; None where it holds none by its name."""
    form = files.format_of_records(file)
    if form == "json" and json_lists.opens_a_list(file.path):
        form = "list"
    return files.whole(file, form) if form else None


def pieces(part: Part, size: int) -> Iterator[Part]:
    """A file in pieces of about `size` bytes, each to be read by one process; a compressed one is one piece.

    JSON lines are cut at any byte, Parquet at its row groups; a JSON list, which has no marks, is read through.
    The facts of a piece are its `bytes`, and `first`, the number of its first record in a list or in Parquet.
    """
    total = part.identity()["bytes"]
    if total <= size or storage.compression(part.name):
        places = [_Place(0)]
    elif part.format == "json":
        places = [_Place(byte, byte) for byte in range(0, total, size)]
    else:
        places = list(_row_groups(part, size) if part.format == "parquet" else _list_places(part, total, size))
    for place, following in itertools.zip_longest(places, places[1:]):
        last = total if place.begin and part.format == "json" else None
        yield dataclasses.replace(
            part,
            name=f"{part.name} (from byte {place.byte})" if place.begin else part.name,
            begin=place.begin,
            end=following.begin if following else last,
            facts=(("bytes", (following.byte if following else total) - place.byte), ("first", place.first)),
            ignored=() if place.begin else part.ignored,
        )


class _Place(NamedTuple):
    """Where a piece begins."""

    begin: int
    """As its reader counts: bytes, or row groups."""
    byte: int = 0
    first: int = 0
    """The number of its first record."""


def _list_places(part: Part, total: int, size: int) -> Iterator[_Place]:
    yield (last := _Place(0))
    with Progress(f"{part.name}: cut into pieces", total / 1e6, "MB") as progress:
        try:
            for number, element in enumerate(json_lists.elements(part.paths[0])):
                if element.place - last.byte >= size:
                    progress.add((element.place - last.byte) / 1e6)
                    yield (last := _Place(element.place, element.place, number))
        except (*storage.READ_ERRORS, ValueError):
            pass  # the reader of the last piece comes to the same place, and tells
        progress.add((total - last.byte) / 1e6)


def _row_groups(part: Part, size: int) -> Iterator[_Place]:
    yield (last := _Place(0))
    try:
        with parquet.opened(part) as (file, groups):
            rows = byte = 0
            for number in groups:
                if byte - last.byte >= size:
                    yield (last := _Place(number, byte, rows))
                group = file.metadata.row_group(number)
                rows += group.num_rows
                byte += sum(group.column(index).total_compressed_size for index in range(group.num_columns))
    except (*storage.READ_ERRORS, UnicodeDecodeError):
        pass  # whoever reads it tells


def parts(source: str) -> list[Part]:
    """The files of a file, folder, glob or URI, sorted by name; others of a folder are told by the first.

    Raises DataError where there is none.
    """
    every = [(file, whole(file)) for file in storage.find(source)[0]]
    found = [part for _, part in every if part is not None]
    ignored = storage.endings(file for file, part in every if part is None)
    if not found:
        raise DataError(
            f"config.data.sources: {storage.shown(source)!r} holds no samples ({storage.counted(ignored)}); "
            f"expected {EXPECTED}"
        )
    return [dataclasses.replace(found[0], ignored=ignored), *found[1:]]


def records(part: Part, counts: Counts) -> Iterator[Record]:
    """Yields what a piece holds; what cannot be read is counted with its place."""
    reader = {"json": jsonl.records, "list": json_lists.records, "parquet": parquet.records}[part.format]
    return reader(part, None, counts)
