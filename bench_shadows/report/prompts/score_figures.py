"""Figures of what a study of prompts answers: by group beside the paper's, by task, and by how it is asked."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench_shadows.report.common import style
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.task_rows import draw_rows, results, spread
from bench_shadows.report.prompts import scores
from bench_shadows.report.prompts.figures import cleaned, draw_beside

PAPER = "#8A63C2"  # the colour of the paper's own figures, as its box on the page


def groups(run: Run) -> Figure | None:
    """Difference in accuracy by group, with intervals over seeds; the paper's Table 3 in a panel of its own."""
    compared = scores.groups_compared(run)
    if not compared:
        return None
    title = "Who gains when repeated prompts are removed?"
    figure, grid = style.new_figure(title, 1, 2, 2.9, sharey=True)
    ours, paper = grid[0]
    for row, group in enumerate(scores.GROUPS):
        for condition, value in compared.get(group, {}).items():
            half = None if value.half_width is None else 100 * value.half_width
            style.draw_marks(ours, 100 * value.mean, row, condition, xerr=half)
        categories = scores.CATEGORIES[group]
        for offset, category in zip(spread(len(categories)), categories, strict=True):
            difference = 100 * scores.paper_table_3()[category].difference
            paper.plot(difference, row + offset, "s", color="white", markeredgecolor=PAPER, markeredgewidth=1.5)
            left = difference > 6
            look = {"va": "center", "ha": "right" if left else "left", "fontsize": 7.5, "color": "#555555"}
            place = (difference, row + offset)
            paper.annotate(category, place, (-7 if left else 7, 0), textcoords="offset points", **look)
    ours.axvline(0, color=style.colour(run.reference), linewidth=1.4)
    ours.set_title("this run")
    paper.axvline(0, color=style.GREY, linewidth=1)
    paper.set_title("the paper's Table 3: one run, no interval", color=PAPER)
    for axes in (ours, paper):
        axes.set_xlabel("difference in points, de-duplicated − baseline", fontsize=8.5)
        axes.grid(axis="y", visible=False)
    style.name_rows(ours, list(scores.GROUPS.values()))
    return figure


def tasks(run: Run) -> Figure | None:
    """By task, prompts clean: accuracy beside the commonest answer's, and both differences to the reference."""
    right = results(run, "tasks", "exact_match")
    if not len(right):
        return None
    names, other = scores.task_names(run), cleaned(run)
    title = "Task by task: what is answered right, and what changes"
    figure, grid = style.new_figure(title, 1, 3 if other else 1, 1.6 + 0.25 * len(names), sharey=True)
    first = grid[0, 0]
    for row, task in enumerate(names):
        if (chance := scores.chance(run, task)) is not None:
            first.plot([chance] * 2, [row - 0.38, row + 0.38], color=style.GREY, linewidth=2)
        draw_beside(first, run, scores.score_values(run, "tasks", task), row, 0.14)
    first.set_title("share answered right")
    first.set_xlim(-0.02, 1.02)
    if other:
        loss = results(run, "tasks", scores.LOSS)
        for axes, end, heading in (
            (grid[0, 1], right, "difference in share (right is better)"),
            (grid[0, 2], loss, "difference in loss, nats (left is better)"),
        ):
            draw_rows(axes, end, end.where(condition=run.reference), [other], names)
            axes.set_title(heading, fontsize=8.5)
            axes.xaxis.set_major_locator(MaxNLocator(4))
    style.name_rows(first, [name.replace("/", " · ") for name in names])
    keys = [Line2D([], [], color=style.GREY, linewidth=2, label="commonest training answer")]
    style.legend(figure, run.conditions, keys)
    return figure


def asked(run: Run) -> Figure | None:
    """Trained on clean or repeated prompts, asked with clean or repeated ones: accuracy by group."""
    if not all(len(results(run, suite, "exact_match")) for suite in scores.ASKED):
        return None
    names = {**scores.GROUPS, "all": "all groups"}
    title = "Does it matter how one asks? Each condition asked with clean and with repeated prompts"
    figure, grid = style.new_figure(title, 1, len(names), 2.9, sharex=True)
    for axes, (group, label) in zip(grid[0], names.items(), strict=True):
        _draw_asked(axes, run, group)
        axes.set_title(label, fontsize=8.5)
        axes.set_xticks(range(len(scores.ASKED)), scores.ASKED.values())
        axes.set_xlim(-0.3, 1.3)
    _equal_spans(grid[0])
    grid[0, 0].set_ylabel("share answered right")
    grid[0, len(names) // 2].set_xlabel("prompts of the held-out samples")
    style.legend(figure, run.conditions)
    return figure


def _equal_spans(panels: Sequence[Axes]) -> None:
    """y axes of one length, each around its own middle: slopes can be compared between panels."""
    limits = [axes.get_ylim() for axes in panels]
    half = max(high - low for low, high in limits) / 2
    for axes, (low, high) in zip(panels, limits, strict=True):
        axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)


def _draw_asked(axes: Axes, run: Run, group: str) -> None:
    found = [scores.score_values(run, suite, group) for suite in scores.ASKED]
    drawn = False
    for name in run.conditions:
        seeds = sorted(set.intersection(*(set(values.get(name, {})) for values in found)))
        if seeds:
            values = np.array([[one[name][seed] for one in found] for seed in seeds])
            style.draw_line(axes, np.arange(len(found)), values, name)
            drawn = True
    if not drawn:
        style.empty(axes, "not asked")
