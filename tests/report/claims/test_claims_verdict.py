"""From values over seeds to a verdict: t-tests, equivalence, Holm, and what repeats from seed to seed."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from bench_shadows.report.claims.spectra import repeated
from bench_shadows.report.claims.verdict import (
    Claim,
    Evidence,
    NotMeasuredError,
    Part,
    Registration,
    correct,
    examine,
    holm,
    t_test,
)

VALUES = {0: -1.1, 1: -2.4, 2: -0.3, 3: -1.9}
LIST = list(VALUES.values())


def claim(name: str, *parts: Part, min_seeds: int = 3) -> Claim:
    registration = Registration(name, "title", "statement", "statistic", "test", "threshold", min_seeds, None)
    return examine(registration, Evidence(parts, {}))


def test_a_part_with_one_end_is_a_one_sided_t_test() -> None:
    tested = t_test(Part("D − A", VALUES, "points", high=-0.5))
    assert tested.p == pytest.approx(stats.ttest_1samp(LIST, -0.5, alternative="less").pvalue)
    assert tested.p_against == pytest.approx(stats.ttest_1samp(LIST, -0.5, alternative="greater").pvalue)
    interval = stats.ttest_1samp(LIST, 0).confidence_interval(0.95)
    assert tested.interval == pytest.approx((interval.low, interval.high))
    assert tested.effect == pytest.approx(np.mean(LIST))


def test_an_equivalence_takes_both_sides() -> None:
    tested = t_test(Part("C / A", VALUES, "points", -5.0, 5.0))
    sides = [
        stats.ttest_1samp(LIST, -5, alternative="greater").pvalue,
        stats.ttest_1samp(LIST, 5, alternative="less").pvalue,
    ]
    assert tested.p == pytest.approx(max(sides))
    assert (tested.p_against or 0) > 0.99


def test_no_difference_seen_is_not_equality() -> None:
    """Values all over the place show neither a difference nor that there is none."""
    wide = {0: -30.0, 1: 25.0, 2: -4.0, 3: 9.0}
    tested = t_test(Part("A moves", wide, "points", -5.0, 5.0))
    assert (tested.p or 0) > 0.2
    assert (tested.p_against or 0) > 0.2


def test_equal_values_leave_no_doubt() -> None:
    same = dict.fromkeys(range(3), 2.0)
    above = t_test(Part("x", same, "", low=1.0))
    assert (above.p, above.p_against) == (0.0, 1.0)
    below = t_test(Part("x", same, "", high=1.0))
    assert (below.p, below.p_against) == (1.0, 0.0)


def test_ratios_and_roots_are_shown_as_a_reader_knows_them() -> None:
    ratio = t_test(Part("B / A", {0: math.log(1.9), 1: math.log(2.1)}, "times", low=math.log(1.25), scale="ratio"))
    assert ratio.effect == pytest.approx(math.sqrt(1.9 * 2.1))
    assert ratio.claimed == (pytest.approx(1.25), None)
    root = t_test(Part("moves", {0: -0.01, 1: -0.01}, "%", low=0.0, scale="root"))
    assert root.effect == pytest.approx(-10)


def test_all_parts_must_hold_and_one_failure_is_enough() -> None:
    holds, fails = Part("holds", VALUES, "", high=5.0), Part("fails", VALUES, "", low=5.0)
    (both,) = correct([claim("C1", holds, dataclasses.replace(holds, name="too"))])
    assert both.verdict == "reproduced"
    (one,) = correct([claim("C1", holds, fails)])
    assert one.verdict == "not reproduced"
    assert "fails" in one.reason
    assert one.p == pytest.approx(t_test(fails).p)
    assert one.p_against == pytest.approx(2 * (t_test(fails).p_against or 0))


def test_a_seed_counts_where_every_part_has_it() -> None:
    part = Part("x", VALUES | {3: math.nan, 4: 1.0}, "", high=5.0)
    assert claim("C1", part, Part("y", VALUES | {5: 1.0}, "", high=5.0)).seeds == (0, 1, 2)


def test_what_was_not_measured_has_its_reason_and_does_not_weigh_on_the_others() -> None:
    registration = Registration("C2", "", "", "", "", "", 3, None)
    missing = examine(registration, NotMeasuredError("No such table."))
    few = claim("C3", Part("x", {0: 1.0}, "", low=0.0))
    alone, absent, scarce = correct([claim("C1", Part("x", VALUES, "", high=0.0)), missing, few])
    assert alone.p_corrected == alone.p
    assert (absent.verdict, absent.reason, absent.p_corrected) == ("not measured", "No such table.", None)
    assert (scarce.verdict, scarce.p_corrected) == ("too few seeds", None)


def test_holm_by_hand() -> None:
    # Holm 1979: the smallest times 4, the next times 3, ..., never below one before it, never above 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(some.lists(some.floats(0, 1), max_size=9))
def test_corrected_values_keep_their_order_and_lie_between_single_and_bonferroni(values: list[float]) -> None:
    corrected = holm(values)
    for single, many in zip(values, corrected, strict=True):
        assert single <= many <= min(1.0, len(values) * single) + 1e-12
    order = np.argsort(values, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= 0)


@given(some.integers(3, 8), some.floats(-1, 1))
def test_a_move_without_noise_repeats_as_its_square(seeds: int, move: float) -> None:
    assert repeated(np.full((seeds, 2, 3), move)) == pytest.approx(np.full(seeds, move**2), abs=1e-12)


def test_noise_alone_does_not_repeat() -> None:
    random = np.random.default_rng(0)
    means = [repeated(random.normal(size=(5, 4, 12))).mean() for _ in range(400)]
    assert np.mean(means) == pytest.approx(0, abs=3 * np.std(means) / 20)


def test_what_repeats_is_found_beneath_noise_and_missing_fits() -> None:
    random = np.random.default_rng(1)
    moves = 0.5 + random.normal(size=(6, 7, 400))
    moves[random.random(moves.shape) < 0.2] = np.nan
    assert repeated(moves).mean() == pytest.approx(0.25, abs=0.03)
    assert np.isnan(repeated(moves[:2])).all()
