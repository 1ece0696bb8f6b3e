"""Semantic spread separates text on many subjects from text on few, with the same words in all."""

import numpy as np
import pytest

from bench_shadows.data.statistics.resampling import deal, half_samples, interval
from bench_shadows.data.statistics.semantic_spread import (
    BUCKETS,
    PIECE_WORDS,
    inverse_document_frequency,
    pieces,
    spread,
    term_counts,
)

TYPES = 3_000


def texts(subjects: int, documents: int = 120) -> list[np.ndarray]:
    """Documents whose common words are everybody's and whose other words are one of `subjects` lists of 60."""
    random = np.random.default_rng(subjects)
    made = []
    for _ in range(documents):
        share = np.zeros(TYPES)
        share[:500] = 1 / np.arange(1, 501)
        start = 500 + 60 * random.integers(0, subjects)
        share[start : start + 60] = 0.05
        made.append(random.choice(TYPES, 450, p=share / share.sum()))
    return made


def measured(documents: list[np.ndarray], idf: np.ndarray | None = None) -> tuple[float, list[float], np.ndarray]:
    units, words = pieces(documents)
    terms = term_counts(words, np.arange(TYPES) % BUCKETS)
    idf = inverse_document_frequency(terms) if idf is None else idf
    groups = deal(np.arange(len(documents)))
    halves = half_samples(int(groups.max()) + 1)
    value, samples = spread(terms, idf, units, groups[units], halves)
    assert value is not None
    return value, interval(value, samples) or [], idf


def test_text_on_many_subjects_spreads_further_than_text_on_few() -> None:
    broad, broad_interval, idf = measured(texts(40))
    some, some_interval, _ = measured(texts(4), idf)
    narrow, narrow_interval, _ = measured(texts(1), idf)
    assert broad > 2 * some > 4 * narrow
    assert broad_interval[0] > some_interval[1]
    assert some_interval[0] > narrow_interval[1]


def test_it_does_not_grow_with_the_text() -> None:
    half, _, idf = measured(texts(10, 60))
    whole, around, _ = measured(texts(10, 240), idf)
    assert around[0] < half < around[1] or half == pytest.approx(whole, rel=0.15)


def test_it_is_the_participation_ratio_of_the_gram_matrix() -> None:
    documents = [np.full(PIECE_WORDS, word) for word in range(6)]  # six directions at right angles, twice each
    terms = term_counts(np.stack(documents * 2), np.arange(TYPES) % BUCKETS)
    units, groups = np.arange(12), np.zeros(12, dtype=int)
    value, _ = spread(terms, np.ones(BUCKETS, np.float32), units, groups, half_samples(1))
    # Without pairs of one document: 12 * 11 pairs, of which 12 are alike.
    assert value == pytest.approx(11)


def test_one_document_has_no_spread() -> None:
    terms = term_counts(np.zeros((3, PIECE_WORDS), int), np.arange(TYPES) % BUCKETS)
    value, _ = spread(terms, np.ones(BUCKETS, np.float32), np.zeros(3, int), np.zeros(3, int), half_samples(1))
    assert value is None
