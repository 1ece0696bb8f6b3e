"""The update between a reference checkpoint s and a later one t as a matrix of its own: its rank, and whether the
leading directions of W stayed.

Both need a factorisation and run on the host, a matrix a thread, in float64 (rank) and float32 (directions). They
cost about what the spectra of the two checkpoints cost (`scripts/benchmark_changes.py`).
"""

import concurrent.futures
import os

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import threadpoolctl

from bench_shadows.diagnostics import spectrum

Array = np.ndarray | jax.Array

# L matrices, R rows, C columns, N = min(R, C), K leading directions.
LEADING = 8  # directions of the overlap
AT_ONCE = 1 << 24  # entries of updates that exist at a time
ABOVE_ROUNDING = 2.0  # times the largest singular value that rounding would give


def update_rank(current: Array, reference: Array, precision: spectrum.Precision = "auto") -> np.ndarray:
    """Singular values of W_t - W_s that rounding to the stored dtypes does not explain: [L], NaN if not finite.

    Entries that are rounded to m bits of mantissa have independent errors of at most 2^-m |w| / sqrt(12); a matrix
    of such errors has no singular value much above |errors|_F (1 / sqrt(R) + 1 / sqrt(C)). What lies beneath twice
    that, or beneath the noise of the arithmetic, is not counted: an adapter of rank 8 that was merged in bfloat16
    has rank 8, and not the full rank that `matrix_rank` gives.

    Args:
      current, reference: [L, R, C], any floating dtypes.
      precision: of the arithmetic, as `spectrum.eigenvalues` takes it.
    """
    unit = np.finfo(spectrum.working_dtype(precision, jax.default_backend())).eps
    _, rows, columns = current.shape
    ranks = []
    step = max(1, AT_ONCE // (rows * columns))
    for start in range(0, len(current), step):
        pair = [np.asarray(array[start : start + step]) for array in (current, reference)]
        wide = np.result_type(np.float32, *(np.float64 for array in pair if array.dtype == np.float64))
        t, s = (array.astype(wide, copy=False) for array in pair)
        energy = sum(
            (2.0 ** -jnp.finfo(array.dtype).nmant) ** 2 / 12 * np.einsum("lrc,lrc->l", x, x, dtype=np.float64)
            for array, x in zip(pair, (t, s), strict=True)
        )
        rounding = energy * (ABOVE_ROUNDING * (rows**-0.5 + columns**-0.5)) ** 2
        with np.errstate(invalid="ignore"):  # infinite minus infinite
            values = spectrum.eigenvalues(t - s, precision)
        arithmetic = 8 * unit * values.shape[1] ** 0.5 * values[:, -1]
        counted = np.sum(values > np.maximum(rounding, arithmetic)[:, None], axis=1).astype(np.float64)
        ranks.append(np.where(np.isnan(values[:, -1]), np.nan, counted))
    return np.concatenate(ranks)


def subspace_overlap(current: Array, reference: Array) -> np.ndarray:
    """|U_s' U_t|_F^2 / K of the K = 8 leading left singular vectors (fewer where a side is shorter): [L].

    1 where the same directions lead, K / R where there is nothing in common. NaN where a matrix is not finite or
    zero.

    Args:
      current, reference: [L, R, C], any floating dtypes; the rows are what the left vectors live in.
    """
    count = len(current)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with (
        threadpoolctl.threadpool_limits(1, "blas"),
        concurrent.futures.ThreadPoolExecutor(min(cores, count)) as pool,
    ):
        return np.array(list(pool.map(lambda i: _overlap(current[i], reference[i]), range(count))))


def _overlap(current: Array, reference: Array) -> float:
    one, two = leading(np.asarray(current)), leading(np.asarray(reference))
    if one is None or two is None:
        return float("nan")
    return float(min(1.0, np.sum((one.T @ two) ** 2, dtype=np.float64) / one.shape[1]))


def leading(matrix: np.ndarray, count: int = LEADING) -> np.ndarray | None:
    """The leading left singular vectors [R, K] of a matrix [R, C], float32; None if it is not finite or zero."""
    w = matrix.astype(np.float32)
    largest = np.max(np.abs(w), initial=0)
    if not np.isfinite(largest) or largest == 0:
        return None
    w /= largest
    wide = w.shape[0] <= w.shape[1]
    vectors = _leading_of_gram(w @ w.T if wide else w.T @ w, min(count, *w.shape))
    return vectors if wide else np.linalg.qr(w @ vectors)[0]


def _leading_of_gram(gram: np.ndarray, count: int) -> np.ndarray:
    """Eigenvectors [N, K] of the largest eigenvalues of a symmetric matrix."""
    size = len(gram)
    if size <= 2:
        return np.linalg.eigh(gram)[1][:, size - count :]
    # As in `spectrum`: LAPACK's sytrd through JAX lets go of the interpreter's lock, and the rest is short.
    reflectors, diagonal, off, factors = map(np.asarray, _tridiagonal(jax.device_put(gram, spectrum.host())))
    _, vectors = scipy.linalg.eigh_tridiagonal(
        diagonal.astype(np.float64), off.astype(np.float64), select="i", select_range=(size - count, size - 1)
    )
    multiply = scipy.linalg.lapack.get_lapack_funcs("ormqr", (gram,))
    turned, _, failed = multiply(
        "L", "N", reflectors[1:, :-1], factors, vectors[1:].astype(gram.dtype), lwork=32 * count
    )
    assert not failed, "LAPACK's ormqr refuses only wrong arguments"
    return np.concatenate([vectors[:1].astype(gram.dtype), turned])


@jax.jit
def _tridiagonal(gram_NxN: jax.Array) -> list[jax.Array]:
    return list(jax.lax.linalg.tridiagonal(gram_NxN, lower=True))
