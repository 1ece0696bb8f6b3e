"""Intervals contain the truth about as often as they say, for counts of types too."""

import numpy as np
import pytest

from bench_shadows.data.statistics.frequency import estimates, measures
from bench_shadows.data.statistics.resampling import (
    FEWEST_GROUPS,
    GROUPS,
    RESAMPLES,
    at_equal_size,
    deal,
    half_samples,
    interval,
    intervals,
)

TYPES, DOCUMENTS, WORDS = 2_000, 120, 100


def corpus(random: np.random.Generator) -> np.ndarray:
    """Word counts of documents on one of ten subjects each, [DOCUMENTS, TYPES]."""
    shares = np.tile(1 / np.arange(1, TYPES + 1), (10, 1))
    for subject in range(10):
        shares[subject, subject::10] *= 4
    shares /= shares.sum(axis=1, keepdims=True)
    return random.multinomial(WORDS, shares[random.integers(0, 10, DOCUMENTS)])


def test_intervals_of_many_texts_contain_the_truth_and_are_no_wider_than_they_must() -> None:
    random = np.random.default_rng(1)
    groups = deal(np.arange(DOCUMENTS))
    halves = half_samples(int(groups.max()) + 1)
    member = (groups == np.arange(halves.shape[1])[:, None]).astype(np.float64)
    values, found = [], []
    for _ in range(25):
        counts = corpus(random)
        value = {name: float(one[0]) for name, one in measures(counts.sum(axis=0)[None]).items()}
        values.append(value)
        found.append(intervals(estimates(member @ counts, halves)))
    for name in ("types", "hapaxes", "unigram_entropy_bits", "top_1000_share"):
        measured = np.array([value[name] for value in values])
        low, high = np.array([one[name] for one in found]).T
        truth, spread = measured.mean(), measured.std()
        assert ((low <= truth) & (truth <= high)).mean() >= 0.8, name
        assert (high - low).mean() < 2.2 * 3.92 * spread, name


def test_the_interval_of_a_mean_is_students() -> None:
    random = np.random.default_rng(0)
    values = random.normal(5, 1, GROUPS)
    low, high = interval(float(values.mean()), half_samples(GROUPS) @ values / (GROUPS / 2)) or [0, 0]
    expected = 2 * 1.96 * values.std(ddof=1) / np.sqrt(GROUPS)
    assert high - low == pytest.approx(expected, rel=0.15)
    assert low < values.mean() < high


def test_every_resample_is_half_of_the_groups_and_always_the_same() -> None:
    halves = half_samples(GROUPS)
    assert halves.shape == (RESAMPLES, GROUPS)
    assert (halves.sum(axis=1) == GROUPS // 2).all()
    assert np.array_equal(halves, half_samples(GROUPS))
    assert half_samples(FEWEST_GROUPS - 2).shape == (0, FEWEST_GROUPS - 2)


def test_what_is_one_unit_is_in_one_group_and_neighbours_are_apart() -> None:
    units = np.repeat(np.arange(200), 3)
    groups = deal(units)
    assert all(len(set(groups[units == unit])) == 1 for unit in range(200))
    assert len(set(groups[: 3 * GROUPS].tolist())) == GROUPS
    assert len(set(deal(np.arange(9)).tolist())) == 8
    assert deal(np.array([7, 7])).tolist() == [0, 0]


def test_longer_halves_have_more_types_and_that_is_taken_out() -> None:
    sizes = np.linspace(800, 1200, 50)
    level = at_equal_size(3 * sizes**0.6, sizes)
    assert np.ptp(level) < 1e-9 * level.mean()
    assert at_equal_size(np.array([1.0, 2.0]), np.array([5.0, 5.0])).tolist() == [1.0, 2.0]


def test_no_resamples_no_interval_and_differences_are_shifted() -> None:
    assert interval(1.0, np.empty(0)) is None
    assert interval(0.0, np.zeros(10)) == [0.0, 0.0]
    low, high = interval(-1.0, np.array([-3.0, -2.0, -1.0]), additive=True) or [0, 0]
    assert low < -1.0 < high
    assert high - low == pytest.approx(1.9)
