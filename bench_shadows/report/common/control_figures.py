"""Figures of the controls through training: what was set and read, what came of it, with intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.report.common.controls import ANSWERS, BATCHES, NOISE_SCALE, OUTCOMES, SETTINGS, recorded
from bench_shadows.report.common.curves import draw_curves
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import (
    GREY,
    PHASE_SHIFT,
    grid_shape,
    hide,
    legend,
    log_axis,
    new_figure,
    phase_shift_keys,
)

POINTS = 72  # fewer than a loss curve has: the noise from batch to batch is not the question
NOISE_POINTS = 18  # stretches over which both parts of the noise scale are averaged before they are divided


def batches(run: Run) -> Figure | None:
    """Learning rate and token statistics of the batches through training."""
    differing = "does only the first half differ" if run.phase_shift is not None else "what differs"
    return _panels(run, {**SETTINGS, **BATCHES, **ANSWERS}, f"What was set, and what was read: {differing}?")


def outcomes(run: Run) -> Figure | None:
    """Gradient norm, noise scale, update norm and parameter norm through training."""
    return _panels(
        run, OUTCOMES, "What came of it: how large and how noisy were the gradients, how long the steps?"
    )


def _panels(run: Run, controls: Mapping[str, tuple[str, str]], title: str) -> Figure | None:
    found = {
        key: labels
        for key, labels in controls.items()
        if any(recorded(metrics, key) for metrics in run.metrics.values())
    }
    if not found:
        return None
    rows, columns = grid_shape(len(found), 2 if len(found) == 4 else 3)
    figure, grid = new_figure(title, rows, columns, 1.1 + 2.0 * rows, sharex=True)
    for axes, (key, (label, unit)) in zip(grid.flat, found.items(), strict=False):
        drawn = draw_curves(axes, run, key, NOISE_POINTS if key == NOISE_SCALE else POINTS)
        if drawn and key in ("grad_norm", "update_norm", NOISE_SCALE):
            _limit_to_means(axes, [run.config.train.batch_size] if key == NOISE_SCALE else [])
            log_axis(axes)
        if key == NOISE_SCALE:
            _mark_batch(axes, run.config.train.batch_size)
        axes.set_title(label, fontsize=8.5)
        axes.set_ylabel(unit)
    for axes in list(grid.flat)[len(found) :]:
        hide(axes)
    for axes in list(grid.flat)[max(0, len(found) - columns) : len(found)]:
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    keys = phase_shift_keys(run.phase_shift)
    if NOISE_SCALE in found:
        keys.append(Line2D([], [], color=GREY, linestyle=(0, (6, 2)), linewidth=1, label="batch size"))
    legend(figure, run.conditions, keys, marks=False)
    return figure


def _limit_to_means(axes: Axes, levels: Sequence[float]) -> None:
    """Limits of a logarithmic axis by means and `levels`: an interval that reaches zero would flatten the rest."""
    curves = [line for line in axes.lines if line.get_gid() != PHASE_SHIFT]
    means = np.concatenate([np.asarray(levels, dtype=float), *(np.asarray(line.get_ydata()) for line in curves)])
    means = means[np.isfinite(means) & (means > 0)]
    if means.size:
        axes.set_ylim(means.min() / 1.5, means.max() * 1.5)


def _mark_batch(axes: Axes, rows: int) -> None:
    """Where the noise of a step's gradient is as large as the gradient."""
    axes.axhline(rows, color=GREY, linewidth=1, linestyle=(0, (6, 2)), zorder=1)
