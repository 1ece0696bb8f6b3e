"""Work in pieces that leave whole files behind, done by processes of this machine or by an engine for a fleet.

A piece of work is a function of one picklable item. It writes what it makes under a final name, whole, and does
nothing where that stands already, so it may be done again, anywhere, after any crash. Nothing comes back from it.
"""

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bench_shadows.data.corpus.deduplicate import Duplicates, find_duplicates
from bench_shadows.data.corpus.store import Store
from bench_shadows.errors import RunError
from bench_shadows.progress import Progress

SMALL = 16.0
"""Megabytes of text up to which the work is done in this process: starting others takes a second."""

Work = Callable[[Any, Callable[[float], None]], None]
"""Does one piece, `work(item, seen)`, and tells `seen` how many megabytes more were done."""


class Engine(Protocol):
    """Who does the work: `LOCAL`, or a fleet (`beam.py`). Both leave the same files."""

    def each(self, work: Work, items: Sequence[Any], megabytes: float, progress: Progress) -> None:
        """Does `work` on every item; `megabytes` of text, about, are in all of them."""

    def duplicates(self, store: Store, threshold: float) -> Duplicates:
        """The documents of a store that go."""


class _Local:
    def each(self, work: Work, items: Sequence[Any], megabytes: float, progress: Progress) -> None:
        processes = min(
            len(items), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        if processes > 1 and megabytes > SMALL:
            _in_processes(work, items, processes, progress)
            return
        for item in items:
            work(item, progress.add)

    def duplicates(self, store: Store, threshold: float) -> Duplicates:
        return find_duplicates(store.digests(), store.sketches, store.texts, threshold)


LOCAL: Engine = _Local()


def _in_processes(work: Work, items: Sequence[Any], processes: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    kilobytes = context.Value("q", 0)
    pool = concurrent.futures.ProcessPoolExecutor(processes, context, _begin, (kilobytes,))
    try:
        waiting = {pool.submit(_work, work, item) for item in items}
        counted = 0
        while waiting:
            done, waiting = concurrent.futures.wait(waiting, 0.5, concurrent.futures.FIRST_COMPLETED)
            now = kilobytes.value
            progress.add((now - counted) / 1e3)
            counted = now
            for future in done:
                future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise RunError(
            "a worker process was killed, perhaps because memory ran out; what was finished is kept, and the same "
            "command goes on from there"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_counter: Any = None  # of kilobytes, shared with the parent; set in worker processes


def _begin(counter: Any) -> None:
    """What a worker process does first."""
    global _counter
    _counter = counter
    os.environ["RAYON_NUM_THREADS"] = "1"  # tokenizers and sketches: the processes are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says that it was interrupted
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed takes its workers along: they would write beside those of its next life."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(work: Work, item: Any) -> None:
    left = 0.0

    def seen(megabytes: float) -> None:
        nonlocal left
        whole, left = divmod(left + megabytes * 1e3, 1)
        with _counter.get_lock():
            _counter.value += int(whole)

    work(item, seen)
