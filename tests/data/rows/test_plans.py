"""Only the data differs, and exactly as stated: counts of C, equal second halves, A as B, D's own rows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.rows.plans import (
    RowCounts,
    build_plans,
    count_repeated,
    describe,
    load_plan,
    plan_hash,
    plan_path,
    repeat,
    save_plan,
)
from bench_shadows.errors import DataError, RunError


@st.composite
def row_counts(draw: st.DrawFn) -> RowCounts:
    first_phase, second_phase = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    spare = st.integers(0, 60)
    first, rewritten = first_phase + draw(spare), first_phase + draw(spare)
    return RowCounts(first, second_phase + draw(spare), rewritten, first_phase, second_phase)


# First 16 digits of plan hashes as the first version made them: what was trained then can be made again.
KNOWN = {"A": "333a71e11c9bf2e5", "C": "3eae66cf2481ae3e", "D": "ae430f9ba3a58f9c"}

seeds = st.integers(0, 2**31)
factors = st.integers(1, 13)


@settings(max_examples=200)
@given(counts=row_counts(), seed=seeds, factor=factors)
def test_the_conditions_of_any_seed(counts: RowCounts, seed: int, factor: int) -> None:
    plans = build_plans(counts, seed, factor)
    half = counts.first_phase
    first = {name: plan[:half] for name, plan in plans.items()}
    assert all(len(plan) == half + counts.second_phase for plan in plans.values())

    # A: every row at most once, from `first`, then from `second`
    assert len(set(plans["A"].tolist())) == len(plans["A"])
    assert first["A"].max() < counts.first
    assert counts.first <= plans["A"][half:].min() <= plans["A"].max() < counts.first + counts.second

    # C: of A's own rows, n // factor of them exactly `factor` times, the positions left over once each
    assert set(first["C"].tolist()) <= set(first["A"].tolist())
    expected = {factor: half // factor}
    expected[1] = expected.get(1, 0) + half % factor
    assert describe(first["C"])["repetitions"] == {str(k): n for k, n in sorted(expected.items()) if n}

    # D: rewritten rows only, each at most once
    assert first["D"].min() >= counts.first + counts.second
    assert first["D"].max() < counts.first + counts.second + counts.rewritten
    assert len(set(first["D"].tolist())) == half

    # after the phase shift nothing differs
    assert len({plan_hash(plan[half:]) for plan in plans.values()}) == 1


@given(counts=row_counts(), seed=seeds)
def test_b_reads_the_plan_of_a_and_no_condition_depends_on_another(counts: RowCounts, seed: int) -> None:
    plans = build_plans(counts, seed)
    for name in ("A", "B", "C", "D"):
        [(key, alone)] = build_plans(counts, seed, names=[name]).items()
        assert key == ("A" if name == "B" else name)
        assert plan_hash(alone) == plan_hash(plans[key])


def test_seeds_differ_in_every_phase_and_repeat_themselves() -> None:
    counts = RowCounts(500, 500, 500, 400, 400)
    zero, one, again = (build_plans(counts, seed) for seed in (0, 1, 0))
    for name in ("A", "C", "D"):
        assert plan_hash(zero[name]) == plan_hash(again[name])
        for half in (slice(0, 400), slice(400, 800)):
            assert not np.array_equal(zero[name][half], one[name][half])
    assert set(zero["C"][:400].tolist()) != set(one["C"][:400].tolist())


def test_draws_of_one_seed_are_independent_of_each_other() -> None:
    plan = build_plans(RowCounts(400, 400, 400, 400, 400), 3)
    orders = [plan["A"][:400], plan["A"][400:] - 400, plan["D"][:400] - 800]
    assert len({plan_hash(order) for order in orders}) == 3


def test_a_factor_of_one_is_a_shuffle() -> None:
    rows = np.arange(50, dtype=np.uint32)
    assert sorted(repeat(rows, 1, 50, np.random.default_rng(0))) == list(range(50))


@settings(max_examples=200)
@given(counts=row_counts(), seed=seeds, factor=st.integers(2, 13), thousandths=st.integers(1, 999))
def test_a_smaller_share_repeats_fewer_rows_and_shows_others_once(
    counts: RowCounts, seed: int, factor: int, thousandths: int
) -> None:
    share = thousandths / 1000 / factor * 0.999  # any share of which `factor` times fits
    plans = build_plans(counts, seed, factor, ("A", "C"), share)
    half = counts.first_phase
    first = plans["C"][:half]
    repeated = count_repeated(half, factor, share)
    assert repeated == int(share * half)
    expected = {1: half - repeated * factor, factor: repeated}
    assert describe(first)["repetitions"] == {str(times): rows for times, rows in sorted(expected.items()) if rows}
    assert set(first.tolist()) <= set(plans["A"][:half].tolist())
    assert plan_hash(plans["C"][half:]) == plan_hash(plans["A"][half:])


@given(counts=row_counts(), seed=seeds, factor=factors)
def test_a_share_that_fills_the_phase_is_the_papers_plan(counts: RowCounts, seed: int, factor: int) -> None:
    for share in (1 / factor, round(1 / factor, 12)):
        [written] = build_plans(counts, seed, factor, ("C",), share).values()
        assert plan_hash(written) == plan_hash(build_plans(counts, seed, factor, ("C",))["C"])


def test_plans_of_earlier_versions_stay_the_same() -> None:
    plans = build_plans(RowCounts(100, 100, 100, 90, 90), 7, 10)
    assert {name: plan_hash(plan)[:16] for name, plan in plans.items()} == KNOWN


def test_repeated_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fills 1\.5 of the phase"):
        count_repeated(100, 3, 0.5)


def test_ids_are_small_integers_and_no_lists() -> None:
    plans = build_plans(RowCounts(3_000_000, 3_000_000, 3_000_000, 3_000_000, 3_000_000), 0)
    assert all(plan.dtype == np.uint32 for plan in plans.values())
    assert describe(plans["C"][:3_000_000])["distinct_rows"] == 300_000


def test_too_few_rows_are_named_with_what_is_missing() -> None:
    with pytest.raises(DataError) as caught:
        build_plans(RowCounts(first=10, second=2_000, rewritten=9, first_phase=1_000, second_phase=1_000), 0)
    message = str(caught.value)
    assert "first has 10 rows of the 1,000 it needs" in message
    assert "rewritten has 9 rows" in message
    assert "second has" not in message
    assert "config.train.samples" in message


def test_d_is_not_missed_where_nobody_asked_for_it() -> None:
    build_plans(
        RowCounts(first=10, second=10, rewritten=0, first_phase=10, second_phase=10), 0, names=["A", "B", "C"]
    )


def test_a_plan_on_disk_is_the_plan(tmp_path: Path) -> None:
    plan = build_plans(RowCounts(20, 20, 20, 20, 20), 5)["A"]
    path = plan_path(tmp_path, "B", 5)
    assert path == tmp_path / "plans" / "A-seed5.npy"
    save_plan(path, plan)
    assert plan_hash(load_plan(path)) == plan_hash(plan)


def test_a_file_that_is_no_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x.npy: missing"):
        load_plan(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"half a plan")
    with pytest.raises(RunError, match=r"x.npy: not a plan"):
        load_plan(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.zeros((2, 2)))
    with pytest.raises(RunError, match=r"y.npy: expected a list of row ids"):
        load_plan(tmp_path / "y.npy")


def test_an_empty_plan_has_no_mean() -> None:
    assert describe(np.empty(0, np.uint32))["mean_repetitions"] is None
