"""Results of held-out suites at the end of training: a row for each task, differences to the reference."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bench_shadows.paper import BASELINE
from bench_shadows.report.common import style
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import at_end


def results(run: Run, suite: str, metric: str) -> Frame:
    """The values of a suite at the end of training; those that are missing are left out."""
    return at_end(run.evaluation.where(suite=suite, metric=metric)).known("value")


def spread(count: int) -> np.ndarray:
    """Offsets of several marks in one row [count], around its middle."""
    return np.linspace(-0.2, 0.2, count) if count > 1 else np.zeros(1)


def draw_rows(axes: Axes, end: Frame, base: Frame, others: Sequence[str], tasks: Sequence[str]) -> None:
    """Each other condition's difference to `base` with its interval, a row for each task from top to bottom."""
    axes.axvline(0, color=style.colour(BASELINE), linewidth=1.4)
    for row in range(0, len(tasks), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", zorder=0, linewidth=0)
    for offset, name in zip(spread(len(others)), others, strict=True):
        seeds, found, differences = difference(end.where(condition=name), base)
        places = np.array([tasks.index(task) for task in found]) + offset
        half = np.nan_to_num(half_width(differences))
        style.draw_marks(axes, mean(differences), places, name, size=6, xerr=half if half.any() else None)
        if len(seeds) == 2:
            marker = style.MARKERS.get(name, "x")
            axes.plot(differences.T, places, marker, color=style.colour(name), markersize=3, alpha=0.4)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def difference(mine: Frame, base: Frame) -> tuple[list[int], list[str], np.ndarray]:
    """(seeds, tasks, value minus A's [seeds, tasks]) over the seeds and tasks that both have."""
    found = [frame.pivot("seed", "task", "value") for frame in (mine, base)]
    seeds, tasks = ([key for key in found[0][axis] if key in found[1][axis]] for axis in (0, 1))
    ours, theirs = (
        values[np.ix_([rows.index(seed) for seed in seeds], [columns.index(task) for task in tasks])]
        for rows, columns, values in found
    )
    return seeds, tasks, ours - theirs
