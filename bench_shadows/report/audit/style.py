"""How an audit's figures look: a colour and a marker for each model, a depth that all share, legends."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench_shadows.report.audit.inputs import Audit
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.style import integer_axis

# Okabe and Ito's colours again, in an order in which neighbours differ most; each model also has its own marker.
SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#8A6D00")
MARKS = "os^DvPX*"
WORDS = {"vision": "vision encoder"}  # components as a title says them
MANY = 12  # pictures with a panel for each model or pair draw the first so many
PANELS = 24  # and those with a panel for each module


def label(name: str, width: int = 34) -> str:
    """A model's name for a figure: in one line, its middle left out where it is long, `$` no mathematics."""
    name = " ".join(name.split())
    if len(name) > width:
        name = f"{name[: width // 2 - 1]}…{name[-(width - width // 2) :]}"
    return name.replace("$", r"\$")


def paint(audit: Audit, name: str) -> dict[str, Any]:
    """Colour, marker and line of a model, the same in every figure."""
    place = audit.names.index(name) if name in audit.names else 0
    return {
        "color": SHADES[place % len(SHADES)],
        "marker": MARKS[place % len(MARKS)],
        "linestyle": ("-", "--", ":")[place // len(SHADES) % 3],
    }


class Depth:
    """The depth axis of some models: layers where all have as many, relative depth from 0 to 1 where not."""

    def __init__(self, frame: Frame, names: Iterable[str]) -> None:
        last = {max(layers) for name in names if (layers := frame.where(model=name).values("layer"))}
        self.relative = len(last) > 1
        self.last = max(last, default=0.0)

    def profile(self, frame: Frame, value: str) -> tuple[np.ndarray, np.ndarray]:
        """(place on the axis, mean over the matrices of a layer) of a model's layers."""
        layers = np.array(frame.values("layer"), float)
        if not len(layers):
            return layers, layers
        total = [np.nanmean(v) if np.isfinite(v).any() else np.nan for v in _by_layer(frame, value, layers)]
        return layers / max(layers.max(), 1) if self.relative else layers, np.array(total)

    def axis(self, axes: Axes) -> None:
        """Ticks and name of the x axis."""
        if self.relative:
            axes.set_xlim(-0.03, 1.03)
            axes.set_xlabel("relative depth")
        else:
            integer_axis(axes, np.array([0.0, self.last]))
            axes.set_xlabel("layer")


def _by_layer(frame: Frame, value: str, layers: np.ndarray) -> list[np.ndarray]:
    return [frame[value][frame["layer"] == layer] for layer in layers]


def with_layers(frame: Frame) -> Frame:
    """The rows that have a layer."""
    return Frame({name: column[np.isfinite(frame["layer"])] for name, column in frame.columns.items()})


def present(audit: Audit, frame: Frame) -> list[str]:
    found = set(frame.values("model"))
    return [name for name in audit.names if name in found]


def pairs_in(audit: Audit, frame: Frame) -> list[tuple[str, str]]:
    found = set(frame["pair"][np.isfinite(frame["relative_change"])].tolist())
    return [pair for pair in audit.pairs if pair in found]


def paint_pair(audit: Audit, pairs: Sequence[tuple[str, str]], pair: tuple[str, str]) -> dict[str, Any]:
    """A model's colour; a second reference of the same model is drawn dashed."""
    own = [other for other in pairs if other[0] == pair[0]]
    return paint(audit, pair[0]) | {"linestyle": ("-", "--", ":")[own.index(pair) % 3]}


def draw(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, marker: str | None, linestyle: str) -> None:
    if not len(x):
        return
    size = 3.6 if len(x) <= 40 else 0
    axes.plot(
        x, y, color=color, marker=marker, linestyle=linestyle, markersize=size, linewidth=1.3, markeredgewidth=0
    )


def legend(figure: Figure, audit: Audit, names: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    """The models beneath the figure; a single model needs no legend."""
    handles = [Line2D([], [], label=label(name), markersize=4, **paint(audit, name)) for name in names]
    _place_legend(figure, [*(handles if len(handles) > 1 else []), *extra])


def legend_pairs(figure: Figure, audit: Audit, pairs: Sequence[tuple[str, str]]) -> None:
    texts = [f"{label(model)} from {label(base)}" for model, base in pairs]
    _place_legend(
        figure,
        [
            Line2D([], [], label=text, markersize=4, **paint_pair(audit, pairs, pair))
            for text, pair in zip(texts, pairs, strict=True)
        ],
    )


def _place_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    if handles:
        widest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), 110 // (widest + 8)))
        figure.legend(handles=handles, loc="outside lower left", ncols=columns, handlelength=2.2)
