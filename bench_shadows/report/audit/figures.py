"""Figures of an audit, after the paper's Figures 5, 6, 7 and 12: a model alone, and models side by side.

Every function takes an Audit and returns a Figure, or None where the audit lacks what it draws. A matrix without a
fit is a gap; several experts of one layer are their mean.
"""

import itertools

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.paper import IN_RANGE, UP_PROJ, V_PROJ
from bench_shadows.report.audit.inputs import Audit
from bench_shadows.report.audit.style import (
    MANY,
    MARKS,
    PANELS,
    SHADES,
    WORDS,
    Depth,
    draw,
    label,
    legend,
    paint,
    present,
    with_layers,
)
from bench_shadows.report.common.depth_figures import histogram, short
from bench_shadows.report.common.run import order_modules
from bench_shadows.report.common.style import BAND, grid_shape, hide, log_axis, new_figure

RING = "#C00000"  # around what stands out
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")


def alpha_histograms(audit: Audit, component: str) -> Figure | None:
    """Figure 5: alpha over the matrices of a component, a panel for each model, the tail in a bin of its own."""
    frame = audit.diagnostics.where(component=component)
    names = present(audit, frame)[:MANY]
    if not names:
        return None
    rows, columns = grid_shape(len(names), 4 if len(names) != 3 else 3)
    title = f"Where do the alphas of the {WORDS.get(component, component)} lie, and how dense is the tail?"
    figure, grid = new_figure(title, rows, columns, 0.6 + 2.4 * rows, sharex=True, sharey=True)
    for axes, name in itertools.zip_longest(grid.flat, names):
        if name is None:
            hide(axes)
            continue
        histogram(axes, frame.where(model=name), paint(audit, name)["color"], counts=True)
        axes.set_title(label(name, 26), color=paint(audit, name)["color"], fontweight="bold", fontsize=8.5)
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid[-1]:
        axes.set_xlabel("alpha")
    for axes in grid[:, 0]:
        axes.set_ylabel("matrices (%)")
    return figure


def v_proj_alpha(audit: Audit) -> Figure | None:
    """Figure 6: alpha of v_proj over depth, a panel for each model, the other models thin behind it."""
    frame = audit.diagnostics.where(component=audit.main, plain=V_PROJ)
    names = present(audit, frame)[:MANY]
    if not names:
        return None
    depth = Depth(frame, names)
    rows, columns = grid_shape(len(names), 4 if len(names) != 3 else 3)
    figure, grid = new_figure(
        f"v_proj of the {audit.main}: which models stay flat over depth, which have spikes?",
        rows,
        columns,
        0.8 + 2.3 * rows,
        sharey=True,
    )
    for axes, name in itertools.zip_longest(grid.flat, names):
        if name is None:
            hide(axes)
            continue
        axes.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
        for other in names:
            if other != name:
                axes.plot(*depth.profile(frame.where(model=other), "alpha"), color="#BDBDBD", linewidth=0.7)
        draw(axes, *depth.profile(frame.where(model=name), "alpha"), **paint(audit, name))
        axes.set_title(label(name, 26), color=paint(audit, name)["color"], fontweight="bold", fontsize=8.5)
        depth.axis(axes)
    for axes in grid[:, 0]:
        axes.set_ylabel("alpha of v_proj")
    return figure


UP_PROJ_PANELS = (
    ("alpha", "alpha"),
    ("spikes", "spikes (eigenvalues ≥ x_min)"),
    ("x_min", "x_min"),
    ("x_min_over_mean", "x_min / mean eigenvalue"),
)


def up_proj_depth(audit: Audit) -> Figure | None:
    """Figure 7: alpha, spikes, x_min and x_min / mean of up_proj over depth, a line for each model."""
    frame = audit.diagnostics.where(component=audit.main, plain=UP_PROJ)
    names = present(audit, frame)
    if not names:
        return None
    depth = Depth(frame, names)
    title = f"up_proj of the {audit.main}: is it x_min that tells the models apart?"
    figure, grid = new_figure(title, 2, 2, 5.4)
    for axes, (value, heading) in zip(grid.flat, UP_PROJ_PANELS, strict=True):
        for name in names:
            draw(axes, *depth.profile(frame.where(model=name), value), **paint(audit, name))
        axes.set_title(heading)
        depth.axis(axes)
        if value == "x_min":
            log_axis(axes)
    legend(figure, audit, names)
    return figure


def modules_depth(audit: Audit, component: str, value: str, text: str) -> Figure | None:
    """A diagnostic over depth, a panel for each module, a line for each model; anomalies are ringed."""
    frame = audit.diagnostics.where(component=component)
    frame = with_layers(frame)
    modules = order_modules(frame.values("plain"))[:PANELS]
    names = present(audit, frame)
    if not modules:
        return None
    depth = Depth(frame, names)
    rows, columns = grid_shape(len(modules), 4 if len(modules) > 6 else 3)
    figure, grid = new_figure(
        f"All modules of the {WORDS.get(component, component)}: {text} over depth",
        rows,
        columns,
        1.0 + 1.95 * rows,
        sharey=True,
    )
    odd = {
        (finding["model"], finding["module"], layer)
        for finding in audit.of_kind("anomaly", component=component, reference=None)
        for layer in finding["layers"]
    }
    for axes, module in itertools.zip_longest(grid.flat, modules):
        if module is None:
            hide(axes)
            continue
        if value == "alpha":
            axes.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
        for name in names:
            mine = frame.where(model=name, plain=module)
            x, y = depth.profile(mine, value)
            draw(axes, x, y, **paint(audit, name))
            layers = mine.values("layer")
            at = [i for i, layer in enumerate(layers) if (name, module, int(layer)) in odd]
            if at:
                axes.plot(x[at], y[at], "o", markersize=12, mfc="none", color=RING, clip_on=False)
        axes.set_title(module if "experts" in module else short(module))
        depth.axis(axes)
    figure.supylabel(text, fontsize=9)
    ring = Line2D([], [], color=RING, marker="o", markersize=9, markerfacecolor="none", linestyle="none")
    ring.set_label("single submodule that stands out")
    legend(figure, audit, names, [ring] if odd else [])
    return figure


def vision_beside_decoder(audit: Audit) -> Figure | None:
    """Figure 12: alpha of the attention projections over depth, vision encoder and decoder side by side."""
    frame = with_layers(audit.diagnostics)
    both = [
        name
        for name in present(audit, frame.where(component="vision"))
        if len(frame.where(component="decoder", model=name, plain=ATTENTION))
    ][:MANY]
    if not both:
        return None
    figure, grid = new_figure(
        "Vision encoder beside decoder: is the irregular part where the model was changed?",
        len(both),
        2,
        1.0 + 2.0 * len(both),
        sharey=True,
    )
    for row, name in zip(grid, both, strict=True):
        for axes, component in zip(row, ("vision", "decoder"), strict=True):
            here = frame.where(component=component, model=name)
            axes.axhspan(*IN_RANGE, color=BAND, zorder=0, linewidth=0, alpha=0.6)
            depth = Depth(here, [name])
            for place, module in enumerate(ATTENTION):
                x, y = depth.profile(here.where(plain=module), "alpha")
                draw(axes, x, y, SHADES[place], MARKS[place], "-")
            depth.axis(axes)
            axes.set_title(f"{label(name, 36)}, {component}", fontsize=8.5)
        row[0].set_ylabel("alpha")
    handles = [
        Line2D([], [], color=SHADES[place], marker=MARKS[place], markersize=4, label=short(module))
        for place, module in enumerate(ATTENTION)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure
