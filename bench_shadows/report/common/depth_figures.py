"""What figures of matrices share: profiles over depth with their intervals, histograms of alpha, ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.paper import IN_RANGE
from bench_shadows.report.common import style
from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import SPECTRUM, Run, order_modules
from bench_shadows.report.common.tables import DECODER, at_end

BINS = np.arange(0.0, 10.5, 0.5)  # of alpha; what lies above the last edge is counted in one further bin
OVERFLOW = BINS[-1] + 0.25


def short(module: str) -> str:
    """`self_attn.v_proj` -> `v_proj`."""
    return module.rpartition(".")[2]


def count_in_bins(frame: Frame) -> tuple[np.ndarray, int, int]:
    """(fitted alphas in each of `BINS`, how many lie at its end or above, how many there are)."""
    alpha = frame["alpha"][np.isfinite(frame["alpha"])]
    below = alpha[alpha < BINS[-1]]
    return np.histogram(below, BINS)[0], len(alpha) - len(below), len(alpha)


def histogram(axes: Axes, frame: Frame, shade: str, counts: bool) -> None:
    """Percent of a frame's fitted matrices in bins of alpha, in one colour; the overflow bin says how many."""
    inside, over, count = count_in_bins(frame)
    weights = 100 / max(count, 1)
    axes.axvspan(*IN_RANGE, color=style.BAND, zorder=0, linewidth=0)
    axes.bar(BINS[:-1] + 0.25, inside * weights, width=0.5, color=shade, edgecolor="white", linewidth=0.4)
    axes.set_xlim(0, BINS[-1] + 0.75)
    axes.margins(y=0.3 if counts else 0.12)  # room for the text
    axes.set_xticks([0, 2, 4, 6, 8, 10], ["0", "2", "4", "6", "8", "10+"])
    axes.grid(axis="x", visible=False)
    if over:
        height = over * weights
        axes.bar(OVERFLOW, height, width=0.5, color="white", edgecolor=shade, linewidth=1, hatch="////")
        axes.annotate(str(over), (OVERFLOW, height), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
    if counts:
        share = frame["in_range"][np.isfinite(frame["in_range"])]
        missing = len(frame) - count
        text = f"{100 * share.mean():.1f} % in [2, 6]" if len(share) else "no fit"
        text += f"\nn = {count}" + (f", {missing} without fit" if missing else "")
        axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, linespacing=1.4)


def shade_range(axes: Axes) -> None:
    """Shades [2, 6] where alpha is on the y axis."""
    axes.axhspan(*IN_RANGE, color=style.BAND, zorder=0, linewidth=0, alpha=0.6)


def over_depth(frame: Frame, value: str, conditions: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(layers [n], condition -> values [seeds, n]) of the conditions that have any value."""
    layers = frame.values("layer")
    profiles = {}
    for name in conditions:
        seeds, found, values = frame.where(condition=name).pivot("seed", "layer", value)
        if np.isfinite(values).any():
            profiles[name] = np.full((len(seeds), len(layers)), np.nan)
            profiles[name][:, np.searchsorted(layers, found)] = values
    return np.array(layers), profiles


def draw_depth(axes: Axes, frame: Frame, value: str, conditions: Sequence[str]) -> None:
    """Means of `value` over layers; how wide their intervals are stands at the right, one bar for a condition."""
    layers, profiles = over_depth(frame, value, conditions)
    if not profiles:
        style.empty(axes, "nothing recorded")
        return
    for name, values in profiles.items():
        style.draw_line(axes, layers, values, name, band=False)
    style.integer_axis(axes, layers)
    style.draw_typical_intervals(axes, profiles)


def limit_to_means(axes: Axes, profiles: Mapping[str, np.ndarray]) -> None:
    """y limits that hold the means and a typical interval: one wide interval does not flatten all the rest."""
    means = np.concatenate([mean(values) for values in profiles.values()])
    halves = np.concatenate([half_width(values) for values in profiles.values()])
    room = max(0.08 * float(np.nanmax(means) - np.nanmin(means)), 0.15)
    if np.isfinite(halves).any():
        room = max(room, float(np.nanmedian(halves)))
    axes.set_ylim(min(1.9, float(np.nanmin(means)) - room), max(6.1, float(np.nanmax(means)) + room))


def layered(frame: Frame, component: str) -> Frame:
    """The rows of a component's matrices that belong to a layer."""
    return frame.where(component=component).known("layer")


def by_module(run: Run, value: str, title: str, component: str = DECODER) -> Figure | None:
    """A diagnostic, or a change from the initial weights, over depth at the end: a panel for each module."""
    table = run.diagnostics if value in SPECTRUM else run.changes.where(reference="init")
    frame = at_end(layered(table, component))
    modules = order_modules(frame.values("module"))
    if not modules:
        return None
    largest = np.nanmax(np.abs(frame[value]), initial=0)
    # Small values are brought to where they are read easily.
    exponent = int(np.floor(np.log10(largest))) if 0 < largest < 1e-2 else 0
    frame = Frame({**frame.columns, value: frame[value] / 10.0**exponent})
    found = [(short(module), frame.where(module=module)) for module in modules]
    if len(modules) > 1:
        found.append((f"mean of the {len(modules)} modules", frame))
    figure, panels, grid = module_panels(title, len(found), sharey=value == "alpha")
    for axes, (heading, mine) in zip(panels, found, strict=True):
        if value == "alpha":
            shade_range(axes)
        if value.startswith("delta"):
            axes.axhline(0, color=style.GREY, linewidth=0.8)
        draw_depth(axes, mine, value, run.conditions)
        axes.set_title(heading)
    style.label_x(grid, "layer")
    label = value.replace("_", " ")
    figure.supylabel(label if exponent == 0 else f"{label} ($10^{{{exponent}}}$)", fontsize=9)
    style.legend(figure, run.present(frame))
    return figure


def module_panels(title: str, count: int, **options: Any) -> tuple[Figure, list[Axes], np.ndarray]:
    """`style.small_multiples` for modules; x axes are shared where the lowest row is full, and has the numbers."""
    rows, columns = style.grid_shape(count)
    return style.small_multiples(title, count, sharex=count == rows * columns, **options)


def draw_rank_changes(
    run: Run, end: Frame, references: Sequence[tuple[str, str]], title: str, sharey: str | bool = False
) -> Figure | None:
    """Delta effective rank over depth: (reference, its name) down; v_proj, o_proj and up_proj across."""
    known = end.values("module")
    modules = [name for name in ("self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj") if name in known]
    if not modules or not references:
        return None
    height = 0.9 + 2.0 * len(references)
    figure, grid = style.new_figure(title, len(references), len(modules), height, sharex=True, sharey=sharey)
    for row, (reference, text) in zip(grid, references, strict=True):
        for axes, module in zip(row, modules, strict=True):
            axes.axhline(0, color=style.GREY, linewidth=0.8)
            here = end.where(reference=reference, module=module)
            draw_depth(axes, here, "delta_effective_rank", run.conditions)
        row[0].set_ylabel(f"delta effective rank\n{text}", fontsize=8.5)
    for axes, module in zip(grid[0], modules, strict=True):
        axes.set_title(short(module))
    style.label_x(grid, "layer")
    style.legend(figure, run.present(end))
    return figure


def references(run: Run, changes: Frame, without: str = "") -> list[tuple[str, str]]:
    """(reference, in words) of those that a table of changes has, in the order in which figures have them."""
    words = {
        "init": "from the initial weights",
        "previous": "from the checkpoint before",
        run.reference: f"from condition {run.reference}",
    }
    return [(name, text) for name, text in words.items() if name != without and len(changes.where(reference=name))]
