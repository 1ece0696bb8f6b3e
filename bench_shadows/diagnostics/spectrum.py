"""Eigenvalues of W^T W (squared singular values) for stacks of matrices.

One function, `eigenvalues`, with the algorithm chosen by platform and by what is asked:

- `svd`: `jnp.linalg.svd`, the only one that keeps small singular values.
- `lapack`: the default on a CPU. NumPy's symmetric product, LAPACK's sytrd and sterf, one matrix a thread.
- `tridiagonal`: Gram, `tridiagonal`, bisection; the one for use inside `jit` on a CPU.
- `eigh`: Gram and `eigh` (cuSOLVER); the default on a GPU.
- `jacobi`: Gram and Jacobi sweeps; the default on a TPU, where the others compile for minutes.

Measured over trained-like, Gaussian and heavy-tailed matrices of 64 to 1,024 columns, against LAPACK's SVD in
float64: largest error of an eigenvalue over the largest eigenvalue, of alpha (absolute) and of effective rank
(relative); CPU milliseconds of one 1024 x 1024 / 4096 x 1024 matrix on one thread of a 2026 server:

|               | float64: eigenvalue, alpha, rank |    ms     | float32: eigenvalue, alpha, rank |    ms     |
|---------------|----------------------------------|-----------|----------------------------------|-----------|
| `svd`         | the reference                    | 197 / 569 | 6e-6, 4e-4, 6e-8                 | 125 / 341 |
| `lapack`      | 1e-14, 2e-14, 2e-14              |  97 / 174 | 5e-6, 8e-5, 2e-5                 |  65 / 101 |
| `tridiagonal` | 8e-15, 3e-13, 9e-14              | 150 / 341 | 8e-7, 6e-6, 7e-6                 |  74 / 164 |
| `eigh`        | 9e-15, 3e-13, 2e-14              | 242 / 434 | 7e-7, 2e-5, 2e-5                 | 155 / 243 |

`eigh` is LAPACK's there, not cuSOLVER's, and `jacobi` has no CPU implementation: on a GPU and a TPU error and
speed are not measured yet. For v5e Jacobi compiles in 9 s for sixteen 1024 x 1024 matrices a chip and 193 MiB.

A Gram matrix squares the condition number: singular values below sqrt(eps) of the largest (3e-4 in float32, 1e-8
in float64) are noise. The error of an effective rank is the noise floor of a *delta* effective rank: ask for
float64 or `svd` where that matters. Where the noise takes more than a twentieth of a float32 spectrum (low rank)
it would pass for eigenvalues above 1e-5 and mislead the power law: such a matrix is computed again in float64 on
the host.
"""

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg.lapack
import threadpoolctl

Algorithm = Literal["svd", "lapack", "tridiagonal", "eigh", "jacobi"]
Precision = Literal["auto", "float32", "float64"]

# L matrices, R rows, C columns with R >= C, the eigenvalues of a matrix ascending along the last axis.
BATCH = 16  # matrices that one device holds at a time: bounds memory, and gives each size one program
LOST = 0.05  # share of a float32 spectrum in the noise from which it is computed again in float64, on the host
SMALL = 256  # columns up to which a LAPACK call is too short to be worth a compiled program
BLOCK = 1 << 24  # entries that the host converts at a time: what it needs does not grow with a matrix's length
GRAM_COPIES = 3  # of a Gram matrix that exist at once
WORK_BYTES = 1 << 30  # that all matrices in work on the host may need together, if more than one


def choose_algorithm(platform: str) -> Algorithm:
    """The fastest exact algorithm of a platform (`cpu`, `gpu`, `tpu`); the module's table says why."""
    defaults: dict[str, Algorithm] = {"cpu": "lapack", "tpu": "jacobi"}
    return defaults.get(platform, "eigh")


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
        values = _on_host(np.asarray(stack), dtype)
    else:
        with jax.enable_x64(dtype == np.float64):
            values = _on_devices(stack, dtype, algorithm)
    if dtype == np.float32 and algorithm != "svd":
        doubtful = np.flatnonzero(lost_share(values) > LOST)
        if len(doubtful):
            values[doubtful] = _on_host(np.stack([np.asarray(stack[i]) for i in doubtful]), np.dtype(np.float64))
    return values


def host() -> jax.Device | None:
    """The CPU as JAX's device; None where the user chose an accelerator alone (JAX_PLATFORMS=tpu)."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def lost_share(eigenvalues_LxN: np.ndarray) -> np.ndarray:
    """Share of each spectrum below the noise of a float32 Gram matrix, sqrt(N) eps max(l): [L]."""
    noise = np.finfo(np.float32).eps * eigenvalues_LxN.shape[1] ** 0.5 * eigenvalues_LxN[:, -1:]
    return np.mean(eigenvalues_LxN < noise, axis=1)


# On the device -------------------------------------------------------------------------------------------------


def spectra(stack_LxRxC: jax.Array, algorithm: Algorithm) -> jax.Array:
    """The traceable part, for use inside `jit`: [L, min(rows, columns)] ascending, in the stack's own dtype.

    Every matrix should be finite; entries far from 1 in size may overflow (`eigenvalues` scales, this does not).
    """
    if algorithm == "svd":
        return jnp.linalg.svd(stack_LxRxC, compute_uv=False)[:, ::-1] ** 2
    return gram_eigenvalues(gram(stack_LxRxC), algorithm)


def gram(stack_LxRxC: jax.Array) -> jax.Array:
    """The smaller of W^T W and W W^T, at full precision (TPUs and GPUs round products by default): [L, N, N].

    One matrix after the other: a batched product of 16 x 4096 x 1024 takes a TPU's compiler 14 s, the loop 6 s.
    """

    def one(matrix: jax.Array) -> jax.Array:
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        return jnp.matmul(tall.T, tall, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(one, stack_LxRxC)


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


def prepare(stack_LxRxC: jax.Array, dtype: np.dtype, algorithm: Algorithm) -> tuple[jax.Array, jax.Array]:
    """What `solve` takes, and the power of two that each matrix was divided by (NaN: not finite): [L, ...], [L].

    Gram matrices [L, N, N], so that matrices of every length share one compiled solver, or for `svd` the matrices.
    """
    stack = stack_LxRxC.astype(dtype)
    largest = jnp.max(jnp.abs(stack), axis=(1, 2))
    known = jnp.isfinite(largest)
    _, exponent = jnp.frexp(jnp.where(known, largest, 1))
    stack = jnp.where(known[:, None, None], jnp.ldexp(stack, -exponent[:, None, None]), 0)
    scale = jnp.where(known, jnp.ldexp(jnp.ones((), dtype), exponent), jnp.nan)
    return stack if algorithm == "svd" else gram(stack), scale


def solve(prepared: jax.Array, algorithm: Algorithm) -> jax.Array:
    """Eigenvalues of what `prepare` made: [L, N]."""
    return spectra(prepared, algorithm) if algorithm == "svd" else gram_eigenvalues(prepared, algorithm)


@functools.cache
def spread(function: Callable[..., Any], mesh: jax.sharding.Mesh, **settings: Any) -> Callable[..., Any]:
    """A function of a stack as one program, jitted, with the layers spread over a mesh's devices."""
    layers = jax.P("layers")
    bound = functools.partial(function, **settings)
    return jax.jit(jax.shard_map(bound, mesh=mesh, in_specs=layers, out_specs=layers, check_vma=False))


def _on_devices(stack: np.ndarray | jax.Array, dtype: np.dtype, algorithm: Algorithm) -> np.ndarray:
    # Two forced CPU devices that get LAPACK work at the same time from one process have hung: there, one.
    devices = jax.local_devices()[: 1 if jax.default_backend() == "cpu" else None]
    mesh = jax.make_mesh((len(devices),), ("layers",), devices=devices)
    batch = BATCH * len(devices)
    results = []
    for start in range(0, len(stack), batch):
        part = stack[start : start + batch]
        missing = -len(part) % (len(devices) if len(stack) <= batch else batch)
        part = jnp.pad(part, ((0, missing), (0, 0), (0, 0))) if missing else part
        part = jax.device_put(part, jax.NamedSharding(mesh, jax.P("layers")))
        prepared, scale = spread(prepare, mesh, dtype=dtype, algorithm=algorithm)(part)
        results.append((spread(solve, mesh, algorithm=algorithm)(prepared), scale))
    values = np.concatenate([np.asarray(values, np.float64) for values, _ in results])
    scale = np.concatenate([np.asarray(scale, np.float64) for _, scale in results])
    return (values * scale[:, None] ** 2)[: len(stack)]


# On the host ---------------------------------------------------------------------------------------------------


def _on_host(stack: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Matrices side by side on the cores, each on one BLAS thread: more cost small ones a hundred times their work
    where the cores are busy (128 columns beside a training: 111 ms of CPU on two threads, 0.9 ms on one).

    As many as WORK_BYTES allow: large ones are few, and share the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    short, long = sorted(stack.shape[1:])
    each = dtype.itemsize * (GRAM_COPIES * short**2 + min(BLOCK, short * long))
    workers = max(1, min(cores, len(stack), WORK_BYTES // each))
    solve = functools.partial(_host_eigenvalues, dtype=dtype)
    threads = cores // workers if each * cores > WORK_BYTES else 1
    limits = threadpoolctl.threadpool_limits(threads, "blas")
    with limits, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(solve, stack)))


@jax.jit
def _tridiagonal(gram_NxN: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, diagonal, off, _ = jax.lax.linalg.tridiagonal(gram_NxN, lower=True)
    return diagonal, off


def _host_eigenvalues(matrix: np.ndarray, dtype: np.dtype) -> np.ndarray:
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    step = max(1, BLOCK // tall.shape[1])
    parts = [tall[start : start + step] for start in range(0, len(tall), step)]
    if len(parts) == 1:  # converted once; several anew for each look at them
        parts = [tall.astype(dtype, copy=False)]
    blocks = (part.astype(dtype, copy=False) for part in parts)
    largest = np.max([max(np.max(block), -np.min(block)) for block in blocks])  # NaN if any entry is
    if not np.isfinite(largest):
        return np.full(tall.shape[1], np.nan)
    exponent = 0
    if largest > 0 and not 2**-30 < largest < 2**30:  # squares might over- or underflow
        exponent = int(np.frexp(largest)[1])
    product: Any = None
    for part in parts:
        block = part.astype(dtype, copy=False)
        block = np.ldexp(block, -exponent) if exponent else block
        gram = block.T @ block  # NumPy sees one array twice and calls syrk: half the work of a general product
        product = gram if product is None else np.add(product, gram, out=product)
    scale = np.ldexp(1.0, exponent)
    if len(product) == 1:
        return product[0].astype(np.float64) * scale**2
    sytrd, sterf = scipy.linalg.lapack.get_lapack_funcs(("sytrd", "sterf"), (product,))
    if len(product) <= SMALL:
        _, diagonal, off, _, _ = sytrd(product, lower=1, lwork=32 * len(product))
    else:  # the same sytrd through JAX, which lets go of the interpreter's lock: other matrices go on beside it
        with jax.enable_x64(dtype == np.float64):
            diagonal, off = map(np.asarray, _tridiagonal(product))
    values, info = sterf(diagonal, off)
    if info:
        raise np.linalg.LinAlgError(f"LAPACK's sterf left {info} eigenvalues unconverged")
    return np.maximum(values.astype(np.float64), 0) * scale**2
