"""Figures of the weights: alpha, spikes and rank over depth, their distribution, and how the weights moved.

Every function takes a Run and returns a Figure, or None where the run lacks what it draws. A matrix without a
fit is a gap.
"""

import numpy as np
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE, IN_RANGE
from bench_shadows.report.common.depth_figures import (
    by_module,
    draw_depth,
    histogram,
    limit_to_means,
    over_depth,
    present,
    references,
    short,
)
from bench_shadows.report.common.estimates import mean
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.style import (
    BAND,
    GREY,
    NAMES,
    colour,
    draw_line,
    empty,
    grid_shape,
    hide,
    integer_axis,
    legend,
    mark_phase_shift,
    new_figure,
    phase_shift_keys,
)
from bench_shadows.report.common.tables import at_end, decoder, fraction_label


def alpha_at_end(run: Run) -> Figure | None:
    """Histogram of alpha over all matrices at the end, a panel for each condition, [2, 6] shaded."""
    end = at_end(decoder(run))
    if not len(end):
        return None
    conditions = [name for name in run.conditions if len(end.where(condition=name))]
    figure, grid = new_figure(
        "Where do the alphas lie at the end of training?", 1, len(conditions), 3.0, sharex=True, sharey=True
    )
    for axes, name in zip(grid[0], conditions, strict=True):
        histogram(axes, end.where(condition=name), colour(name), counts=True)
        axes.set_title(NAMES.get(name, name), color=colour(name), fontweight="bold", fontsize=9)
        axes.set_xlabel("alpha")
    grid[0, 0].set_ylabel("matrices (%)")
    return figure


def alpha_over_checkpoints(run: Run) -> Figure | None:
    """Histograms of alpha, conditions down, analysed points of the run across."""
    frame = decoder(run)
    points = [
        (fraction, step)
        for fraction, step in zip(run.config.diagnostics.fractions, run.config.analysed_steps, strict=True)
        if len(frame.where(step=step))
    ]
    if not points:
        return None
    conditions = [name for name in run.conditions if len(frame.where(condition=name))]
    figure, grid = new_figure(
        "How does the distribution of alpha move through training?",
        len(conditions),
        len(points),
        0.9 + 1.35 * len(conditions),
        sharex=True,
        sharey=True,
    )
    for row, name in enumerate(conditions):
        for column, (fraction, step) in enumerate(points):
            axes = grid[row, column]
            here = frame.where(condition=name, step=step)
            if len(here):
                histogram(axes, here, colour(name), counts=False)
            else:
                empty(axes, "no checkpoint")
            if row == 0:
                axes.set_title(f"{fraction_label(fraction)} (step {step:,})")
        grid[row, 0].set_ylabel(f"{name}\nmatrices (%)", color=colour(name))
    figure.supxlabel("alpha", fontsize=9)
    return figure


def v_proj_depth(run: Run) -> Figure | None:
    """alpha of v_proj over depth at the end, a panel for each condition, A's mean in each."""
    end = at_end(decoder(run)).where(module="self_attn.v_proj")
    layers, profiles = over_depth(end, "alpha", run.conditions)
    if not profiles:
        return None
    title = "v_proj: do C and D leave A's profile, most of all in the upper layers?"
    figure, grid = new_figure(title, 1, len(profiles), 3.2, sharex=True, sharey=True)
    for axes, (name, values) in zip(grid[0], profiles.items(), strict=True):
        axes.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
        if name != BASELINE and BASELINE in profiles:
            axes.plot(layers, mean(profiles[BASELINE]), color=colour(BASELINE), linewidth=0.9, alpha=0.8)
        draw_line(axes, layers, values, name)
        integer_axis(axes, layers)
        axes.set_title(NAMES.get(name, name), color=colour(name), fontweight="bold", fontsize=9)
        axes.set_xlabel("layer")
    grid[0, 0].set_ylabel("alpha of self_attn.v_proj")
    limit_to_means(grid[0, 0], profiles)
    return figure


UP_PROJ = (
    ("alpha", "alpha"),
    ("spikes", "spikes (eigenvalues ≥ x_min)"),
    ("x_min_over_mean", "x_min / mean eigenvalue"),
)


def up_proj_depth(run: Run) -> Figure | None:
    """alpha, spikes and x_min / mean of up_proj over depth at the end."""
    end = at_end(decoder(run)).where(module="mlp.up_proj")
    if not len(end):
        return None
    figure, grid = new_figure("up_proj: do the conditions come apart in the MLP, or only in attention?", 1, 3, 3.3)
    for axes, (value, label) in zip(grid[0], UP_PROJ, strict=True):
        draw_depth(axes, end, value, run.conditions)
        axes.set_title(label)
        axes.set_xlabel("layer")
    legend(figure, run.conditions)
    return figure


def all_modules(run: Run, value: str, label: str, title: str) -> Figure | None:
    """A diagnostic over depth at the end, a panel for each module."""
    return by_module(run, at_end(decoder(run)), value, label, title)


def change_over_depth(run: Run, value: str, label: str, title: str, reference: str = "init") -> Figure | None:
    """A change over depth at the end, measured from `reference`, a panel for each module."""
    return by_module(run, at_end(run.changes.where(reference=reference)), value, label, title)


def delta_effective_rank(run: Run) -> Figure | None:
    """Delta effective rank over depth at the end: references down, v_proj, o_proj and up_proj across."""
    modules = ["self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj"]
    end = at_end(run.changes)
    modules = [name for name in modules if name in end.values("module")]
    found = [(name, text) for name, text in references(run) if len(end.where(reference=name))]
    if not modules or not found:
        return None
    title = "Delta effective rank: is D disrupted in the deep layers, against every reference?"
    figure, grid = new_figure(title, len(found), len(modules), 0.9 + 2.0 * len(found), sharex=True)
    for row, (reference, text) in enumerate(found):
        for column, module in enumerate(modules):
            axes = grid[row, column]
            axes.axhline(0, color=GREY, linewidth=0.8)
            here = end.where(reference=reference, module=module)
            draw_depth(axes, here, "delta_effective_rank", run.conditions)
            if row == 0:
                axes.set_title(short(module))
        grid[row, 0].set_ylabel(f"delta effective rank\n{text}", fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    legend(figure, present(run, end))
    return figure


def how_far(run: Run) -> Figure | None:
    """Relative change and correlation over depth at the end, from the initial weights and from A, for v_proj."""
    module = "self_attn.v_proj"
    end = at_end(run.changes).where(module=module)
    found = [
        (name, text) for name, text in references(run) if name != "previous" and len(end.where(reference=name))
    ]
    if not found:
        return None
    figure, grid = new_figure(
        "v_proj: how far did the weights travel, and did they turn away?", 2, len(found), 5.0, sharex=True
    )
    for column, (reference, text) in enumerate(found):
        here = end.where(reference=reference)
        for row, (value, label) in enumerate(
            (("relative_change", "relative change"), ("correlation", "correlation"))
        ):
            draw_depth(grid[row, column], here, value, run.conditions)
            grid[row, 0].set_ylabel(label)
        grid[0, column].set_title(text)
        grid[1, column].set_xlabel("layer")
    legend(figure, present(run, end))
    return figure


def rank_by_module(run: Run) -> Figure | None:
    """Mean effective rank over layers through training, a panel for each module and one for all."""
    frame = decoder(run)
    modules = order_modules(frame.values("module"))
    if not modules:
        return None
    panels = [(short(module), frame.where(module=module)) for module in modules]
    panels.append(("all modules", frame))
    rows, columns = grid_shape(len(panels))
    title = "Effective rank through training: is there a drop that does not come back?"
    figure, grid = new_figure(title, rows, columns, 1.0 + 1.9 * rows, sharex=len(panels) == rows * columns)
    for axes, (heading, mine) in zip(grid.flat, panels, strict=False):
        for name in run.conditions:
            seeds, steps, values = mine.where(condition=name).pivot("seed", "step", "effective_rank")
            if seeds:
                draw_line(axes, np.array(steps), values, name)
        mark_phase_shift(axes, run.phase_shift)
        axes.set_title(heading)
    for axes in list(grid.flat)[len(panels) :]:
        hide(axes)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    figure.supylabel("mean effective rank", fontsize=9)
    legend(figure, run.conditions, phase_shift_keys(run.phase_shift))
    return figure
