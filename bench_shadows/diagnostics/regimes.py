"""The paper's reading of audited models, as pure functions of table rows: `findings` puts into words what
modification.py and anomalies.py see in whole tables of several models.

Rows are those of diagnostics.parquet and changes.parquet; what is missing in them is left out here, and counted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench_shadows.diagnostics import anomalies
from bench_shadows.diagnostics.anomalies import Anomaly, Metric
from bench_shadows.diagnostics.modification import (
    DEEP_CHANGE,
    DEEP_SHARE,
    INERT_CHANGE,
    INERT_RANK,
    INERT_SHARE,
    MINIMAL_CHANGE,
    RULES,
    Inertness,
    Kind,
    inertness,
    modification,
    plain,
    with_rank_change,
)
from bench_shadows.paper import spans

Row = Mapping[str, Any]

DEPTHS: dict[Kind, str] = {
    "minimal": "minimal perturbation",
    "conservative": "conservative fine-tuning",
    "deep": "deep reparametrization",
}
THRESHOLDS: dict[Kind, float] = {
    "minimal": MINIMAL_CHANGE,
    "conservative": MINIMAL_CHANGE,
    "deep": DEEP_CHANGE,
}


def findings(diagnostics_rows: Iterable[Row], changes_rows: Iterable[Row]) -> list[dict[str, Any]]:
    """What whole tables of any number of models say, one object for each finding: findings.json of an audit.

    Keys: `kind`, `verdict`, `model`, `reference`, `component`, `module` (None: all of the component), `layers`,
    `metric`, `statistic` (its value), `threshold`, `correlation`, `sentence`; None where one is not given. Kinds:

    - `modification`: how far a component, and each of its modules, stands from the reference;
    - `range`: the same for neighbouring layers of one kind, with the rule that decided;
    - `inertness`: whether spectra stayed while parameters moved: inert, restructured, replaced, unmoved;
    - `anomaly`: one matrix that stands out (the model alone, or its change from the reference);
    - `not judged`: a component with too few layers for the rule of anomalies.
    """
    own = _groups(diagnostics_rows, "model", "component")
    moved = _groups(changes_rows, "model", "reference", "component")
    alone = {key: _singles(rows, anomalies.METRICS) for key, rows in own.items()}
    found: list[dict[str, Any]] = []
    for (model, component), singles in alone.items():
        bases = [base for other, base, part in moved if (other, part) == (model, component)]
        for place, seen in singles.items():
            shared = [base for base in bases if place in alone.get((base, component), {})]
            found.append(_anomaly((model, None, component), seen, shared))
        layers = len(anomalies.grid(own[model, component], "alpha").layers)
        if 0 < layers < anomalies.LAYERS:
            found.append(_not_judged((model, None, component), layers))
    for (model, reference, component), rows in moved.items():
        here, who = own.get((model, component), []), (model, reference, component)
        found.extend(_modifications(who, rows))
        if (state := inertness(rows, here)) is not None:
            found.append(_inertness(who, state))
        changed = _singles(with_rank_change(rows, here), anomalies.CHANGE_METRICS)
        found.extend(_anomaly(who, seen, []) for seen in changed.values())
    return found


Who = tuple[str, str | None, str]  # model, reference, component


def _finding(kind: str, verdict: str, who: Who, sentence: str, **known: Any) -> dict[str, Any]:
    """A finding with every key, None where one is not given."""
    model, reference, component = who
    absent = dict.fromkeys(("module", "layers", "metric", "statistic", "threshold", "correlation"))
    named = {"kind": kind, "verdict": verdict, "model": model, "reference": reference, "component": component}
    return named | absent | known | {"sentence": sentence}


def _modifications(who: Who, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The component, then each of its modules; after each of them its ranges of layers."""
    for module in (None, *sorted({plain(row["module"]) for row in rows})):
        state = modification(rows, module)
        if state is None:
            continue
        known = sum(max(1, len(part.layers)) for part in state.ranges)
        name = f"{who[2]} {module}" if module else f"{who[2]}, all modules"
        sentence = (
            f"{name} of {who[0]} against {who[1]}: {DEPTHS[state.kind]} (median relative change "
            f"{state.relative_change:.3g}, correlation {state.correlation:.3g}, deep layers: "
            f"{len(state.deep_layers)} of {known})."
        )
        if state.kind == "deep":
            decided = ("share of deep layers", len(state.deep_layers) / known, DEEP_SHARE)
        else:
            decided = ("relative change", state.relative_change, MINIMAL_CHANGE)
        yield _finding(
            "modification",
            state.kind,
            who,
            sentence,
            module=module,
            layers=list(state.deep_layers),
            correlation=state.correlation,
            **dict(zip(("metric", "statistic", "threshold"), decided, strict=True)),
        )
        for part in state.ranges:
            where = f", {_many(len(part.layers), 'layer')} {spans(part.layers)}" if part.layers else ""
            yield _finding(
                "range",
                part.kind,
                who,
                f"{name}{where}: {part.kind}, because {RULES[part.kind]} (median relative change "
                f"{part.relative_change:.3g}, correlation {part.correlation:.3g}).",
                module=module,
                layers=list(part.layers),
                metric="relative change",
                statistic=part.relative_change,
                threshold=THRESHOLDS[part.kind],
                correlation=part.correlation,
            )


def _inertness(who: Who, state: Inertness) -> dict[str, Any]:
    model, reference, component = who
    measured = (
        f"effective rank changed by less than {INERT_RANK:.1%} in {state.still:.0%} of {state.matrices} "
        f"{_many(state.matrices, 'matrix', 'matrices')}"
    )
    change = f"median relative change {state.relative_change:.3g}"
    said = {
        "inert": f"spectrally inert: parameters moved ({change}), spectra did not",
        "restructured": f"not inert: spectra moved with the parameters ({change})",
        "replaced": f"not inert: {state.deep:.0%} of the matrices are others, with the same ranks ({change})",
        "unmoved": f"nothing to say about inertness: parameters hardly moved ({change} < {INERT_CHANGE:g})",
    }
    return _finding(
        "inertness",
        state.verdict,
        who,
        f"{component} of {model} against {reference}: {said[state.verdict]}; {measured}.",
        metric="share of matrices with unchanged effective rank",
        statistic=state.still,
        threshold=INERT_SHARE,
    )


def _singles(rows: Iterable[Row], metrics: Sequence[Metric]) -> dict[tuple[str, int], list[Anomaly]]:
    """(module, layer) -> what stands out there, the largest deviation first."""
    rows = list(rows)
    places: dict[tuple[str, int], list[Anomaly]] = {}
    for metric in metrics:
        for one in anomalies.find(rows, metric):
            places.setdefault((one.module, one.layer), []).append(one)
    return {place: sorted(seen, key=lambda one: -abs(one.deviation)) for place, seen in sorted(places.items())}


METRIC_WORDS = {"rank_change": "relative change of effective rank"}


def _anomaly(who: Who, seen: Sequence[Anomaly], shared: Sequence[str]) -> dict[str, Any]:
    """One finding for a place, whatever number of metrics it stands out in; `shared`: bases that have it too."""
    model, reference, component = who
    first = seen[0]
    parts = [
        f"{METRIC_WORDS.get(one.metric, one.metric.replace('_', ' '))} {one.value:.3g} where {one.usual:.3g} is "
        f"usual ({abs(one.deviation):.0f} robust standard deviations)"
        for one in seen
    ]
    against = f" against {reference}" if reference else ""
    base = f" {' and '.join(shared)} {_many(len(shared), 'has', 'have')} it too." if shared else ""
    return _finding(
        "anomaly",
        "inherited" if shared else "stands out",
        who,
        f"{component} {first.module}, layer {first.layer} of {model}{against}: {'; '.join(parts)}.{base}",
        module=first.module,
        layers=[first.layer],
        metric=first.metric,
        statistic=first.deviation,
        threshold=anomalies.THRESHOLD,
    )


def _not_judged(who: Who, layers: int) -> dict[str, Any]:
    model, _, component = who
    return _finding(
        "not judged",
        "too few layers",
        who,
        f"{component} of {model} has {layers} {_many(layers, 'layer')}: single submodules are judged from "
        f"{anomalies.LAYERS} layers on.",
        metric="layers",
        statistic=layers,
        threshold=anomalies.LAYERS,
    )


def _many(count: int, one: str, several: str | None = None) -> str:
    return one if count == 1 else several or f"{one}s"


def _groups(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some columns, in the order of their first rows."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found
