"""Curves over training: means over stretches of steps, and what the monitor saw."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.common.controls import divide, parts, recorded
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import (
    draw_line,
    empty,
    legend,
    log_axis,
    mark_phase_shift,
    new_figure,
    phase_shift_keys,
)

POINTS = 120  # a curve of more steps than this is drawn by the means of equal stretches
MONITOR_POINTS = 18  # stretches whose looks are taken together


def stretch_of(steps: int, points: int) -> int:
    """Steps that one point of a curve stands for."""
    return max(1, -(-steps // points))


def curve(run: Run, condition: str, key: str, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """(steps [n], values [seeds, n]) of a control, as means over stretches where a run is long.

    `key` is one of metrics.jsonl or of `controls.RATIOS`; of a ratio both parts are averaged, then divided.
    """
    runs = [
        found for (name, _), found in sorted(run.metrics.items()) if name == condition and recorded(found, key)
    ]
    stretch = stretch_of(run.config.steps, points)
    bins = -(-run.config.steps // stretch)
    values = np.full((len(runs), bins), np.nan)
    for index, metrics in enumerate(runs):
        series = np.stack([metrics[part] for part in parts(key)])
        present = np.isfinite(series).all(axis=0)
        where = np.minimum((metrics["step"][present].astype(int) - 1) // stretch, bins - 1)
        totals = [np.bincount(where, weights=part[present], minlength=bins) for part in series]
        count = np.bincount(where, minlength=bins)
        if len(totals) > 1:
            values[index] = divide(totals[0], totals[1])
        else:
            values[index] = np.where(count > 0, totals[0] / np.maximum(count, 1), np.nan)
    steps = np.arange(bins) * stretch + (stretch + 1) / 2
    return steps, values


def draw_curves(axes: Axes, run: Run, key: str, points: int = POINTS) -> bool:
    """Every condition's curve of a control with its interval; whether there was any."""
    drawn = False
    for name in run.conditions:
        steps, values = curve(run, name, key, points)
        if len(values) and np.isfinite(values).any():
            draw_line(axes, steps, values, name, marks=False)
            drawn = True
    mark_phase_shift(axes, run.phase_shift)
    if not drawn:
        empty(axes, "not recorded")
    return drawn


def monitored(run: Run) -> Figure | None:
    """What the monitor saw between the checkpoints: alpha, effective rank and relative change through training."""
    frame = run.monitor
    if not len(frame):
        return None
    title = "Between the checkpoints: what the monitor saw of a few matrices at a time"
    figure, grid = new_figure(title, 1, 3, 3.2)
    stretch = stretch_of(run.config.steps, MONITOR_POINTS)
    middles = np.maximum(0, np.ceil(frame["step"] / stretch) - 0.5) * stretch
    panels = (
        (grid[0, 0], frame["alpha"], "alpha"),
        (
            grid[0, 1],
            frame["effective_rank"] / np.minimum(frame["rows"], frame["columns"]),
            "effective rank / full rank",
        ),
        (grid[0, 2], frame["relative_change"], "relative change between looks"),
    )
    for axes, values, label in panels:
        table = Frame(dict(frame.columns) | {"stretch": middles, "value": values})
        for name in run.conditions:
            seeds, steps, means = table.where(condition=name).pivot("seed", "stretch", "value")
            if seeds and steps:
                draw_line(axes, np.array(steps), means, name, marks=False)
        mark_phase_shift(axes, run.phase_shift)
        axes.set_ylabel(label)
        axes.set_xlabel("step")
    log_axis(grid[0, 2])
    legend(figure, run.conditions, phase_shift_keys(run.phase_shift), marks=False)
    return figure
