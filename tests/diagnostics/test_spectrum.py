import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import matrices
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics import spectrum


def exact(stack: np.ndarray) -> np.ndarray:
    return np.linalg.svd(stack.astype(np.float64), compute_uv=False)[:, ::-1] ** 2


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([matrices.family(name, rng, 48, 80) for name in ("trained", "gaussian", "heavy-tailed")])


@pytest.mark.parametrize("algorithm", ["svd", "lapack", "tridiagonal", "eigh"])
@pytest.mark.parametrize(("precision", "error"), [("float64", 1e-13), ("float32", 1e-5)])
def test_every_algorithm_equals_the_svd(stack: np.ndarray, algorithm, precision, error) -> None:
    values, expected = spectrum.eigenvalues(stack, precision, algorithm), exact(stack)
    assert values.shape == (3, 48)
    assert values.dtype == np.float64
    assert np.all(np.diff(values, axis=1) >= 0)
    assert np.all(values >= 0)
    np.testing.assert_allclose(values / expected[:, -1:], expected / expected[:, -1:], atol=error)


def test_float64_leaves_the_callers_jax_as_it_was(stack: np.ndarray) -> None:
    spectrum.eigenvalues(stack, "float64", "tridiagonal")
    assert jnp.ones(1, jnp.result_type(float)).dtype == jnp.float32


def test_larger_matrices_go_through_the_compiled_reduction() -> None:
    stack = np.random.default_rng(1).normal(size=(2, spectrum.SMALL + 4, spectrum.SMALL + 1))
    np.testing.assert_allclose(spectrum.eigenvalues(stack, "float64"), exact(stack), rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31), st.floats(-60, 60))
def test_scale_transposition_and_rotation(rows: int, columns: int, seed: int, log_scale: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(1, rows, columns))
    values = spectrum.eigenvalues(matrix, "float64")
    limit = {"atol": 1e-13 * values.max(), "rtol": 0}
    np.testing.assert_allclose(spectrum.eigenvalues(matrix.transpose(0, 2, 1), "float64"), values, **limit)
    scale = 10**log_scale
    np.testing.assert_allclose(spectrum.eigenvalues(matrix * scale, "float64") / scale**2, values, **limit)
    rotation = np.linalg.qr(rng.normal(size=(rows, rows)))[0]
    np.testing.assert_allclose(spectrum.eigenvalues(rotation @ matrix, "float64"), values, **limit)


def test_float32_neither_over_nor_underflows(stack: np.ndarray) -> None:
    for algorithm in ("lapack", "tridiagonal"):
        for scale in (1e-30, 1e30):
            values = spectrum.eigenvalues((stack * scale).astype(np.float32), "float32", algorithm)
            np.testing.assert_allclose(values / scale**2, exact(stack), atol=1e-5 * exact(stack).max())


def test_bfloat16_weights_are_read_as_they_are() -> None:
    matrix = np.random.default_rng(3).normal(size=(1, 20, 30)).astype(ml_dtypes.bfloat16)
    for algorithm in ("lapack", "svd"):
        values = spectrum.eigenvalues(matrix, "float64", algorithm)
        np.testing.assert_allclose(values, exact(matrix), rtol=1e-9)


def test_a_matrix_that_is_not_finite_is_missing_and_alone(stack: np.ndarray) -> None:
    broken = stack.copy()
    broken[1, 4, 5] = np.nan
    broken[2, 0, 0] = -np.inf
    for algorithm in ("lapack", "tridiagonal", "svd"):
        values = spectrum.eigenvalues(broken, "float32", algorithm)
        assert np.isnan(values[1:]).all()
        np.testing.assert_allclose(values[0], exact(stack[:1])[0], atol=1e-4)


def test_matrices_of_low_rank_do_not_show_float32_noise() -> None:
    rng = np.random.default_rng(4)
    matrix = (rng.normal(size=(1, 64, 20)) @ rng.normal(size=(1, 20, 64))).astype(np.float32)
    values = spectrum.eigenvalues(matrix, "float32")
    assert spectrum.lost_share(values) > spectrum.LOST
    assert np.sum(values > 1e-5) == 20


def test_edges() -> None:
    assert spectrum.eigenvalues(np.zeros((2, 5, 3))).tolist() == [[0.0] * 3] * 2
    assert spectrum.eigenvalues(np.zeros((0, 5, 3))).shape == (0, 3)
    assert spectrum.eigenvalues(np.full((1, 1, 1), -3.0)).tolist() == [[9.0]]
    np.testing.assert_allclose(spectrum.eigenvalues(np.full((1, 1, 4), 2.0)), [[16.0]])
    with pytest.raises(ValueError, match=r"\[layers, rows, columns\]"):
        spectrum.eigenvalues(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="there are: svd, lapack"):
        spectrum.eigenvalues(np.zeros((1, 5, 3)), algorithm="qr")


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_layers_spread_over_devices_without_talking(platform: str) -> None:
    """Lowered for accelerators that are not here: one program, no collective, every device its own layers."""
    mesh = jax.sharding.AbstractMesh((4,), ("layers",))
    algorithm = spectrum.choose_algorithm({"cuda": "gpu"}.get(platform, platform))
    gram = jax.ShapeDtypeStruct((8, 32, 32), jnp.float32, sharding=jax.NamedSharding(mesh, jax.P("layers")))
    program = spectrum.spread(spectrum.solve, mesh, algorithm=algorithm).trace(gram)
    text = program.lower(lowering_platforms=(platform,)).as_text()
    assert "tensor<2x32x32xf32>" in text, "each device holds two of the eight"
    assert not [word for word in ("all_gather", "all_reduce", "all_to_all", "collective") if word in text]


@pytest.mark.slow
def test_forced_cpu_devices_do_not_hang() -> None:
    """Two forced devices that got LAPACK work at the same time from one process have hung: we use one."""
    program = (
        "import numpy as np, jax\n"
        "from bench_shadows.diagnostics import spectrum\n"
        "assert jax.local_device_count() == 4\n"
        "stack = np.random.default_rng(0).normal(size=(8, 300, 300))\n"
        "one, two = (spectrum.eigenvalues(stack, 'float64', a) for a in ('lapack', 'eigh'))\n"
        "np.testing.assert_allclose(one, two, atol=1e-10)\n"
    )
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_blocks_of_a_long_matrix_give_what_the_whole_does(
    monkeypatch: pytest.MonkeyPatch, turned: bool, precision: spectrum.Precision
) -> None:
    tall = np.random.default_rng(7).normal(size=(2, 300, 20)).astype(ml_dtypes.bfloat16)
    tall[0] *= np.float32(1e-20)  # squares underflow in float32
    tall = tall.swapaxes(1, 2) if turned else tall
    whole = spectrum.eigenvalues(tall, precision)
    monkeypatch.setattr(spectrum, "BLOCK", 64 * 20)
    blocks = spectrum.eigenvalues(tall, precision)
    np.testing.assert_allclose(blocks, whole, rtol=1e-12 if precision == "float64" else 1e-4)
    broken = tall.copy()
    broken[1, -1, -1] = np.inf
    found = spectrum.eigenvalues(broken, precision)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_as_many_large_matrices_as_memory_allows(stack: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spectrum.eigenvalues(stack, "float64")
    monkeypatch.setattr(spectrum, "WORK_BYTES", 1)  # one at a time
    np.testing.assert_allclose(spectrum.eigenvalues(stack, "float64"), expected, rtol=1e-12, atol=1e-14)
