"""What figures of matrices share: profiles over depth with their intervals, histograms of alpha, ranges."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.common.estimates import half_width, mean
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, order_modules
from bench_shadows.report.common.style import (
    BAND,
    GREY,
    draw_line,
    draw_typical_intervals,
    empty,
    grid_shape,
    hide,
    integer_axis,
    legend,
    new_figure,
)

IN_RANGE = (2.0, 6.0)


BINS = np.arange(0.0, 10.5, 0.5)  # of alpha; what lies above the last edge is counted in one further bin


OVERFLOW = BINS[-1] + 0.25


def short(module: str) -> str:
    """`self_attn.v_proj` -> `v_proj`."""
    return module.rpartition(".")[2]


def histogram(axes: Axes, frame: Frame, shade: str, counts: bool) -> None:
    """Percent of a frame's fitted matrices in bins of alpha, in one colour; the overflow bin says how many."""
    alpha = frame["alpha"][np.isfinite(frame["alpha"])]
    weights = 100 / max(len(alpha), 1)
    inside, _ = np.histogram(alpha, BINS)
    over = int((alpha >= BINS[-1]).sum())
    # np.histogram closes its last bin on the right; that edge belongs to the overflow here.
    inside[-1] -= int((alpha == BINS[-1]).sum())
    axes.axvspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0)
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
        missing = len(frame) - len(alpha)
        lines = [f"{100 * share.mean():.1f} % in [2, 6]" if len(share) else "no fit", f"n = {len(alpha)}"]
        if missing:
            lines[1] += f", {missing} without fit"
        text = "\n".join(lines)
        axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, linespacing=1.4)


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
        empty(axes, "nothing recorded")
        return
    for name, values in profiles.items():
        draw_line(axes, layers, values, name, band=False)
    integer_axis(axes, layers)
    draw_typical_intervals(axes, profiles)


def limit_to_means(axes: Axes, profiles: Mapping[str, np.ndarray]) -> None:
    """y limits that hold the means and a typical interval: one wide interval does not flatten all the rest."""
    means = np.concatenate([mean(values) for values in profiles.values()])
    halves = np.concatenate([half_width(values) for values in profiles.values()])
    room = max(0.08 * float(np.nanmax(means) - np.nanmin(means)), 0.15)
    if np.isfinite(halves).any():
        room = max(room, float(np.nanmedian(halves)))
    axes.set_ylim(min(1.9, float(np.nanmin(means)) - room), max(6.1, float(np.nanmax(means)) + room))


def by_module(run: Run, frame: Frame, value: str, label: str, title: str) -> Figure | None:
    """Small multiples over depth: a panel for each module of the frame and one for their mean."""
    modules = order_modules(frame.values("module"))
    if not modules:
        return None
    exponent = _exponent(frame[value])
    frame = Frame({**frame.columns, value: frame[value] / 10.0**exponent})
    panels = [(short(module), frame.where(module=module)) for module in modules]
    if len(modules) > 1:
        panels.append((f"mean of the {len(modules)} modules", frame))
    rows, columns = grid_shape(len(panels))
    figure, grid = new_figure(
        title, rows, columns, 1.0 + 1.9 * rows, sharex=len(panels) == rows * columns, sharey=value == "alpha"
    )
    for axes, (heading, mine) in zip(grid.flat, panels, strict=False):
        if value == "alpha":
            axes.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
        if value.startswith("delta"):
            axes.axhline(0, color=GREY, linewidth=0.8)
        draw_depth(axes, mine, value, run.conditions)
        axes.set_title(heading)
    for axes in list(grid.flat)[len(panels) :]:
        hide(axes)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    figure.supylabel(label if exponent == 0 else f"{label} ($10^{{{exponent}}}$)", fontsize=9)
    legend(figure, present(run, frame))
    return figure


def _exponent(values: np.ndarray) -> int:
    """The power of ten that brings small values to where they are read easily; 0 for ordinary ones."""
    largest = np.nanmax(np.abs(values), initial=0)
    return int(np.floor(np.log10(largest))) if 0 < largest < 1e-2 else 0


def present(run: Run, frame: Frame) -> list[str]:
    return [name for name in run.conditions if len(frame.where(condition=name))]


def references(run: Run) -> tuple[tuple[str, str], ...]:
    """(reference of changes.parquet, in words) in the order in which figures have them."""
    return (
        ("init", "from the initial weights"),
        ("previous", "from the checkpoint before"),
        (run.reference, f"from condition {run.reference}"),
    )
