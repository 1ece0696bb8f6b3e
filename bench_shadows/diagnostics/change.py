"""What happened to a matrix between a reference checkpoint s and a later one t, entry by entry.

Changes are small against weights: a mean change of 1e-9 beside entries of 0.02 is real. Differences are
therefore taken before sums, variances and correlations about means that are known already, and sums are
compensated: in float64 where the caller's JAX has it (`changes` sees to that), else in pairs of float32 that
carry the rounding error along.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# L matrices, R rows, C columns.
BLOCK = 1 << 22  # entries that are looked at together


class Change(NamedTuple):
    """Change of L matrices, arrays [L]; NaN where a matrix is not finite or the quantity is 0 / 0."""

    mean_change: jax.Array | np.ndarray
    """Mean entry of W_t - W_s."""
    mean_abs_change: jax.Array | np.ndarray
    """Mean absolute entry of W_t - W_s."""
    relative_change: jax.Array | np.ndarray
    """|W_t - W_s|_F / |W_s|_F."""
    correlation: jax.Array | np.ndarray
    """Pearson correlation of the entries of W_t and W_s."""
    change_variance: jax.Array | np.ndarray
    """Variance of the entries of W_t - W_s (the paper's "change variance"; its definition is our reading)."""
    scale: jax.Array | np.ndarray
    """The factor c that brings c W_s closest to W_t, <W_t, W_s> / |W_s|_F^2."""
    update_sparsity: jax.Array | np.ndarray
    """Share of entries that are equal in the stored dtype (in the coarser of the two where they differ)."""


def change(current_LxRxC: jax.Array, reference_LxRxC: jax.Array) -> Change:
    """The traceable part: float64 if the surrounding JAX has it, else compensated float32."""
    count = current_LxRxC.shape[1] * current_LxRxC.shape[2]
    sums = _sums(current_LxRxC, reference_LxRxC)
    return _combine(count, sums, _moments(current_LxRxC, reference_LxRxC, sums[:3] / count))


def _sums(current_LxRxC: jax.Array, reference_LxRxC: jax.Array) -> jax.Array:
    """Sums of the entries of W_t, W_s, W_t - W_s, |W_t - W_s|, and how many entries are equal: [5, L]."""
    t, s = (x.astype(jnp.result_type(float)) for x in (current_LxRxC, reference_LxRxC))
    stored = coarser(current_LxRxC.dtype, reference_LxRxC.dtype)
    equal = (current_LxRxC.astype(stored) == reference_LxRxC.astype(stored)).astype(t.dtype)
    return jnp.stack([accurate_sum(x) for x in (t, s, t - s, jnp.abs(t - s), equal)])


def coarser(one: np.dtype, two: np.dtype) -> np.dtype:
    """The floating dtype of two that has fewer bits of mantissa."""
    return min((one, two), key=lambda dtype: jnp.finfo(dtype).nmant)


def _moments(current_LxRxC: jax.Array, reference_LxRxC: jax.Array, means_3xL: jax.Array) -> jax.Array:
    """Sums about the means, of W_t, W_s and W_t - W_s squared, and of W_t times W_s: [4, L]."""
    t, s = (x.astype(jnp.result_type(float)) for x in (current_LxRxC, reference_LxRxC))
    t, s, delta = (x - mean[:, None, None] for x, mean in zip((t, s, t - s), means_3xL, strict=True))
    return jnp.stack([accurate_sum(x) for x in (t**2, s**2, delta**2, t * s)])


def _combine(count: int, sums_5xL: jax.Array, moments_4xL: jax.Array) -> Change:
    mean_t, mean_s, mean_delta, mean_abs, equal = sums_5xL / count
    energy_t, energy_s, energy_delta, product = moments_4xL
    return Change(
        mean_change=mean_delta,
        mean_abs_change=mean_abs,
        relative_change=jnp.sqrt(energy_delta + count * mean_delta**2) / jnp.sqrt(energy_s + count * mean_s**2),
        correlation=jnp.clip(product / (jnp.sqrt(energy_t) * jnp.sqrt(energy_s)), -1, 1),
        change_variance=energy_delta / count,
        scale=(product + count * mean_t * mean_s) / (energy_s + count * mean_s**2),
        update_sparsity=jnp.where(jnp.isnan(energy_delta), jnp.nan, equal),
    )


def accurate_sum(x_LxRxC: jax.Array) -> jax.Array:
    """Sum of each matrix, [L]; in float32 the rounding error of every addition is kept and added at the end."""
    if x_LxRxC.dtype == jnp.float64:
        return jnp.sum(x_LxRxC, axis=(1, 2))

    def add(one: tuple[jax.Array, jax.Array], two: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        (a, a_error), (b, b_error) = one, two
        total = a + b
        share = total - a
        return total, a_error + b_error + ((a - (total - share)) + (b - share))  # Knuth's two-sum

    zero = jnp.zeros((), x_LxRxC.dtype)
    total, error = jax.lax.reduce((x_LxRxC, jnp.zeros_like(x_LxRxC)), (zero, zero), add, (1, 2))
    return total + error


_change, _jitted_sums, _jitted_moments = jax.jit(change), jax.jit(_sums), jax.jit(_moments)


def changes(current: np.ndarray | jax.Array, reference: np.ndarray | jax.Array) -> Change:
    """Change of every matrix of a stack, in float64 on any platform, with NumPy arrays [L] out.

    Large stacks go matrix by matrix and block by block, so that float64 copies of `BLOCK` entries exist at once.

    Args:
      current, reference: [L, rows, columns], any floating dtypes; the dtypes may differ, the shapes may not.
    """
    if current.shape != reference.shape or current.ndim != 3:
        raise ValueError(f"expected two stacks of one shape, got {current.shape} and {reference.shape}")
    with jax.enable_x64(True):
        if current.size <= BLOCK:
            return Change(*map(np.asarray, _change(current, reference)))
        count = current.shape[1] * current.shape[2]
        sums, moments = [], []
        for layer in range(len(current)):
            one = slice(layer, layer + 1)
            parts = _blocks(current.shape)
            sums.append(sum(_jitted_sums(current[one, rows], reference[one, rows]) for rows in parts))
            means = sums[-1][:3] / count
            moments.append(sum(_jitted_moments(current[one, rows], reference[one, rows], means) for rows in parts))
        return Change(*map(np.asarray, _combine(count, jnp.concatenate(sums, 1), jnp.concatenate(moments, 1))))


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """Rows of one matrix at a time, `BLOCK` entries or one row."""
    step = max(1, BLOCK // shape[2])
    return [slice(start, start + step) for start in range(0, shape[1], step)]
