"""The prepare stage on a fleet: its pieces of work as Apache Beam transforms (extra `beam`).

Beam is the engine; what its workers do are the functions that one machine runs (`workers.Engine`): reading a part,
telling duplicates, rewriting and tokenising a segment, packing a row set. So a fleet makes the same rows. Where
documents go is decided by grouping: equal digests, then equal bands of sketches, then each document's candidates.

The run's folder, the sources and, where the built-in corpus is one of them, the cache (BENCH_SHADOWS_CACHE) must
lie on a file system that all workers see. The drawing order is made where the command runs: 40 bytes a document.
So is rewriting by an endpoint, whose replies a fleet of clients brings beforehand (`rewrite --shard`).
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.data.corpus.deduplicate import (
    EMPTY,
    Duplicates,
    band_keys,
    banding,
    bounds,
    bucket_pairs,
    comparison,
    decide,
    estimates,
)
from bench_shadows.data.corpus.store import Store
from bench_shadows.data.corpus.workers import Work
from bench_shadows.errors import BenchShadowsError, ConfigError, RunError
from bench_shadows.files import atomic_path, remove
from bench_shadows.progress import Progress

Folders = tuple[str, ...]
_BATCH = 4096  # documents whose sketches are read at once


class BeamEngine:
    """Does the work of `prepare(config, folder, engine)` in Beam pipelines.

    Args:
      folder: RUN/data.
      options: of the pipelines, as on a command line: `--runner=FlinkRunner`, `--flink_master=...`.
    Raises ConfigError where Beam is not installed.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ("--runner=DirectRunner",)):
        try:
            import apache_beam  # noqa: F401
        except ImportError as error:
            raise ConfigError('a Beam runner needs the extra `beam`: pip install "bench-shadows[beam]"') from error
        self._folder, self._options = folder, list(options)

    def each(self, work: Work, items: Sequence[Any], megabytes: float, progress: Progress) -> None:
        """Does `work` on every item, each a bundle of its own."""
        import apache_beam as beam

        if not items:
            return

        def build(pipeline: Any) -> None:
            name = getattr(work, "__name__", "work")
            things = pipeline | "items" >> beam.Create(list(items)) | "spread" >> beam.Reshuffle()
            things | name >> beam.Map(_done, work)

        self._run(build)
        progress.add(megabytes)

    def duplicates(self, store: Store, threshold: float) -> Duplicates:
        """The documents of a store that go, as `deduplicate.find_duplicates` finds them."""
        path = self._folder / "corpus" / "found.npy"
        folders = tuple(map(str, store.folders))
        self._run(lambda pipeline: _find_duplicates(pipeline, folders, threshold, path))
        found = np.load(path, allow_pickle=False)
        remove(path)
        return Duplicates(*(found[name] for name in Duplicates._fields))

    def _run(self, build: Callable[[Any], None]) -> None:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        try:
            with beam.Pipeline(options=PipelineOptions(self._options, save_main_session=False)) as pipeline:
                build(pipeline)
        except BenchShadowsError:
            raise
        except Exception as error:  # a runner raises whatever its workers did, in words of its own
            reason = " ".join(str(error).split())
            raise RunError(f"a Beam pipeline failed: {reason}; the same command goes on from there") from error


def _done(item: Any, work: Work) -> None:
    from apache_beam.metrics import Metrics

    kilobytes = Metrics.counter("bench_shadows", "kilobytes")
    work(item, lambda megabytes: kilobytes.inc(round(1e3 * megabytes)))


# ---- duplicates


def _find_duplicates(pipeline: Any, folders: Folders, threshold: float, path: Path) -> None:
    """Writes what `Duplicates` holds to `path`, as one structured array (.npy)."""
    import apache_beam as beam

    equals = (
        pipeline
        | "parts" >> beam.Create(range(len(folders)))
        | "spread" >> beam.Reshuffle()
        | "digests" >> beam.FlatMap(_digests, folders)
        | "of equals" >> beam.GroupByKey()
        | "the first" >> beam.FlatMap(_first_of_equals)
    )
    removed = [equals | "exact" >> beam.FlatMap(_exact)]
    if threshold < 1:
        removed.append(
            equals
            | "stays" >> beam.Filter(lambda one: one[0] == one[1])
            | "numbers" >> beam.Keys()
            | "some" >> beam.BatchElements(min_batch_size=_BATCH // 16, max_batch_size=_BATCH)
            | "bands" >> beam.FlatMap(_buckets, folders, threshold)
            | "of a bucket" >> beam.GroupByKey()
            | "candidates" >> beam.FlatMap(_candidates, folders, threshold)
            | "of a document" >> beam.GroupByKey()
            | "near" >> beam.FlatMap(_decided, folders, threshold)
        )
    removed | beam.Flatten() | beam.combiners.ToList() | "write" >> beam.Map(_write, path)


@functools.lru_cache(maxsize=1)
def _store(folders: Folders) -> Store:
    return Store(folders)


def _digests(part: int, folders: Folders) -> Iterator[tuple[bytes, int]]:
    """(digest, number) of the documents of a part."""
    start = int(_store(folders).starts[part])
    for offset, digest in enumerate(Store(folders[part : part + 1]).digests()):
        yield digest.tobytes(), start + offset


def _first_of_equals(group: tuple[bytes, Iterable[int]]) -> Iterator[tuple[int, int]]:
    """(number, the lowest number with its digest)."""
    numbers = list(group[1])
    first = min(numbers)
    for number in numbers:
        yield number, first


def _exact(pair: tuple[int, int]) -> Iterator[tuple[int, int, float, bool]]:
    """The document as a row of `Duplicates`, where it goes."""
    number, first = pair
    if number != first:
        yield number, first, 1.0, True


def _buckets(numbers: Sequence[int], folders: Folders, threshold: float) -> Iterator[tuple[tuple[int, int], int]]:
    """((band, key), number) of documents that have words."""
    bands, rows = banding(threshold)
    members = np.array(numbers, dtype=np.int64)
    found = _store(folders).sketches(members)
    with_words = (found != EMPTY).any(axis=1)
    members, found = members[with_words], found[with_words]
    for band in range(bands):
        for key, number in zip(
            band_keys(found, band, rows).view(np.int64).tolist(), members.tolist(), strict=True
        ):
            yield (band, key), number


def _candidates(
    bucket: tuple[Any, Iterable[int]], folders: Folders, threshold: float
) -> Iterator[tuple[int, tuple[int, float]]]:
    """(later, (earlier, estimate)) of a bucket's pairs that may be near duplicates."""
    members = np.array(sorted(bucket[1]), dtype=np.int64)
    low, _ = bounds(threshold)
    for earlier, later in bucket_pairs(members, np.zeros(len(members), dtype=np.uint64)):
        similar = estimates(_store(folders).sketches(earlier), _store(folders).sketches(later))
        for i in np.flatnonzero(similar >= low).tolist():
            yield int(later[i]), (int(earlier[i]), float(similar[i]))


def _decided(
    document: tuple[int, Iterable[tuple[int, float]]], folders: Folders, threshold: float
) -> Iterator[tuple[int, int, float, bool]]:
    """The document as a row of `Duplicates`, where it goes."""
    later, candidates = document
    exactly = functools.partial(_comparison(folders), later)
    if answer := decide(sorted(set(candidates)), exactly, threshold):
        yield (later, *answer, False)


@functools.lru_cache(maxsize=1)
def _comparison(folders: Folders) -> Callable[[int, int], float]:
    return comparison(_store(folders).texts)


def _write(found: Sequence[tuple[int, int, float, bool]], path: Path) -> None:
    rows = np.array(
        sorted(found), dtype=[("removed", "i8"), ("first", "i8"), ("similarity", "f8"), ("exact", "?")]
    )
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, rows, allow_pickle=False)
