"""Did only the data differ? Each control by condition against A, step for step, in both halves of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.report.estimates import estimate, write_number
from bench_shadows.report.inputs import Run
from bench_shadows.report.tables import BASELINE, Column, Table

# key of metrics.jsonl -> (label, unit)
SETTINGS = {"learning_rate": ("learning rate", "")}
BATCHES = {
    "batch_types": ("token types of a batch", "types"),
    "batch_entropy_bits": ("unigram entropy of a batch", "bits"),
    "batch_top_100_share": ("100 commonest tokens of a batch", "share of tokens"),
    "batch_distinct_rows_share": ("distinct rows of a batch", "share of rows"),
}
OUTCOMES = {
    "grad_norm": ("gradient norm before clipping", ""),
    "update_norm": ("update norm", ""),
    "param_norm": ("parameter norm", ""),
}
CONTROLS = {**SETTINGS, **OUTCOMES, **BATCHES}
HALVES = ("first", "second")


def compare(run: Run, key: str, condition: str, half: str) -> tuple[bool, list[float]] | None:
    """(equal to A at every step of every seed, percent by which the mean over the half differs, for each seed).

    None where the two runs share no seed, no step or do not record `key`.
    """
    equal, percents = True, []
    for (name, seed), mine in sorted(run.metrics.items()):
        base = run.metrics.get((BASELINE, seed))
        if name != condition or base is None or key not in mine or key not in base:
            continue
        steps, here, there = np.intersect1d(mine["step"], base["step"], return_indices=True)
        keep = (steps <= run.config.phase_steps) == (half == "first")
        ours, theirs = mine[key][here][keep], base[key][there][keep]
        if not len(ours) or not np.isfinite(ours).all() or not np.isfinite(theirs).all():
            continue
        equal &= bool(np.array_equal(ours, theirs))
        percents.append(float(100 * (ours.mean() / theirs.mean() - 1)) if theirs.mean() else float("nan"))
    return (equal, percents) if percents else None


def controls_table(run: Run) -> Table:
    """Percent by which each control's mean differs from A's, by half and condition; `equal` is step for step."""
    others = [name for name in run.conditions if name != BASELINE]
    rows = []
    for key, (label, _) in CONTROLS.items():
        row: dict[str, Any] = {"control": label}
        for half in HALVES:
            for name in others:
                found = compare(run, key, name, half)
                if found is not None:
                    row[f"{name}_{half}"] = "equal" if found[0] else estimate(found[1])
        if len(row) > 1:
            rows.append(row)
    columns = [Column("control", "Control", text=True)]
    for half in HALVES:
        columns += [Column(f"{name}_{half}", name, 1, signed=True) for name in others]
    return Table("controls_against_A", tuple(columns), tuple(rows) if others else ())


def statements(run: Run) -> list[tuple[bool, str]]:
    """(it holds, sentence) for what the design promises: equal schedules, and equal batches of equal data."""
    if BASELINE not in run.conditions or not run.metrics:
        return []
    found: list[tuple[bool, str]] = []
    data = [name for name in run.conditions if name in "CD"]
    if data:
        found += _promise(run, SETTINGS, data, HALVES, "The learning rate of {names} is A's at every step.")
        text = "In the second half the batches of {names} carry A's token statistics at every step: the same data."
        found += _promise(run, BATCHES, data, ("second",), text)
    if "B" in run.conditions:
        text = "B's batches carry A's token statistics at every step of both halves: the same data."
        found += _promise(run, BATCHES, ["B"], HALVES, text)
        means = [estimate(part[1]) for half in HALVES if (part := compare(run, "learning_rate", "B", half))]
        if len(means) == 2 and means[0] is not None and means[1] is not None:
            first, second = (write_number(part.mean, 0, signed=True) for part in means if part is not None)
            text = f"B's mean learning rate against A's: {first} % in the first half, {second} % in the second."
            found.append((means[1].mean > 0, text))
    return found


def _promise(
    run: Run, controls: Mapping[str, Any], names: Sequence[str], halves: Sequence[str], text: str
) -> list[tuple[bool, str]]:
    """The sentence if it holds for every control, else what breaks it; nothing where nothing was recorded."""
    broken, seen = [], []
    for name in names:
        results = {key: [compare(run, key, name, half) for half in halves] for key in controls}
        recorded = {key: [part for part in parts if part is not None] for key, parts in results.items()}
        if any(recorded.values()):
            seen.append(name)
        broken += [
            f"{controls[key][0]} of {name}"
            for key, parts in recorded.items()
            if not all(part[0] for part in parts)
        ]
    if not seen:
        return []
    if broken:
        return [
            (
                False,
                f"Not as designed: {', '.join(broken)}, not equal to A's ({' and '.join(halves)} half).",
            )
        ]
    return [(True, text.format(names=" and ".join(seen)))]


def outcomes_sentence(run: Run) -> str | None:
    """How gradient and update norms of each condition compare with A's: they are outcomes, nobody set them."""
    parts = []
    for name in [condition for condition in run.conditions if condition != BASELINE]:
        words = []
        for key in ("grad_norm", "update_norm"):
            found = [compare(run, key, name, half) for half in HALVES]
            means = [estimate(part[1]) for part in found if part is not None]
            if len(means) == 2 and means[0] is not None and means[1] is not None:
                label = CONTROLS[key][0].split(" before")[0]
                first, second = (write_number(part.mean, 0, signed=True) for part in means if part is not None)
                words.append(f"{label} {first} % and {second} %")
        if words:
            parts.append(f"{name}: {', '.join(words)}")
    if not parts:
        return None
    return "Mean difference to A in the first and the second half. " + "; ".join(parts) + "."
