"""Batches are a function of the step: any start, any number of hosts, the same data."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench_shadows.data.rows.loader import batches
from bench_shadows.data.rows.row_store import NAMES, RowStore, write_rows
from bench_shadows.errors import RunError

BATCH, STEPS, SEQ = 16, 12, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows a set, no two alike."""
    folder = tmp_path_factory.mktemp("rows")
    for number, name in enumerate(NAMES):
        ids = np.arange(number * 1000, number * 1000 + 60 * SEQ - 1, dtype=np.uint32)
        write_rows(folder / name, [("a", [ids])], SEQ, end_of_text=number * 1000 + 60 * SEQ - 1, shard_bytes=640)
    return folder


@pytest.fixture(scope="module")
def plan() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 180, BATCH * STEPS, dtype=np.uint32)


def test_a_batch_is_the_rows_of_the_plan(folder: Path, plan: np.ndarray) -> None:
    first = next(batches(folder, plan, BATCH, 0)).tokens
    assert first.dtype == np.int32
    assert first[:, 0].tolist() == [int(i) // 60 * 1000 + int(i) % 60 * SEQ for i in plan[:BATCH]]


def test_documents_are_told_apart_where_they_are_asked_for(folder: Path, plan: np.ndarray) -> None:
    assert next(batches(folder, plan, BATCH)).documents is None
    batch = next(batches(folder, plan, BATCH, start=60 * SEQ - 1))
    assert batch.documents is not None
    assert batch.documents.dtype == np.int32
    np.testing.assert_array_equal(batch.documents, (batch.tokens == 60 * SEQ - 1).cumsum(axis=1))


@pytest.mark.parametrize("start", [0, 1, 7, STEPS - 1, STEPS])
def test_starting_at_a_step_gives_the_tail(folder: Path, plan: np.ndarray, start: int) -> None:
    whole, tail = (list(batches(folder, plan, BATCH, step)) for step in (0, start))
    assert len(whole) == STEPS
    assert len(tail) == STEPS - start
    assert all(np.array_equal(one.tokens, other.tokens) for one, other in zip(whole[start:], tail, strict=True))


@pytest.mark.parametrize("hosts", [1, 2, 8])
@pytest.mark.parametrize("start", [0, 5])
def test_hosts_side_by_side_read_the_global_batch(folder: Path, plan: np.ndarray, hosts: int, start: int) -> None:
    def read(places: np.ndarray | None = None) -> list[np.ndarray]:
        return [batch.tokens for batch in batches(folder, plan, BATCH, start, places)]

    parts = [read(np.arange(host, BATCH, hosts)) for host in range(hosts)]
    together = [np.stack(step, axis=1).reshape(BATCH, SEQ) for step in zip(*parts, strict=True)]
    assert np.array_equal(np.stack(together), np.stack(read()))


def test_closing_stops_the_reading_thread(folder: Path, plan: np.ndarray) -> None:
    before = threading.active_count()
    for _ in range(5):
        stream = batches(folder, np.tile(plan, 50), BATCH, 0)
        next(stream)
        stream.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before + 1


def test_starting_late_reads_no_more_than_starting_early(
    folder: Path, plan: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = np.tile(plan, 20_000)  # 240,000 steps
    reads = []
    read = RowStore.read
    monkeypatch.setattr(RowStore, "read", lambda store, rows: reads.append(len(rows)) or read(store, rows))
    for start in (0, 239_900):
        reads.clear()
        stream = batches(folder, long, BATCH, start)
        next(stream)
        stream.close()
        assert sum(reads) <= 10 * BATCH  # the batch asked for and those read ahead


def test_what_cannot_be_split_is_refused(folder: Path, plan: np.ndarray) -> None:
    with pytest.raises(RunError, match="not a whole number of batches"):
        next(batches(folder, plan[:-1], BATCH, 0))


def test_a_plan_of_other_rows_is_refused(folder: Path, plan: np.ndarray) -> None:
    with pytest.raises(RunError, match="the plan names row 180, there are 180"):
        next(batches(folder, np.append(plan[1:], np.uint32(180)), BATCH, 0))
