"""Figures of training that the pages of all kinds of study have: controls, outcomes, and the monitor's looks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.report.common import style
from bench_shadows.report.common.controls import ANSWERS, BATCHES, NOISE_SCALE, OUTCOMES, SETTINGS, recorded
from bench_shadows.report.common.curves import draw_curves, monitored
from bench_shadows.report.common.picture import NESTED, Picture
from bench_shadows.report.common.run import Run

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
    columns = 2 if len(found) == 4 else 3
    figure, panels, _ = style.small_multiples(title, len(found), columns, (1.1, 2.0), sharex=True)
    batch = run.config.train.batch_size
    for axes, (key, (label, unit)) in zip(panels, found.items(), strict=True):
        drawn = draw_curves(axes, run, key, NOISE_POINTS if key == NOISE_SCALE else POINTS)
        if drawn and key in ("grad_norm", "update_norm", NOISE_SCALE):
            _limit_to_means(axes, [batch] if key == NOISE_SCALE else [])
            style.log_axis(axes)
        if key == NOISE_SCALE:  # where the noise of a step's gradient is as large as the gradient
            axes.axhline(batch, zorder=1, **style.DASHED)
        axes.set_title(label, fontsize=8.5)
        axes.set_ylabel(unit)
    for axes in panels[-columns:]:
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    keys = style.phase_shift_keys(run.phase_shift)
    if NOISE_SCALE in found:
        keys.append(Line2D([], [], label="batch size", **style.DASHED))
    style.legend(figure, run.conditions, keys, marks=False)
    return figure


def _limit_to_means(axes: Axes, levels: Sequence[float]) -> None:
    """Limits of a logarithmic axis by means and `levels`: an interval that reaches zero would flatten the rest."""
    curves = [line for line in axes.lines if line.get_gid() != style.PHASE_SHIFT]
    means = np.concatenate([np.asarray(levels, dtype=float), *(np.asarray(line.get_ydata()) for line in curves)])
    means = means[np.isfinite(means) & (means > 0)]
    if means.size:
        axes.set_ylim(means.min() / 1.5, means.max() * 1.5)


SHARED = (
    Picture(
        "controls",
        batches,
        "Learning rate and four token statistics of the batches through training, a line for each condition.",
        f"{NESTED} Points are means over equal stretches of steps. The shaded band is the 95 % interval over "
        "seeds (Student's t) from three seeds on.",
        "Not drawn: no metrics.jsonl records them.",
    ),
    Picture(
        "outcomes",
        outcomes,
        "Gradient norm, gradient noise scale, update norm and parameter norm through training, a line with its "
        "interval for each condition.",
        "The noise scale is the trace of the covariance of the gradient over rows by the squared length of the "
        "gradient (McCandlish et al. 2018, arXiv:1812.06162): at a batch of that many rows noise and signal of a "
        "step's gradient are equal. Both parts are averaged over each of 18 stretches before they are divided; a "
        f"stretch whose gradient drowned in noise is a gap. {NESTED}",
        "Not drawn: no metrics.jsonl records them.",
    ),
    Picture(
        "monitor",
        monitored,
        "Mean alpha, effective rank over full rank and relative change of the matrices that the monitor looked "
        "at, through training, by condition.",
        "Means over the matrices whose turn it was in equal stretches of the run, modules and depths mixed: a "
        "trend is one of the model, a jitter is one of the sample. Relative change is that between two looks.",
        "Not drawn: no monitor.jsonl, the monitor was off (diagnostics.monitor_every=0).",
    ),
)
