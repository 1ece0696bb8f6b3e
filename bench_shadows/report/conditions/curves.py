"""Curves over training: means over stretches of steps, trajectories, and what the monitor saw."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.common.run import Frame, Run
from bench_shadows.report.common.style import (
    GREY,
    draw_line,
    empty,
    legend,
    log_axis,
    mark_phase_shift,
    new_figure,
    percent_axis,
    phase_shift_keys,
)
from bench_shadows.report.common.tables import decoder
from bench_shadows.report.conditions.controls import divide, parts, recorded

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


def trajectories(run: Run, unigram_entropy: float | None) -> Figure | None:
    """Loss, held-out bits per byte, share in [2, 6] and mean effective rank through training."""
    if not run.metrics and not len(run.diagnostics):
        return None
    title = "Through training: what happens before and after the phase shift?"
    figure, grid = new_figure(title, 2, 2, 5.6, sharex=True)
    loss, held_out, share, rank = grid.flat
    if draw_curves(loss, run, "loss") and unigram_entropy is not None:
        _mark_level(loss, unigram_entropy, f"unigram entropy of the text, {unigram_entropy:.2f}")
    loss.set_title("training loss, on each condition's own batches")
    loss.set_ylabel("nats per token")
    text = run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte")
    frame = decoder(run)
    panels = (
        (held_out, text, "value", 1.0, "held-out text, all domains", "bits per byte"),
        (share, frame, "in_range", 100.0, "matrices with alpha in [2, 6]", "% of fitted matrices"),
        (rank, frame, "effective_rank", 1.0, "effective rank, mean over all matrices", "effective rank"),
    )
    for axes, table, value, scale, heading, label in panels:
        for name in run.conditions:
            seeds, steps, values = table.where(condition=name).pivot("seed", "step", value)
            if seeds:
                draw_line(axes, np.array(steps), scale * values, name)
        if scale == 100 and len(table):
            percent_axis(axes)
        if not len(table):
            empty(axes, "not evaluated" if table is text else "not diagnosed")
        mark_phase_shift(axes, run.phase_shift)
        axes.set_title(heading)
        axes.set_ylabel(label)
    for axes in grid[1]:
        axes.set_xlabel("step")
    legend(figure, run.conditions, phase_shift_keys(run.phase_shift))
    return figure


def _mark_level(axes: Axes, level: float, text: str) -> None:
    """A dashed line with its name on the side where the panel has room: away from what is drawn already."""
    low, high = axes.get_ylim()
    side = 1 if level > (low + high) / 2 else -1
    room = level + side * 0.12 * (high - low)
    axes.set_ylim(min(low, room), max(high, room))
    axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (6, 2)))
    axes.annotate(
        text,
        (1, level),
        (-2, 3 * side),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="bottom" if side > 0 else "top",
        fontsize=7.5,
        color="#555555",
    )


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
