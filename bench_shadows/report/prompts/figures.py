"""Figures of a study of prompts: the weights of the decoder and of the vision encoder under both conditions.

Every function takes a Run and returns a Figure, or None where the run lacks what it draws. A matrix without a fit
is a gap. Figures of its scores: `score_figures`.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.paper import IN_RANGE, UP_PROJ, V_PROJ
from bench_shadows.report.common.curves import draw_curves
from bench_shadows.report.common.depth_figures import (
    BINS,
    by_module,
    draw_depth,
    histogram,
    limit_to_means,
    over_depth,
    references,
    short,
)
from bench_shadows.report.common.estimates import Estimate, estimate, half_width, mean, write_number
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.style import (
    BAND,
    GREY,
    MARKERS,
    NAMES,
    colour,
    draw_line,
    empty,
    integer_axis,
    legend,
    line_key,
    new_figure,
    percent_axis,
)
from bench_shadows.report.common.tables import DECODER, at_end, by_seed

VISION = "vision"
PROJECTOR = "projector"
COMPONENTS = {DECODER: "decoder", VISION: "vision encoder", PROJECTOR: "projector"}


def layered(frame: Frame, component: str) -> Frame:
    """The rows of a component's matrices that belong to a layer."""
    return frame.where(component=component).known("layer")


def cleaned(run: Run) -> str | None:
    """The condition that is compared with the reference; None where one of the two has no results."""
    others = [name for name in run.conditions if name != run.reference]
    return others[0] if others and run.reference in run.conditions else None


def alpha_at_end(run: Run) -> Figure | None:
    """Histograms of alpha at the end: components down, conditions across; the other one's outline in each."""
    end = at_end(run.diagnostics)
    parts = [name for name in (DECODER, VISION) if np.isfinite(end.where(component=name)["alpha"]).any()]
    if not parts:
        return None
    conditions = [name for name in run.conditions if len(end.where(condition=name))]
    title = "Does the histogram of alpha stay as it is when repeated prompts are removed?"
    figure, grid = new_figure(
        title, len(parts), len(conditions), 0.9 + 2.3 * len(parts), sharex=True, sharey="row"
    )
    for row, part in enumerate(parts):
        for axes, name in zip(grid[row], conditions, strict=True):
            histogram(axes, end.where(component=part, condition=name), colour(name), counts=True)
            for other in conditions:
                if other != name:
                    _outline(axes, end.where(component=part, condition=other), other)
            if row == 0:
                axes.set_title(NAMES.get(name, name), color=colour(name), fontweight="bold", fontsize=9)
        grid[row, 0].set_ylabel(f"{COMPONENTS[part]}\nmatrices (%)")
    for axes in grid[-1]:
        axes.set_xlabel("alpha")
    return figure


def _outline(axes: Axes, frame: Frame, condition: str) -> None:
    """A condition's histogram as a line, in percent of its fitted matrices."""
    alpha = frame["alpha"][np.isfinite(frame["alpha"])]
    inside, _ = np.histogram(alpha[alpha < BINS[-1]], BINS)
    axes.stairs(100 * inside / max(len(alpha), 1), BINS, color=colour(condition), linewidth=1.3)


def depth(run: Run) -> Figure | None:
    """alpha of v_proj and up_proj over depth, and what removing repeated prompts changes at each layer."""
    end = at_end(layered(run.diagnostics, DECODER))
    modules = [name for name in (V_PROJ, UP_PROJ) if name in end.values("module")]
    other = cleaned(run)
    if not modules:
        return None
    title = "Does v_proj move at a few layers, and up_proj not at all?"
    columns = 2 if other else 1
    figure, grid = new_figure(title, len(modules), columns, 0.9 + 2.3 * len(modules), sharex=True, sharey="col")
    shown: dict[str, np.ndarray] = {}
    for row, module in enumerate(modules):
        layers, profiles = over_depth(end.where(module=module), "alpha", run.conditions)
        shown |= {f"{module} {name}": values for name, values in profiles.items()}
        left = grid[row, 0]
        left.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
        for name, values in profiles.items():
            draw_line(left, layers, values, name)
        left.set_ylabel(f"alpha of {short(module)}")
        integer_axis(left, layers)
        if other:
            _draw_difference(grid[row, 1], end.where(module=module), run.reference, other)
            integer_axis(grid[row, 1], layers)
            found = correlation(end.where(module=module), run.reference, other)
            if found is not None:
                text = f"correlation over depth {write_number(found, 2)}"
                grid[row, 1].set_title(f"{short(module)}: {text}", fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    limit_to_means(grid[0, 0], shown)
    if other:
        _limit_to_marks(list(grid[:, 1]))
    legend(figure, run.conditions)
    return figure


def _draw_difference(axes: Axes, frame: Frame, reference: str, other: str) -> None:
    """Difference in alpha to the reference at every layer: each seed as a dot, the mean with its interval."""
    layers, differences = paired_over_depth(frame, "alpha", reference, other)
    axes.axhline(0, color=colour(reference), linewidth=1.4)
    if not len(layers):
        empty(axes, "no seed has both")
        return
    for values in differences:
        axes.plot(layers, values, ".", color=colour(other), alpha=0.35, markersize=4)
    half = half_width(differences)
    axes.errorbar(
        layers,
        mean(differences),
        yerr=np.nan_to_num(half) if np.isfinite(half).any() else None,
        fmt=MARKERS[other],
        color=colour(other),
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.2,
    )
    axes.set_ylabel(f"{other} − {reference}", fontsize=8.5)


def _limit_to_marks(panels: Sequence[Axes]) -> None:
    """y limits that hold what every seed shows: one wide interval does not flatten all the rest."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for axes in panels for line in axes.lines]
    largest = max((float(np.nanmax(np.abs(line), initial=0)) for line in lines), default=0)
    if largest:
        panels[0].set_ylim(-1.15 * largest, 1.15 * largest)


def paired_over_depth(frame: Frame, value: str, reference: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    """(layers [n], difference to the reference of the same seed [seeds, n]); empty where no seed has both."""
    layers, profiles = over_depth(frame, value, [reference, other])
    seeds = {name: frame.where(condition=name).values("seed") for name in profiles}
    shared = [seed for seed in seeds.get(reference, []) if seed in seeds.get(other, [])]
    if not shared:
        return np.zeros(0), np.zeros((0, 0))
    mine, base = (profiles[name][[seeds[name].index(seed) for seed in shared]] for name in (other, reference))
    return layers, mine - base


def correlation(frame: Frame, reference: str, other: str) -> Estimate | None:
    """Pearson's correlation over depth of both conditions' alpha of one module, by seed."""
    _, profiles = over_depth(frame, "alpha", [reference, other])
    if len(profiles) < 2:
        return None
    found = []
    seeds = {name: frame.where(condition=name).values("seed") for name in profiles}
    for seed in set(seeds[reference]) & set(seeds[other]):
        one, two = (profiles[name][seeds[name].index(seed)] for name in (reference, other))
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum() > 2 and one[both].std() and two[both].std():
            found.append(float(np.corrcoef(one[both], two[both])[0, 1]))
    return estimate(found)


APART = (("alpha", "alpha"), ("effective_rank", "effective rank"))


def apart(run: Run) -> Figure | None:
    """By module, how far the conditions are apart at the end, beside how far two seeds of one condition are."""
    end, other = at_end(run.diagnostics), cleaned(run)
    if other is None or len(run.seeds) < 2:
        return None
    rows = [
        (part, module)
        for part in COMPONENTS
        for module in order_modules(end.where(component=part).values("module"))
    ]
    if not rows:
        return None
    title = "Which matrices tell the conditions apart, and do two seeds differ as much?"
    figure, grid = new_figure(title, 1, len(APART), 1.4 + 0.24 * len(rows), sharey=True)
    for axes, (value, label) in zip(grid[0], APART, strict=True):
        largest = 0.0  # of what is compared; intervals may be wider
        for row, (part, module) in enumerate(rows):
            mine = end.where(component=part, module=module)
            between, seeds = distances(mine, value, run.reference, other)
            if seeds is not None:
                axes.barh(row, seeds, height=0.62, color="#DADADA")
            if between is not None:
                mark(axes, between, row, other)
            largest = max([largest, seeds or 0.0, between.mean if between else 0.0])
        axes.set_xlabel(f"distance in {label}, root mean square over layers", fontsize=8.5)
        axes.set_xlim(0, 1.3 * largest or 1)
        axes.grid(axis="y", visible=False)
    name_rows(grid[0, 0], rows)
    between_key = line_key(other)
    between_key.set(linestyle="none", label=f"{other} and {run.reference} of the same seed")
    seeds_key = Line2D([], [], color="#DADADA", linewidth=7, label="two seeds of one condition")
    figure.legend(handles=[between_key, seeds_key], loc="outside lower left", ncols=2)
    return figure


def distances(frame: Frame, value: str, reference: str, other: str) -> tuple[Estimate | None, float | None]:
    """(between the conditions, by seed; between two seeds of one condition): root mean square over matrices."""
    tables = {}
    for name in (reference, other):
        mine = frame.where(condition=name)
        filled = Frame({**mine.columns, "place": np.nan_to_num(mine["layer"])})
        seeds, places, values = filled.pivot("seed", "place", value)
        tables[name] = {
            (seed, place): values[i, j] for i, seed in enumerate(seeds) for j, place in enumerate(places)
        }

    def rms(pairs: Sequence[tuple[float, float]]) -> float:
        squares = [(one - two) ** 2 for one, two in pairs if np.isfinite(one) and np.isfinite(two)]
        return float(np.sqrt(np.mean(squares))) if squares else float("nan")

    base, mine_too = tables[reference], tables[other]
    seeds = sorted({seed for seed, _ in base} & {seed for seed, _ in mine_too})
    between = estimate(
        rms([(mine_too[key], base[key]) for key in base.keys() & mine_too.keys() if key[0] == seed])
        for seed in seeds
    )
    pairs = [
        (table[one, place], table[two, place])
        for table in tables.values()
        for one, two in itertools.combinations(sorted({seed for seed, _ in table}), 2)
        for place in sorted({place for _, place in table})
        if (one, place) in table and (two, place) in table
    ]
    within = rms(pairs)
    return between, within if np.isfinite(within) else None


RANK_MODULES = (V_PROJ, "self_attn.o_proj", UP_PROJ)


def delta_effective_rank(run: Run) -> Figure | None:
    """Delta effective rank over depth: from the initial weights, and between the conditions on the same scale."""
    end, other = at_end(layered(run.changes, DECODER)), cleaned(run)
    modules = [name for name in RANK_MODULES if name in end.values("module")]
    rows = [("init", "from the initial weights")]
    if other and len(end.where(reference=run.reference)):
        rows.append((run.reference, f"from {run.reference}"))
    if not modules:
        return None
    title = "Delta effective rank: what training moves, and what cleaning moves"
    figure, grid = new_figure(title, len(rows), len(modules), 0.9 + 2.0 * len(rows), sharex=True, sharey="col")
    for row, (reference, text) in enumerate(rows):
        for axes, module in zip(grid[row], modules, strict=True):
            axes.axhline(0, color=GREY, linewidth=0.8)
            draw_depth(axes, end.where(reference=reference, module=module), "delta_effective_rank", run.conditions)
            if row == 0:
                axes.set_title(short(module))
        grid[row, 0].set_ylabel(f"delta effective rank\n{text}", fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    legend(figure, run.conditions)
    return figure


def trajectories(run: Run) -> Figure | None:
    """Training loss, held-out losses, share in [2, 6] and mean effective rank through training."""
    if not run.metrics and not len(run.diagnostics):
        return None
    figure, grid = new_figure("Through training: do the conditions ever come apart?", 2, 3, 5.2, sharex=True)
    draw_curves(grid[0, 0], run, "loss")
    answers = run.evaluation.where(suite="groups", task="all", metric="answer_loss_nats_per_token")
    language = run.evaluation.where(suite="likelihood", task="language", metric="loss_nats_per_token")
    decoder, vision = (run.diagnostics.where(component=part) for part in (DECODER, VISION))
    percent, nats = "% of fitted matrices", "nats per token"
    panels = (
        (grid[0, 1], answers, "value", 1.0, "held-out answers, prompts clean", nats),
        (grid[0, 2], language, "value", 1.0, "held-out answers without image", nats),
        (grid[1, 0], decoder, "in_range", 100.0, "alpha in [2, 6], decoder", percent),
        (grid[1, 1], vision, "in_range", 100.0, "alpha in [2, 6], vision encoder", percent),
        (grid[1, 2], decoder, "effective_rank", 1.0, "effective rank, decoder", "mean over matrices"),
    )
    grid[0, 0].set_title("training loss, on answers")
    grid[0, 0].set_ylabel(nats)
    for axes, table, value, scale, heading, label in panels:
        for name in run.conditions:
            seeds, steps, values = table.where(condition=name).pivot("seed", "step", value)
            if seeds:
                draw_line(axes, np.array(steps), scale * values, name)
        if scale == 100 and len(table):
            percent_axis(axes)
        if not len(table):
            empty(axes, "not there")
        axes.set_title(heading)
        axes.set_ylabel(label)
    for axes in grid[1]:
        axes.set_xlabel("step")
    legend(figure, run.conditions)
    return figure


def alpha_by_module(run: Run, component: str) -> Figure | None:
    """alpha over depth at the end, a panel for each module of a component."""
    title = f"The {COMPONENTS[component]}, all modules: alpha over depth at the end"
    return by_module(run, at_end(layered(run.diagnostics, component)), "alpha", "alpha", title)


def rank_by_module(run: Run, component: str) -> Figure | None:
    """Delta effective rank from the initial weights over depth at the end, a panel for each module."""
    end = at_end(layered(run.changes.where(reference="init"), component))
    title = f"The {COMPONENTS[component]}, all modules: delta effective rank from the initial weights"
    return by_module(run, end, "delta_effective_rank", "delta effective rank", title)


def how_far(run: Run) -> Figure | None:
    """Relative change by module: from the initial weights, and from the reference of the same seed."""
    end = at_end(run.changes)
    rows = [
        (part, module)
        for part in COMPONENTS
        for module in order_modules(end.where(component=part).values("module"))
    ]
    found = [
        (name, text) for name, text in references(run) if name != "previous" and len(end.where(reference=name))
    ]
    if not rows or not found:
        return None
    title = "How far did the weights travel, and how far apart did the conditions end?"
    figure, grid = new_figure(title, 1, len(found), 1.4 + 0.24 * len(rows), sharey=True)
    for axes, (reference, text) in zip(grid[0], found, strict=True):
        for row, (part, module) in enumerate(rows):
            here = end.where(component=part, module=module, reference=reference)
            for shift, name in zip((-0.16, 0.16), run.conditions, strict=False):
                value = estimate(by_seed(here.where(condition=name), "relative_change").values())
                if value is not None:
                    mark(axes, value, row + shift, name)
        axes.set_xlabel(f"relative change {text}", fontsize=8.5)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
    name_rows(grid[0, 0], rows)
    legend(figure, run.conditions)
    return figure


def mark(axes: Axes, value: Estimate, row: float, condition: str) -> None:
    """A condition's estimate as a mark with its interval in a row."""
    axes.errorbar(
        value.mean,
        row,
        xerr=value.half_width,
        fmt=MARKERS[condition],
        color=colour(condition),
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.2,
    )


def name_rows(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    """Names of (component, module) from top to bottom."""
    names = [short(module) if part == DECODER else f"{COMPONENTS[part]} {short(module)}" for part, module in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
