"""Curves over training: means over stretches of steps, tables by step, and what the monitor saw."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.common import style
from bench_shadows.report.common.controls import divide, parts, recorded
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run

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
            style.draw_line(axes, steps, values, name, marks=False)
            drawn = True
    style.mark_phase_shift(axes, run.phase_shift)
    if not drawn:
        style.empty(axes, "not recorded")
    return drawn


def draw_steps(axes: Axes, run: Run, frame: Frame, value: str, key: str = "step", marks: bool = True) -> None:
    """Every condition's `value` of a table by step with its interval; the share in [2, 6] in percent."""
    share = value == "in_range"
    for name in run.conditions:
        seeds, steps, values = frame.where(condition=name).pivot("seed", key, value)
        if seeds:
            style.draw_line(axes, np.array(steps), 100 * values if share else values, name, marks)
    if share and len(frame):
        style.percent_axis(axes)
    style.mark_phase_shift(axes, run.phase_shift)


def draw_panel(axes: Axes, run: Run, frame: Frame, value: str, heading: str, label: str, absent: str) -> None:
    """`draw_steps` as a panel with its heading; `absent` is written where the table has no rows."""
    draw_steps(axes, run, frame, value)
    if not len(frame):
        style.empty(axes, absent)
    axes.set_title(heading)
    axes.set_ylabel(label)


def monitored(run: Run) -> Figure | None:
    """What the monitor saw between the checkpoints: alpha, effective rank and relative change through training."""
    frame = run.monitor
    if not len(frame):
        return None
    title = "Between the checkpoints: what the monitor saw of a few matrices at a time"
    figure, grid = style.new_figure(title, 1, 3, 3.2)
    stretch = stretch_of(run.config.steps, MONITOR_POINTS)
    middles = np.maximum(0, np.ceil(frame["step"] / stretch) - 0.5) * stretch
    panels = {
        "alpha": frame["alpha"],
        "effective rank / full rank": frame["effective_rank"] / np.minimum(frame["rows"], frame["columns"]),
        "relative change between looks": frame["relative_change"],
    }
    for axes, (label, values) in zip(grid[0], panels.items(), strict=True):
        table = Frame({**frame.columns, "stretch": middles, "value": values})
        draw_steps(axes, run, table, "value", "stretch", marks=False)
        axes.set_ylabel(label)
    style.label_x(grid, "step")
    style.log_axis(grid[0, 2])
    style.legend(figure, run.conditions, style.phase_shift_keys(run.phase_shift), marks=False)
    return figure
