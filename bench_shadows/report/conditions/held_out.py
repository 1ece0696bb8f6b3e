"""Figures of the evaluation: what each condition pays and gains, by domain, token, position, form and exercise.

Every function takes a Run and returns a Figure, or None where evaluation.parquet lacks what it draws.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE
from bench_shadows.report.common import style
from bench_shadows.report.common.curves import draw_steps
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import order_tasks
from bench_shadows.report.common.task_rows import difference, draw_rows, results


@dataclasses.dataclass(frozen=True)
class Lines:
    """A suite whose tasks have an order, as a figure of lines: of a loss, unless it says something else."""

    suite: str
    title: str
    axis: str
    metric: str = "loss_nats_per_token"
    heading: str = "loss"
    label: str = "nats per token"
    better: str = "below"
    """Where the line is better than A's."""
    chance: float | None = None


DECILES = Lines(
    "frequency",
    "Head against tail: do rare tokens pay more than frequent ones?",
    "decile of token frequency (1 = most frequent tokens)",
)
POSITIONS = Lines(
    "position",
    "Long context: does a token late in the row profit from what stands before it?",
    "position of the token in its row",
)
RARE_WORDS = Lines(
    "rare_words",
    "Rare words: is the true sentence likelier than the one with a swapped word?",
    "times the training text has the word",
    metric="accuracy",
    heading="accuracy (chance 0.5)",
    label="share of pairs",
    better="above",
    chance=0.5,
)


def draw_lines(run: Run, lines: Lines) -> Figure | None:
    """A suite over its ordered tasks at the end of training, and its difference to A with intervals."""
    end = results(run, lines.suite, lines.metric)
    tasks = order_tasks(end.values("task"))
    if not tasks:
        return None
    others, base = _others(run, end)
    figure, grid = style.new_figure(lines.title, 1, 2 if others else 1, 3.4)
    left = grid[0, 0]
    for name in run.present(end):
        _, found, values = end.where(condition=name).pivot("seed", "task", "value")
        _draw_apart(left, tasks, found, values, name)
    if lines.chance is not None:
        left.axhline(lines.chance, zorder=1, **style.DASHED)
    left.set_title(lines.heading)
    left.set_ylabel(lines.label)
    if others:
        right = grid[0, 1]
        right.axhline(0, color=style.colour(BASELINE), linewidth=1.4)
        for name in others:
            _, found, values = difference(end.where(condition=name), base)
            _draw_apart(right, tasks, found, values, name)
        right.set_title(f"difference to A ({lines.better} the line is better)")
    ticks = [task.rpartition("-")[2] if task.startswith("decile-") else task.replace("-", "–") for task in tasks]
    for axes in grid[0]:
        axes.set_xticks(range(1, len(tasks) + 1), ticks, fontsize=8 if max(map(len, ticks)) < 8 else 6.5)
        axes.set_xlabel(lines.axis)
    style.legend(figure, run.present(end))
    return figure


def _others(run: Run, end: Frame) -> tuple[list[str], Frame]:
    """(the conditions that can be compared with A in these results, A's): none where A has no results."""
    base = end.where(condition=run.reference)
    return [name for name in run.present(end) if name != run.reference and len(base)], base


def _draw_apart(
    axes: Axes, tasks: Sequence[str], found: Sequence[str], values: np.ndarray, condition: str
) -> None:
    """Values [seeds, found] at the places of their tasks: a line, and `all` as a mark of its own at the end."""
    full = np.full((len(values), len(tasks)), np.nan)
    full[:, [tasks.index(task) for task in found]] = values
    places = np.arange(1, len(tasks) + 1)
    whole = len(tasks) - (tasks[-1] == "all")  # it is no range among the others
    style.draw_line(axes, places[:whole], full[:, :whole], condition)
    if whole < len(tasks):
        style.draw_line(axes, places[whole:], full[:, whole:], condition)
        half = half_width(full[:, whole:])
        if np.isfinite(half).any():
            shade = style.colour(condition)
            axes.errorbar(places[whole], mean(full)[whole], yerr=half, color=shade, elinewidth=1.2)


def domains(run: Run) -> Figure | None:
    """Held-out bits per byte at the end by domain: difference to A, a row for each domain."""
    end = results(run, suite="likelihood", metric="bits_per_byte")
    others, base = _others(run, end)
    if not others:
        return None
    tasks = order_tasks(end.values("task"))
    title = "Which domains pay? Right of the line is worse than A"
    figure, grid = style.new_figure(title, 1, 1, 1.5 + 0.34 * len(tasks))
    draw_rows(grid[0, 0], end, base, others, tasks)
    grid[0, 0].set_yticks(range(len(tasks)), ["all domains" if task == "all" else task for task in tasks])
    grid[0, 0].set_xlabel("bits per byte, difference to A")
    style.legend(figure, others)
    return figure


# Suite, metric, heading, label.
PANELS = (
    ("canonical", "bits_per_byte", "text", "bits per byte\n(left is better)"),
    (
        "exercises",
        "answer_loss_nats_per_token",
        "exercises: loss of the answer",
        "nats per token\n(left is better)",
    ),
    ("exercises", "exact_match", "exercises: answered exactly", "share\n(right is better)"),
)


def narrow_and_broad(run: Run) -> Figure | None:
    """Canonical and original text, narrow and broad exercises at the end: difference to A, a row for each task."""
    ends = [(results(run, suite, metric), heading, label) for suite, metric, heading, label in PANELS]
    panels = [panel for panel in ends if _others(run, panel[0])[0]]
    if not panels:
        return None
    title = "Narrow against broad: who gains on what looks like the concentrated half?"
    most = max(len(end.values("task")) for end, *_ in panels)
    figure, grid = style.new_figure(title, 1, len(panels), 1.9 + 0.3 * most)
    drawn: set[str] = set()
    for axes, (end, heading, label) in zip(grid[0], panels, strict=True):
        others, base = _others(run, end)
        drawn.update(others)
        tasks = order_tasks(end.values("task"))
        draw_rows(axes, end, base, others, tasks)
        axes.set_yticks(range(len(tasks)), [task.replace("/", ": ").replace("_", " ") for task in tasks])
        axes.set_title(heading, fontsize=8.5)
        axes.set_xlabel(f"minus A, {label}", fontsize=8.5)
        axes.locator_params(axis="x", nbins=5)
    style.legend(figure, [name for name in run.conditions if name in drawn])
    return figure


SHADOWS = {
    "likelihood": "from text: log ratio of bits per byte",
    "exercises": "from exercises: share answered",
}


def shadow(run: Run) -> Figure | None:
    """The shadow score through training, from text and from exercises, with intervals over seeds."""
    frame = run.evaluation.where(suite="shadow", metric="score").known("value")
    tasks = [task for task in SHADOWS if len(frame.where(task=task))]
    if not tasks:
        return None
    title = "The shadow: gain on the narrow set minus gain on the broad one, against A"
    figure, grid = style.new_figure(title, 1, len(tasks), 3.4, sharex=True)
    for axes, task in zip(grid[0], tasks, strict=True):
        axes.axhline(0, color=style.GREY, linewidth=0.8)
        draw_steps(axes, run, frame.where(task=task), "value")
        axes.set_title(SHADOWS[task])
    style.label_x(grid, "step")
    grid[0, 0].set_ylabel("shadow score (above 0: narrow)")
    style.legend(figure, run.present(frame), style.phase_shift_keys(run.phase_shift))
    return figure
