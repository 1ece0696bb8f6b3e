"""An audit in ten lines that anybody can read: what it is, what stands out, how sure, what it cannot say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.paper import spans
from bench_shadows.report.audit.capability import asymmetry_table
from bench_shadows.report.audit.inputs import Audit, share
from bench_shadows.report.audit.tables import skipped_counts
from bench_shadows.report.common.estimates import write_count, write_number

Lines = list[tuple[str, list[str]]]

DEPTHS = {
    "minimal": "minimal perturbation",
    "conservative": "conservative fine-tuning",
    "deep": "deep reparametrization",
}
SHOWN = 3  # models, pairs or places named in one line; the others are counted


def ten_lines(audit: Audit) -> Lines:
    """(heading, sentences): ten sentences in four groups, whatever was audited."""
    return [
        ("What it is", [_what(audit), _against(audit)]),
        ("What stands out", [_shares(audit), _depth(audit), _inertness(audit), _anomalies(audit)]),
        ("How sure", [_fits(audit), _read(audit)]),
        ("What it cannot say", [_scores(audit), _limits(audit)]),
    ]


def _what(audit: Audit) -> str:
    matrices, names = len(audit.diagnostics), audit.names
    each = ", ".join(f"{name} {len(audit.diagnostics.where(component=name)):,}" for name in audit.components)
    models = f"The weights of {names[0]}" if len(names) == 1 else f"The weights of {len(names)} models"
    size = sum(model.get("bytes") or 0 for model in audit.models)
    return (
        f"{models}, {matrices:,} matrices ({each or 'none'}){f', {write_count(size)}B' if size else ''}, read "
        "as they are: nothing was run or trained."
    )


def _against(audit: Audit) -> str:
    if not audit.pairs:
        return "No reference was given: how far a model moved from its base is not known here."
    bases = list(dict.fromkeys(base for _, base in audit.pairs))
    if len(audit.pairs) == 1:
        return f"{audit.pairs[0][0]} is measured from {bases[0]}."
    return f"{len(audit.pairs)} pairs are measured: models from {_some(bases)}."


def _shares(audit: Audit) -> str:
    rows = [
        (name, share(mine))
        for name in audit.names
        if len(mine := audit.diagnostics.where(component=audit.main, model=name))
    ]
    known = [(name, value) for name, value in rows if value is not None]
    if not known:
        return "No matrix has a power-law fit: nothing can be said about alpha."
    if len(known) == 1:
        return (
            f"{known[0][1]:.1f} % of the {audit.main}'s matrices have alpha in [2, 6], the range that the "
            "paper reads as well conditioned."
        )
    if max(value for _, value in known) - min(value for _, value in known) < 0.05:
        return (
            f"In each model {known[0][1]:.1f} % of the {audit.main}'s matrices have alpha in [2, 6]: the share "
            "does not separate them; the tail and v_proj over depth may."
        )
    low, high = min(known, key=lambda row: row[1]), max(known, key=lambda row: row[1])
    return (
        f"Matrices of the {audit.main} with alpha in [2, 6]: from {low[1]:.1f} % ({low[0]}) to {high[1]:.1f} % "
        f"({high[0]}). The share alone hardly separates models; the tail and v_proj over depth say more."
    )


def _depth(audit: Audit) -> str:
    whole = audit.of_kind("modification", component=audit.main, module=None)
    if not whole:
        return "Depth of modification: not known without a reference."
    parts = []
    for verdict in ("deep", "conservative", "minimal"):
        named = [_moved(audit, finding) for finding in whole if finding["verdict"] == verdict]
        if named:
            parts.append(f"{DEPTHS[verdict]} of {_some(named)}")
    own = {(one["model"], one["reference"]): one["verdict"] for one in whole}
    odd = [
        f"{finding['module']} of {finding['model']}{_layers(finding)}"
        for finding in audit.of_kind("modification", component=audit.main, verdict="deep")
        if finding["module"] and own.get((finding["model"], finding["reference"])) != "deep"
    ]
    text = _sentence("; ".join(parts))
    return f"{text} But deep in {_some(odd)}." if odd else text


def _moved(audit: Audit, finding: Mapping[str, Any]) -> str:
    """A model, its reference where it has several, and the layers that are deep."""
    several = sum(model == finding["model"] for model, _ in audit.pairs) > 1
    name = f"{finding['model']} from {finding['reference']}" if several else str(finding["model"])
    return name + (_layers(finding) if finding["verdict"] == "deep" else "")


def _layers(finding: Mapping[str, Any]) -> str:
    return f" (layers {spans(finding['layers'])})" if finding["layers"] else ""


def _inertness(audit: Audit) -> str:
    states = audit.of_kind("inertness", component=audit.main)
    if not states:
        return "Spectral inertness: not known without a reference."
    inert = [f"{one['model']} from {one['reference']}" for one in states if one["verdict"] == "inert"]
    unmoved, replaced = (sum(one["verdict"] == kind for one in states) for kind in ("unmoved", "replaced"))
    rest = len(states) - len(inert) - unmoved - replaced
    parts = []
    if inert:
        parts.append(f"spectrally inert (weights moved, spectra stayed): {_some(inert)}")
    if rest:
        parts.append(f"{rest} of {len(states)} pairs moved their spectra with their weights")
    if replaced:
        parts.append(f"{replaced} of {len(states)} have other matrices with the same ranks")
    if unmoved:
        parts.append(f"{unmoved} of {len(states)} hardly moved at all")
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


def _read(audit: Audit) -> str:
    reasons: dict[str, int] = {}
    for _, counts in skipped_counts(audit):
        for reason, count in counts:
            reasons[reason] = reasons.get(reason, 0) + count
    notices = sum(len(model.get("notices") or ()) for model in audit.models)
    tensors = sum(model.get("tensors") or 0 for model in audit.models)
    most = sorted(reasons.items(), key=lambda item: -item[1])
    listed = _some([f"{count:,} {reason}" for reason, count in most])
    skipped = "No tensor was left out"
    if reasons:
        skipped = f"{sum(reasons.values()):,} of {tensors:,} tensors were left out ({listed})"
    return f"{skipped}; {notices or 'no'} {'notice' if notices == 1 else 'notices'}. All are listed below."


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
    if len(audit.names) > 1:
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
