"""Single matrices stand out where one was planted, and nowhere in a clean model."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench_shadows.diagnostics import anomalies
from bench_shadows.diagnostics.anomalies import CHANGE_METRICS, METRICS, find, judge

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import calibrate_anomalies

MODULES = (*(f"self_attn.{name}_proj" for name in "qkvo"), "mlp.up_proj", "mlp.down_proj")
ALPHA, RANK = METRICS
CHANGE = CHANGE_METRICS[0]


def rows_of(values: np.ndarray, name: str = "alpha") -> list[dict]:
    return [
        {"module": MODULES[m], "layer": layer, name: float(value) if np.isfinite(value) else None}
        for m, row in enumerate(values)
        for layer, value in enumerate(row)
    ]


def clean(layers: int = 24, seed: int = 0) -> np.ndarray:
    """Alphas of a healthy tower: each module has its level, all rise with depth, and fits err by a tenth."""
    random = np.random.default_rng(seed)
    level = random.uniform(2.5, 4.5, size=(len(MODULES), 1)) * np.linspace(1, 1.2, layers)
    return 1 + (level - 1) * np.exp(0.1 * random.normal(size=level.shape))


def test_a_planted_query_projection_is_found_and_only_it() -> None:
    values = clean()
    values[0, 3] = 14.0
    (one,) = find(rows_of(values), ALPHA)
    assert (one.module, one.layer, one.metric, one.value) == ("self_attn.q_proj", 3, "alpha", 14.0)
    assert one.deviation >= anomalies.THRESHOLD
    assert 2 < one.usual < 6


def test_two_places_are_two_anomalies_and_a_drop_has_a_sign() -> None:
    ranks = 500 + clean()
    ranks[0, 2], ranks[4, 17] = 60.0, 90.0
    found = find(rows_of(ranks, "effective_rank"), RANK)
    assert {(one.module, one.layer) for one in found} == {("self_attn.q_proj", 2), ("mlp.up_proj", 17)}
    assert all(one.deviation <= -anomalies.THRESHOLD for one in found)


def test_a_layer_that_differs_as_a_whole_is_not_a_single_submodule() -> None:
    values = clean()
    values[:, 0] = 14.0
    assert find(rows_of(values), ALPHA) == []


def test_a_range_of_layers_is_not_a_single_place() -> None:
    changes = np.full((len(MODULES), 24), 0.2) * np.exp(0.02 * np.random.default_rng(0).normal(size=(6, 24)))
    changes[2, 2:9] = 1.4
    assert find(rows_of(changes, "relative_change"), CHANGE) == []
    changes[2] = changes[1]
    changes[2, 5] = 1.4
    assert [(one.module, one.layer) for one in find(rows_of(changes, "relative_change"), CHANGE)] == [
        ("self_attn.v_proj", 5)
    ]


def test_what_is_small_in_size_is_no_anomaly_however_smooth_the_rest() -> None:
    changes = np.full((len(MODULES), 24), 0.2)
    changes[1, 7] = 0.21
    assert find(rows_of(changes, "relative_change"), CHANGE) == []


def test_missing_values_and_few_layers_are_not_judged() -> None:
    values = clean(layers=5)
    values[0, 3] = 50.0
    assert find(rows_of(values), ALPHA) == []
    sparse = clean()
    sparse[0, 3:] = np.nan
    sparse[0, 1] = 80.0
    assert find(rows_of(sparse), ALPHA) == []
    assert find(rows_of(np.full((6, 24), np.nan)), ALPHA) == []
    assert find([{"module": "merger.0", "layer": None, "alpha": 3.0}], ALPHA) == []


def test_a_module_without_siblings_is_judged_by_its_depth() -> None:
    values = clean()[:1]
    values[0, 11] = 20.0
    assert [one.layer for one in find(rows_of(values), ALPHA)] == [11]


@pytest.mark.parametrize(
    "draw", [calibrate_anomalies.gaussian, calibrate_anomalies.shared_u, calibrate_anomalies.fitted_alpha]
)
def test_clean_models_raise_no_alarm(draw: calibrate_anomalies.Draw) -> None:
    # scripts/calibrate_anomalies.py measures the rate on a thousand models each; it is below one in a hundred
    assert calibrate_anomalies.false_alarms(draw, 36, models=60) == 0


def test_most_of_what_stands_out_by_twenty_deviations_is_found() -> None:
    assert calibrate_anomalies.found(calibrate_anomalies.gaussian, 24, 20, models=60) >= 0.9


def test_the_deviation_of_a_clean_profile_is_that_of_a_normal_distribution() -> None:
    _, deviation = judge(np.random.default_rng(0).normal(size=(1, 400)), floor=0.1)
    assert np.std(deviation) == pytest.approx(1, abs=0.1)
