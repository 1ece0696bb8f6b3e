"""Pictures of text and shapes, drawn several times larger than they are shown and averaged down.

Places and lengths are fractions of the picture's side, so that a picture of 48 pixels and one of 96 are alike.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from bench_shadows.errors import ConfigError

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, fractions of the side."""


COLORS: dict[str, Color] = {
    "red": (214, 39, 40),
    "green": (34, 150, 70),
    "blue": (40, 90, 215),
    "yellow": (240, 195, 20),
    "purple": (150, 60, 190),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
PAPERS: tuple[Color, ...] = ((255, 255, 255), (250, 247, 238), (238, 244, 250), (243, 243, 243))
"""Light backgrounds."""
INKS: tuple[Color, ...] = ((20, 20, 20), (30, 40, 120), (120, 20, 30), (10, 80, 50))
"""Dark colours of text."""

LATIN = ("DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "STIXGeneralBol")
"""Fonts that come with matplotlib."""
CHINESE = ("NotoSansSC-Regular", "NotoSerifSC-Regular")
"""Fonts of the package pylopdf-fonts-zh-cn: Noto Sans SC and Noto Serif SC, SIL Open Font License 1.1."""
PACKAGES = ("pylopdf_fonts_zh_cn", "sklearn", "skimage")
"""Packages of the extra `vision`, whose fonts and pictures are read."""
_DRAWN = 192
"""Pixels of a side that is drawn, about."""


@functools.cache
def font_path(name: str) -> str:
    """The file of a font; ConfigError names the extra where its package is not installed."""
    if name in LATIN:
        return str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf"))
    return str(package_folder("pylopdf_fonts_zh_cn") / f"{name}.otf")


def package_folder(module: str) -> Path:
    """Where an installed package lies, without importing it; ConfigError names the extra where there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"the built-in samples need the package {module}; install the extra `vision` "
            "(pip install 'bench-shadows[vision]'), or name your own samples in config.data.sources"
        )
    return Path(spec.submodule_search_locations[0])


@functools.lru_cache(512)
def font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels."""
    return ImageFont.truetype(font_path(name), pixels, layout_engine=ImageFont.Layout.BASIC)


def scale_of(size: int) -> int:
    """How many times larger a picture is drawn than shown."""
    return max(2, round(_DRAWN / size))


class Canvas:
    """A square picture that is being drawn."""

    def __init__(self, size: int, paper: Color = (255, 255, 255)):
        self.scale = scale_of(size)
        self.side = size * self.scale
        self.image = Image.new("RGB", (self.side, self.side), paper)
        self.draw = ImageDraw.Draw(self.image)

    def pixels(self) -> np.ndarray:
        """uint8 [size, size, 3]."""
        return np.asarray(self.image.reduce(self.scale))

    def letters(self, text: str, box: Box, cells: int, name: str, ink: Color) -> None:
        """Writes letters of one size in the first of some equal cells of a box, as a form or a sign has them."""
        left, top, right, bottom = (round(edge * self.side) for edge in box)
        typical = "N" if name in LATIN else "田"
        wide = (right - left) / cells
        trial = font(name, 64).getbbox(typical)
        pixels = int(64 * min(0.92 * wide / (trial[2] - trial[0]), (bottom - top) / (trial[3] - trial[1])))
        chosen = font(name, pixels)
        _, highest, _, lowest = chosen.getbbox(typical, anchor="ms")
        baseline = (top + bottom - highest - lowest) / 2
        for place, letter in enumerate(text):
            self.draw.text((left + (place + 0.5) * wide, baseline), letter, fill=ink, font=chosen, anchor="ms")

    def shape(self, kind: str, center: tuple[float, float], radius: float, color: Color) -> None:
        """One of SHAPES; its box is the square of half side `radius` around the centre."""
        x, y, r = center[0] * self.side, center[1] * self.side, radius * self.side
        if kind == "circle":
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
        else:
            self.draw.polygon([(x + r * u, y + r * v) for u, v in _OUTLINES[kind]], fill=color)

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: float) -> None:
        """A line through points, `width` a fraction of the side."""
        self.draw.line(
            [(x * self.side, y * self.side) for x, y in points], color, max(1, round(width * self.side))
        )

    def frame(self, box: Box, color: Color) -> None:
        """A rectangle's outline, one shown pixel wide."""
        self.draw.rectangle([edge * self.side for edge in box], outline=color, width=self.scale)


def _star() -> list[tuple[float, float]]:
    turns = [math.pi * (corner / 5 - 0.5) for corner in range(10)]
    reach = [1.0 if corner % 2 == 0 else 0.45 for corner in range(10)]
    return [(far * math.cos(turn), far * math.sin(turn)) for far, turn in zip(reach, turns, strict=True)]


_THICK = 0.36
_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-1.0, -1.0), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "star": _star(),
    "cross": [
        *((-_THICK, -1), (_THICK, -1), (_THICK, -_THICK), (1, -_THICK), (1, _THICK), (_THICK, _THICK)),
        *((_THICK, 1), (-_THICK, 1), (-_THICK, _THICK), (-1, _THICK), (-1, -_THICK), (-_THICK, -_THICK)),
    ],
}
