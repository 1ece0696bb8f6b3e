"""Our numbers beside WeightWatcher's own on the same matrices, and beside the powerlaw package."""

import contextlib
import io
import logging
import warnings
from typing import Any

import jax
import matrices
import numpy as np
import pytest

from bench_shadows.diagnostics import analyse, power_law, spectrum
from bench_shadows.diagnostics.weights.weights import open_tree

pytestmark = pytest.mark.peers

Zoo = list[tuple[str, np.ndarray]]


@pytest.fixture(scope="module")
def watcher() -> Any:
    ww = pytest.importorskip("weightwatcher")
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    return ww.WeightWatcher()


def its_eigenvalues(watcher: Any, matrix: np.ndarray) -> np.ndarray:
    short, long = sorted(matrix.shape)
    return watcher.combined_eigenvalues([matrix], long, short, short)[0]


def its_fit(watcher: Any, eigenvalues: np.ndarray, **options: Any) -> dict[str, Any]:
    names = ("alpha", "lambda", "x_min", "x_max", "ks_distance", "sigma", "spikes", "fingers", "raw_alpha")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(zip(names, watcher.fit_powerlaw(eigenvalues, plot=False, **options), strict=False))


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    found = matrices.zoo()
    assert len(found) >= 300
    return found


@pytest.fixture(scope="module")
def theirs(zoo: Zoo, watcher: Any) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """WeightWatcher's spectrum and fit of every matrix, by the functions that its `analyze` calls."""
    spectra = [its_eigenvalues(watcher, matrix.astype(np.float64)) for _, matrix in zoo]
    return [(values, its_fit(watcher, values)) for values in spectra]


def ours(zoo: Zoo, precision: spectrum.Precision) -> list[dict[str, Any]]:
    return analyse.describe([spectrum.eigenvalues(matrix[None], precision)[0] for _, matrix in zoo])


def test_300_matrices_equal_weightwatcher_in_float64(zoo: Zoo, theirs: list) -> None:
    rows = ours(zoo, "float64")
    for name in ("alpha", "ks_distance", "x_min", "sigma"):
        expected = np.array([fit[name] for _, fit in theirs])
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=1e-9, err_msg=name)
    assert [row["spikes"] for row in rows] == [fit["spikes"] for _, fit in theirs], "the tails begin elsewhere"


def test_the_fit_chooses_the_same_index_on_the_same_eigenvalues(theirs: list) -> None:
    longest = max(len(values) for values, _ in theirs)
    spectra = np.stack([np.pad(values, (longest - len(values), 0)) for values, _ in theirs])
    with jax.enable_x64(True):
        positions = np.asarray(jax.jit(power_law.fit)(spectra).position)
    assert [spectra[i, place] for i, place in enumerate(positions)] == [fit["x_min"] for _, fit in theirs]


def test_float32_gives_alpha_to_a_thousandth(zoo: Zoo, theirs: list) -> None:
    got = [row["alpha"] for row in ours(zoo, "float32")]
    np.testing.assert_allclose(got, [fit["alpha"] for _, fit in theirs], rtol=1e-3)


def test_a_whole_model_through_its_front_door(zoo: Zoo) -> None:
    torch = pytest.importorskip("torch")
    ww = pytest.importorskip("weightwatcher")
    chosen = zoo[::35]
    layers = []
    for _, matrix in chosen:
        layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(matrix.astype(np.float32)))
        layers.append(layer)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = ww.WeightWatcher(model=torch.nn.Sequential(*layers)).analyze()
    names = {"alpha": "alpha", "D": "ks_distance", "xmin": "x_min", "sigma": "sigma", "num_pl_spikes": "spikes"}
    names |= {"stable_rank": "stable_rank", "lambda_max": "lambda_max"}
    rows = ours(chosen, "float64")
    for name, column in names.items():
        got = [row[column] for row in rows]
        np.testing.assert_allclose(got, table[name].to_numpy(float), rtol=1e-9, err_msg=name)


def test_ours_is_missing_where_its_answer_is_none(watcher: Any) -> None:
    """It writes -1, raises, or fits fewer than 8 eigenvalues or equal ones."""
    cases = matrices.impossible()
    tree = {f"m{i}": {"kernel": matrix} for i, (_, matrix) in enumerate(cases)}
    rows = sorted(analyse.diagnose(open_tree(tree), analyse.Identity("x")), key=lambda row: row["tensor"])
    its = []
    for (status, matrix), row in zip(cases, rows, strict=True):
        assert (row["status"], row["alpha"], row["in_range"]) == (status, None, None)
        if status == "not finite":
            with pytest.raises(ValueError, match="infs or NaNs"):
                its_eigenvalues(watcher, matrix)
            continue
        values = its_eigenvalues(watcher, matrix.astype(np.float64))
        alpha = its_fit(watcher, values)["alpha"]
        kept = np.sum(values > power_law.SMALLEST_EIGENVALUE)
        assert alpha == -1 or kept < power_law.SHORTEST_TAIL or alpha > power_law.NO_SPREAD, status
        its.append(alpha)
    assert its.count(-1) == 4


def test_the_powerlaw_package_agrees(zoo: Zoo, theirs: list) -> None:
    powerlaw = pytest.importorskip("powerlaw", minversion="1.5")
    if int(powerlaw.__version__.split(".")[0]) >= 2:
        pytest.skip("powerlaw 2 changed its search")
    compared = 0
    for values, fit in theirs[::10]:
        kept = values[values > power_law.SMALLEST_EIGENVALUE]
        if len(kept) < power_law.SMALL_SAMPLE:
            continue  # WeightWatcher's small-sample estimator is its own
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = powerlaw.Fit(kept, verbose=False)
        got = (other.alpha, other.D, other.xmin, other.sigma)
        np.testing.assert_allclose(got, [fit[n] for n in ("alpha", "ks_distance", "x_min", "sigma")], rtol=1e-9)
        compared += 1
    assert compared > 20
