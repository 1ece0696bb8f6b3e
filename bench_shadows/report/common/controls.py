"""Controls of a run: what was set, what was read, and what came of it, by condition against A, step for step.

The noise scale is the trace of the per-row gradient covariance by the squared length of the gradient, in rows: the
batch size at which the noise of a step's gradient is as large as the gradient (McCandlish et al., "An Empirical
Model of Large-Batch Training", arXiv:1812.06162, section 2.2 and appendix A.1, the simple noise scale). Both are
noisy, and a mean of their ratios is biased: they are averaged over many steps first and divided then.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_shadows.report.common.estimates import estimate, write_number
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table

NOISE_SCALE = "noise_scale"
SPIKES = "spikes"  # steps so far that were spikes: skipped ones, where the run went on
Metrics = Mapping[str, np.ndarray]

# key of metrics.jsonl, or of RATIOS -> (label, unit)
SETTINGS = {"learning_rate": ("learning rate", "")}
BATCHES = {
    "batch_types": ("token types of a batch", "types"),
    "batch_entropy_bits": ("unigram entropy of a batch", "bits"),
    "batch_top_100_share": ("100 commonest tokens of a batch", "share of tokens"),
    "batch_distinct_rows_share": ("distinct rows of a batch", "share of rows"),
}
ANSWERS = {"batch_answer_tokens": ("tokens of a batch's answers", "tokens")}
"""Of a study of prompts, whose conditions have the same answers in the same order."""
OUTCOMES = {
    "grad_norm": ("gradient norm before clipping", ""),
    NOISE_SCALE: ("gradient noise scale", "rows"),
    "update_norm": ("update norm", ""),
    "param_norm": ("parameter norm", ""),
}
CONTROLS = {**SETTINGS, **OUTCOMES, **BATCHES, **ANSWERS}
RATIOS = {NOISE_SCALE: ("grad_variance", "grad_square")}
"""Controls that are one recorded series by another, each averaged first."""
HALVES = ("first", "second")


def parts(key: str) -> tuple[str, ...]:
    """The recorded series that a control is made of: itself, or numerator and denominator."""
    return RATIOS.get(key, (key,))


def recorded(metrics: Metrics, key: str) -> bool:
    """Whether a run has what a control is made of."""
    return all(part in metrics and np.isfinite(metrics[part]).any() for part in parts(key))


def skipped(metrics: Metrics) -> int:
    """Steps of a run whose update was left out because of a spike."""
    return int(np.nanmax(metrics[SPIKES], initial=0)) if SPIKES in metrics else 0


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is not positive: a gradient whose length drowned in noise."""
    known = np.isfinite(denominator) & (denominator > 0)
    return np.where(known, numerator / np.where(known, denominator, 1), np.nan)


def compare(run: Run, key: str, condition: str, half: str) -> tuple[bool, list[float]] | None:
    """(equal to the reference at every step of every seed, percent of each seed by which its mean differs).

    None where the two runs share no seed, no step or do not record `key`. Steps without a finite value in either
    run (skipped ones) are left out of the means.
    """
    equal, percents = True, []
    for (name, seed), mine in sorted(run.metrics.items()):
        base = run.metrics.get((run.reference, seed))
        if name != condition or base is None or not recorded(mine, key) or not recorded(base, key):
            continue
        steps, *places = np.intersect1d(mine["step"], base["step"], return_indices=True)
        keep = _in_half(run, steps, half)
        ours, theirs = (
            np.stack([metrics[part][place][keep] for part in parts(key)])
            for metrics, place in zip((mine, base), places, strict=True)
        )
        finite = np.isfinite(ours).all(axis=0) & np.isfinite(theirs).all(axis=0)
        if not finite.any():
            continue
        equal &= bool(np.array_equal(ours, theirs, equal_nan=True))
        percents.append(100 * (_level(ours[:, finite]) / _level(theirs[:, finite]) - 1))
    return (equal, percents) if percents else None


def _in_half(run: Run, steps: np.ndarray, half: str) -> np.ndarray:
    return (steps <= run.config.phase_steps) == (half == "first")


def _level(series: np.ndarray) -> float:
    """Mean over steps of one series [1, steps], or of the first by that of the second [2, steps]; NaN for none."""
    means = series.mean(axis=1)
    level = means[0] if len(means) == 1 else float(divide(means[:1], means[1:])[0])
    return float(level) if level else float("nan")


def controls_table(run: Run) -> Table:
    """Percent by which each control's mean differs from the reference's, by half; `equal` is step for step."""
    pairs = [(half, name) for half in HALVES for name in run.others]
    rows = []
    for key, (label, _) in CONTROLS.items():
        row: dict[str, Any] = {"control": label}
        for half, name in pairs:
            if (found := compare(run, key, name, half)) is not None:
                row[f"{name}_{half}"] = "equal" if found[0] else estimate(found[1])
        if len(row) > 1:
            rows.append(row)
    columns = [Column(f"{name}_{half}", name, 1, signed=True) for half, name in pairs]
    first = Column("control", "Control", text=True)
    return Table(f"controls_against_{run.reference}", (first, *columns), tuple(rows))


def levels_table(run: Run) -> Table:
    """The mean of each outcome in both halves by condition, and how many steps were skipped."""
    rows = []
    for name in run.conditions:
        mine = [metrics for (condition, _), metrics in sorted(run.metrics.items()) if condition == name]
        row: dict[str, Any] = {"condition": name}
        for key in OUTCOMES:
            known = [metrics for metrics in mine if recorded(metrics, key)]
            for half in HALVES:
                row[f"{key}_{half}"] = estimate(_half_level(run, metrics, key, half) for metrics in known)
        if any(SPIKES in metrics for metrics in mine):
            row[SPIKES] = sum(map(skipped, mine))
        if mine:
            rows.append(row)
    columns = []
    for key, (label, unit) in OUTCOMES.items():
        heading = f"{label.partition(' before')[0]}{f', {unit}' if unit else ''}"
        digits = 1 if key == NOISE_SCALE else 3
        columns += [Column(f"{key}_{half}", f"{heading}, {half} half", digits) for half in HALVES]
    columns.append(Column(SPIKES, "steps skipped"))
    kept = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    first = Column("condition", "Condition", text=True)
    return Table("control_levels", (first, *kept), tuple(rows) if kept else ())


def _half_level(run: Run, metrics: Metrics, key: str, half: str) -> float:
    keep = _in_half(run, metrics["step"], half)
    series = np.stack([metrics[part][keep] for part in parts(key)])
    finite = np.isfinite(series).all(axis=0)
    return _level(series[:, finite]) if finite.any() else float("nan")


def outcomes_sentence(run: Run) -> str | None:
    """How gradient, noise and update compare with the reference's: they are outcomes, nobody set them."""
    labels = {"grad_norm": "gradient norm", NOISE_SCALE: "noise scale", "update_norm": "update norm"}
    found = []
    for name in run.others:
        words = []
        for key, label in labels.items():
            if means := percent_by_half(run, key, name):
                first, second = (write_number(mean, 0, signed=True) for mean in means)
                words.append(f"{label} {first} % and {second} %")
        if words:
            found.append(f"{name}: {', '.join(words)}")
    if not found:
        return None
    return f"Mean difference to {run.reference} in the first and the second half. {'; '.join(found)}."


def percent_by_half(run: Run, key: str, condition: str) -> tuple[float, float] | None:
    """By how many percent a control's mean differs from the reference's, (first, second half); None if unknown."""
    both = [compare(run, key, condition, half) for half in HALVES]
    first, second = (estimate(found[1]) if found is not None else None for found in both)
    if first is None or second is None:
        return None
    return first.mean, second.mean
