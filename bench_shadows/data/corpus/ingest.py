"""The corpus: all sources read into parts on disk, de-duplicated, and numbered.

    RUN/data/corpus/parts/00000/ ...   the documents (store.py); the built-in ones lie in the user's cache
    RUN/data/corpus/duplicates/        kept.npy, the numbers of the documents that stay, and report.json
    RUN/data/corpus/corpus.json        where both are, and what reading counted

A part that is there is whole: a killed run reads the parts again that were in work, one for each process.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus import deduplicate, store
from bench_shadows.data.corpus.builtin import builtin
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.documents import parts, read_part
from bench_shadows.data.corpus.sources.part import Part
from bench_shadows.data.corpus.store import Store
from bench_shadows.data.corpus.workers import LOCAL, Engine
from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, cache_folder, hash_json, read_json, write_json
from bench_shadows.progress import Progress, say

EXAMPLES = 5  # of each kind of duplicate that the report shows
GLIMPSE = 160  # characters of both texts of an example
_EXPANSION = {".gz": 3.0, ".zst": 3.0, ".bz2": 3.0, ".xz": 3.0, ".parquet": 2.5}  # text in a byte of a file, about


@dataclasses.dataclass(frozen=True)
class Corpus:
    """All documents of the sources, by number in the order of the sources, and which of them stay."""

    store: Store
    kept: np.ndarray
    """Numbers of the documents that are no duplicates, int64, ascending."""
    report: dict[str, Any]
    """For documents.json: what reading counted, {duplicates}, and {builtin} where that is a source."""


def ingest(config: DataConfig, folder: Path, engine: Engine = LOCAL) -> Corpus:
    """The corpus in `folder` (RUN/data/corpus), made as far as it is not there.

    Raises DataError for sources that cannot be read, bad records beyond the limit and where there is no document.
    """
    if not (folder / "corpus.json").exists():
        jobs = _jobs(config, folder / "parts")
        _read(jobs, engine)
        documents = Store([job.folder for job in jobs])
        report = _counted(jobs, documents)
        alone = all(job.part.format == "builtin" for job in jobs)  # de-duplicated once, for all runs
        # In the cache many thresholds lie side by side, and what another version of the code found is not used.
        key = hash_json([deduplicate.VERSION, config.near_duplicate_threshold, len(jobs)])[:12]
        duplicates = (jobs[0].folder.parent if alone else folder) / f"duplicates-{key}"
        with builtin.keeping(duplicates.parent) if alone else contextlib.nullcontext():
            if not duplicates.exists():
                _deduplicate(documents, config.near_duplicate_threshold, duplicates, engine)
        where = {"folders": [str(path) for path in documents.folders], "duplicates": str(duplicates)}
        write_json(folder / "corpus.json", {**where, "report": report})
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """The corpus that `ingest` made in this folder."""
    made = read_json(folder / "corpus.json")
    duplicates = Path(made["duplicates"])
    kept = np.load(duplicates / "kept.npy", mmap_mode="r", allow_pickle=False)
    report = {**made["report"], "duplicates": read_json(duplicates / "report.json")}
    return Corpus(Store(made["folders"]), kept, report)


# ---- reading


@dataclasses.dataclass(frozen=True)
class _Job:
    part: Part
    config: DataConfig
    folder: Path


def _jobs(config: DataConfig, folder: Path) -> list[_Job]:
    """Every part of the sources and the folder that it is kept in."""
    return [
        _Job(part, config, _builtin_folder() if part.format == "builtin" else folder / f"{number:05d}")
        for number, part in enumerate(parts(config))
    ]


def _builtin_folder() -> Path:
    key = hash_json([builtin.corpus_file().name, store.VERSION, deduplicate.VERSION])[:12]
    return cache_folder() / f"builtin-{key}" / "documents"


def _read(jobs: Sequence[_Job], engine: Engine) -> None:
    missing = [job for job in jobs if not job.folder.exists()]
    if not missing:
        return
    total, left = (sum(_megabytes(job.part) for job in some) for some in (jobs, missing))
    known = all(_megabytes(job.part) for job in jobs)  # a set of examples does not say how long they are
    with Progress("reading the sources", total if known else None, "MB", done=total - left) as progress:
        engine.each(read_into_store, missing, left if known else math.inf, progress)


def _megabytes(part: Part) -> float:
    """Text in a part, about: compressed files hold more than they are long; 0 where nobody knows."""
    facts = part.identity()
    size = part.end - part.begin if part.end is not None and part.paths else facts.get("bytes", 0)
    return size / 1e6 * max([1.0, *(_EXPANSION.get(Path(path).suffix.lower(), 1.0) for path in part.paths)])


def read_into_store(job: _Job, seen: Callable[[float], None]) -> None:
    """Reads one part into its folder."""
    with builtin.keeping(job.folder.parent) if job.part.format == "builtin" else contextlib.nullcontext():
        if not job.folder.exists():
            counts = Counts(job.config.bad_records_limit)
            store.write_part(job.folder, read_part(job.part, job.config, counts), counts.as_json, seen)


def _counted(jobs: Sequence[_Job], documents: Store) -> dict[str, Any]:
    """What reading all parts counted; DataError where that is too many bad records or no document."""
    counts = Counts(jobs[0].config.bad_records_limit)
    for part in documents.parts:
        counts.merge(part["counts"])
    for name, what in counts.lost.items():
        say(f"reading the sources: {name}: {what}")
    if not len(documents):
        raise DataError(
            f"config.data.sources: {', '.join(jobs[0].config.sources)} hold no usable document; "
            f"{sum(counts.bad.values())} bad records were left out {counts.bad or ''}".rstrip()
        )
    recipe = {"builtin": builtin.counts()} if any(job.part.format == "builtin" for job in jobs) else {}
    return {**counts.as_json(), **recipe}


# ---- duplicates


def _deduplicate(documents: Store, threshold: float, folder: Path, engine: Engine) -> None:
    """Writes kept.npy and report.json.

    The report: {documents, exact, near, characters, characters_removed, threshold, shingle, permutations,
    examples: [{kind, kept, removed, similarity, kept_text, removed_text}]}, of the texts their beginnings.
    """
    found = engine.duplicates(documents, threshold)
    characters = documents.columns("characters").column(0).to_numpy()
    chosen = [i for exact in (True, False) for i in np.flatnonzero(found.exact == exact)[:EXAMPLES].tolist()]
    report = {
        "documents": len(documents),
        "exact": int(found.exact.sum()),
        "near": int((~found.exact).sum()),
        "characters": int(characters.sum()),
        "characters_removed": int(characters[found.removed].sum()),
        "threshold": threshold,
        "shingle": deduplicate.SHINGLE,
        "permutations": deduplicate.PERMUTATIONS,
        "examples": [_example(documents, found, i) for i in chosen],
    }
    stays = np.ones(len(documents), dtype=bool)
    stays[found.removed] = False
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        np.save(temporary / "kept.npy", np.flatnonzero(stays), allow_pickle=False)
        write_json(temporary / "report.json", report)


def _example(documents: Store, found: deduplicate.Duplicates, number: int) -> dict[str, Any]:
    kept, removed = documents.read([int(found.first[number]), int(found.removed[number])])
    return {
        "kind": "exact" if found.exact[number] else "near",
        "kept": kept.id,
        "removed": removed.id,
        "similarity": round(float(found.similarity[number]), 3),
        "kept_text": " ".join(kept.text[: 4 * GLIMPSE].split())[:GLIMPSE],
        "removed_text": " ".join(removed.text[: 4 * GLIMPSE].split())[:GLIMPSE],
    }
