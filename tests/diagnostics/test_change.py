import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics import change


def by_definition(current: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    t, s = (x.astype(np.float64).reshape(len(x), -1) for x in (current, reference))
    return {
        "mean_change": (t - s).mean(1),
        "mean_abs_change": np.abs(t - s).mean(1),
        "relative_change": np.linalg.norm(t - s, axis=1) / np.linalg.norm(s, axis=1),
        "correlation": np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(t, s, strict=True)]),
        "change_variance": (t - s).var(1),
        "scale": np.array([a @ b / (b @ b) for a, b in zip(t, s, strict=True)]),
        "update_sparsity": (t == s).mean(1),
    }


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_changes_are_what_they_are_called(dtype) -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=(3, 40, 24)) * 0.02
    t = (s + rng.normal(size=s.shape) * 0.003 + 0.001).astype(dtype)
    s = s.astype(dtype)
    got = change.changes(t, s)
    for name, expected in by_definition(t, s).items():
        np.testing.assert_allclose(getattr(got, name), expected, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("x64", [True, False])
def test_a_mean_change_of_1e_9_beside_weights_of_a_fiftieth(x64: bool) -> None:
    rng = np.random.default_rng(1)
    s = (rng.normal(size=(2, 512, 512)) * 0.02).astype(np.float32)
    t = (s + rng.normal(size=s.shape) * 1e-4 + 1e-9).astype(np.float32)
    t -= (t.astype(np.float64) - s).mean(axis=(1, 2), keepdims=True).astype(np.float32)  # what is left is tiny
    expected = by_definition(t, s)
    assert np.all(np.abs(expected["mean_change"]) < 3e-8)
    with jax.enable_x64(x64):
        got = jax.tree.map(np.asarray, jax.jit(change.change)(jnp.asarray(t), jnp.asarray(s)))
    np.testing.assert_allclose(got.mean_change, expected["mean_change"], atol=1e-12, rtol=1e-5)
    for name in ("mean_abs_change", "relative_change", "change_variance"):
        np.testing.assert_allclose(getattr(got, name), expected[name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(1 - got.correlation, 1 - expected["correlation"], atol=2e-7)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_invariants(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.normal(size=(2, 1, 9, 7))
    there, back = change.changes(t, s), change.changes(s, t)
    np.testing.assert_allclose(there.mean_change, -back.mean_change, atol=1e-15)
    np.testing.assert_allclose(there.correlation, back.correlation, rtol=1e-12)
    np.testing.assert_allclose(there.change_variance, back.change_variance, rtol=1e-12)
    scaled = change.changes(t * scale, s * scale)
    np.testing.assert_allclose(scaled.relative_change, there.relative_change, rtol=1e-10)
    np.testing.assert_allclose(scaled.correlation, there.correlation, rtol=1e-10)


def test_entries_are_equal_in_the_coarser_of_two_dtypes() -> None:
    s = np.random.default_rng(7).normal(size=(1, 40, 30)).astype(np.float32)
    rounded = s.astype(ml_dtypes.bfloat16)
    t = np.where(np.arange(30) < 3, rounded.astype(np.float32) * 1.1, rounded.astype(np.float32))
    assert change.changes(t.astype(ml_dtypes.bfloat16), s).update_sparsity == pytest.approx(0.9)
    assert change.changes(rounded, s).update_sparsity == 1
    assert change.changes(3 * s, s).scale == pytest.approx(3)


def test_nothing_changed() -> None:
    s = np.random.default_rng(2).normal(size=(2, 8, 8)).astype(np.float32)
    got = change.changes(s, s)
    for name in ("mean_change", "mean_abs_change", "relative_change", "change_variance"):
        np.testing.assert_array_equal(getattr(got, name), 0, err_msg=name)
    for name in ("correlation", "scale", "update_sparsity"):
        np.testing.assert_allclose(getattr(got, name), 1, err_msg=name)


def test_what_is_not_defined_is_nan_and_alone() -> None:
    s = np.random.default_rng(3).normal(size=(3, 8, 8))
    t = s + 1
    t[1, 2, 3] = np.inf
    s[2] = 0.0
    got = change.changes(t, s)
    assert np.isfinite([field[0] for field in got]).all()
    assert np.isnan(got.change_variance[1])
    assert np.isnan(got.correlation[2])
    assert not np.isfinite(got.relative_change[2])
    with pytest.raises(ValueError, match="one shape"):
        change.changes(t, s[:2])


def test_blocks_of_a_large_matrix_give_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    s = (rng.normal(size=(3, 37, 11)) * 0.02 + 0.01).astype(ml_dtypes.bfloat16)
    t = s.astype(np.float32) + rng.normal(size=s.shape).astype(np.float32) * 1e-4
    t[2, 5, 5] = np.nan
    whole = change.changes(t, s)
    monkeypatch.setattr(change, "BLOCK", 5 * 11)
    assert len(change._blocks(s.shape)) == 8
    for name, values in change.changes(t, s)._asdict().items():
        np.testing.assert_allclose(values, getattr(whole, name), rtol=1e-10, err_msg=name)
        assert np.isnan(values[2])
