"""Sets of tensorflow-datasets, read with random access and without TensorFlow.

`tfds:NAME[/CONFIG][:VERSION][@SPLIT]` is a set that was prepared on this machine (in TFDS_DATA_DIR, else
~/tensorflow_datasets); `tfds:/path/to/name/1.0.0[@SPLIT]` is the folder of a prepared set, on a disk or in a
bucket. It must have been prepared with `file_format="array_record"` or `"parquet"`: other formats need TensorFlow.
SPLIT is `train` where none is given, and may be a slice: `train[:10%]`.
"""

import functools
from collections.abc import Iterator
from typing import Any

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import Part, Record, split_of
from bench_shadows.errors import SourceError

PREFIX = "tfds:"
PIECE = 100_000  # examples of a part
BATCH = 16  # examples that are asked for at once


def parts(source: str) -> list[Part]:
    """The parts of a set. Raises SourceError where the library, the set or the split is missing."""
    _, split = split_of(source, PREFIX)
    info = _builder(source).info
    if not info.splits:
        raise SourceError(
            f"config.data.sources: {source!r} is not prepared on this machine; prepare it with "
            'tfds.builder(NAME, file_format="array_record").download_and_prepare(), or name its folder: tfds:/path'
        )
    try:
        chosen = info.splits[split]
    except ValueError as error:
        known = ", ".join(info.splits)
        raise SourceError(f"config.data.sources: {source!r}: no split {split!r}; there are {known}") from error
    total = chosen.num_examples
    example_bytes = int(info.dataset_size) / max(1, sum(one.num_examples for one in info.splits.values()))
    found = []
    for begin in range(0, total, PIECE):
        end = min(begin + PIECE, total)
        size = round((end - begin) * example_bytes)
        facts = (
            ("bytes", size),
            ("set", info.full_name),
            ("set_bytes", int(info.dataset_size)),
            ("examples", total),
        )
        found.append(Part(f"{source} [{begin}:{end}]", "tfds", (source,), begin, end, facts, info.name))
    return found


def records(part: Part, fields: FieldsConfig, counts: Counts) -> Iterator[Record]:
    """Yields the examples of a part as (nested) mappings; text is bytes."""
    [source] = part.paths
    index = part.begin
    assert part.end is not None
    try:
        examples = _examples(source)
        for index in range(part.begin, part.end, BATCH):
            chosen = range(index, min(index + BATCH, part.end))
            for number, example in zip(chosen, examples.__getitems__(list(chosen)), strict=True):
                yield Record(f"{source} [{number}]", source, example)
    except (*storage.READ_ERRORS, RuntimeError, ValueError, IndexError) as error:
        counts.leave_out(f"{source} [{index}]", "the rest of it cannot be read", storage.one_line(error))


@functools.lru_cache(maxsize=4)
def _builder(source: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise SourceError(
            f"config.data.sources: {source!r} needs tensorflow-datasets: pip install 'bench-shadows[tfds]'"
        ) from error
    name, _ = split_of(source, PREFIX)
    try:
        if name.startswith(("/", "~", ".")) or "://" in name:
            return tfds.builder_from_directory(name)
        return tfds.builder(name)
    except Exception as error:  # what a set's own code raises is not known beforehand
        reason = str(error).strip().partition("\n")[0]
        raise SourceError(f"config.data.sources: {source!r} cannot be opened: {reason}") from error


@functools.lru_cache(maxsize=4)
def _examples(source: str) -> Any:
    """The split as a random-access source; SourceError where its format needs TensorFlow or cannot be sliced."""
    _, split = split_of(source, PREFIX)
    builder = _builder(source)
    try:
        examples = builder.as_data_source(split=split)
    except NotImplementedError as error:
        raise SourceError(
            f"config.data.sources: {source!r} is stored in a format that needs TensorFlow; prepare it again with "
            'download_and_prepare(file_format="array_record")'
        ) from error
    if len(examples) != (expected := builder.info.splits[split].num_examples):
        raise SourceError(  # tensorflow-datasets 4.9 reads all of a split where a slice of Parquet was asked for
            f"config.data.sources: {source!r} has {expected:,} examples, but {len(examples):,} are read; name the "
            'whole split, or prepare the set with file_format="array_record"'
        )
    return examples
