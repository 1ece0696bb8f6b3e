"""Figures of what a study of prompts answers: by group beside the paper's, by task, and by how it is asked."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench_shadows.report.common.estimates import Estimate, estimate
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import GREY, colour, draw_line, empty, legend, new_figure
from bench_shadows.report.common.task_rows import draw_rows, results
from bench_shadows.report.prompts.figures import cleaned, mark
from bench_shadows.report.prompts.scores import (
    CATEGORIES,
    GROUPS,
    REPEATED,
    groups_compared,
    paper_table_3,
    score_values,
    task_names,
)

PAPER = "#8A63C2"  # the colour of the paper's own figures, as its box on the page


def groups(run: Run) -> Figure | None:
    """Difference in accuracy by group, with intervals over seeds; the paper's Table 3 in a panel of its own."""
    if not groups_compared(run):
        return None
    title = "Who gains when repeated prompts are removed?"
    figure, grid = new_figure(title, 1, 2, 2.9, sharey=True)
    ours, paper = grid[0]
    names = list(GROUPS)
    for row, group in enumerate(names):
        for condition, value in groups_compared(run).get(group, {}).items():
            mark(ours, Estimate(100 * value.mean, _times(value.half_width, 100), value.seeds), row, condition)
    ours.axvline(0, color=colour(run.reference), linewidth=1.4)
    ours.set_title("this run")
    for row, group in enumerate(names):
        categories = CATEGORIES[group]
        offsets = np.linspace(-0.2, 0.2, len(categories)) if len(categories) > 1 else [0.0]
        for offset, category in zip(offsets, categories, strict=True):
            difference = 100 * paper_table_3()[category].difference
            paper.plot(difference, row + offset, "s", color="white", markeredgecolor=PAPER, markeredgewidth=1.5)
            left = difference > 6
            paper.annotate(
                category, (difference, row + offset), (-7 if left else 7, 0), textcoords="offset points",
                va="center", ha="right" if left else "left", fontsize=7.5, color="#555555",
            )  # fmt: skip
    paper.axvline(0, color=GREY, linewidth=1)
    paper.set_title("the paper's Table 3: one run, no interval", color=PAPER)
    for axes in (ours, paper):
        axes.set_xlabel("difference in points, de-duplicated − baseline", fontsize=8.5)
        axes.grid(axis="y", visible=False)
    ours.set_yticks(range(len(names)), list(GROUPS.values()))
    ours.set_ylim(len(names) - 0.5, -0.5)
    return figure


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def tasks(run: Run) -> Figure | None:
    """By task, prompts clean: accuracy beside the commonest answer's, and both differences to the reference."""
    right = results(run, "tasks", "exact_match")
    if not len(right):
        return None
    names, other = task_names(run), cleaned(run)
    figure, grid = new_figure(
        "Task by task: what is answered right, and what changes", 1, 3 if other else 1, 1.6 + 0.25 * len(names),
        sharey=True,
    )  # fmt: skip
    first = grid[0, 0]
    for row, task in enumerate(names):
        chance = estimate(
            value
            for seeds in score_values(run, "chance", task, "exact_match").values()
            for value in seeds.values()
        )
        if chance is not None:
            first.plot([chance.mean] * 2, [row - 0.38, row + 0.38], color=GREY, linewidth=2)
        values = score_values(run, "tasks", task, "exact_match")
        for shift, name in zip((-0.14, 0.14), run.conditions, strict=False):
            found = estimate(values.get(name, {}).values())
            if found is not None:
                mark(first, found, row + shift, name)
    first.set_title("share answered right")
    first.set_xlim(-0.02, 1.02)
    if other:
        loss = results(run, "tasks", "answer_loss_nats_per_token")
        for axes, end, heading in (
            (grid[0, 1], right, "difference in share (right is better)"),
            (grid[0, 2], loss, "difference in loss, nats (left is better)"),
        ):
            draw_rows(axes, end, end.where(condition=run.reference), [other], names)
            axes.set_title(heading, fontsize=8.5)
            axes.xaxis.set_major_locator(MaxNLocator(4))
    first.grid(axis="y", visible=False)
    first.set_yticks(range(len(names)), [name.replace("/", " · ") for name in names])
    first.set_ylim(len(names) - 0.5, -0.5)
    legend(figure, run.conditions, [Line2D([], [], color=GREY, linewidth=2, label="commonest training answer")])
    return figure


def asked(run: Run) -> Figure | None:
    """Trained on clean or repeated prompts, asked with clean or repeated ones: accuracy by group."""
    forms = [("groups", "clean"), (f"groups{REPEATED}", "repeated")]
    if not all(len(results(run, suite, "exact_match")) for suite, _ in forms):
        return None
    names = {**GROUPS, "all": "all groups"}
    title = "Does it matter how one asks? Each condition asked with clean and with repeated prompts"
    figure, grid = new_figure(title, 1, len(names), 2.9, sharex=True)
    for axes, (group, label) in zip(grid[0], names.items(), strict=True):
        _draw_asked(axes, run, group, [suite for suite, _ in forms])
        axes.set_title(label, fontsize=8.5)
        axes.set_xticks([0, 1], [text for _, text in forms])
        axes.set_xlim(-0.3, 1.3)
    _equal_spans(grid[0])
    grid[0, 0].set_ylabel("share answered right")
    grid[0, len(names) // 2].set_xlabel("prompts of the held-out samples")
    legend(figure, run.conditions)
    return figure


def _equal_spans(panels: Sequence[Axes]) -> None:
    """y axes of one length, each around its own middle: slopes can be compared between panels."""
    limits = [axes.get_ylim() for axes in panels]
    half = max(high - low for low, high in limits) / 2
    for axes, (low, high) in zip(panels, limits, strict=True):
        axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)


def _draw_asked(axes: Axes, run: Run, group: str, suites: list[str]) -> None:
    found = {suite: score_values(run, suite, group, "exact_match") for suite in suites}
    drawn = False
    for name in run.conditions:
        seeds = sorted(set.intersection(*(set(values.get(name, {})) for values in found.values())))
        if seeds:
            values = np.array([[found[suite][name][seed] for suite in suites] for seed in seeds])
            draw_line(axes, np.arange(len(suites)), values, name)
            drawn = True
    if not drawn:
        empty(axes, "not asked")
