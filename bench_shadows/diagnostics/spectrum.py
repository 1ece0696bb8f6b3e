"""Eigenvalues of W^T W (squared singular values) for stacks of matrices.

One function, `eigenvalues`, with the algorithm chosen by platform and by what is asked. Errors are against a
float64 SVD, over trained-like, Gaussian and heavy-tailed matrices of 64 to 1,024 columns, as the largest error of
an eigenvalue over the largest eigenvalue; milliseconds are one 1024 x 1024 / 4096 x 1024 matrix on one thread:

- `svd`: `jnp.linalg.svd`, the only one that keeps small singular values.
- `lapack`: the default on a CPU. NumPy's symmetric product, LAPACK's sytrd and sterf, one matrix a thread.
- `tridiagonal`: Gram, `tridiagonal`, bisection; the one for use inside `jit` on a CPU.
- `eigh`: Gram and `eigh` (cuSOLVER); the default on a GPU.
- `jacobi`: Gram and Jacobi sweeps; the default on a TPU, where the others compile for minutes.

|               | error float64 | error float32 | ms float64 | ms float32 |
|---------------|---------------|---------------|------------|------------|
| `svd`         | 1e-15         | 2e-6          | 207 / 595  | 128 / 347  |
| `lapack`      | 2e-15         | 1e-6          | 95 / 165   | 62 / 100   |
| `tridiagonal` | 2e-14         | 4e-6          | 165 / 420  | 73 / 143   |
| `eigh`        | 2e-15         | 1e-6          | -          | -          |

A Gram matrix squares the condition number: singular values below sqrt(eps) of the largest (3e-4 in float32, 1e-8
in float64) are noise. alpha does not see them; an effective rank moves by up to 3e-5 in float32, which is the
noise floor of a *delta* effective rank. Ask for float64 or `svd` where that matters.
"""

import concurrent.futures
import functools
import os
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg.lapack
import threadpoolctl

Algorithm = Literal["svd", "lapack", "tridiagonal", "eigh", "jacobi"]
Precision = Literal["auto", "float32", "float64"]

# L matrices, R rows, C columns with R >= C, the eigenvalues of a matrix ascending along the last axis.
BATCH = 16  # matrices that one device holds at a time: bounds memory, and gives each size one program


def choose_algorithm(platform: str) -> Algorithm:
    """The fastest exact algorithm of a platform (`cpu`, `gpu`, `tpu`); the module's table says why."""
    return {"cpu": "lapack", "tpu": "jacobi"}.get(platform, "eigh")  # type: ignore[return-value]


def working_dtype(precision: Precision, platform: str) -> np.dtype:
    """The dtype that spectra are computed in: `auto` is float64 on a CPU, float32 elsewhere."""
    if precision == "auto":
        precision = "float64" if platform == "cpu" else "float32"
    return np.dtype(precision)


def eigenvalues(
    stack: np.ndarray | jax.Array, precision: Precision = "auto", algorithm: Algorithm | None = None
) -> np.ndarray:
    """Eigenvalues of W^T W for every matrix of a stack.

    Args:
      stack: [L, rows, columns], any floating dtype (bfloat16 too), on the host or on a device.
      precision: of the arithmetic; float64 does not change the caller's JAX settings.
      algorithm: None for the platform's default. On several devices the layers are spread over them.

    Returns:
      [L, min(rows, columns)] float64, ascending, never negative; a row of NaN where a matrix is not finite.

    Raises:
      ValueError: for a stack that is not three-dimensional or an unknown algorithm.
    """
    if stack.ndim != 3:
        raise ValueError(f"expected a stack [layers, rows, columns], got shape {stack.shape}")
    platform = jax.default_backend()
    algorithm = algorithm or choose_algorithm(platform)
    if algorithm not in get_args(Algorithm):
        raise ValueError(f"no algorithm {algorithm!r}; there are: {', '.join(get_args(Algorithm))}")
    if 0 in stack.shape:
        return np.zeros((stack.shape[0], min(stack.shape[1:])))
    dtype = working_dtype(precision, platform)
    if algorithm == "lapack":
        return _on_host(np.asarray(stack), dtype)
    with jax.enable_x64(dtype == np.float64):
        return _on_devices(stack, dtype, algorithm)


# On the device -------------------------------------------------------------------------------------------------


def spectra(stack_LxRxC: jax.Array, algorithm: Algorithm) -> jax.Array:
    """The traceable part, for use inside `jit`: [L, min(rows, columns)] ascending, in the stack's own dtype.

    Every matrix should be finite; entries far from 1 in size may overflow (`eigenvalues` scales, this does not).
    """
    if algorithm == "svd":
        return jnp.linalg.svd(stack_LxRxC, compute_uv=False)[:, ::-1] ** 2
    return gram_eigenvalues(gram(stack_LxRxC), algorithm)


def gram(stack_LxRxC: jax.Array) -> jax.Array:
    """The smaller of W^T W and W W^T, at full precision (TPUs and GPUs round products by default): [L, N, N]."""
    equation = "lrc,lrd->lcd" if stack_LxRxC.shape[1] >= stack_LxRxC.shape[2] else "lrc,lsc->lrs"
    return jnp.einsum(equation, stack_LxRxC, stack_LxRxC, precision=jax.lax.Precision.HIGHEST)


def gram_eigenvalues(gram_LxNxN: jax.Array, algorithm: Algorithm) -> jax.Array:
    """Eigenvalues of symmetric positive semi-definite matrices, ascending, negative noise set to zero: [L, N]."""
    if algorithm == "tridiagonal":
        _, diagonal, off, _ = jax.lax.linalg.tridiagonal(gram_LxNxN, lower=True)
        solve = functools.partial(jax.scipy.linalg.eigh_tridiagonal, eigvals_only=True)
        values = jax.vmap(solve)(diagonal, off)
    else:
        implementation = jax.lax.linalg.EighImplementation.JACOBI if algorithm == "jacobi" else None
        _, values = jax.lax.linalg.eigh(gram_LxNxN, symmetrize_input=False, implementation=implementation)
    return jnp.maximum(values, 0)


def solver(algorithm: Algorithm, devices: int) -> "jax.stages.Wrapped":
    """The jitted solver of a batch, spread over the first axis on that many local devices.

    It takes Gram matrices ([L, N, N]; so matrices of any length share a program) or, for `svd`, the matrices
    themselves. On a CPU one device is used even where more are forced: two of them giving LAPACK work at the same
    time from one process have hung.
    """
    return _solver(algorithm, jax.make_mesh((devices,), ("layers",), devices=jax.local_devices()[:devices]))


@functools.cache
def _solver(algorithm: Algorithm, mesh: jax.sharding.Mesh) -> "jax.stages.Wrapped":
    solve = functools.partial(spectra if algorithm == "svd" else gram_eigenvalues, algorithm=algorithm)
    spread = jax.P("layers")
    return jax.jit(jax.shard_map(solve, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False))


@functools.cache
def _prepare() -> "jax.stages.Wrapped":
    return jax.jit(lambda stack, scale, dtype: stack.astype(dtype) * scale[:, None, None], static_argnums=2)


def _on_devices(stack: np.ndarray | jax.Array, dtype: np.dtype, algorithm: Algorithm) -> np.ndarray:
    devices = 1 if jax.default_backend() == "cpu" else jax.local_device_count()
    batch = BATCH * devices
    run = solver(algorithm, devices)
    results = []
    for start in range(0, stack.shape[0], batch):
        part = jnp.asarray(stack[start : start + batch])
        scale = _power_of_two(np.asarray(jnp.max(jnp.abs(part), axis=(1, 2)), np.float64))
        part = _prepare()(part, jnp.asarray(np.nan_to_num(1 / scale), dtype), dtype)
        part = jnp.where(jnp.isnan(jnp.asarray(scale))[:, None, None], jnp.zeros_like(part), part)
        if algorithm != "svd":
            part = _gram(part)
        missing = -part.shape[0] % (devices if stack.shape[0] <= batch else batch)
        part = jnp.pad(part, ((0, missing), (0, 0), (0, 0)))
        results.append((run(part), scale))
    return np.concatenate([np.asarray(values, np.float64)[: len(s)] * s[:, None] ** 2 for values, s in results])


_gram = jax.jit(gram)


# On the host ---------------------------------------------------------------------------------------------------


def _on_host(stack: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Matrices side by side on the cores, each on one BLAS thread: small products do not profit from more."""
    workers = max(1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, len(stack)))
    solve = functools.partial(_host_eigenvalues, dtype=dtype)
    with threadpoolctl.threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(solve, stack)))


@jax.jit
def _tridiagonal(gram_NxN: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, diagonal, off, _ = jax.lax.linalg.tridiagonal(gram_NxN, lower=True)
    return diagonal, off


def _host_eigenvalues(matrix: np.ndarray, dtype: np.dtype) -> np.ndarray:
    matrix = matrix.astype(dtype)
    scale = _power_of_two(np.max(np.abs(matrix)))
    if np.isnan(scale):
        return np.full(min(matrix.shape), np.nan)
    matrix *= dtype.type(1 / scale)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    product = tall.T @ tall  # NumPy sees one array twice and calls syrk: half the work of a general product
    # sytrd through JAX rather than SciPy: it lets go of the interpreter's lock, so that threads are of use
    with jax.enable_x64(dtype == np.float64):
        diagonal, off = map(np.asarray, _tridiagonal(product))
    if len(diagonal) > 1:
        sterf = scipy.linalg.lapack.get_lapack_funcs("sterf", (diagonal,))
        diagonal, info = sterf(diagonal, off)
        if info:
            raise np.linalg.LinAlgError(f"sterf found {info} eigenvalues that do not converge")
    return np.maximum(diagonal.astype(np.float64), 0) * scale**2


def _power_of_two(largest: np.ndarray) -> np.ndarray:
    """The power of two that brings a largest magnitude to [0.5, 1): exact, and no square over- or underflows.

    1 for zero matrices, NaN where the largest is not finite.
    """
    largest = np.asarray(largest, np.float64)
    _, exponent = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    return np.where(np.isfinite(largest), np.exp2(exponent), np.nan)
