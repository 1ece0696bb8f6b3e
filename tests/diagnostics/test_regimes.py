import math

import numpy as np
import pytest

from bench_shadows.diagnostics import regimes

V = "self_attn.v_proj"


def over_depth(**columns: list) -> list[dict]:
    count = len(next(iter(columns.values())))
    return [
        {"module": V, "layer": i} | {name: values[i] for name, values in columns.items()} for i in range(count)
    ]


def test_the_share_counts_what_was_fitted_only() -> None:
    found = regimes.aggregate({"in_range": flag} for flag in (True, False, True, None, None))
    assert (found.in_range, found.fitted, found.missing) == (2, 3, 2)
    assert found.share == pytest.approx(2 / 3)
    assert regimes.aggregate([{"in_range": None}]).share is None


def test_a_smooth_trend_and_an_irregular_profile_differ() -> None:
    rng = np.random.default_rng(0)
    trend = regimes.profile(over_depth(alpha=list(np.linspace(3, 5, 32))), V)
    noise = regimes.profile(over_depth(alpha=list(4 + rng.normal(size=32))), V)
    assert (trend.trend, trend.layers) == (pytest.approx(1), 32)
    assert trend.roughness < 0.15
    assert noise.roughness > 0.6
    assert abs(noise.trend) < 0.5


def test_elevation_of_the_upper_layers() -> None:
    raised = regimes.profile(over_depth(alpha=[3.0] * 24 + [5.0] * 8), V)
    level = regimes.profile(over_depth(alpha=[3.0] * 32), V)
    assert raised.elevation > 1.2
    assert (level.elevation, level.heterogeneity, level.roughness) == (0, 0, 0)


def test_a_profile_leaves_out_what_is_missing_and_sorts_by_layer() -> None:
    rows = over_depth(alpha=[1.0, 2.0, None, 4.0, 5.0])[::-1]
    found = regimes.profile([*rows, {"module": "mlp.up_proj", "layer": 0, "alpha": 99.0}], V)
    assert (found.layers, found.trend) == (4, pytest.approx(1))
    assert math.isnan(regimes.profile(rows[:2], V).heterogeneity)


def test_the_u_shape_of_change_variance() -> None:
    u = [5.0, 4.0, 1, 1, 1, 1, 1, 1, 1, 1, 4.0, 5.0]
    shape = regimes.dynamics(over_depth(change_variance=u, delta_effective_rank=[0.0] * 8 + [2.0] * 4), V)
    flat = regimes.dynamics(over_depth(change_variance=[1.0] * 12, delta_effective_rank=[0.5] * 12), V)
    assert shape.ends_over_middle == pytest.approx(4.5)
    assert (flat.ends_over_middle, flat.concentration) == (1, 0)
    assert shape.concentration > 0.5
    assert (shape.rank_shift, flat.rank_shift) == (pytest.approx(2 / 3), 0.5)
    assert shape.rank_elevation > 1
    assert flat.rank_elevation == 0


def test_three_depths_of_modification() -> None:
    near = regimes.modification(over_depth(relative_change=[0.01] * 36, correlation=[0.9999] * 36), V)
    tuned = regimes.modification(over_depth(relative_change=[0.2] * 36, correlation=[0.98] * 36), V)
    # the paper's bimodal case: layers 2 to 20 of 36 rebuilt, the others close to the base
    rebuilt = [2 <= i <= 20 for i in range(36)]
    deep = regimes.modification(
        over_depth(
            relative_change=[1.3 if r else 0.1 for r in rebuilt],
            correlation=[0.02 if r else 0.99 for r in rebuilt],
        ),
        V,
    )
    assert near is not None
    assert tuned is not None
    assert deep is not None
    assert (near.kind, tuned.kind, deep.kind) == ("minimal", "conservative", "deep")
    assert deep.deep_layers == tuple(range(2, 21))
    assert regimes.modification(over_depth(relative_change=[None], correlation=[None]), V) is None


def test_spectral_inertness_is_movement_without_restructuring() -> None:
    ranks = over_depth(effective_rank=[500.0] * 12)
    moved = {"relative_change": [0.2] * 12}
    still = over_depth(delta_effective_rank=[0.3] * 12, **moved)
    spiky = over_depth(delta_effective_rank=[0.3] * 8 + [20.0, -15.0, 9.0, 30.0], **moved)
    frozen = over_depth(delta_effective_rank=[0.0] * 12, relative_change=[0.0] * 12)
    assert regimes.is_inert(still, ranks, V) is True
    assert regimes.is_inert(spiky, ranks, V) is False
    assert regimes.is_inert(frozen, ranks, V) is False
    assert regimes.is_inert([], ranks, V) is None
