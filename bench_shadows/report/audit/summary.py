"""An audit in ten lines that anybody can read: what it is, what stands out, how sure, what it cannot say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.paper import spans
from bench_shadows.report.audit.capability import asymmetry_table
from bench_shadows.report.audit.inputs import Audit, share
from bench_shadows.report.common.estimates import write_count, write_number

Lines = list[tuple[str, list[str]]]

DEPTHS = {
    "identical": "identical",
    "minimal": "minimal perturbation",
    "rescaled": "rescaled, the same direction",
    "conservative": "conservative fine-tuning",
    "substantial": "substantial change",
    "deep": "deep reparametrization",
}
ORDER = ("deep", "substantial", "conservative", "rescaled", "minimal", "identical")
SHOWN = 3  # models, pairs or places named in one line; the others are counted
LOW_RANK = 0.25  # of a matrix's smaller side, from which on an update's rank is not worth a word
REASONS = 3  # of what was left out of a model


def headlines(audit: Audit) -> list[str]:
    """What a reader must know before any figure; nothing in most audits."""
    found = [str(one["sentence"]) for one in audit.of_kind("not compared", verdict="none")]
    for model in audit.models:
        if model.get("role") == "update" and not _has_base(audit, model):
            found.append(
                f"{model.get('name')} is an adapter's update and no model: what is measured is s B A alone. Name "
                "its base (--reference) for the merged model and for how far it moved."
            )
    for name, base in audit.pairs:
        whole = audit.of_kind("modification", model=name, reference=base, module=None)
        if whole and all(one["verdict"] == "identical" for one in whole):
            count = int(np.isfinite(audit.changes.where(model=name, reference=base)["relative_change"]).sum())
            found.append(f"{name} is identical to {base}: all entries of {count:,} matrices are equal.")
    return found


def _has_base(audit: Audit, update: Mapping[str, Any]) -> bool:
    return any(model.get("role") == "merged" and model.get("path") == update.get("path") for model in audit.models)


def ten_lines(audit: Audit) -> Lines:
    """(heading, sentences): ten sentences in four groups, whatever was audited."""
    return [
        ("What was read", [_coverage(audit), _what(audit)]),
        (
            "What stands out",
            [_shares(audit), _outside(audit), _depth(audit), _inertness(audit), _anomalies(audit)],
        ),
        ("How sure", [_fits(audit)]),
        ("What it cannot say", [_scores(audit), _limits(audit)]),
    ]


def _coverage(audit: Audit) -> str:
    """Of every model how much was read, in tensors and in parameters, and what the rest is."""
    known = [model for model in audit.models if model.get("coverage") and model.get("role") != "update"]
    known = known or [model for model in audit.models if model.get("coverage")]
    same: dict[str, list[str]] = {}
    for model in known:
        same.setdefault(covered(model["coverage"]), []).append(str(model.get("name")))
    if len(same) == 1:
        return _sentence(next(iter(same)))
    return f"{_some([f'{_some(names)}: {text}' for text, names in same.items()])}."


def covered(found: Mapping[str, Any]) -> str:
    """`read 210 of 272 tensors, 61.0 % of the parameters; left out: embedding 38.0 %, ...`."""
    total = max(1, found["parameters"])
    parts = [
        f"{one['reason']} {write_share(one['parameters'] / total)}"
        for one in found["left_out"]
        if one["parameters"]
    ]
    read = (
        f"read {found['read_tensors']:,} of {found['tensors']:,} tensors, "
        f"{write_share(found['read_parameters'] / total)} of the parameters"
    )
    return f"{read}; left out: {_some(parts, REASONS)}" if parts else read


def write_share(share: float) -> str:
    """Percent with a digit after the point; what is not all is not called 100.0."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{'> 99.9' if 0.9995 <= share < 1 else f'{100 * share:.1f}'} %"


def _what(audit: Audit) -> str:
    matrices, names = len(audit.diagnostics), audit.names
    each = ", ".join(f"{name} {len(audit.diagnostics.where(component=name)):,}" for name in audit.components)
    models = names[0] if len(names) == 1 else f"{_some(names)}" if len(names) <= SHOWN else f"{len(names)} models"
    size = sum(model.get("bytes") or 0 for model in audit.models)
    notices = sum(len(model.get("notices") or ()) for model in audit.models)
    told = f" {notices} {'notice is' if notices == 1 else 'notices are'} listed below." if notices else ""
    return (
        f"{matrices:,} matrices of {models} ({each or 'none'}){f', {write_count(size)}B' if size else ''}; "
        f"nothing was run or trained. {_against(audit)}{told}"
    )


def _against(audit: Audit) -> str:
    if not audit.pairs:
        return "No reference was given: how far a model moved from its base is not known here."
    bases = list(dict.fromkeys(base for _, base in audit.pairs))
    partly = [str(one["sentence"]) for one in audit.of_kind("not compared", verdict="some")]
    more = f" {_some(partly, 1)}" if partly else ""
    if len(audit.pairs) == 1:
        return f"{audit.pairs[0][0]} is measured from {bases[0]}.{more}"
    return f"{len(audit.pairs)} pairs are measured: models from {_some(bases)}.{more}"


def _shares(audit: Audit) -> str:
    """Of every component, over all models."""
    parts = []
    for component in audit.components:
        rows = [(name, audit.diagnostics.where(component=component, model=name)) for name in audit.names]
        known = [(name, value, mine) for name, mine in rows if (value := share(mine)) is not None]
        if not known:
            continue
        low, high = min(known, key=lambda row: row[1]), max(known, key=lambda row: row[1])
        if len(known) == 1:
            fitted = np.isfinite(known[0][2]["in_range"])
            parts.append(f"{component} {low[1]:.1f} % of {int(fitted.sum()):,}")
        elif high[1] - low[1] < 0.05:
            parts.append(f"{component} {low[1]:.1f} % in each model")
        else:
            parts.append(f"{component} from {low[1]:.1f} % ({low[0]}) to {high[1]:.1f} % ({high[0]})")
    if not parts:
        return "No matrix has a power-law fit: nothing can be said about alpha."
    more = " The share alone hardly separates models." if len(audit.subjects) > 1 else ""
    return f"Matrices with alpha in [2, 6], which the paper reads as well conditioned: {'; '.join(parts)}.{more}"


def _outside(audit: Audit) -> str:
    """Which matrices are not in [2, 6], in WeightWatcher's words, over all models and components."""
    found = audit.of_kind("outside")
    if not found:
        return "No matrix with a fit is outside of [2, 6]."
    parts = []
    for verdict, limit in (("over-trained", "below 2"), ("under-trained", "above 6")):
        mine = [one for one in found if one["verdict"] == verdict]
        if mine:
            worst = max(mine, key=lambda one: abs(one["statistic"] - one["threshold"]))
            near = sum(bool(one["borderline"]) for one in mine)
            reaching = f" ({near:,} with an interval that reaches into [2, 6])" if near else ""
            parts.append(
                f"{len(mine):,} {verdict} (alpha {limit}), the farthest {_place(worst)} with "
                f"{worst['statistic']:.2f}{reaching}"
            )
    return f"Outside of [2, 6], in WeightWatcher's words: {'; '.join(parts)}."


def _place(finding: Mapping[str, Any]) -> str:
    layer = f", layer {spans(finding['layers'])}" if finding["layers"] else ""
    return f"{finding['component']} {finding['module']}{layer} of {finding['model']}"


def _depth(audit: Audit) -> str:
    """Of every pair and component."""
    whole = audit.of_kind("modification", module=None)
    if not whole:
        return "Depth of modification: not known without a reference."
    parts = []
    for verdict in ORDER:
        named = [_moved(audit, finding) for finding in whole if finding["verdict"] == verdict]
        if named:
            parts.append(f"{DEPTHS[verdict]}: {_some(named)}")
    own = {(one["model"], one["reference"], one["component"]): one["verdict"] for one in whole}
    odd = [
        f"{finding['component']} {finding['module']} of {finding['model']}{_layers(finding)}"
        for finding in audit.of_kind("modification", verdict="deep")
        if finding["module"] and own.get((finding["model"], finding["reference"], finding["component"])) != "deep"
    ]
    text = _sentence("; ".join(parts))
    return f"{text} But deep in {_some(odd)}." if odd else text


def _moved(audit: Audit, finding: Mapping[str, Any]) -> str:
    """A model, its component and its reference where there are several, what was rescaled, and deep layers."""
    several = sum(model == finding["model"] for model, _ in audit.pairs) > 1
    components = {one["component"] for one in audit.of_kind("modification", model=finding["model"])}
    name = f"{finding['model']} from {finding['reference']}" if several else str(finding["model"])
    name = f"{name}, {finding['component']}" if len(components) > 1 else name
    details = []
    if abs((finding["scale"] or 1) - 1) >= 0.05 and finding["verdict"] != "deep":
        details.append(f"scale {finding['scale']:.3g}")
    details += _update(audit, finding)
    if finding["borderline"]:
        details.append(f"borderline to {finding['borderline']}")
    if finding["verdict"] == "deep" and finding["layers"]:
        details.append(f"layers {spans(finding['layers'])}")
    return f"{name} ({'; '.join(details)})" if details else name


def _update(audit: Audit, finding: Mapping[str, Any]) -> list[str]:
    """What tells an adapter or a fine-tune of parts: matrices that did not change, updates of low rank."""
    equal = {name: finding[name] for name in ("model", "reference", "component")}
    rows = audit.changes.where(**equal)
    known = np.isfinite(rows["update_sparsity"])
    changed = known & (rows["update_sparsity"] < 1)
    sides = audit.diagnostics.where(model=finding["model"], component=finding["component"])
    found = []
    if 0 < changed.sum() < known.sum():
        found.append(f"{int(changed.sum()):,} of {int(known.sum()):,} matrices changed")
    ranks = rows["update_rank"][changed & (rows["update_rank"] > 0)]
    if len(ranks) and ranks.max() <= LOW_RANK * np.median(np.minimum(sides["rows"], sides["columns"])):
        several = f"{ranks.min():.0f} to " if ranks.min() < ranks.max() else ""
        found.append(f"updates of rank {several}{ranks.max():.0f}")
    return found


def _layers(finding: Mapping[str, Any]) -> str:
    return f" (layers {spans(finding['layers'])})" if finding["layers"] else ""


def _inertness(audit: Audit) -> str:
    """Of every pair and component."""
    states = audit.of_kind("inertness")
    if not states:
        return "Spectral inertness: not known without a reference."
    inert = [f"{one['component']} of {one['model']} from {one['reference']}" for one in states]
    inert = [name for name, one in zip(inert, states, strict=True) if one["verdict"] == "inert"]
    unmoved, replaced = (sum(one["verdict"] == kind for one in states) for kind in ("unmoved", "replaced"))
    rest = len(states) - len(inert) - unmoved - replaced
    parts = []
    if inert:
        parts.append(f"spectrally inert (weights moved, spectra stayed): {_some(inert)}")
    if rest:
        parts.append(f"in {rest} of {len(states)} comparisons spectra moved with the weights")
    if replaced:
        parts.append(f"{replaced} of {len(states)} have other matrices with the same ranks")
    if unmoved:
        parts.append(f"in {unmoved} of {len(states)} comparisons the direction of the weights hardly changed")
    return _sentence("; ".join(parts))


def _anomalies(audit: Audit) -> str:
    places = list(
        dict.fromkeys(
            f"{one['component']} {one['module']}, layer {spans(one['layers'])} of {one['model']}"
            for one in audit.of_kind("anomaly")
        )
    )
    unjudged = list(dict.fromkeys(one["component"] for one in audit.of_kind("not judged")))
    text = f"Single submodules that stand out: {_some(places)}." if places else "No single submodule stands out."
    return f"{text} Too few layers to judge: {_some(unjudged)}." if unjudged else text


def _fits(audit: Audit) -> str:
    frame = audit.diagnostics
    fitted = np.isfinite(frame["alpha"])
    alpha, sigma = frame["alpha"][fitted], frame["sigma"][fitted]
    missing = len(frame) - len(alpha)
    if not len(alpha):
        return f"None of {len(frame):,} matrices has a fit."
    near = int((np.minimum(np.abs(alpha - 2), np.abs(alpha - 6)) < sigma).sum())
    return (
        f"One alpha has a standard error of {np.nanmedian(sigma):.2f} (median); {near:,} of {len(alpha):,} lie "
        f"within theirs of 2 or 6, {missing:,} {'has' if missing == 1 else 'have'} no fit and "
        f"{'is' if missing == 1 else 'are'} left out. The rule for single submodules raises a false alarm in "
        "fewer than 1 of 100 models with normal noise."
    )


def _scores(audit: Audit) -> str:
    if not audit.scores:
        return "What the models can do: no scores were given, and weights alone do not tell."
    rows = [row for row in asymmetry_table(audit.scores, "").rows if "spread" in row]
    if not rows:
        return "Scores were given, but no benchmark of both perception and reasoning that all models have."
    parts = [f"{row['model']} {write_number(row['spread'], 1, signed=True)}" for row in rows]
    return (
        f"Why scores differ. Perception minus reasoning, in points: {_some(parts, 6)}. That this goes with "
        "structure is correlation over few models."
    )


def _limits(audit: Audit) -> str:
    cause = "one model alone cannot show it"
    if len(audit.subjects) > 1:
        cause = "models differ in data, optimizer, length of training and architecture at once"
    return f"What caused any of this: {cause}. Thresholds between kinds and for single submodules are our choice."


def _some(items: Sequence[str] | Iterable[str], shown: int = SHOWN) -> str:
    """The first few, and how many more."""
    items = list(items)
    rest = len(items) - shown
    return ("; " if any(", " in item for item in items) else ", ").join(items[:shown]) + (
        f" and {rest} more" if rest > 0 else ""
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
