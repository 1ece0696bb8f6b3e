"""The update as a matrix of its own: its rank above the rounding, and whether the leading directions stayed."""

import ml_dtypes
import numpy as np
import pytest

from bench_shadows.diagnostics.update import LEADING, leading, subspace_overlap, update_rank

WEIGHT = 0.02


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * WEIGHT


def low_rank(rows: int, columns: int, rank: int, size: float, seed: int = 1) -> np.ndarray:
    """A matrix of a rank, with a Frobenius norm of `size` times that of `weights`."""
    rng = np.random.default_rng(seed)
    update = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    return update * size * WEIGHT * (rows * columns) ** 0.5 / np.linalg.norm(update)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("size", [0.3, 0.01])
def test_a_merged_adapter_has_its_own_rank_whatever_it_was_rounded_to(dtype: type, size: float) -> None:
    s = weights(2, 256, 192).astype(dtype)
    t = (s + low_rank(256, 192, 8, size)).astype(dtype)
    assert update_rank(t, s).tolist() == [8, 8]


def test_a_fine_tune_has_full_rank_and_rounding_alone_has_none() -> None:
    s = weights(1, 96, 64).astype(np.float32)
    assert update_rank((s + 0.1 * weights(1, 96, 64, seed=3)).astype(np.float32), s).tolist() == [64]
    rounded = s.astype(ml_dtypes.bfloat16)
    assert update_rank(rounded, s).tolist() == [0]
    assert update_rank(s, s).tolist() == [0]


def test_the_overlap_is_that_of_the_singular_vectors() -> None:
    for rows, columns in ((40, 25), (25, 40), (9, 9), (3, 7), (1, 4)):
        s = weights(rows, columns)
        t = s + 0.3 * weights(rows, columns, seed=5)
        count = min(LEADING, rows, columns)
        u_s, u_t = (np.linalg.svd(w)[0][:, :count] for w in (s, t))
        expected = np.sum((u_s.T @ u_t) ** 2) / count
        assert subspace_overlap(t[None], s[None])[0] == pytest.approx(expected, abs=1e-4)
        vectors = leading(t)
        assert vectors is not None
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), atol=1e-5)


def test_the_same_directions_overlap_wholly_whatever_the_scale_and_the_dtype() -> None:
    s = weights(2, 64, 48)
    assert subspace_overlap((3 * s).astype(np.float32), s).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert subspace_overlap(weights(1, 512, 48, seed=7), s[:1].repeat(8, 1))[0] < 0.1


def test_what_is_not_finite_or_zero_has_neither() -> None:
    s, t = weights(2, 16, 12), weights(2, 16, 12, seed=1)
    t[0, 3, 3] = np.inf
    assert np.isnan(update_rank(t, s)).tolist() == [True, False]
    assert np.isnan(subspace_overlap(t, s)).tolist() == [True, False]
    assert np.isnan(subspace_overlap(0 * s, s)).all()
