import numpy as np

from bench_shadows.diagnostics import regimes

V = "self_attn.v_proj"


MODULES = ("self_attn.q_proj", "self_attn.k_proj", V, "mlp.up_proj")


def a_model(name: str, component: str = "decoder", layers: int = 36, seed: int = 0) -> list[dict]:
    """Diagnostics of a healthy model: alpha near 3.5, effective rank near 500."""
    rng = np.random.default_rng(seed)
    return [
        {"model": name, "component": component, "module": module, "layer": layer, "tensor": f"{module}.{layer}"}
        | {"alpha": 3.5 + 0.2 * rng.normal(), "effective_rank": 500 + 3 * rng.normal(), "in_range": True}
        for module in MODULES
        for layer in range(layers)
    ]


def moved(rows: list[dict], base: str, relative_change: float, correlation: float, rank: float) -> list[dict]:
    """Changes of every matrix of a model from its base, the same everywhere but for noise."""
    rng = np.random.default_rng(1)
    return [
        {name: row[name] for name in ("model", "component", "module", "layer", "tensor")}
        | {"reference": base, "relative_change": relative_change * np.exp(0.05 * rng.normal())}
        | {"correlation": correlation, "delta_effective_rank": rank * rng.normal()}
        for row in rows
    ]


def of_kind(found: list[dict], kind: str, **equal: object) -> list[dict]:
    return [one for one in found if one["kind"] == kind and all(one[key] == value for key, value in equal.items())]


def test_a_clean_model_yields_no_finding() -> None:
    assert regimes.findings(a_model("m") + a_model("m", "vision", 24), []) == []


def test_findings_name_the_range_that_was_rebuilt_and_the_rule() -> None:
    rows = a_model("vl")
    changes = moved(rows, "base", 0.2, 0.98, 20)
    for row in changes:
        if row["module"] == V and 2 <= row["layer"] <= 20:
            row |= {"relative_change": 1.35, "correlation": 0.01}
    found = regimes.findings(rows, changes)
    (whole,) = of_kind(found, "modification", module=None)
    (value,) = of_kind(found, "modification", module=V)
    assert (whole["verdict"], value["verdict"]) == ("conservative", "deep")
    assert value["layers"] == list(range(2, 21))
    (deep,) = of_kind(found, "range", module=V, verdict="deep")
    assert (deep["layers"], deep["threshold"]) == (list(range(2, 21)), 0.5)
    assert "layers 2–20: deep, because relative change ≥ 0.5 and |correlation| < 0.3" in deep["sentence"]
    assert of_kind(found, "inertness")[0]["verdict"] == "restructured"
    assert of_kind(found, "anomaly") == []
    assert {frozenset(one) for one in found} == {frozenset(found[0])}


def test_a_few_steps_are_minimal_and_say_nothing_about_inertness() -> None:
    rows = a_model("tuned")
    found = regimes.findings(rows, moved(rows, "base", 0.003, 0.99999, 0.01))
    assert {one["verdict"] for one in of_kind(found, "modification")} == {"minimal"}
    assert of_kind(found, "inertness")[0]["verdict"] == "unmoved"


def test_an_inert_pair_is_found() -> None:
    rows = a_model("thinking")
    (state,) = of_kind(regimes.findings(rows, moved(rows, "instruct", 0.2, 0.98, 0.4)), "inertness")
    assert (state["verdict"], state["reference"], state["statistic"], state["threshold"]) == (
        "inert",
        "instruct",
        1.0,
        regimes.INERT_SHARE,
    )


def test_an_anomaly_in_one_vision_query_projection_is_named_and_inherited_ones_are_told() -> None:
    base, tuned = a_model("base", "vision", 24), a_model("tuned", "vision", 24, seed=3)
    for row in (*base, *tuned):
        if (row["module"], row["layer"]) == ("self_attn.q_proj", 2):
            row["alpha"] = 15.0
    alone = of_kind(regimes.findings(tuned, []), "anomaly")
    assert [(one["component"], one["module"], one["layers"], one["verdict"]) for one in alone] == [
        ("vision", "self_attn.q_proj", [2], "stands out")
    ]
    assert alone[0]["statistic"] >= alone[0]["threshold"]
    assert "alpha 15 where 3.5" in alone[0]["sentence"]
    both = of_kind(regimes.findings(base + tuned, moved(tuned, "base", 0.2, 0.98, 5)), "anomaly", model="tuned")
    assert [one["verdict"] for one in both] == ["inherited"]
    assert both[0]["sentence"].endswith("base has it too.")


def test_too_few_layers_are_said() -> None:
    found = regimes.findings(a_model("small", layers=4), [])
    assert [(one["kind"], one["statistic"]) for one in found] == [("not judged", 4)]
    merger = {"model": "m", "component": "projector", "module": "merger", "layer": None, "tensor": "merger"}
    assert regimes.findings([merger | {"alpha": 3.0, "effective_rank": 90.0}], []) == []
