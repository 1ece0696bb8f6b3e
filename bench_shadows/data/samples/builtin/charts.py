"""Charts and tables, drawn by matplotlib.

A figure with its axes, grid and labels is drawn once for every look and kept; of a sample only what differs is
drawn on a copy of it (matplotlib calls that blitting). That is some twenty times faster than a figure each.
"""

import functools
import itertools
from collections.abc import Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, Wedge
from matplotlib.text import Text
from PIL import Image

from bench_shadows.data.samples.builtin.canvas import COLORS, PAPERS, Color, scale_of
from bench_shadows.data.samples.builtin.task import Dice, Made

NUMBERS = tuple(range(10, 100))
"""In the cells of tables."""
HIGHEST = 9
"""Value of the tallest bar."""
POINTS = 5
"""Of a line."""


class Stage:
    """One look of a chart: what every picture of it shares is drawn already."""

    def __init__(self, size: int, paper: Color, area: tuple[float, float, float, float]):
        """`area` is that of the axes: left, bottom, width, height, fractions of the figure."""
        self.scale = scale_of(size)
        side = size * self.scale
        self.dpi = 100
        self.point = side / 48 * 72 / self.dpi  # one forty-eighth of the side, in points
        self.figure = Figure((side / self.dpi, side / self.dpi), dpi=self.dpi, facecolor=_rgb(paper))
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_axes(area, facecolor="white")
        self._empty: object = None

    def pixels(self, artists: Iterable[Artist]) -> np.ndarray:
        """The picture with some artists on it: uint8 [size, size, 3]."""
        if self._empty is None:
            self.canvas.draw()
            self._empty = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self._empty)
        for artist in artists:
            self.axes.add_artist(artist)
            self.axes.draw_artist(artist)
            artist.remove()
        drawn = np.asarray(self.canvas.buffer_rgba())[..., :3]
        return np.asarray(Image.fromarray(drawn).reduce(self.scale))


def _rgb(color: Color) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


@functools.cache
def _scaled(size: int, paper: Color, grid: bool, right: float) -> Stage:
    """Axes from 0 to ten with numbers at the left."""
    stage = Stage(size, paper, (0.2, 0.1, 0.75, 0.84))
    stage.axes.set(xlim=(0, right), ylim=(0, HIGHEST + 1), xticks=(), yticks=range(0, HIGHEST + 2, 2))
    stage.axes.tick_params(
        labelsize=6 * stage.point, width=stage.point / 2, length=stage.point, pad=stage.point / 2
    )
    stage.axes.spines[:].set_linewidth(stage.point / 2)
    if grid:
        stage.axes.set_axisbelow(True)
        stage.axes.grid(axis="y", linewidth=stage.point / 3, color="0.8")
    return stage


@functools.cache
def _round(size: int, paper: Color) -> Stage:
    stage = Stage(size, paper, (0.04, 0.04, 0.92, 0.92))
    stage.axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    stage.axes.set_axis_off()
    return stage


def charts(dice: Dice, size: int) -> Made:
    """A question about a chart of bars, a line or a pie."""
    return dice.choice((_bars, _bars, _line, _pie))(dice, size)


def _bars(dice: Dice, size: int) -> Made:
    count = dice.randint(3, 4)
    names = dice.sample(list(COLORS), count)
    values = dice.sample(range(1, HIGHEST + 1), count)
    stage = _scaled(size, dice.choice(PAPERS), dice.chance(0.5), count)
    wide = dice.uniform(0.6, 0.9)
    bars = [
        Rectangle((place + (1 - wide) / 2, 0), wide, value, color=_rgb(COLORS[name]))
        for place, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    which = dice.randrange(count)
    question, answer = dice.choice(
        (
            (f"How high is the {names[which]} bar?", str(values[which])),
            ("Which bar is the tallest?", names[values.index(max(values))]),
            ("Which bar is the shortest?", names[values.index(min(values))]),
        )
    )
    return Made("Read the bar chart and answer.", answer, question, stage.pixels(bars), "A bar chart.")


def _line(dice: Dice, size: int) -> Made:
    values = dice.sample(range(1, HIGHEST + 1), POINTS)
    color = dice.choice(list(COLORS))
    stage = _scaled(size, dice.choice(PAPERS), dice.chance(0.5), POINTS + 1)
    line = Line2D(
        range(1, POINTS + 1), values, color=_rgb(COLORS[color]), linewidth=1.5 * stage.point,
        marker="o", markersize=3 * stage.point,
    )  # fmt: skip
    first, last = values[0], values[-1]
    question, answer = dice.choice(
        (
            ("Is its end above or below its beginning?", "above" if last > first else "below"),
            ("Which point is the highest, counted from the left?", str(values.index(max(values)) + 1)),
        )
    )
    return Made("Read the line chart and answer.", answer, question, stage.pixels([line]), "A line chart.")


def _pie(dice: Dice, size: int) -> Made:
    names = dice.sample(list(COLORS), 3)
    shares = dice.choice(tuple(itertools.permutations((0.2, 0.3, 0.5))))
    edges = list(itertools.accumulate(shares, initial=dice.random()))
    slices = [
        Wedge((0, 0), 0.95, 360 * one, 360 * other, facecolor=_rgb(COLORS[name]), edgecolor="white")
        for name, (one, other) in zip(names, itertools.pairwise(edges), strict=True)
    ]
    stage = _round(size, dice.choice(PAPERS))
    question, answer = dice.choice(
        (
            ("Which slice is the largest?", names[shares.index(0.5)]),
            ("Which slice is the smallest?", names[shares.index(0.2)]),
        )
    )
    return Made("Read the pie chart and answer.", answer, question, stage.pixels(slices), "A pie chart.")


@functools.cache
def _ruled(size: int, paper: Color, count: int) -> tuple[Stage, list[Text]]:
    """The lines of a square table, and the texts of its cells, row by row; the first row and column are heads."""
    stage, cells = Stage(size, paper, (0.02, 0.02, 0.96, 0.96)), count + 1
    stage.axes.set(xlim=(0, cells), ylim=(cells, 0))
    stage.axes.set_axis_off()
    stage.axes.add_patch(Rectangle((0, 0), cells, 1, color="0.88", zorder=0))
    stage.axes.hlines(range(cells + 1), 0, cells, color="0.5", linewidth=stage.point / 2)
    stage.axes.vlines(range(cells + 1), 0, cells, color="0.5", linewidth=stage.point / 2)
    letters = [FontProperties(family="DejaVu Sans", weight=weight) for weight in ("normal", "bold")]
    texts = []
    for row, column in itertools.product(range(cells), repeat=2):
        text = Text(column + 0.5, row + 0.5, fontproperties=letters[row == 0 or column == 0])
        text.set(ha="center", va="center", fontsize=27 / cells * stage.point)
        texts.append(text)
    return stage, texts


def tables(dice: Dice, size: int) -> Made:
    """A cell of a table, found by its row and column."""
    count = max(2, min(4, size // 32))
    stage, texts = _ruled(size, dice.choice(PAPERS), count)
    heads, names = dice.sample("ABCDEF", count), dice.sample("123456", count)
    cells = [[str(dice.own(NUMBERS)) for _ in heads] for _ in names]
    written = itertools.chain(["", *heads], *([name, *row] for name, row in zip(names, cells, strict=True)))
    for text, value in zip(texts, written, strict=True):
        text.set_text(value)
    row, column = dice.randrange(count), dice.randrange(count)
    question = f"What is in column {heads[column]}, row {names[row]}?"
    asked = dice.choice(("Look it up in the table.", "Read the table and answer."))
    return Made(asked, cells[row][column], question, stage.pixels(texts), "A table.")
