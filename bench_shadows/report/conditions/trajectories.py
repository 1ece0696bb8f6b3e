"""Through training, by condition: loss, held-out text, share in range and effective rank through training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.common.curves import draw_curves
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import (
    GREY,
    draw_line,
    empty,
    legend,
    mark_phase_shift,
    new_figure,
    percent_axis,
    phase_shift_keys,
)
from bench_shadows.report.common.tables import decoder


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
