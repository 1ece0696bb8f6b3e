"""Figures of how models moved from their bases, after the paper's Figures 8 to 11.

Every function takes an Audit and returns a Figure, or None where nothing was compared.
"""

import itertools

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.paper import UP_PROJ, V_PROJ
from bench_shadows.report.audit.inputs import Audit
from bench_shadows.report.audit.style import (
    MANY,
    SHADES,
    WORDS,
    Depth,
    draw,
    label,
    legend_pairs,
    paint_pair,
    pairs_in,
    with_layers,
)
from bench_shadows.report.common.depth_figures import short
from bench_shadows.report.common.run import order_modules
from bench_shadows.report.common.style import GREY, grid_shape, hide, log_axis, new_figure

MINIMAL, DEEP, DEEP_CORRELATION = 0.05, 0.5, 0.3  # thresholds of diagnostics/modification.py, drawn as lines
INERT_PERCENT = 0.5
PROFILES = (
    ("mean_change", "mean change"),
    ("change_variance", "change variance"),
    ("rank_percent", "Δ effective rank (%)"),
    ("delta_alpha", "Δ alpha"),
)
LINES = ((V_PROJ, SHADES[0]), ("self_attn.o_proj", SHADES[2]), (UP_PROJ, SHADES[1]))


def change_map(audit: Audit, component: str) -> Figure | None:
    """Where a model left its base: relative change, modules down, layers across, a panel for each pair."""
    frame = with_layers(audit.changes.where(component=component))
    modules = order_modules(frame.values("plain"))
    pairs = pairs_in(audit, frame)[:MANY]
    if not pairs:
        return None
    columns = 1 if len(pairs) == 1 else 2
    rows = -(-len(pairs) // columns)
    height = 1.1 + rows * (0.62 + 0.2 * len(modules))
    title = f"Where did the {WORDS.get(component, component)} leave its base? Relative change of every matrix"
    figure, grid = new_figure(title, rows, columns, height)
    shades = mpl.colormaps["viridis"].with_extremes(bad="#EEEEEE")
    image = None
    for axes, pair in itertools.zip_longest(grid.flat, pairs):
        if pair is None:
            hide(axes)
            continue
        here = frame.where(model=pair[0], reference=pair[1])
        found, layers, values = here.pivot("plain", "layer", "relative_change")
        full = np.full((len(modules), int(max(layers)) + 1), np.nan)
        for row, module in enumerate(found):
            full[modules.index(module), np.array(layers, int)] = values[row]
        image = axes.imshow(full, aspect="auto", cmap=shades, norm=LogNorm(0.005, 2), interpolation="nearest")
        axes.set_yticks(range(len(modules)), [short(module) for module in modules])
        axes.set_title(f"{label(pair[0], 30)}\nfrom {label(pair[1], 30)}", fontsize=8.5)
        axes.grid(False)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.9, aspect=30, pad=0.01, extend="both")
        bar.set_ticks([0.01, MINIMAL, 0.2, DEEP, 1.0], labels=["0.01", "0.05", "0.2", "0.5", "1"])
        bar.set_label("relative change", fontsize=8.5)
    return figure


def v_proj_change(audit: Audit) -> Figure | None:
    """Figures 9 to 11: relative change and correlation of v_proj over depth, a line for each pair."""
    frame = audit.changes.where(component=audit.main, plain=V_PROJ)
    pairs = pairs_in(audit, frame)
    if not pairs:
        return None
    depth = Depth(frame, [model for model, _ in pairs])
    title = f"v_proj of the {audit.main}: how far from the base, and did it turn away?"
    figure, grid = new_figure(title, 1, 2, 3.4 + 0.2 * len(pairs))
    for axes, value, heading in zip(grid[0], ("relative_change", "correlation"), _HEADINGS, strict=True):
        for pair in pairs:
            here = frame.where(model=pair[0], reference=pair[1])
            layers, values = depth.profile(here, value)
            if value == "relative_change":  # on a logarithmic axis
                values = np.where(values > 0, values, np.nan)
            draw(axes, layers, values, **paint_pair(audit, pairs, pair))
        axes.set_title(heading)
        depth.axis(axes)
    for level in (MINIMAL, DEEP):
        grid[0, 0].axhline(level, color=GREY, linestyle=":", linewidth=1)
    log_axis(grid[0, 0])
    grid[0, 1].axhline(DEEP_CORRELATION, color=GREY, linestyle=":", linewidth=1)
    grid[0, 1].set_ylim(min(-0.05, grid[0, 1].get_ylim()[0]), 1.04)
    legend_pairs(figure, audit, pairs)
    return figure


_HEADINGS = ("relative change (dotted: 0.05 and 0.5)", "correlation (dotted: 0.3)")


def change_profiles(audit: Audit) -> Figure | None:
    """Mean change, change variance, delta effective rank and delta alpha over depth, modules side by side."""
    frame = with_layers(audit.changes.where(component=audit.main))
    pairs = pairs_in(audit, frame)
    if not pairs:
        return None
    depth = Depth(frame, [model for model, _ in pairs])
    panels = [(short(name), frame.where(plain=name)) for name, _ in LINES if len(frame.where(plain=name))]
    panels.append(("mean of all modules", frame))
    figure, grid = new_figure(
        f"How the {audit.main} moved from its reference",
        len(PROFILES),
        len(panels),
        6.6 + 0.2 * len(pairs),
        sharey="row",
    )
    for row, (value, text) in zip(grid, PROFILES, strict=True):
        for axes, (heading, here) in zip(row, panels, strict=True):
            axes.axhline(0, color=GREY, linewidth=0.7)
            for pair in pairs:
                mine = here.where(model=pair[0], reference=pair[1])
                draw(axes, *depth.profile(mine, value), **paint_pair(audit, pairs, pair) | {"marker": None})
            if value == PROFILES[0][0]:
                axes.set_title(heading)
            depth.axis(axes)
            if value != PROFILES[-1][0]:
                axes.set_xlabel("")
        row[0].set_ylabel(text, fontsize=8.5)
    legend_pairs(figure, audit, pairs)
    return figure


def delta_rank(audit: Audit) -> Figure | None:
    """Figure 8: delta effective rank over depth, a panel for each pair; within the band it counts as none."""
    frame = with_layers(audit.changes.where(component=audit.main))
    pairs = [
        pair
        for pair in pairs_in(audit, frame)
        if np.isfinite(frame.where(model=pair[0], reference=pair[1])["rank_percent"]).any()
    ][:MANY]
    if not pairs:
        return None
    depth = Depth(frame, [model for model, _ in pairs])
    rows, columns = grid_shape(len(pairs), 3)
    title = f"Delta effective rank of the {audit.main}: restructured, or spectrally inert?"
    figure, grid = new_figure(title, rows, columns, 0.9 + 2.4 * rows, sharey=True)
    for axes, pair in itertools.zip_longest(grid.flat, pairs):
        if pair is None:
            hide(axes)
            continue
        here = frame.where(model=pair[0], reference=pair[1])
        axes.axhspan(-INERT_PERCENT, INERT_PERCENT, color="#E4E4E4", zorder=0, linewidth=0)
        for module, shade in LINES:
            axes.plot(*depth.profile(here.where(plain=module), "rank_percent"), color=shade, linewidth=1.0)
        axes.plot(*depth.profile(here, "rank_percent"), color="#333333", linewidth=1.8)
        axes.set_title(f"{label(pair[0], 30)}\nfrom {label(pair[1], 30)}", fontsize=8.5)
        depth.axis(axes)
    for axes in grid[:, 0]:
        axes.set_ylabel("% of effective rank")
    handles = [Line2D([], [], color=shade, linewidth=1.2, label=short(module)) for module, shade in LINES]
    handles.append(Line2D([], [], color="#333333", linewidth=1.8, label="mean of all modules"))
    handles.append(
        Line2D([], [], color="#E4E4E4", linewidth=7, label=f"within ± {INERT_PERCENT} %: counts as none")
    )
    figure.legend(handles=handles, loc="outside lower left", ncols=5, handlelength=2.0)
    return figure
