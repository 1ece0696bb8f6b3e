"""Figures of the weights: alpha, spikes and rank over depth, their distribution, and how the weights moved.

Every function takes a Run and returns a Figure, or None where the run lacks what it draws. A matrix without a
fit is a gap.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE, UP_PROJ, V_PROJ
from bench_shadows.report.common import depth_figures, style
from bench_shadows.report.common.curves import draw_curves, draw_panel, draw_steps
from bench_shadows.report.common.estimates import mean
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.tables import at_end, decoder, fraction_label


def alpha_at_end(run: Run) -> Figure | None:
    """Histogram of alpha over all matrices at the end, a panel for each condition, [2, 6] shaded."""
    end = at_end(decoder(run))
    if not len(end):
        return None
    conditions = run.present(end)
    title = "Where do the alphas lie at the end of training?"
    figure, grid = style.new_figure(title, 1, len(conditions), 3.0, sharex=True, sharey=True)
    for axes, name in zip(grid[0], conditions, strict=True):
        depth_figures.histogram(axes, end.where(condition=name), style.colour(name), counts=True)
        style.title_condition(axes, name)
    style.label_x(grid, "alpha")
    grid[0, 0].set_ylabel("matrices (%)")
    return figure


def alpha_over_checkpoints(run: Run) -> Figure | None:
    """Histograms of alpha, conditions down, analysed points of the run across."""
    frame = decoder(run)
    points = [(fraction, step) for fraction, step in run.points if len(frame.where(step=step))]
    if not points:
        return None
    conditions = run.present(frame)
    title = "How does the distribution of alpha move through training?"
    height = 0.9 + 1.35 * len(conditions)
    figure, grid = style.new_figure(title, len(conditions), len(points), height, sharex=True, sharey=True)
    for row, name in zip(grid, conditions, strict=True):
        for axes, (_, step) in zip(row, points, strict=True):
            here = frame.where(condition=name, step=step)
            if len(here):
                depth_figures.histogram(axes, here, style.colour(name), counts=False)
            else:
                style.empty(axes, "no checkpoint")
        row[0].set_ylabel(f"{name}\nmatrices (%)", color=style.colour(name))
    for axes, (fraction, step) in zip(grid[0], points, strict=True):
        axes.set_title(f"{fraction_label(fraction)} (step {step:,})")
    figure.supxlabel("alpha", fontsize=9)
    return figure


def v_proj_depth(run: Run) -> Figure | None:
    """alpha of v_proj over depth at the end, a panel for each condition, A's mean in each."""
    end = at_end(decoder(run)).where(module=V_PROJ)
    layers, profiles = depth_figures.over_depth(end, "alpha", run.conditions)
    if not profiles:
        return None
    title = "v_proj: do C and D leave A's profile, most of all in the upper layers?"
    figure, grid = style.new_figure(title, 1, len(profiles), 3.2, sharex=True, sharey=True)
    for axes, (name, values) in zip(grid[0], profiles.items(), strict=True):
        depth_figures.shade_range(axes)
        if name != BASELINE and BASELINE in profiles:
            look = {"color": style.colour(BASELINE), "linewidth": 0.9, "alpha": 0.8}
            axes.plot(layers, mean(profiles[BASELINE]), **look)
        style.draw_line(axes, layers, values, name)
        style.integer_axis(axes, layers)
        style.title_condition(axes, name)
    style.label_x(grid, "layer")
    grid[0, 0].set_ylabel("alpha of self_attn.v_proj")
    depth_figures.limit_to_means(grid[0, 0], profiles)
    return figure


OF_UP_PROJ = {
    "alpha": "alpha",
    "spikes": "spikes (eigenvalues ≥ x_min)",
    "x_min_over_mean": "x_min / mean eigenvalue",
}


def up_proj_depth(run: Run) -> Figure | None:
    """alpha, spikes and x_min / mean of up_proj over depth at the end."""
    end = at_end(decoder(run)).where(module=UP_PROJ)
    if not len(end):
        return None
    title = "up_proj: do the conditions come apart in the MLP, or only in attention?"
    figure, grid = style.new_figure(title, 1, 3, 3.3)
    for axes, (value, label) in zip(grid[0], OF_UP_PROJ.items(), strict=True):
        depth_figures.draw_depth(axes, end, value, run.conditions)
        axes.set_title(label)
    style.label_x(grid, "layer")
    style.legend(figure, run.conditions)
    return figure


def delta_effective_rank(run: Run) -> Figure | None:
    """Delta effective rank over depth at the end: references down, v_proj, o_proj and up_proj across."""
    end = at_end(run.changes)
    title = "Delta effective rank: is D disrupted in the deep layers, against every reference?"
    return depth_figures.draw_rank_changes(run, end, depth_figures.references(run, end), title)


def how_far(run: Run) -> Figure | None:
    """Relative change and correlation over depth at the end, from the initial weights and from A, for v_proj."""
    end = at_end(run.changes).where(module=V_PROJ)
    found = depth_figures.references(run, end, without="previous")
    if not found:
        return None
    title = "v_proj: how far did the weights travel, and did they turn away?"
    figure, grid = style.new_figure(title, 2, len(found), 5.0, sharex=True)
    for row, (value, label) in zip(
        grid, (("relative_change", "relative change"), ("correlation", "correlation")), strict=True
    ):
        for axes, (reference, _) in zip(row, found, strict=True):
            depth_figures.draw_depth(axes, end.where(reference=reference), value, run.conditions)
        row[0].set_ylabel(label)
    for axes, (_, text) in zip(grid[0], found, strict=True):
        axes.set_title(text)
    style.label_x(grid, "layer")
    style.legend(figure, run.present(end))
    return figure


def rank_by_module(run: Run) -> Figure | None:
    """Mean effective rank over layers through training, a panel for each module and one for all."""
    frame = decoder(run)
    modules = order_modules(frame.values("module"))
    if not modules:
        return None
    found = [(depth_figures.short(module), frame.where(module=module)) for module in modules]
    found.append(("all modules", frame))
    title = "Effective rank through training: is there a drop that does not come back?"
    figure, panels, grid = depth_figures.module_panels(title, len(found))
    for axes, (heading, mine) in zip(panels, found, strict=True):
        draw_steps(axes, run, mine, "effective_rank")
        axes.set_title(heading)
    style.label_x(grid, "step")
    figure.supylabel("mean effective rank", fontsize=9)
    style.legend(figure, run.conditions, style.phase_shift_keys(run.phase_shift))
    return figure


def trajectories(run: Run) -> Figure | None:
    """Loss, held-out bits per byte, share in [2, 6] and mean effective rank through training."""
    if not run.metrics and not len(run.diagnostics):
        return None
    title = "Through training: what happens before and after the phase shift?"
    figure, grid = style.new_figure(title, 2, 2, 5.6, sharex=True)
    loss, held_out, share, rank = grid.flat
    entropy = run.statistics.get("unigram_entropy_nats")
    if draw_curves(loss, run, "loss") and entropy is not None:
        _mark_level(loss, entropy, f"unigram entropy of the text, {entropy:.2f}")
    loss.set_title("training loss, on each condition's own batches")
    loss.set_ylabel("nats per token")
    text, frame = run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte"), decoder(run)
    draw_panel(held_out, run, text, "value", "held-out text, all domains", "bits per byte", "not evaluated")
    heading, absent = "matrices with alpha in [2, 6]", "not diagnosed"
    draw_panel(share, run, frame, "in_range", heading, "% of fitted matrices", absent)
    heading = "effective rank, mean over all matrices"
    draw_panel(rank, run, frame, "effective_rank", heading, "effective rank", absent)
    style.label_x(grid, "step")
    style.legend(figure, run.conditions, style.phase_shift_keys(run.phase_shift))
    return figure


def _mark_level(axes: Axes, level: float, text: str) -> None:
    """A dashed line with its name on the side where the panel has room: away from what is drawn already."""
    low, high = axes.get_ylim()
    side = 1 if level > (low + high) / 2 else -1
    room = level + side * 0.12 * (high - low)
    axes.set_ylim(min(low, room), max(high, room))
    axes.axhline(level, **style.DASHED)
    axes.annotate(
        text,
        (1, level),
        (-2, 3 * side),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="bottom" if side > 0 else "top",
        fontsize=7.5,
        color="#555555",
    )
