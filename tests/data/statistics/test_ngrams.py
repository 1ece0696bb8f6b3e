"""Trigrams: different ones, and new ones, as counted by hand and by sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.data.statistics.ngrams import Grams, distinct_share, grams, novelty
from bench_shadows.data.statistics.resampling import half_samples

TYPES = 7
sequences = st.lists(st.lists(st.integers(0, TYPES - 1), min_size=3, max_size=30), min_size=1, max_size=30)


def by_hand(text: list[list[int]]) -> list[tuple[int, ...]]:
    return [tuple(ids[at : at + 3]) for ids in text for at in range(len(ids) - 2)]


def all_in(text: list[list[int]], groups: int = 1) -> Grams:
    return grams([(np.array(ids), number % groups) for number, ids in enumerate(text)], TYPES)


@given(sequences, sequences)
def test_shares_are_those_of_sets(text: list[list[int]], other: list[list[int]]) -> None:
    none = half_samples(1)
    mine, theirs = by_hand(text), by_hand(other)
    assert distinct_share(all_in(text), none)[0] == pytest.approx(len(set(mine)) / len(mine))
    new = [gram for gram in mine if gram not in set(theirs)]
    assert novelty(all_in(text), all_in(other).distinct, none)[0] == pytest.approx(len(new) / len(mine))


@given(sequences)
def test_a_resample_is_the_text_of_its_groups(text: list[list[int]]) -> None:
    halves = half_samples(8)
    _, shares = distinct_share(all_in(text, 8), halves)
    for half, share in list(zip(halves, shares, strict=True))[:5]:
        chosen = by_hand([ids for number, ids in enumerate(text) if half[number % 8]])
        assert share == pytest.approx(len(set(chosen)) / max(len(chosen), 1))


def test_rows_are_sequences_and_no_trigram_crosses_their_ends() -> None:
    rows = np.array([[1, 2, 3, 4], [4, 3, 2, 1]])
    found = grams([(rows, np.array([0, 5]))], TYPES)
    assert found.keys.tolist() == [
        (1 * 7 + 2) * 7 + 3,
        (2 * 7 + 3) * 7 + 4,
        (4 * 7 + 3) * 7 + 2,
        (3 * 7 + 2) * 7 + 1,
    ]
    assert found.groups.tolist() == [0, 0, 5, 5]


def test_repeated_text_is_less_different_and_nothing_new() -> None:
    once = [list(range(7))]
    share, _ = distinct_share(all_in(once * 10), half_samples(1))
    assert share == pytest.approx(0.1)
    assert novelty(all_in(once), all_in(once).distinct, half_samples(1))[0] == 0.0
    assert distinct_share(grams([], TYPES), half_samples(1))[0] is None
