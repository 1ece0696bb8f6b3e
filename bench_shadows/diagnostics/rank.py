"""What a spectrum says besides its power law: ranks, norms, entropy. Pure functions of eigenvalues, for use in
`jit`.

l are the eigenvalues of W^T W (squared singular values), s = sqrt(l). All ratios are of l / max(l), so that no
size of weights over- or underflows. A matrix of zeros has no ranks (NaN). Zeros put in front of a spectrum
change nothing but `x_min_over_mean`, which therefore takes the true number of eigenvalues.
"""

import jax
import jax.numpy as jnp

# L spectra of N eigenvalues, ascending.


def effective_rank(eigenvalues_LxN: jax.Array) -> jax.Array:
    """exp of the entropy of the normalised singular values s / sum(s), in [1, N] (Roy and Vetterli 2007): [L]."""
    return jnp.exp(_entropy(jnp.sqrt(_relative(eigenvalues_LxN))))


def energy_rank(eigenvalues_LxN: jax.Array) -> jax.Array:
    """The effective rank of energies: exp of the entropy of l / sum(l), in [1, N]: [L]."""
    return jnp.exp(_entropy(_relative(eigenvalues_LxN)))


def stable_rank(eigenvalues_LxN: jax.Array) -> jax.Array:
    """sum(l) / max(l), the squared Frobenius norm over the squared spectral norm, in [1, N]: [L]."""
    return jnp.sum(_relative(eigenvalues_LxN), axis=-1)


def participation_ratio(eigenvalues_LxN: jax.Array) -> jax.Array:
    """(sum l)^2 / sum l^2, in [1, N]: [L]."""
    l = _relative(eigenvalues_LxN)
    return jnp.sum(l, axis=-1) ** 2 / jnp.sum(l**2, axis=-1)


def lambda_max(eigenvalues_LxN: jax.Array) -> jax.Array:
    """The largest eigenvalue, the squared spectral norm: [L]."""
    return eigenvalues_LxN[..., -1]


def log_norm(eigenvalues_LxN: jax.Array) -> jax.Array:
    """log10 of the squared Frobenius norm (WeightWatcher's `log_norm`), -inf for a matrix of zeros: [L]."""
    return jnp.log10(jnp.sum(eigenvalues_LxN, axis=-1))


def log_spectral_norm(eigenvalues_LxN: jax.Array) -> jax.Array:
    """log10 of the squared spectral norm (WeightWatcher's `log_spectral_norm`): [L]."""
    return jnp.log10(lambda_max(eigenvalues_LxN))


def matrix_rank(eigenvalues_LxN: jax.Array, longest: int, unit: float) -> jax.Array:
    """Singular values above max(s) * longest dimension * unit roundoff, the rule of `numpy.linalg.matrix_rank`:
    [L].

    `unit` is that of the arithmetic that made the spectrum, and its square root where that was a Gram matrix.
    """
    return jnp.sum(jnp.sqrt(_relative(eigenvalues_LxN)) > longest * unit, axis=-1)


def entropy(eigenvalues_LxN: jax.Array, rank_L: jax.Array) -> jax.Array:
    """Entropy of l / sum(l) over ln(rank): 1 for equal eigenvalues (WeightWatcher's `entropy`): [L]."""
    return _entropy(_relative(eigenvalues_LxN)) / jnp.log(rank_L)


def x_min_over_mean(x_min_L: jax.Array, eigenvalues_LxN: jax.Array, size_L: jax.Array) -> jax.Array:
    """Where the tail begins, in units of the mean eigenvalue: free of the weights' scale, as x_min is not: [L]."""
    return x_min_L * size_L / jnp.sum(eigenvalues_LxN, axis=-1)


def _relative(eigenvalues_LxN: jax.Array) -> jax.Array:
    return jnp.divide(eigenvalues_LxN, lambda_max(eigenvalues_LxN)[..., None])


def _entropy(weights_LxN: jax.Array) -> jax.Array:
    p = weights_LxN / jnp.sum(weights_LxN, axis=-1, keepdims=True)
    return -jnp.sum(jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p))), axis=-1)
