"""WeightWatcher's default power-law fit, vectorised, with a search that looks only where the minimum can be.

For eigenvalues l ascending, kept where l > 1e-5, and a candidate x_min = l_i with n values at or above it:

    alpha_i = 1 + n / sum_j ln(l_j / l_i)                                    (maximum likelihood)
    D_i     = max_j |1 - (l_j / l_i)^(1 - alpha_i) - (j - i) / n|            (Kolmogorov-Smirnov distance)
    sigma_i = (alpha_i - 1) / sqrt(n)                                        (asymptotic standard error)

The first candidate with the smallest D wins; the largest value is no candidate. With fewer than 20 eigenvalues
kept the numerator is n - 1 and only tails of 8 or more stand (Clauset, Shalizi, Newman 2009; WeightWatcher
0.7.7). Differences from WeightWatcher are of reporting only: what cannot be fitted is missing, with a reason,
where it writes -1, and fewer than 8 kept eigenvalues are never fitted (it fits them all, down to two).

D_i costs a pass over the tail, all of them n^2. A maximum over some of the j is a lower bound of D_i, so
candidates are visited in the order of a bound over 32 places of the tail until the next bound exceeds the best
distance found: then no other candidate can win, and the answer is certified to be that of the full search. Where
the bound is of no help the same loop is the full search.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp

SMALLEST_EIGENVALUE = 1e-5  # absolute, WeightWatcher's EVALS_THRESH
SMALL_SAMPLE = 20  # below it the small-sample estimator
SHORTEST_TAIL = 8  # of the small-sample estimator, and the fewest eigenvalues that we fit
NO_SPREAD = 1e6  # an alpha beyond it is rounding: all eigenvalues of the tail are equal
PROBES = 32  # places of the tail in the lower bound
CHUNK = 16  # candidates whose exact distance is computed at a time


class Outcome(enum.IntEnum):
    """Whether there is a fit, and why not; `text` is what tables say."""

    OK = 0
    NOT_FINITE = 1
    TOO_FEW = 2
    NO_SPREAD = 3

    @property
    def text(self) -> str:
        """`ok`, or the reason."""
        return ("ok", "not finite", "fewer than 8 eigenvalues", "equal eigenvalues")[self]


class PowerLaw(NamedTuple):
    """Fits of L spectra, arrays [L]; where `outcome` is not OK the floats are NaN and the counts 0."""

    alpha: jax.Array
    """Exponent of the density."""
    sigma: jax.Array
    """Asymptotic standard error of alpha: alpha -+ 1.96 sigma is its 95 % interval with x_min taken as known."""
    ks_distance: jax.Array
    """Kolmogorov-Smirnov distance D between the tail and the law."""
    x_min: jax.Array
    """Eigenvalue at which the tail begins."""
    spikes: jax.Array
    """Eigenvalues at or above x_min."""
    position: jax.Array
    """Position of x_min in the ascending spectrum."""
    outcome: jax.Array
    """An `Outcome`."""
    searched: jax.Array
    """Candidates whose exact distance was computed before the answer was certain."""


def fit(eigenvalues_LxN: jax.Array) -> PowerLaw:
    """Fits every spectrum of a stack; traceable.

    Args:
      eigenvalues_LxN: ascending; zeros may be put in front of shorter spectra. float64 equals WeightWatcher to
        1e-9, float32 gives alpha to 1e-3.
    """
    return jax.vmap(_fit)(eigenvalues_LxN)


def _fit(l_N: jax.Array) -> PowerLaw:
    """One spectrum."""
    size, dtype = l_N.shape[0], l_N.dtype
    finite = jnp.all(jnp.isfinite(l_N))
    at = jnp.arange(size)
    kept = l_N > SMALLEST_EIGENVALUE
    count = jnp.sum(kept)
    small = count < SMALL_SAMPLE
    tail_N = (size - at).astype(dtype)  # n of every candidate

    # sum_j ln(l_j / l_i) as a sum of gaps between neighbours: all terms are positive, nothing cancels
    below_N = jnp.where(kept, jnp.roll(l_N, 1), 1)
    linked_N = kept & jnp.roll(kept, 1) & (at > 0)
    gap_N = jnp.where(linked_N, jnp.log1p((jnp.where(linked_N, l_N, 1) - below_N) / below_N), 0)
    sums_N = jnp.cumsum((tail_N * gap_N)[::-1])[::-1] - tail_N * gap_N
    log_N = jnp.cumsum(gap_N)  # ln l, relative to the first kept value

    slope_N = (tail_N - small) / jnp.maximum(sums_N, jnp.finfo(dtype).tiny * size)  # alpha - 1
    slope_N = jnp.minimum(slope_N, jnp.finfo(dtype).max ** 0.5)
    shortest = jnp.where(small, SHORTEST_TAIL, 2)
    candidate_N = kept & (size - at >= shortest)

    def distance(i: jax.Array, j: jax.Array) -> jax.Array:
        """|fitted minus empirical distribution| of candidates i at places j of the spectrum."""
        law = -jnp.expm1(-slope_N[i] * (log_N[j] - log_N[i]))
        return jnp.abs(law - (j - i) / tail_N[i])

    # lower bounds over some places of the tail, the last among them
    fractions = jnp.linspace(0, 1, PROBES, dtype=dtype)
    places = at[:, None] + jnp.floor(fractions * (tail_N[:, None] - 1)).astype(at.dtype)
    bound_N = jnp.max(distance(at[:, None], jnp.clip(places, at[:, None], size - 1)), axis=1)
    bound_N = jnp.where(candidate_N, bound_N, jnp.inf)
    padding = -size % CHUNK
    order = jnp.pad(jnp.argsort(bound_N), (0, padding), constant_values=size - 1)
    bounds = jnp.pad(bound_N[order[:size]], (0, padding + CHUNK), constant_values=jnp.inf)
    slack = 64 * jnp.finfo(dtype).eps  # bound and distance round differently

    def undecided(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        done, best, _ = state
        return (bounds[done] < jnp.inf) & (bounds[done] <= best + slack)

    def visit(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        done, best, index = state
        i = jax.lax.dynamic_slice(order, (done,), (CHUNK,))
        exact = distance(i[:, None], at[None, :])
        exact = jnp.max(jnp.where(at >= i[:, None], exact, 0), axis=1)
        exact = jnp.where(candidate_N[i], exact, jnp.inf)
        least = jnp.min(exact)
        first = jnp.min(jnp.where(exact == least, i, size))
        better = (least < best) | ((least == best) & (first < index))
        return done + CHUNK, jnp.minimum(least, best), jnp.where(better, first, index)

    start = (jnp.zeros((), at.dtype), jnp.asarray(jnp.inf, dtype), jnp.asarray(size, at.dtype))
    searched, ks_distance, index = jax.lax.while_loop(undecided, visit, start)

    i = jnp.minimum(index, size - 1)
    slope = slope_N[i]
    outcome = jnp.where(slope > NO_SPREAD, Outcome.NO_SPREAD, Outcome.OK)
    outcome = jnp.where(count < SHORTEST_TAIL, Outcome.TOO_FEW, outcome)
    outcome = jnp.where(finite, outcome, Outcome.NOT_FINITE)
    ok = outcome == Outcome.OK

    def known(value: jax.Array) -> jax.Array:
        return jnp.where(ok, value, jnp.nan)

    return PowerLaw(
        alpha=known(1 + slope),
        sigma=known(slope / jnp.sqrt(tail_N[i])),
        ks_distance=known(ks_distance),
        x_min=known(l_N[i]),
        spikes=jnp.where(ok, jnp.sum(l_N >= l_N[i]), 0),
        position=jnp.where(ok, index, 0),
        outcome=outcome,
        searched=jnp.where(ok, jnp.minimum(searched, count), 0),
    )
