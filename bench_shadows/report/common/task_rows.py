"""Results of held-out suites at the end of training: a row for each task, differences to the reference."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bench_shadows.paper import BASELINE
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import MARKERS, colour
from bench_shadows.report.common.tables import at_end


def results(run: Run, suite: str, metric: str) -> Frame:
    """The values of a suite at the end of training; those that are missing are left out."""
    return at_end(run.evaluation.where(suite=suite, metric=metric)).known("value")


def draw_rows(axes: Axes, end: Frame, base: Frame, others: Sequence[str], tasks: Sequence[str]) -> None:
    """The marks of `rows_against_a`, tasks from top to bottom."""
    axes.axvline(0, color=colour(BASELINE), linewidth=1.4)
    for row in range(0, len(tasks), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", zorder=0, linewidth=0)
    offsets = np.linspace(-0.2, 0.2, len(others)) if len(others) > 1 else [0.0]
    for offset, name in zip(offsets, others, strict=True):
        seeds, found, differences = difference(end.where(condition=name), base)
        places = np.array([tasks.index(task) for task in found]) + offset
        half = np.nan_to_num(half_width(differences))
        axes.errorbar(
            mean(differences),
            places,
            xerr=half if half.any() else None,
            fmt=MARKERS.get(name, "x"),
            color=colour(name),
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            elinewidth=1.2,
            linestyle="none",
        )
        if len(seeds) == 2:
            axes.plot(differences.T, places, MARKERS.get(name, "x"), color=colour(name), markersize=3, alpha=0.4)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def difference(mine: Frame, base: Frame) -> tuple[list[int], list[str], np.ndarray]:
    """(seeds, tasks, value minus A's [seeds, tasks]) over the seeds and tasks that both have."""
    my_seeds, my_tasks, values = mine.pivot("seed", "task", "value")
    base_seeds, base_tasks, zero = base.pivot("seed", "task", "value")
    seeds = [seed for seed in my_seeds if seed in base_seeds]
    tasks = [task for task in my_tasks if task in base_tasks]

    def pick(table: np.ndarray, rows: list, columns: list) -> np.ndarray:
        return table[np.ix_([rows.index(seed) for seed in seeds], [columns.index(task) for task in tasks])]

    return seeds, tasks, pick(values, my_seeds, my_tasks) - pick(zero, base_seeds, base_tasks)
