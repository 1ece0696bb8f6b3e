"""What tables say in words: depth of modification, ranges, inertness, anomalies, what is outside of [2, 6]."""

import numpy as np
import pytest

from bench_shadows.diagnostics.findings import INERT_SHARE, findings

V = "self_attn.v_proj"
MODULES = ("self_attn.q_proj", "self_attn.k_proj", V, "mlp.up_proj")


def a_model(name: str, component: str = "decoder", layers: int = 36, seed: int = 0) -> list[dict]:
    """Diagnostics of a healthy model: alpha near 3.5, effective rank near 500."""
    rng = np.random.default_rng(seed)
    return [
        {"model": name, "component": component, "module": module, "layer": layer, "tensor": f"{module}.{layer}"}
        | {"alpha": 3.5 + 0.2 * rng.normal(), "effective_rank": 500 + 3 * rng.normal(), "in_range": True}
        | {"sigma": 0.2, "status": "ok"}
        for module in MODULES
        for layer in range(layers)
    ]


def moved(rows: list[dict], base: str, relative_change: float, correlation: float, rank: float) -> list[dict]:
    """Changes of every matrix of a model from its base, the same everywhere but for noise."""
    rng = np.random.default_rng(1)
    return [
        {name: row[name] for name in ("model", "component", "module", "layer", "tensor")}
        | {"status": "ok", "reference": base, "relative_change": relative_change * np.exp(0.05 * rng.normal())}
        | {"correlation": correlation, "delta_effective_rank": rank * rng.normal()}
        for row in rows
    ]


def of_kind(found: list[dict], kind: str, **equal: object) -> list[dict]:
    return [one for one in found if one["kind"] == kind and all(one[key] == value for key, value in equal.items())]


def test_a_clean_model_yields_no_finding() -> None:
    assert findings(a_model("m") + a_model("m", "vision", 24), []) == []


def test_findings_name_the_range_that_was_rebuilt_and_the_rule() -> None:
    rows = a_model("vl")
    changes = moved(rows, "base", 0.2, 0.98, 20)
    for row in changes:
        if row["module"] == V and 2 <= row["layer"] <= 20:
            row |= {"relative_change": 1.35, "correlation": 0.01}
    found = findings(rows, changes)
    (whole,) = of_kind(found, "modification", module=None)
    (value,) = of_kind(found, "modification", module=V)
    assert (whole["verdict"], value["verdict"]) == ("conservative", "deep")
    assert value["layers"] == list(range(2, 21))
    (deep,) = of_kind(found, "range", module=V, verdict="deep")
    assert (deep["layers"], deep["threshold"]) == (list(range(2, 21)), 0.5)
    assert "layers 2–20: deep, because change of direction ≥ 0.5, and |correlation| < 0.3" in deep["sentence"]
    assert of_kind(found, "inertness")[0]["verdict"] == "restructured"
    assert of_kind(found, "anomaly") == []
    assert {frozenset(one) for one in found} == {frozenset(found[0])}


def test_a_few_steps_are_minimal_and_say_nothing_about_inertness() -> None:
    rows = a_model("tuned")
    found = findings(rows, moved(rows, "base", 0.003, 0.99999, 0.01))
    assert {one["verdict"] for one in of_kind(found, "modification")} == {"minimal"}
    assert of_kind(found, "inertness")[0]["verdict"] == "unmoved"


def test_an_inert_pair_is_found() -> None:
    rows = a_model("thinking")
    (state,) = of_kind(findings(rows, moved(rows, "instruct", 0.2, 0.98, 0.4)), "inertness")
    assert (state["verdict"], state["reference"], state["statistic"], state["threshold"]) == (
        "inert",
        "instruct",
        1.0,
        INERT_SHARE,
    )


def test_an_anomaly_in_one_vision_query_projection_is_named_and_inherited_ones_are_told() -> None:
    base, tuned = a_model("base", "vision", 24), a_model("tuned", "vision", 24, seed=3)
    for row in (*base, *tuned):
        if (row["module"], row["layer"]) == ("self_attn.q_proj", 2):
            row["alpha"] = 15.0
    alone = of_kind(findings(tuned, []), "anomaly")
    assert [(one["component"], one["module"], one["layers"], one["verdict"]) for one in alone] == [
        ("vision", "self_attn.q_proj", [2], "stands out")
    ]
    assert alone[0]["statistic"] >= alone[0]["threshold"]
    assert "alpha 15 where 3.5" in alone[0]["sentence"]
    both = of_kind(findings(base + tuned, moved(tuned, "base", 0.2, 0.98, 5)), "anomaly", model="tuned")
    assert [one["verdict"] for one in both] == ["inherited"]
    assert both[0]["sentence"].endswith("base has it too.")


def test_too_few_layers_are_said() -> None:
    found = findings(a_model("small", layers=4), [])
    assert [(one["kind"], one["statistic"]) for one in found] == [("not judged", 4)]
    merger = {"model": "m", "component": "projector", "module": "merger", "layer": None, "tensor": "merger"}
    assert findings([merger | {"alpha": 3.0, "effective_rank": 90.0, "in_range": True}], []) == []


def test_what_is_outside_is_listed_with_its_interval_in_weightwatchers_words() -> None:
    rows = a_model("m", layers=8)
    rows[3] |= {"alpha": 1.5, "sigma": 0.1, "in_range": False}
    rows[9] |= {"alpha": 6.2, "sigma": 0.3, "in_range": False}
    found = of_kind(findings(rows, []), "outside")
    assert [(one["verdict"], one["layers"], one["borderline"]) for one in found] == [
        ("over-trained", [3], None),
        ("under-trained", [1], "in range"),
    ]
    assert found[0]["interval"] == [pytest.approx(1.5 - 0.196), pytest.approx(1.5 + 0.196)]
    assert "self_attn.q_proj, layer 3 of m: alpha 1.50 (95 %: 1.30 to 1.70), over-trained" in found[0]["sentence"]


def test_a_reference_that_matches_nothing_is_told_with_the_reason() -> None:
    own = [row | {"tensor": f"wrapped.{row['tensor']}"} for row in a_model("m", layers=8)]
    base = a_model("base", layers=8)
    lost = [row | {"status": "not in the reference base"} for row in moved(own, "base", 0.1, 1.0, 1)]
    for row in lost:
        row |= dict.fromkeys(("relative_change", "correlation", "delta_effective_rank"))
    (none,) = of_kind(findings(own + base, lost), "not compared")
    assert none["verdict"] == "none"
    assert none["sentence"].startswith(
        "0 of 32 matrices of m could be compared with base: names differ by the prefix `wrapped.` here"
    )
    reshaped = lost[31] | {"status": "shape (3, 4) against (5, 4) in the reference"}
    some = [*moved(own[:31], "base", 0.1, 1.0, 1), reshaped]
    (part,) = of_kind(findings(own + base, some), "not compared")
    assert part["verdict"] == "some"
    assert "31 of 32 matrices of m could be compared with base: shapes differ" in part["sentence"]
    other = [row | {"tensor": f"else.{i}"} for i, row in enumerate(base)]
    assert "no name is alike: wrapped." in of_kind(findings(own + other, lost), "not compared")[0]["sentence"]


def test_three_times_the_weights_is_a_scale_and_nothing_else() -> None:
    rows = a_model("thrice")
    changes = [row | {"scale": 3.0, "relative_change": 2.0} for row in moved(rows, "base", 2.0, 1.0, 0)]
    found = findings(rows, changes)
    (whole,) = of_kind(found, "modification", module=None)
    assert (whole["verdict"], whole["scale"], whole["statistic"]) == ("rescaled", 3.0, 0.0)
    assert of_kind(found, "inertness")[0]["verdict"] == "unmoved"


def test_every_entry_equal_is_identical() -> None:
    rows = a_model("twin")
    changes = [
        row | {"scale": 1.0, "relative_change": 0.0, "update_sparsity": 1.0}
        for row in moved(rows, "base", 0, 1, 0)
    ]
    assert {one["verdict"] for one in of_kind(findings(rows, changes), "modification")} == {"identical"}
