"""Figures of held-out text at the end of training: what each condition pays, by domain, token and position.

Every function takes a Run and returns a Figure, or None where evaluation.parquet lacks what it draws.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import GREY, colour, draw_line, legend, new_figure
from bench_shadows.report.common.tables import order_tasks
from bench_shadows.report.common.task_rows import difference, draw_rows, results


def domains(run: Run) -> Figure | None:
    """Held-out bits per byte at the end by domain: difference to A, a row for each domain."""
    end = results(run, suite="likelihood", metric="bits_per_byte")
    return rows_against_a(
        run, end, "Which domains pay? Right of the line is worse than A", "bits per byte, difference to A"
    )


def deciles(run: Run) -> Figure | None:
    """Loss by decile of token frequency at the end, and its difference to A."""
    return _lines(
        run,
        results(run, suite="frequency", metric="loss_nats_per_token"),
        "Head against tail: do rare tokens pay more than frequent ones?",
        ("loss", "nats per token"),
        "decile of token frequency (1 = most frequent tokens)",
    )


def positions(run: Run) -> Figure | None:
    """Loss by position in the row at the end, and its difference to A."""
    return _lines(
        run,
        results(run, suite="position", metric="loss_nats_per_token"),
        "Long context: does a token late in the row profit from what stands before it?",
        ("loss", "nats per token"),
        "position of the token in its row",
    )


def rare_words(run: Run) -> Figure | None:
    """Accuracy on minimal pairs of rare words at the end, all and by frequency band, and its difference to A."""
    return _lines(
        run,
        results(run, suite="rare_words", metric="accuracy"),
        "Rare words: is the true sentence likelier than the one with a swapped word?",
        ("accuracy (chance 0.5)", "share of pairs"),
        "times the training text has the word",
        better="above",
        chance=0.5,
    )


def _lines(
    run: Run,
    end: Frame,
    title: str,
    label: tuple[str, str],
    axis: str,
    better: str = "below",
    chance: float | None = None,
) -> Figure | None:
    """A suite over its ordered tasks: its value on the left, the difference to A with intervals on the right."""
    tasks = order_tasks(end.values("task")) if len(end) else []
    if not tasks:
        return None
    others = [name for name in run.conditions if name != run.reference and len(end.where(condition=name))]
    base = end.where(condition=run.reference)
    compared = bool(others and len(base))
    figure, grid = new_figure(title, 1, 2 if compared else 1, 3.4)
    whole = len(tasks) - (tasks[-1] == "all")  # `all` is no range among the others: a mark of its own
    ticks = [task.rpartition("-")[2] if task.startswith("decile-") else task.replace("-", "–") for task in tasks]
    places = np.arange(1, len(tasks) + 1)
    left = grid[0, 0]
    for name in run.conditions:
        _, found, values = end.where(condition=name).pivot("seed", "task", "value")
        if found:
            _draw_apart(left, places, _arrange(tasks, found, values), name, whole)
    if chance is not None:
        left.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (6, 2)), zorder=1)
    left.set_title(label[0])
    left.set_ylabel(label[1])
    if compared:
        right = grid[0, 1]
        right.axhline(0, color=colour(BASELINE), linewidth=1.4)
        for name in others:
            _, found, values = difference(end.where(condition=name), base)
            _draw_apart(right, places, _arrange(tasks, found, values), name, whole)
        right.set_title(f"difference to A ({better} the line is better)")
    for axes in grid[0]:
        axes.set_xticks(places, ticks, fontsize=8 if max(map(len, ticks)) < 8 else 6.5)
        axes.set_xlabel(axis)
    legend(figure, [name for name in run.conditions if len(end.where(condition=name))])
    return figure


def _draw_apart(axes: Axes, places: np.ndarray, values: np.ndarray, condition: str, whole: int) -> None:
    """The first `whole` places as a line, what is left as marks with their intervals."""
    draw_line(axes, places[:whole], values[:, :whole], condition)
    for place in range(whole, len(places)):
        draw_line(axes, places[place : place + 1], values[:, place : place + 1], condition)
        half = half_width(values[:, place : place + 1])
        if np.isfinite(half).any():
            axes.errorbar(places[place], mean(values)[place], yerr=half, color=colour(condition), elinewidth=1.2)


def _arrange(tasks: Sequence[str], found: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Values [seeds, found] put to the places of all tasks [seeds, tasks], NaN between."""
    full = np.full((len(values), len(tasks)), np.nan)
    full[:, [tasks.index(task) for task in found]] = values
    return full


def rows_against_a(run: Run, end: Frame, title: str, label: str) -> Figure | None:
    """A row for each task, a mark with its interval for each other condition's difference to A."""
    others = [name for name in run.conditions if name != run.reference and len(end.where(condition=name))]
    base = end.where(condition=run.reference)
    if not others or not len(base):
        return None
    tasks = order_tasks(end.values("task"))
    figure, grid = new_figure(title, 1, 1, 1.5 + 0.34 * len(tasks))
    draw_rows(grid[0, 0], end, base, others, tasks)
    grid[0, 0].set_yticks(range(len(tasks)), ["all domains" if task == "all" else task for task in tasks])
    grid[0, 0].set_xlabel(label)
    legend(figure, others)
    return figure
