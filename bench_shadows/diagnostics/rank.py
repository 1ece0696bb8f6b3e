"""What a spectrum says besides its power law: ranks and sizes. Pure functions of eigenvalues, for use in `jit`.

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


def x_min_over_mean(x_min_L: jax.Array, eigenvalues_LxN: jax.Array, size_L: jax.Array) -> jax.Array:
    """Where the tail begins, in units of the mean eigenvalue: free of the weights' scale, as x_min is not: [L]."""
    return x_min_L * size_L / jnp.sum(eigenvalues_LxN, axis=-1)


def _relative(eigenvalues_LxN: jax.Array) -> jax.Array:
    return jnp.divide(eigenvalues_LxN, lambda_max(eigenvalues_LxN)[..., None])


def _entropy(weights_LxN: jax.Array) -> jax.Array:
    p = weights_LxN / jnp.sum(weights_LxN, axis=-1, keepdims=True)
    return -jnp.sum(jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p))), axis=-1)
