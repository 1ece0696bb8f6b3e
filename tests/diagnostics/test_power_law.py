import jax
import jax.numpy as jnp
import matrices
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics import power_law
from bench_shadows.diagnostics.power_law import Outcome

SIZE = 96  # spectra are filled up to one length, so that these tests share a program
jitted = jax.jit(power_law.fit)


def fit(*spectra: np.ndarray) -> power_law.PowerLaw:
    padded = np.stack([np.pad(np.sort(values), (SIZE - len(values), 0)) for values in spectra])
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jitted(padded))


def full_search(eigenvalues: np.ndarray) -> tuple[int, float, float]:
    """Position among the kept, alpha and D by the definition, every candidate at every place."""
    kept = np.sort(eigenvalues[eigenvalues > 1e-5])
    small = len(kept) < 20
    best = (-1, np.nan, np.inf)
    for i in range(len(kept) - (7 if small else 1)):
        tail = kept[i:]
        n = len(tail)
        alpha = 1 + (n - small) / np.sum(np.log(tail / kept[i]))
        distance = np.max(np.abs(1 - (tail / kept[i]) ** (1 - alpha) - np.arange(n) / n))
        if distance < best[2]:
            best = (i, alpha, distance)
    return best


spectra = st.builds(
    lambda seed, count, kind, scale: (
        {
            "pareto": lambda rng: matrices.pareto(rng, 2.5, count),
            "lognormal": lambda rng: rng.lognormal(0, 2, count),
            "uniform": lambda rng: rng.uniform(0.1, 1, count),
            "quarter": lambda rng: np.linalg.svd(rng.normal(size=(count, count)), compute_uv=False) ** 2,
        }[kind](np.random.default_rng(seed))
        * 10.0**scale
    ),
    st.integers(0, 2**31),
    st.integers(8, SIZE),
    st.sampled_from(["pareto", "lognormal", "uniform", "quarter"]),
    st.integers(-3, 3),
)


@settings(deadline=None, max_examples=100)
@given(spectra)
def test_the_pruned_search_is_the_full_search(eigenvalues: np.ndarray) -> None:
    law = fit(eigenvalues)
    if np.sum(eigenvalues > 1e-5) < 8:
        assert law.outcome[0] == Outcome.TOO_FEW
        return
    position, alpha, distance = full_search(eigenvalues)
    kept = np.sort(eigenvalues[eigenvalues > 1e-5])
    assert law.x_min[0] == kept[position]
    assert law.spikes[0] == len(kept) - position
    np.testing.assert_allclose(law.alpha[0], alpha, rtol=1e-9)
    np.testing.assert_allclose(law.ks_distance[0], distance, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(law.sigma[0], (alpha - 1) / np.sqrt(law.spikes[0]), rtol=1e-9)


def test_the_search_ends_early() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.lognormal(0, 2, (8, 1024)), axis=1)
    with jax.enable_x64(True):
        assert np.median(np.asarray(jitted(values).searched)) <= 64


@settings(deadline=None, max_examples=30)
@given(spectra, st.floats(0.5, 2))
def test_alpha_knows_no_scale(eigenvalues: np.ndarray, scale: float) -> None:
    eigenvalues = eigenvalues / eigenvalues.min()  # all kept, before and after
    one, two = fit(eigenvalues), fit(eigenvalues * scale)
    np.testing.assert_allclose(one.alpha, two.alpha, rtol=1e-9)
    np.testing.assert_allclose(one.x_min * scale, two.x_min, rtol=1e-12)
    assert one.spikes == two.spikes


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 4.5])
def test_planted_exponents_are_recovered(alpha: float) -> None:
    rng = np.random.default_rng(1)
    values = np.sort(matrices.pareto(rng, alpha, 32 * 1024).reshape(32, 1024), axis=1)
    with jax.enable_x64(True):
        law = jax.tree.map(np.asarray, jitted(values))
    assert abs(np.mean(law.alpha) - alpha) < 0.1 * (alpha - 1)
    assert abs(np.mean((law.alpha - alpha) / law.sigma)) < 1, "sigma tells how far it may be"


def test_float32_agrees_to_a_thousandth() -> None:
    values = np.stack([np.sort(np.random.default_rng(s).lognormal(0, 1.5, SIZE)) for s in range(32)])
    with jax.enable_x64(True):
        exact = np.asarray(jitted(values).alpha)
    single = jitted(values.astype(np.float32))
    assert single.alpha.dtype == jnp.float32
    np.testing.assert_allclose(single.alpha, exact, rtol=1e-3)


def test_what_cannot_be_fitted_is_missing_with_a_reason() -> None:
    holes = np.linspace(1, 2, 30)
    holes[3] = np.nan
    law = fit(np.zeros(30), np.array([1.0, 2, 3, 4, 5, 6, 7]), np.full(30, 0.7), np.linspace(1, 2, 30))
    assert [Outcome(o) for o in law.outcome] == [
        Outcome.TOO_FEW,
        Outcome.TOO_FEW,
        Outcome.NO_SPREAD,
        Outcome.OK,
    ]
    assert np.isnan(law.alpha[:3]).all()
    assert not law.spikes[:3].any()
    with jax.enable_x64(True):
        assert Outcome(int(jitted(np.pad(holes, (SIZE - 30, 0))[None]).outcome[0])) == Outcome.NOT_FINITE
    assert Outcome.TOO_FEW.text == "fewer than 8 eigenvalues"


def test_values_at_the_threshold_are_not_kept() -> None:
    rng = np.random.default_rng(2)
    tail = matrices.pareto(rng, 2.5, 40)
    np.testing.assert_array_equal(fit(tail).alpha, fit(np.concatenate([tail, np.full(20, 1e-5)])).alpha)
