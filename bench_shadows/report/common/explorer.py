"""What the page's charts draw: means over seeds and intervals by quantity, module, layer, step and condition.

Plain JSON values for explorer.js. Everything in it is also in a static figure or table of the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.report.common.controls import CONTROLS, NOISE_SCALE, RATIOS
from bench_shadows.report.common.curves import curve
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.style import NAMES, colour
from bench_shadows.report.common.tables import DECODER, decoder, fraction_label

POINTS = 72  # of a curve over training
RATIO_POINTS = 18
DIGITS = 4  # significant ones
ALL = "mean of all modules"
BASE = "the reference condition"

# (column, reference or None for diagnostics.parquet, label)
QUANTITIES = (
    ("alpha", None, "alpha"),
    ("spikes", None, "spikes"),
    ("x_min_over_mean", None, "x_min / mean eigenvalue"),
    ("effective_rank", None, "effective rank"),
    ("delta_effective_rank", "init", "delta effective rank, from the initial weights"),
    ("delta_effective_rank", BASE, "delta effective rank, from condition {}"),
    ("change_variance", "init", "change variance, from the initial weights"),
    ("relative_change", "init", "relative change, from the initial weights"),
    ("relative_change", BASE, "relative change, from condition {}"),
    ("correlation", "init", "correlation with the initial weights"),
)
CHECKPOINTS = (
    ("held-out text, bits per byte", "likelihood", "bits_per_byte", "all"),
    ("rare words, share of pairs right", "rare_words", "accuracy", "all"),
    ("narrow exercises, loss of the answer, nats per token", "exercises", "answer_loss_nats_per_token", "narrow"),
    ("broad exercises, loss of the answer, nats per token", "exercises", "answer_loss_nats_per_token", "broad"),
    ("shadow score from text", "shadow", "score", "likelihood"),
    ("shadow score from exercises", "shadow", "score", "exercises"),
    ("held-out answers, nats per token", "groups", "answer_loss_nats_per_token", "all"),
    ("held-out answers, repeated prompts, nats per token", "groups_repeated", "answer_loss_nats_per_token", "all"),
)
PARTS = {DECODER: "", "vision": "vision encoder "}
"""Components with layers, and what their modules are called by."""


def payload(run: Run) -> dict[str, Any] | None:
    """Everything that explorer.js draws; None where the run has nothing to draw."""
    training, weights = _training(run), _weights(run)
    if not training and weights is None:
        return None
    conditions = [
        {"name": name, "label": NAMES.get(name, name), "colour": colour(name)} for name in run.conditions
    ]
    return {"conditions": conditions, "phase": run.phase_shift, "training": training, "weights": weights}


def _training(run: Run) -> list[dict[str, Any]]:
    """Charts over steps: label, and for each condition x, mean and half width."""
    controls = {key: f"{label}{f', {unit}' if unit else ''}" for key, (label, unit) in CONTROLS.items()}
    tables = [("matrices with alpha in [2, 6], %", decoder(run), "in_range", 100.0)]
    for label, suite, metric, task in CHECKPOINTS:
        tables.append((label, run.evaluation.where(suite=suite, metric=metric, task=task), "value", 1.0))
    charts = [_of_metric(run, "loss", "training loss, nats per token")]
    charts += [_of_table(run, *table) for table in tables]
    charts += [_of_metric(run, key, label) for key, label in controls.items()]
    return [chart for chart in charts if chart["curves"]]


def _of_metric(run: Run, key: str, label: str) -> dict[str, Any]:
    points = RATIO_POINTS if key in RATIOS else POINTS
    curves = {name: curve(run, name, key, points) for name in run.conditions}
    return _chart(label, curves, log=key in ("grad_norm", "update_norm", NOISE_SCALE))


def _of_table(run: Run, label: str, table: Frame, value: str, scale: float) -> dict[str, Any]:
    curves = {}
    for name in run.conditions:
        _, steps, values = table.where(condition=name).pivot("seed", "step", value)
        curves[name] = np.array(steps), scale * values
    return _chart(label, curves, log=False)


def _chart(label: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], log: bool) -> dict[str, Any]:
    """A chart of the conditions' (x [n], values [seeds, n]) that have any value."""
    drawn = {}
    for name, (steps, values) in curves.items():
        if np.isfinite(values).any():
            half = half_width(values)
            drawn[name] = {"x": numbers(steps), "mean": numbers(mean(values))}
            drawn[name] |= {"half": numbers(half)} if np.isfinite(half).any() else {}
    return {"label": label, "log": log, "curves": drawn}


def _weights(run: Run) -> dict[str, Any] | None:
    """A cube for every quantity and module: for each condition means and half widths [step][layer]."""
    parts = {part: run.diagnostics.where(component=part) for part in PARTS}
    layers = sorted({layer for mine in parts.values() for layer in mine.values("layer")})
    labels = {step: f"{fraction_label(fraction)} (step {step:,})" for fraction, step in run.points}
    steps = [step for step in labels if len(parts[DECODER].where(step=step))]
    if not layers or not steps:
        return None
    quantities = []
    for column, reference, label in QUANTITIES:
        modules = {}
        for part, prefix in PARTS.items():
            table = parts[part]
            if reference is not None:
                base = run.reference if reference == BASE else reference
                table = run.changes.where(reference=base, component=part)
            for module in [*order_modules(table.values("module")), ALL]:
                mine = table if module == ALL else table.where(module=module)
                cubes = {name: _cube(mine.where(condition=name), column, steps, layers) for name in run.conditions}
                if kept := {name: cube for name, cube in cubes.items() if cube is not None}:
                    modules[prefix + module] = kept
        if modules:
            quantities.append({"label": label.format(run.reference), "modules": modules})
    return {
        "layers": [int(layer) for layer in layers],
        "steps": [{"step": step, "label": labels[step]} for step in steps],
        "quantities": quantities,
    }


def _cube(frame: Frame, column: str, steps: Sequence[int], layers: Sequence[float]) -> Mapping[str, Any] | None:
    means, halves = [], []
    for step in steps:
        seeds, there, values = frame.where(step=step).known("layer").pivot("seed", "layer", column)
        full = np.full((len(seeds), len(layers)), np.nan)
        full[:, np.searchsorted(layers, there)] = values
        means.append(mean(full))
        halves.append(half_width(full))
    if not np.isfinite(means).any():
        return None
    cube = {"mean": [numbers(row) for row in means]}
    return cube | ({"half": [numbers(row) for row in halves]} if np.isfinite(halves).any() else {})


def numbers(values: np.ndarray) -> list[float | int | None]:
    """Values with a few significant digits for JSON, null for missing."""
    rounded = (float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist())
    return [int(value) if value is not None and value.is_integer() else value for value in rounded]
