"""Figures of a study of prompts: the weights of the decoder and of the vision encoder under both conditions.

Every function takes a Run and returns a Figure, or None where the run lacks what it draws. A matrix without a fit
is a gap. Figures of its scores: `score_figures`.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.paper import UP_PROJ, V_PROJ
from bench_shadows.report.common import depth_figures, style
from bench_shadows.report.common.curves import draw_curves, draw_panel
from bench_shadows.report.common.depth_figures import layered, over_depth, short
from bench_shadows.report.common.estimates import Estimate, estimate, half_width, mean, write_number
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.tables import DECODER, at_end, by_condition

VISION = "vision"
PROJECTOR = "projector"
COMPONENTS = {DECODER: "decoder", VISION: "vision encoder", PROJECTOR: "projector"}


def cleaned(run: Run) -> str | None:
    """The condition that is compared with the reference; None where one of the two has no results."""
    return next(iter(run.others), None) if run.reference in run.conditions else None


def alpha_at_end(run: Run) -> Figure | None:
    """Histograms of alpha at the end: components down, conditions across; the other one's outline in each."""
    end = at_end(run.diagnostics)
    parts = [name for name in (DECODER, VISION) if np.isfinite(end.where(component=name)["alpha"]).any()]
    if not parts:
        return None
    conditions = run.present(end)
    title = "Does the histogram of alpha stay as it is when repeated prompts are removed?"
    height = 0.9 + 2.3 * len(parts)
    figure, grid = style.new_figure(title, len(parts), len(conditions), height, sharex=True, sharey="row")
    for row, part in zip(grid, parts, strict=True):
        for axes, name in zip(row, conditions, strict=True):
            mine = end.where(component=part, condition=name)
            depth_figures.histogram(axes, mine, style.colour(name), counts=True)
            for other in conditions:
                if other != name:
                    _outline(axes, end.where(component=part, condition=other), other)
        row[0].set_ylabel(f"{COMPONENTS[part]}\nmatrices (%)")
    for axes, name in zip(grid[0], conditions, strict=True):
        style.title_condition(axes, name)
    style.label_x(grid, "alpha")
    return figure


def _outline(axes: Axes, frame: Frame, condition: str) -> None:
    """A condition's histogram as a line, in percent of its fitted matrices."""
    inside, _, count = depth_figures.count_in_bins(frame)
    percent = 100 * inside / max(count, 1)
    axes.stairs(percent, depth_figures.BINS, color=style.colour(condition), linewidth=1.3)


def depth(run: Run) -> Figure | None:
    """alpha of v_proj and up_proj over depth, and what removing repeated prompts changes at each layer."""
    end = at_end(layered(run.diagnostics, DECODER))
    modules = [name for name in (V_PROJ, UP_PROJ) if name in end.values("module")]
    other = cleaned(run)
    if not modules:
        return None
    title = "Does v_proj move at a few layers, and up_proj not at all?"
    height = 0.9 + 2.3 * len(modules)
    figure, grid = style.new_figure(title, len(modules), 2 if other else 1, height, sharex=True, sharey="col")
    shown: dict[str, np.ndarray] = {}
    for row, module in zip(grid, modules, strict=True):
        mine = end.where(module=module)
        layers, profiles = over_depth(mine, "alpha", run.conditions)
        shown |= {f"{module} {name}": values for name, values in profiles.items()}
        depth_figures.shade_range(row[0])
        for name, values in profiles.items():
            style.draw_line(row[0], layers, values, name)
        row[0].set_ylabel(f"alpha of {short(module)}")
        if other:
            _draw_difference(row[1], mine, run.reference, other)
            if (found := correlation(mine, run.reference, other)) is not None:
                text = f"{short(module)}: correlation over depth {write_number(found, 2)}"
                row[1].set_title(text, fontsize=8.5)
        for axes in row:
            style.integer_axis(axes, layers)
    style.label_x(grid, "layer")
    depth_figures.limit_to_means(grid[0, 0], shown)
    if other:
        _limit_to_marks(grid[:, 1])
    style.legend(figure, run.conditions)
    return figure


def _draw_difference(axes: Axes, frame: Frame, reference: str, other: str) -> None:
    """Difference in alpha to the reference at every layer: each seed as a dot, the mean with its interval."""
    layers, differences = paired_over_depth(frame, "alpha", reference, other)
    axes.axhline(0, color=style.colour(reference), linewidth=1.4)
    if not len(layers):
        style.empty(axes, "no seed has both")
        return
    for values in differences:
        axes.plot(layers, values, ".", color=style.colour(other), alpha=0.35, markersize=4)
    half = half_width(differences)
    known = np.isfinite(half).any()
    style.draw_marks(axes, layers, mean(differences), other, yerr=np.nan_to_num(half) if known else None)
    axes.set_ylabel(f"{other} − {reference}", fontsize=8.5)


def _limit_to_marks(panels: Iterable[Axes]) -> None:
    """y limits that hold what every seed shows: one wide interval does not flatten all the rest."""
    first, *_ = panels
    lines = [np.asarray(line.get_ydata(), dtype=float) for axes in panels for line in axes.lines]
    largest = max((float(np.nanmax(np.abs(line), initial=0)) for line in lines), default=0)
    if largest:
        first.set_ylim(-1.15 * largest, 1.15 * largest)


def _pairs(frame: Frame, value: str, reference: str, other: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(layers [n], both conditions' values of the seeds that they share [seeds, n], the reference's first)."""
    layers, profiles = over_depth(frame, value, [reference, other])
    seeds = [frame.where(condition=name).values("seed") for name in (reference, other)]
    shared = [seed for seed in seeds[0] if seed in seeds[1]] if len(profiles) == 2 else []
    if not shared:
        return np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))
    base, mine = (
        profiles[name][[mine.index(seed) for seed in shared]]
        for name, mine in zip((reference, other), seeds, strict=True)
    )
    return layers, base, mine


def paired_over_depth(frame: Frame, value: str, reference: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    """(layers [n], difference to the reference of the same seed [seeds, n]); empty where no seed has both."""
    layers, base, mine = _pairs(frame, value, reference, other)
    return layers, mine - base


def correlation(frame: Frame, reference: str, other: str) -> Estimate | None:
    """Pearson's correlation over depth of both conditions' alpha of one module, by seed."""
    found = []
    _, *profiles = _pairs(frame, "alpha", reference, other)
    for one, two in zip(*profiles, strict=True):
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum() > 2 and one[both].std() and two[both].std():
            found.append(float(np.corrcoef(one[both], two[both])[0, 1]))
    return estimate(found)


APART = {"alpha": "alpha", "effective_rank": "effective rank"}


def apart(run: Run) -> Figure | None:
    """By module, how far the conditions are apart at the end, beside how far two seeds of one condition are."""
    end, other = at_end(run.diagnostics), cleaned(run)
    rows = module_rows(end)
    if other is None or len(run.seeds) < 2 or not rows:
        return None
    title = "Which matrices tell the conditions apart, and do two seeds differ as much?"
    figure, grid = style.new_figure(title, 1, len(APART), 1.4 + 0.24 * len(rows), sharey=True)
    for axes, (value, label) in zip(grid[0], APART.items(), strict=True):
        largest = 0.0  # of what is compared; intervals may be wider
        for row, (part, module) in enumerate(rows):
            mine = end.where(component=part, module=module)
            between, seeds = distances(mine, value, run.reference, other)
            if seeds is not None:
                axes.barh(row, seeds, height=0.62, color="#DADADA")
            if between is not None:
                style.draw_marks(axes, between.mean, row, other, xerr=between.half_width)
            largest = max([largest, seeds or 0.0, between.mean if between else 0.0])
        axes.set_xlabel(f"distance in {label}, root mean square over layers", fontsize=8.5)
        axes.set_xlim(0, 1.3 * largest or 1)
        axes.grid(axis="y", visible=False)
    name_module_rows(grid[0, 0], rows)
    between_key = style.line_key(other)
    between_key.set(linestyle="none", label=f"{other} and {run.reference} of the same seed")
    seeds_key = Line2D([], [], color="#DADADA", linewidth=7, label="two seeds of one condition")
    figure.legend(handles=[between_key, seeds_key], loc="outside lower left", ncols=2)
    return figure


def distances(frame: Frame, value: str, reference: str, other: str) -> tuple[Estimate | None, float | None]:
    """(between the conditions, by seed; between two seeds of one condition): root mean square over matrices."""
    filled = Frame({**frame.columns, "place": np.nan_to_num(frame["layer"])})
    places = filled.values("place")
    tables: list[dict[int, np.ndarray]] = []  # of both conditions: seed -> values [places]
    for name in (reference, other):
        seeds, found, values = filled.where(condition=name).pivot("seed", "place", value)
        full = np.full((len(seeds), len(places)), np.nan)
        full[:, np.searchsorted(places, found)] = values
        tables.append(dict(zip(seeds, full, strict=True)))
    base, mine = tables
    between = estimate(root_mean_square(mine[seed] - base[seed]) for seed in sorted(base.keys() & mine.keys()))
    pairs = [pair for table in tables for pair in itertools.combinations(table.values(), 2)]
    within = root_mean_square(np.array([one - two for one, two in pairs]))
    return between, within if np.isfinite(within) else None


def root_mean_square(values: np.ndarray) -> float:
    """Of what is there; NaN where nothing is."""
    present = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(present**2))) if present.size else float("nan")


def delta_effective_rank(run: Run) -> Figure | None:
    """Delta effective rank over depth: from the initial weights, and between the conditions on the same scale."""
    end = at_end(layered(run.changes, DECODER))
    rows = [("init", "from the initial weights")]
    if cleaned(run) and len(end.where(reference=run.reference)):
        rows.append((run.reference, f"from {run.reference}"))
    title = "Delta effective rank: what training moves, and what cleaning moves"
    return depth_figures.draw_rank_changes(run, end, rows, title, sharey="col")


def trajectories(run: Run) -> Figure | None:
    """Training loss, held-out losses, share in [2, 6] and mean effective rank through training."""
    if not run.metrics and not len(run.diagnostics):
        return None
    title = "Through training: do the conditions ever come apart?"
    figure, grid = style.new_figure(title, 2, 3, 5.2, sharex=True)
    nats, percent = "nats per token", "% of fitted matrices"
    loss, *panels = grid.flat
    draw_curves(loss, run, "loss")
    loss.set_title("training loss, on answers")
    loss.set_ylabel(nats)
    answers = run.evaluation.where(suite="groups", task="all", metric="answer_loss_nats_per_token")
    language = run.evaluation.where(suite="likelihood", task="language", metric="loss_nats_per_token")
    decoder, vision = (run.diagnostics.where(component=part) for part in (DECODER, VISION))
    drawn = (
        (answers, "value", "held-out answers, prompts clean", nats),
        (language, "value", "held-out answers without image", nats),
        (decoder, "in_range", "alpha in [2, 6], decoder", percent),
        (vision, "in_range", "alpha in [2, 6], vision encoder", percent),
        (decoder, "effective_rank", "effective rank, decoder", "mean over matrices"),
    )
    for axes, panel in zip(panels, drawn, strict=True):
        draw_panel(axes, run, *panel, absent="not there")
    style.label_x(grid, "step")
    style.legend(figure, run.conditions)
    return figure


OF_MODULES = {
    "alpha": "alpha over depth at the end",
    "delta_effective_rank": "delta effective rank from the initial weights",
}


def of_modules(run: Run, value: str, component: str) -> Figure | None:
    """alpha, or the change of effective rank, over depth at the end: a panel for each module of a component."""
    title = f"The {COMPONENTS[component]}, all modules: {OF_MODULES[value]}"
    return depth_figures.by_module(run, value, title, component)


def how_far(run: Run) -> Figure | None:
    """Relative change by module: from the initial weights, and from the reference of the same seed."""
    end = at_end(run.changes)
    rows, found = module_rows(end), depth_figures.references(run, end, without="previous")
    if not rows or not found:
        return None
    title = "How far did the weights travel, and how far apart did the conditions end?"
    figure, grid = style.new_figure(title, 1, len(found), 1.4 + 0.24 * len(rows), sharey=True)
    for axes, (reference, text) in zip(grid[0], found, strict=True):
        for row, (part, module) in enumerate(rows):
            here = end.where(component=part, module=module, reference=reference)
            draw_beside(axes, run, by_condition(run, here, "relative_change"), row, 0.16)
        axes.set_xlabel(f"relative change {text}", fontsize=8.5)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
    name_module_rows(grid[0, 0], rows)
    style.legend(figure, run.conditions)
    return figure


def draw_beside(axes: Axes, run: Run, values: Mapping[str, Mapping[int, float]], row: int, shift: float) -> None:
    """Each condition's estimate with its interval as a mark in a row, one above the other by twice `shift`."""
    for offset, name in zip((-shift, shift), run.conditions, strict=False):
        if (found := estimate(values.get(name, {}).values())) is not None:
            style.draw_marks(axes, found.mean, row + offset, name, xerr=found.half_width)


def module_rows(frame: Frame) -> list[tuple[str, str]]:
    """(component, module) of every module in a table, the decoder's first."""
    return [
        (part, module)
        for part in COMPONENTS
        for module in order_modules(frame.where(component=part).values("module"))
    ]


def name_module_rows(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    """Names of (component, module) from top to bottom."""
    names = {part: "" if part == DECODER else f"{name} " for part, name in COMPONENTS.items()}
    style.name_rows(axes, [names[part] + short(module) for part, module in rows])
