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


def change(current_LxRxC: jax.Array, reference_LxRxC: jax.Array) -> Change:
    """The traceable part: float64 if the surrounding JAX has it, else compensated float32."""
    t, s = (x.astype(jnp.result_type(float)) for x in (current_LxRxC, reference_LxRxC))
    count = t.shape[1] * t.shape[2]
    delta = t - s
    mean_t, mean_s, mean_delta = (accurate_sum(x) / count for x in (t, s, delta))
    t, s, centred = (x - mean[:, None, None] for x, mean in ((t, mean_t), (s, mean_s), (delta, mean_delta)))
    variance = accurate_sum(centred**2) / count
    energy_t, energy_s = accurate_sum(t**2), accurate_sum(s**2)  # about the means
    frobenius_s = jnp.sqrt(energy_s + count * mean_s**2)
    correlation = accurate_sum(t * s) / (jnp.sqrt(energy_t) * jnp.sqrt(energy_s))
    return Change(
        mean_change=mean_delta,
        mean_abs_change=accurate_sum(jnp.abs(delta)) / count,
        relative_change=jnp.sqrt(count * (variance + mean_delta**2)) / frobenius_s,
        correlation=jnp.clip(correlation, -1, 1),
        change_variance=variance,
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


_change = jax.jit(change)


def changes(current: np.ndarray | jax.Array, reference: np.ndarray | jax.Array) -> Change:
    """Change of every matrix of a stack, in float64 on any platform, with NumPy arrays [L] out.

    Args:
      current, reference: [L, rows, columns], any floating dtypes; the dtypes may differ, the shapes may not.
    """
    if current.shape != reference.shape or current.ndim != 3:
        raise ValueError(f"expected two stacks of one shape, got {current.shape} and {reference.shape}")
    with jax.enable_x64(True):
        return Change(*map(np.asarray, _change(current, reference)))


def coefficient_of_variation(values_L: np.ndarray) -> float:
    """Standard deviation over mean of a value over depth: how concentrated change is in some layers.

    NaN with fewer than two known values or a mean of zero.
    """
    known = np.asarray(values_L, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2 or known.mean() == 0:
        return float("nan")
    return float(known.std() / abs(known.mean()))
