"""Hugging Face `datasets`, streamed: nothing is downloaded before it is read.

`hf:NAME[:CONFIG][@SPLIT]`, such as `hf:allenai/c4:en@validation`; NAME is a set on the hub, a folder of data
files, or what `save_to_disk` wrote. SPLIT is `train` where none is given. A set on the hub is read at the revision
that it had when its parts were listed. No code of a set is run (`datasets` 4 and later cannot).
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import Part, Record, split_of
from bench_shadows.errors import SourceError
from bench_shadows.files import expand, hash_json

PREFIX = "hf:"
SAVED = ("state.json", "dataset_dict.json")  # what `save_to_disk` leaves in its folder


def parts(source: str) -> list[Part]:
    """The shards of a set. Raises SourceError where the library, the set, the config or the split is missing."""
    name, _, _ = _address(source)
    if folder := _folder(name):
        files, _ = storage.find(str(folder))
        revision, fact = "", hash_json([[file.name, file.bytes, file.modified_ns] for file in files])
        facts: tuple[tuple[str, Any], ...] = (("listing", fact),)
    else:
        revision = _revision(source)
        facts = (("revision", revision),)
    shards = _stream(source, revision).num_shards
    domain = name.rstrip("/").rpartition("/")[2]
    return [
        Part(f"{source} [shard {n + 1} of {shards}]", "hf", (source, revision), n, n + 1, facts, domain=domain)
        for n in range(shards)
    ]


def records(part: Part, fields: FieldsConfig, counts: Counts) -> Iterator[Record]:
    """Yields the examples of one shard as mappings."""
    source, revision = part.paths
    number = 0
    try:
        stream = _stream(source, revision)
        for number, example in enumerate(stream.shard(num_shards=stream.num_shards, index=part.begin), start=1):
            yield Record(f"{part.name}:{number}", source, example)
    except (
        *storage.READ_ERRORS,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
    ) as error:  # a field of another type
        where = f"{part.name}:{number + 1}"
        counts.lose(part.name, where, "the rest of it cannot be read", storage.one_line(error)[:400])


def _address(source: str) -> tuple[str, str | None, str]:
    """(name, config or None, split) of a source."""
    address, split = split_of(source, PREFIX)
    name, _, config = address.partition(":")
    return name, config or None, split


def _folder(name: str) -> Path | None:
    path = expand(name)
    return path if path.is_dir() else None


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise SourceError(
            f"config.data.sources: {source!r} needs Hugging Face datasets: pip install 'bench-shadows[hf]'"
        ) from error
    return datasets


def _revision(source: str) -> str:
    """The commit of a set on the hub."""
    _library(source)
    import huggingface_hub

    name, _, _ = _address(source)
    try:
        return str(huggingface_hub.HfApi().dataset_info(name).sha)
    except Exception as error:  # no network, no such set, no right to read it: many classes of several libraries
        raise SourceError(
            f"config.data.sources: {source!r} is no folder here and cannot be looked up on the hub: "
            f"{storage.one_line(error)}"
        ) from error


@functools.lru_cache(maxsize=4)
def _stream(source: str, revision: str) -> Any:
    """The set as an iterable of examples with a number of shards."""
    datasets = _library(source)
    name, config, split = _address(source)
    folder = _folder(name)
    try:
        if folder and any((folder / saved).is_file() for saved in SAVED):
            saved = datasets.load_from_disk(str(folder))
            chosen = saved[split] if isinstance(saved, dict) else saved
            return chosen.to_iterable_dataset(num_shards=max(1, len(chosen.cache_files)))
        where = {"path": str(folder)} if folder else {"path": name, "revision": revision}
        return datasets.load_dataset(name=config, split=split, streaming=True, **where)
    except (OSError, ValueError, KeyError) as error:  # FileNotFoundError and DataFilesNotFoundError are OSErrors
        reason = storage.one_line(error)
        raise SourceError(f"config.data.sources: {source!r} cannot be opened: {reason}") from error
