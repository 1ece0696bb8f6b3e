"""Figures of training that the pages of all kinds of study have."""

from bench_shadows.report.common import control_figures, curves
from bench_shadows.report.common.picture import NESTED, Picture

SHARED = (
    Picture(
        "controls",
        control_figures.batches,
        "Learning rate and four token statistics of the batches through training, a line for each condition.",
        f"{NESTED} Points are means over equal stretches of steps. The shaded band is the 95 % interval over "
        "seeds (Student's t) from three seeds on.",
        "Not drawn: no metrics.jsonl records them.",
    ),
    Picture(
        "outcomes",
        control_figures.outcomes,
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
        curves.monitored,
        "Mean alpha, effective rank over full rank and relative change of the matrices that the monitor looked "
        "at, through training, by condition.",
        "Means over the matrices whose turn it was in equal stretches of the run, modules and depths mixed: a "
        "trend is one of the model, a jitter is one of the sample. Relative change is that between two looks.",
        "Not drawn: no monitor.jsonl, the monitor was off (diagnostics.monitor_every=0).",
    ),
)
