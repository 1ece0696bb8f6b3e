"""Statistics of batches and plans are what their names say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.data.rows.plans import RowCounts, build_plans
from bench_shadows.data.rows.row_store import NAMES, RowStore, write_rows
from bench_shadows.data.statistics.frequency import entropy_nats, top_share
from bench_shadows.data.statistics.statistics import (
    batch_statistics,
    condition_statistics,
    count_tokens,
    frequency_deciles,
    phase_statistics,
)

SEQ, ROWS, VOCAB = 8, 40, 50


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RowStore:
    """Three sets of 40 rows, two domains each; rewritten rows hold few types."""
    folder = tmp_path_factory.mktemp("rows")
    random = np.random.default_rng(0)
    for name in NAMES:
        top = 5 if name == "rewritten" else VOCAB
        halves = [
            ("a", [random.integers(0, top, ROWS * SEQ // 4 - 1)]),
            ("b", [random.integers(0, top, ROWS * SEQ * 3 // 4 - 1)]),
        ]
        write_rows(folder / name, halves, SEQ, end_of_text=0)
    return RowStore.open(folder)


def text_of(ids: np.ndarray) -> str:
    return " ".join(f"word{i}" for i in ids)


def test_entropy_of_a_coin_and_of_nothing() -> None:
    assert entropy_nats(np.array([5, 0, 5])) == pytest.approx(math.log(2))
    assert entropy_nats(np.zeros(3)) == 0.0


def test_top_share() -> None:
    assert top_share(np.array([1, 6, 0, 3]), 2) == pytest.approx(0.9)
    assert top_share(np.array([1, 6]), 100) == 1.0
    assert top_share(np.zeros(3), 2) is None


def test_a_batch_of_few_tokens() -> None:
    batch = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]])
    assert batch_statistics(batch, 10) == {
        "types": 4,
        "entropy_bits": pytest.approx(-(4 / 6) * math.log2(1 / 3) - (2 / 6) * math.log2(1 / 6)),
        "top_100_share": 1.0,
        "distinct_rows_share": pytest.approx(2 / 3),
    }


def test_token_counts_repeat_with_their_rows(store: RowStore) -> None:
    plan = np.array([3, 3, 3, 90, 41], dtype=np.uint32)
    expected = np.bincount(np.concatenate([store[int(i)] for i in plan]), minlength=VOCAB)
    assert np.array_equal(count_tokens(store, plan, VOCAB), expected)


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=200).filter(lambda counts: sum(counts) > 0))
def test_rarer_types_never_stand_in_an_earlier_decile(counts: list[int]) -> None:
    array = np.array(counts)
    deciles = frequency_deciles(array)
    order = np.argsort(-array, kind="stable")
    assert (np.diff(deciles[order]) >= 0).all()
    assert deciles.min() >= 1
    assert (deciles[array == 0] == 10).all()


def test_each_decile_holds_a_tenth_of_the_tokens() -> None:
    counts = np.ones(1000, dtype=np.int64)
    deciles = frequency_deciles(counts)
    assert [int(counts[deciles == d].sum()) for d in range(1, 11)] == [100] * 10


def test_a_repeated_phase_shows_fewer_rows_and_compresses_better(store: RowStore) -> None:
    deciles = frequency_deciles(np.ones(VOCAB))
    broad = phase_statistics(store, np.arange(40), VOCAB, deciles, text_of)
    narrow = phase_statistics(store, np.repeat(np.arange(4), 10), VOCAB, deciles, text_of)
    assert (broad["distinct_rows"], broad["repetitions"]) == (40, {"1": 40})
    assert (narrow["distinct_rows"], narrow["max_repetitions"], narrow["repetitions"]) == (4, 10, {"10": 4})
    assert narrow["compression_ratio"] < broad["compression_ratio"]
    assert broad["tokens"] == narrow["tokens"] == 40 * SEQ
    assert broad["domain_shares"] == {"a": 0.25, "b": 0.75}
    assert sum(broad["decile_shares"]) == pytest.approx(1)


def test_the_conditions_of_a_study(store: RowStore) -> None:
    plans = build_plans(RowCounts(ROWS, ROWS, ROWS, 40, 40), 0)
    runs = {"A-seed0": plans["A"], "B-seed0": plans["A"], "C-seed0": plans["C"], "D-seed0": plans["D"]}
    result = condition_statistics(store, runs, 40, count_tokens(store, plans["A"], VOCAB), text_of)
    assert result["A-seed0"] == result["B-seed0"]
    assert len({run["phases"]["second"]["plan_sha256"] for run in result.values()}) == 1
    first = {run: phases["phases"]["first"] for run, phases in result.items()}
    assert first["C-seed0"]["distinct_rows"] == 4
    assert first["D-seed0"]["types"] == 5
    assert first["D-seed0"]["unigram_entropy_bits"] < first["A-seed0"]["unigram_entropy_bits"]


def test_an_empty_phase_has_no_shares(store: RowStore) -> None:
    empty = phase_statistics(store, np.empty(0, np.uint32), VOCAB, frequency_deciles(np.ones(VOCAB)), text_of)
    assert empty["tokens"] == 0
    assert empty["unigram_entropy_bits"] is empty["compression_ratio"] is empty["top_100_share"] is None
