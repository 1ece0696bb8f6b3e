import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics import rank

RANKS = (rank.effective_rank, rank.stable_rank, rank.participation_ratio)

eigenvalues = st.builds(
    lambda seed, spread: np.sort(np.random.default_rng(seed).lognormal(0, spread, (3, 24)), axis=1),
    st.integers(0, 2**31),
    st.floats(0.01, 4),
)


@pytest.mark.parametrize("measure", RANKS)
def test_a_rank_counts_equal_directions(measure) -> None:
    for count in (1, 5, 24):
        values = np.concatenate([np.zeros(24 - count), np.full(count, 3.7)])[None]
        np.testing.assert_allclose(measure(values), [count], rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(eigenvalues)
def test_ranks_are_ordered_and_know_no_scale(values: np.ndarray) -> None:
    effective, stable, participation = (np.asarray(measure(values)) for measure in RANKS)
    assert np.all(effective <= 24 * (1 + 1e-5))
    assert np.all(stable >= 1 - 1e-5)
    # squaring concentrates, and Renyi entropies fall with their order
    assert np.all(participation <= effective * (1 + 1e-5))
    for measure, value in zip(RANKS, (effective, stable, participation), strict=True):
        np.testing.assert_allclose(measure(values * 1e6), value, rtol=1e-4)
        padded = np.pad(values, ((0, 0), (8, 0)))
        np.testing.assert_allclose(measure(padded), value, rtol=1e-4)


def test_effective_rank_is_roy_and_vetterlis() -> None:
    s = np.array([1.0, 2, 3, 4])
    p = s / s.sum()
    np.testing.assert_allclose(rank.effective_rank(s[None] ** 2), [np.exp(-np.sum(p * np.log(p)))], rtol=1e-6)


def test_a_matrix_of_zeros_has_no_rank() -> None:
    for measure in RANKS:
        assert np.isnan(measure(np.zeros((1, 4)))).all()


def test_the_smallest_float32_weights_keep_their_rank() -> None:
    values = np.full((1, 8), 1e-30, np.float32)
    np.testing.assert_allclose(rank.participation_ratio(jnp.asarray(values)), [8], rtol=1e-6)


def test_where_the_tail_begins_in_means() -> None:
    padded = np.array([[0.0, 0.0, 1.0, 2.0, 3.0]])
    np.testing.assert_allclose(rank.x_min_over_mean(np.array([3.0]), padded, np.array([3])), [1.5])
