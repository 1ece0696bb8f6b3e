"""What whole tables of several models say, in words: findings.json of an audit.

modification.py, anomalies.py and the interval of alpha see it; here it gets a name, the figures that it rests on
and a sentence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench_shadows.diagnostics import anomalies
from bench_shadows.diagnostics.anomalies import Anomaly, Metric
from bench_shadows.diagnostics.matching import why_apart
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
    Moved,
    inertness,
    modification,
    plain,
    with_rank_change,
)
from bench_shadows.paper import spans

Row = Mapping[str, Any]

DEPTHS: dict[Kind, str] = {
    "identical": "identical",
    "minimal": "minimal perturbation",
    "rescaled": "rescaled, the same direction",
    "conservative": "conservative fine-tuning",
    "substantial": "substantial change",
    "deep": "deep reparametrization",
}
THRESHOLDS: dict[Kind, float] = {
    "identical": 0.0,
    "minimal": MINIMAL_CHANGE,
    "rescaled": MINIMAL_CHANGE,
    "conservative": MINIMAL_CHANGE,
    "substantial": DEEP_CHANGE,
    "deep": DEEP_CHANGE,
}
DIRECTION = "change of direction"
OVER, UNDER = "over-trained", "under-trained"
SIGMAS = 1.96  # of an interval of 95 %


def findings(diagnostics_rows: Iterable[Row], changes_rows: Iterable[Row]) -> list[dict[str, Any]]:
    """What whole tables of any number of models say, one object for each finding: findings.json of an audit.

    Keys: `kind`, `verdict`, `model`, `reference`, `component`, `module` (None: all of the component), `layers`,
    `metric`, `statistic` (its value), `threshold`, `correlation`, `scale`, `borderline` (the verdict that a
    threshold a tenth away would have given), `interval` (of 95 %), `sentence`; None where one is not given. Kinds:

    - `not compared`: matrices of a model that the reference does not have: verdict `none`, or `some` are there;
    - `outside`: a matrix whose alpha is not in [2, 6], in WeightWatcher's words over- or under-trained;
    - `modification`: how far a component, and each of its modules, is from the reference;
    - `range`: the same for neighbouring layers of one kind, with the rule that decided;
    - `inertness`: whether spectra stayed while parameters moved: inert, restructured, replaced, unmoved;
    - `anomaly`: one matrix that stands out (the model alone, or its change from the reference);
    - `not judged`: a component with too few layers for the rule of anomalies.
    """
    own = _groups(diagnostics_rows, "model", "component")
    moved = _groups(changes_rows, "model", "reference", "component")
    alone = {key: _singles(rows, anomalies.METRICS) for key, rows in own.items()}
    found: list[dict[str, Any]] = list(_not_compared(own, moved))
    found += [_outside(row) for rows in own.values() for row in rows if row["in_range"] is False]
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


Who = tuple[str, str | None, str | None]  # model, reference, component


def _finding(kind: str, verdict: str, who: Who, sentence: str, **known: Any) -> dict[str, Any]:
    """A finding with every key, None where one is not given."""
    model, reference, component = who
    absent = dict.fromkeys(("module", "layers", "metric", "statistic", "threshold", "correlation"))
    absent |= dict.fromkeys(("scale", "borderline", "interval"))
    named = {"kind": kind, "verdict": verdict, "model": model, "reference": reference, "component": component}
    return named | absent | known | {"sentence": sentence}


def _not_compared(
    own: Mapping[tuple[Any, ...], Sequence[Row]], moved: Mapping[tuple[Any, ...], Sequence[Row]]
) -> Iterator[dict[str, Any]]:
    """One finding for each pair of which not everything could be compared."""
    pairs: dict[tuple[str, str], list[Row]] = {}
    for (model, reference, _), rows in moved.items():
        pairs.setdefault((model, reference), []).extend(rows)
    for (model, reference), rows in pairs.items():
        lost = [row for row in rows if row["status"].startswith(("not in", "shape"))]
        if not lost:
            continue
        known = [row["tensor"] for (name, _), part in own.items() if name == reference for row in part]
        why = why_apart([(row["tensor"], row["status"]) for row in lost], known)
        compared = len(rows) - len(lost)
        yield _finding(
            "not compared",
            "some" if compared else "none",
            (model, reference, None),
            f"{compared:,} of {len(rows):,} matrices of {model} could be compared with {reference}: {why}.",
            metric="matrices compared",
            statistic=compared,
            threshold=len(rows),
        )


def _outside(row: Row) -> dict[str, Any]:
    alpha, half = row["alpha"], SIGMAS * row["sigma"] if row["sigma"] is not None else None
    verdict, limit = (OVER, 2.0) if alpha < 2 else (UNDER, 6.0)
    interval = None if half is None else [alpha - half, alpha + half]
    touches = interval is not None and interval[0] <= limit <= interval[1]
    where = "" if row["layer"] is None else f", layer {row['layer']}"
    between = "" if interval is None else f" (95 %: {interval[0]:.2f} to {interval[1]:.2f})"
    return _finding(
        "outside",
        verdict,
        (row["model"], None, row["component"]),
        f"{row['component']} {row['module']}{where} of {row['model']}: alpha {alpha:.2f}{between}, {verdict} in "
        f"WeightWatcher's words{'; the interval reaches into [2, 6]' if touches else ''}.",
        module=row["module"],
        layers=[] if row["layer"] is None else [row["layer"]],
        metric="alpha",
        statistic=alpha,
        threshold=limit,
        borderline="in range" if touches else None,
        interval=interval,
    )


def _modifications(who: Who, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The component, then each of its modules; after each of them its ranges of layers."""
    for module in (None, *sorted({plain(row["module"]) for row in rows})):
        state = modification(rows, module)
        if state is None:
            continue
        known = sum(max(1, len(part.layers)) for part in state.ranges)
        name = f"{who[2]} {module}" if module else f"{who[2]}, all modules"
        near = f", borderline to {state.borderline}" if state.borderline else ""
        if state.kind == "deep":
            decided = ("share of deep layers", len(state.deep_layers) / known, DEEP_SHARE)
        else:
            decided = (DIRECTION, state.median.direction, THRESHOLDS[state.kind])
        yield _finding(
            "modification",
            state.kind,
            who,
            f"{name} of {who[0]} against {who[1]}: {DEPTHS[state.kind]}{near} ({_figures(state.median)}, deep "
            f"layers: {len(state.deep_layers)} of {known}).",
            module=module,
            layers=list(state.deep_layers),
            borderline=state.borderline,
            **_measured(state.median),
            **dict(zip(("metric", "statistic", "threshold"), decided, strict=True)),
        )
        for part in state.ranges:
            where = f", {_many(len(part.layers), 'layer')} {spans(part.layers)}" if part.layers else ""
            near = f", borderline to {part.median.borderline}" if part.median.borderline else ""
            yield _finding(
                "range",
                part.kind,
                who,
                f"{name}{where}: {part.kind}{near}, because {RULES[part.kind]} ({_figures(part.median)}).",
                module=module,
                layers=list(part.layers),
                metric=DIRECTION,
                statistic=part.median.direction,
                threshold=THRESHOLDS[part.kind],
                borderline=part.median.borderline,
                **_measured(part.median),
            )


def _figures(median: Moved) -> str:
    return (
        f"medians: scale {median.scale:.3g}, change of direction {median.direction:.3g}, relative change "
        f"{median.relative_change:.3g}, correlation {median.correlation:.3g}"
    )


def _measured(median: Moved) -> dict[str, float]:
    return {"correlation": median.correlation, "scale": median.scale}


def _inertness(who: Who, state: Inertness) -> dict[str, Any]:
    model, reference, component = who
    measured = (
        f"effective rank changed by less than {INERT_RANK:.1%} in {state.still:.0%} of {state.matrices} "
        f"{_many(state.matrices, 'matrix', 'matrices')}"
    )
    change = f"median relative change {state.relative_change:.3g}, change of direction {state.direction:.3g}"
    said = {
        "inert": f"spectrally inert: parameters moved ({change}), spectra did not",
        "restructured": f"not inert: spectra moved with the parameters ({change})",
        "replaced": f"not inert: {state.deep:.0%} of the matrices are others, with the same ranks ({change})",
        "unmoved": f"nothing to say about inertness: parameters hardly moved ({change}; limit {INERT_CHANGE:g})",
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
