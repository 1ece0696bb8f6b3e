"""How figures look, and the few marks they are made of: lines by condition, phase shift, grids, files."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench_shadows.report.common.estimates import half_width, mean

# Okabe and Ito's colours, told apart by people who are colour-blind; each condition also has its own marker.
COLOURS = {"A": "#0072B2", "B": "#CC79A7", "C": "#009E73", "D": "#D55E00"}
COLOURS |= {"baseline": COLOURS["A"], "deduplicated": COLOURS["D"]}
MARKERS = {"A": "o", "B": "s", "C": "^", "D": "D", "baseline": "o", "deduplicated": "D"}
NAMES = {
    "A": "A · broad coverage",
    "B": "B · A's data, rate held high",
    "C": "C · repetition first",
    "D": "D · rewritten first",
    "baseline": "baseline · prompts repeated",
    "deduplicated": "deduplicated · each prompt once",
}
# Widths of curves that lie on each other.
NESTED = {"A": 2.8, "B": 2.0, "C": 1.3, "D": 0.7, "baseline": 2.4, "deduplicated": 1.1}
GREY = "#767676"
BAND = "#DDE8D8"
DASHED: Any = {"color": GREY, "linewidth": 1, "linestyle": (0, (6, 2))}
PHASE_SHIFT = "phase shift"
WIDTH = 9.0  # inches

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "figure.dpi": 130,
    "savefig.dpi": 130,
    "pdf.fonttype": 42,  # text stays text
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
}


def colour(condition: str) -> str:
    """The colour of a condition, the same in every figure."""
    return COLOURS.get(condition, "#333333")


def new_figure(title: str, rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A titled figure of small multiples: (figure, Axes [rows, columns]). `height` in inches."""
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, hspace=0.04, wspace=0.03)
    figure = Figure(figsize=(WIDTH, height), layout=engine)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(title, x=0.008, ha="left", fontsize=11.5, fontweight="bold")
    return figure, axes


def grid_shape(count: int, columns: int = 4) -> tuple[int, int]:
    """(rows, columns) for `count` small multiples."""
    columns = min(columns, count)
    return math.ceil(count / columns), columns


def small_multiples(
    title: str, count: int, columns: int = 4, height: tuple[float, float] = (1.0, 1.9), **options: Any
) -> tuple[Figure, list[Axes], np.ndarray]:
    """(figure, `count` panels, all Axes [rows, columns]); cells that are left over are hidden.

    `height` in inches: of what surrounds the panels, and of a row of them.
    """
    rows, columns = grid_shape(count, columns)
    figure, grid = new_figure(title, rows, columns, height[0] + height[1] * rows, **options)
    for axes in grid.flat[count:]:
        hide(axes)
    return figure, list(grid.flat[:count]), grid


def _look(condition: str, marks: bool) -> dict[str, Any]:
    """How the line of a condition is drawn, and its entry in a legend."""
    return {
        "color": colour(condition),
        "marker": MARKERS.get(condition, "x") if marks else None,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "linestyle": "--" if condition == "B" and marks else "-",
        # Curves without markers often coincide: each is narrower than the one beneath it, so that all are seen.
        "linewidth": 1.5 if marks else NESTED.get(condition, 1.0),
    }


def draw_line(
    axes: Axes, x: np.ndarray, values: np.ndarray, condition: str, marks: bool = True, band: bool = True
) -> None:
    """One condition, `values` [seeds, n]: the mean, and with `band` its interval, or both of two seeds."""
    x, values = np.asarray(x, dtype=float), np.atleast_2d(values)
    shade = colour(condition)
    middle, half = mean(values), half_width(values)
    if band and np.isfinite(half).any():
        axes.fill_between(x, middle - half, middle + half, color=shade, alpha=0.16, linewidth=0)
    elif band and len(values) == 2:
        for single in values:
            axes.plot(x, single, color=shade, alpha=0.4, linewidth=0.8)
    axes.plot(x, middle, markersize=4.5 if len(x) <= 12 else 3.0, **_look(condition, marks))


def draw_marks(axes: Axes, x: Any, y: Any, condition: str, size: float = 5, **half_widths: Any) -> None:
    """Marks of one condition with their intervals, `xerr` or `yerr`; None draws none."""
    axes.errorbar(
        x,
        y,
        fmt=MARKERS.get(condition, "x"),
        color=colour(condition),
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.2,
        **half_widths,
    )


def draw_typical_intervals(axes: Axes, profiles: Mapping[str, np.ndarray]) -> None:
    """At the right edge, for each condition, a bar as long as its median 95 % interval; nothing below three seeds.

    Bands around every line would hide the lines; each bar is centred on the mean of its line.
    """
    low, high = axes.get_xlim()
    step = 0.03 * (high - low)
    for index, (name, values) in enumerate(profiles.items()):
        half = half_width(values)
        if np.isfinite(half).any():
            place = high + (0.5 + index) * step
            centre = float(np.nanmean(mean(values)))
            axes.errorbar(
                place, centre, yerr=float(np.nanmedian(half)), color=colour(name), capsize=2, elinewidth=1.2
            )
            # Room for four conditions, drawn or not: panels that share the axis keep one width.
            axes.set_xlim(low, high + 4.5 * step)


def legend(figure: Figure, conditions: Sequence[str], extra: Sequence[Line2D] = (), marks: bool = True) -> None:
    """One legend for the figure, beneath it, conditions in order."""
    handles = [*(line_key(name, marks) for name in conditions), *extra]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 5), handlelength=2.2)


def line_key(condition: str, marks: bool = True) -> Line2D:
    """A legend's entry for a condition, drawn as `draw_line` draws it."""
    return Line2D([], [], label=NAMES.get(condition, condition), **_look(condition, marks))


def title_condition(axes: Axes, condition: str) -> None:
    """A panel's title where it shows one condition alone."""
    axes.set_title(NAMES.get(condition, condition), color=colour(condition), fontweight="bold", fontsize=9)


def label_x(grid: np.ndarray, text: str) -> None:
    """A name for the x axes of small multiples, beneath the lowest row."""
    for axes in grid[-1]:
        axes.set_xlabel(text)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names of rows that are drawn at y = 0, 1, ... from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def mark_phase_shift(axes: Axes, step: float | None) -> None:
    """A dotted line where C and D go over to A's data; none in a study without a phase shift."""
    if step is not None:
        axes.axvline(step, color=GREY, linestyle=":", linewidth=1.1, zorder=1, gid=PHASE_SHIFT)


def phase_shift_keys(step: float | None) -> list[Line2D]:
    """The legend's entry for that line, where there is one."""
    if step is None:
        return []
    return [Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label=PHASE_SHIFT)]


def integer_axis(axes: Axes, layers: np.ndarray) -> None:
    """Whole layers on the x axis, every one of them when they are few."""
    low, high = float(min(layers)), float(max(layers))
    axes.set_xlim(low - 0.02 * (high - low) - 0.15, high + 0.02 * (high - low) + 0.15)
    ticks = MaxNLocator(integer=True, nbins=8).tick_values(low, high)
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])


def percent_axis(axes: Axes) -> None:
    """Nothing below 0 or above 100 % on the y axis: a share has no room there, its t-interval may say so."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis whose ticks are plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def hide(axes: Axes) -> None:
    """An unused cell of a grid."""
    axes.set_axis_off()


def empty(axes: Axes, text: str) -> None:
    """A panel that has nothing to draw says so."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8.5)
    axes.grid(False)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Writes NAME.png and NAME.pdf, the same bytes for the same figure (no dates, no version)."""
    # The canvases' own writers: `Figure.savefig` lays the figure out and draws it twice for each file.
    FigureCanvasAgg(figure).print_png(folder / f"{name}.png", metadata={"Software": None})
    figure.set_layout_engine("none")  # what the PNG was laid out to is kept
    nothing = {"CreationDate": None, "Producer": None, "Creator": None}
    FigureCanvasPdf(figure).print_pdf(folder / f"{name}.pdf", metadata=nothing)


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draws and saves in our style over matplotlib's defaults, whatever the user's own file says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield
