"""Three depths of modification, by layer range, and spectra that stay while weights move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.diagnostics.modification import Moved, inertness, modification, moved, plain

V = "self_attn.v_proj"


def over_depth(module: str = V, **columns: list) -> list[dict]:
    count = len(next(iter(columns.values())))
    return [
        {"module": module, "layer": i} | {name: values[i] for name, values in columns.items()}
        for i in range(count)
    ]


def rebuilt(module: str = V, first: int = 2, last: int = 20, layers: int = 36) -> list[dict]:
    """The paper's bimodal case: layers 2 to 20 of 36 rebuilt, the others close to the base."""
    deep = [first <= i <= last for i in range(layers)]
    return over_depth(
        module,
        relative_change=[1.3 if d else 0.1 for d in deep],
        correlation=[0.02 if d else 0.99 for d in deep],
    )


def test_three_depths_of_modification() -> None:
    near = modification(over_depth(relative_change=[0.01] * 36, correlation=[0.9999] * 36))
    tuned = modification(over_depth(relative_change=[0.2] * 36, correlation=[0.98] * 36))
    deep = modification(rebuilt())
    assert near is not None
    assert tuned is not None
    assert deep is not None
    assert (near.kind, tuned.kind, deep.kind) == ("minimal", "conservative", "deep")
    assert deep.deep_layers == tuple(range(2, 21))
    assert modification(over_depth(relative_change=[None], correlation=[None])) is None


def test_ranges_name_the_layers_and_what_they_are() -> None:
    deep = modification(rebuilt(), V)
    assert deep is not None
    assert [(part.kind, part.layers) for part in deep.ranges] == [
        ("conservative", (0, 1)),
        ("deep", tuple(range(2, 21))),
        ("conservative", tuple(range(21, 36))),
    ]
    assert (deep.ranges[1].median.relative_change, deep.ranges[1].median.correlation) == (1.3, 0.02)


def test_a_component_is_read_by_the_median_of_its_matrices() -> None:
    others = [row for name in ("self_attn.q_proj", "mlp.up_proj") for row in rebuilt(name, 40, 40)]
    whole = modification([*rebuilt(), *others])
    alone = modification([*rebuilt(), *others], V)
    assert whole is not None
    assert alone is not None
    assert (whole.kind, alone.kind) == ("conservative", "deep")


def test_experts_of_one_projection_are_one_module() -> None:
    rows = [row for expert in range(3) for row in rebuilt(f"mlp.experts.{expert}.up_proj")]
    found = modification(rows, "mlp.experts.up_proj")
    assert found is not None
    assert found.deep_layers == tuple(range(2, 21))
    assert (plain("mlp.experts.7.up_proj"), plain("merger.mlp.0")) == ("mlp.experts.up_proj", "merger.mlp.0")


def test_a_layer_that_is_missing_breaks_a_range_and_a_module_without_layers_has_one() -> None:
    rows = rebuilt(first=0, last=3, layers=4)
    rows[2] |= {"relative_change": None}
    broken = modification(rows)
    assert broken is not None
    assert [part.layers for part in broken.ranges] == [(0, 1), (3,)]
    single = modification([{"module": "merger.0", "layer": None, "relative_change": 0.02, "correlation": 0.99}])
    assert single is not None
    assert [(part.kind, part.layers) for part in single.ranges] == [("minimal", ())]


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-1, 1)), min_size=1, max_size=40))
def test_ranges_cover_every_layer_once_and_in_order(layers: list[tuple[float, float]]) -> None:
    change, correlation = zip(*layers, strict=True)
    found = modification(over_depth(relative_change=list(change), correlation=list(correlation)))
    assert found is not None
    assert [layer for part in found.ranges for layer in part.layers] == list(range(len(layers)))
    for part in found.ranges:
        assert {kind_of(*layers[layer]) for layer in part.layers} == {part.kind}
    assert all(one.kind != two.kind for one, two in zip(found.ranges, found.ranges[1:], strict=False))


def of(relative_change: float, correlation: float, scale: float | None = None, sparsity: float = 0) -> Moved:
    found = moved(
        {"relative_change": relative_change, "correlation": correlation}
        | {"scale": scale, "update_sparsity": sparsity}
    )
    assert found is not None
    return found


def kind_of(relative_change: float, correlation: float) -> str:
    return of(relative_change, correlation).kind


def test_a_factor_is_told_apart_from_a_change_of_direction() -> None:
    assert of(2.0, 1.0, 3.0).kind == "rescaled"
    assert of(2.0, -1.0, -1.0).kind == "rescaled"  # the sign turned
    assert of(2.0, 1.0, 3.0).direction == 0
    assert of((2**2 + 0.6**2) ** 0.5, 0.98, 3.0).kind == "conservative"  # three times the weights, and 20 % aside
    assert of(1.02, 0.05, 0.06).kind == "deep"  # other weights, of another size


def test_the_kinds_are_complete_and_the_middle_has_its_own_word() -> None:
    assert of(0.0, 1.0, 1.0, sparsity=1.0).kind == "identical"
    assert of(0.002, 1.0, 1.0, sparsity=1.0).kind == "identical"  # but for the rounding to the coarser dtype
    assert of(1.5, 0.56, 1.0).kind == "substantial"
    assert of(1.4, 0.0, 0.0).kind == "deep"
    assert moved({"relative_change": 0.0, "correlation": None, "scale": 1.0, "update_sparsity": 1.0}) is not None
    assert moved({"relative_change": 0.1, "correlation": None, "scale": 1.0, "update_sparsity": 0.0}) is None


def test_what_is_near_a_threshold_is_borderline() -> None:
    assert of(0.048, 0.999, 1.0).borderline == "conservative"
    assert of(0.052, 0.999, 1.0).borderline == "minimal"
    assert of(0.6, 0.86, 1.0).borderline == "conservative"
    assert of(1.4, 0.29, 1.0).borderline == "substantial"
    assert of(0.2, 0.98, 1.0).borderline is None
    assert of(0.0, 1.0, 1.0, sparsity=1.0).borderline is None
    assert of(0.048, 1.0, 1.048).borderline == "rescaled"


def test_spectral_inertness_is_movement_without_restructuring() -> None:
    ranks = over_depth(effective_rank=[500.0] * 12)
    moved = {"relative_change": [0.2] * 12, "correlation": [0.98] * 12}
    still = inertness(over_depth(delta_effective_rank=[0.3] * 12, **moved), ranks)
    spiky = inertness(over_depth(delta_effective_rank=[0.3] * 8 + [20.0, -15.0, 9.0, 30.0], **moved), ranks)
    little = {"relative_change": [0.001] * 12, "correlation": [1.0] * 12}
    frozen = inertness(over_depth(delta_effective_rank=[0.0] * 12, **little), ranks)
    assert still is not None
    assert spiky is not None
    assert frozen is not None
    assert (still.verdict, spiky.verdict, frozen.verdict) == ("inert", "restructured", "unmoved")
    assert (spiky.still, spiky.matrices) == (pytest.approx(8 / 12), 12)
    assert inertness([], ranks) is None
    assert inertness(over_depth(delta_effective_rank=[None] * 12, **moved), ranks) is None


def test_other_matrices_with_the_same_ranks_are_not_inert() -> None:
    replaced = {"relative_change": [1.4] * 12, "correlation": [0.01] * 12}
    found = inertness(
        over_depth(delta_effective_rank=[0.3] * 12, **replaced), over_depth(effective_rank=[500.0] * 12)
    )
    assert found is not None
    assert found.verdict == "replaced"
