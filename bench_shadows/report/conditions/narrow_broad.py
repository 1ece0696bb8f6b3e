"""Figures of what concentration aims at: canonical forms, exercises narrow and broad, and the shadow score."""

import numpy as np
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.style import (
    GREY,
    draw_line,
    legend,
    mark_phase_shift,
    new_figure,
    phase_shift_keys,
)
from bench_shadows.report.common.tables import order_tasks
from bench_shadows.report.common.task_rows import draw_rows, results

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
    panels = []
    for suite, metric, heading, label in PANELS:
        end = results(run, suite, metric)
        others = [name for name in run.conditions if name != BASELINE and len(end.where(condition=name))]
        if others and len(end.where(condition=BASELINE)):
            panels.append((end, others, heading, label))
    if not panels:
        return None
    most = max(len(end.values("task")) for end, *_ in panels)
    figure, grid = new_figure(
        "Narrow against broad: who gains on what looks like the concentrated half?",
        1,
        len(panels),
        1.9 + 0.3 * most,
    )
    for axes, (end, others, heading, label) in zip(grid[0], panels, strict=True):
        tasks = order_tasks(end.values("task"))
        draw_rows(axes, end, end.where(condition=BASELINE), others, tasks)
        axes.set_yticks(range(len(tasks)), [task.replace("/", ": ").replace("_", " ") for task in tasks])
        axes.set_title(heading, fontsize=8.5)
        axes.set_xlabel(f"minus A, {label}", fontsize=8.5)
        axes.locator_params(axis="x", nbins=5)
    legend(figure, [name for name in run.conditions if any(name in others for _, others, *_ in panels)])
    return figure


def shadow(run: Run) -> Figure | None:
    """The shadow score through training, from text and from exercises, with intervals over seeds."""
    frame = run.evaluation.where(suite="shadow", metric="score")
    frame = Frame({name: column[np.isfinite(frame["value"])] for name, column in frame.columns.items()})
    tasks = [task for task in ("likelihood", "exercises") if len(frame.where(task=task))]
    if not tasks:
        return None
    title = "The shadow: gain on the narrow set minus gain on the broad one, against A"
    figure, grid = new_figure(title, 1, len(tasks), 3.4, sharex=True)
    for axes, task in zip(grid[0], tasks, strict=True):
        axes.axhline(0, color=GREY, linewidth=0.8)
        for name in run.conditions:
            seeds, steps, values = frame.where(condition=name, task=task).pivot("seed", "step", "value")
            if seeds:
                draw_line(axes, np.array(steps), values, name)
        mark_phase_shift(axes, run.phase_shift)
        axes.set_title(
            {"likelihood": "from text: log ratio of bits per byte", "exercises": "from exercises: share answered"}[
                task
            ]
        )
        axes.set_xlabel("step")
    grid[0, 0].set_ylabel("shadow score (above 0: narrow)")
    legend(
        figure,
        [name for name in run.conditions if len(frame.where(condition=name))],
        phase_shift_keys(run.phase_shift),
    )
    return figure
