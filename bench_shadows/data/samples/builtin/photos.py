"""Real pictures that installed packages carry: scikit-learn's handwritten digits, photographs, all read offline.

The digits are the test set of the UCI optical recognition data (Alpaydin and Kaynak, 1998), 8 x 8 pixels. The
photographs are those of scikit-learn, scikit-image and matplotlib; their licences stand beside them.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageOps

from bench_shadows.data.samples.builtin.canvas import INKS, PAPERS, Color, package_folder
from bench_shadows.data.samples.builtin.task import Dice, Made, members
from bench_shadows.data.samples.sample import Split

_KEPT = 320
"""Pixels of a photograph's shorter side that is kept in memory."""

_SHARPER = [max(0, min(255, round((value - 128) * 2.2 + 128))) for value in range(256)]
"""Brightness -> brightness: the edges of strokes that were enlarged five times."""


class Photo(NamedTuple):
    """One photograph."""

    package: str
    file: str
    shows: str
    colored: bool = True


PHOTOS = (
    Photo("sklearn", "datasets/images/china.jpg", "a temple"),
    Photo("sklearn", "datasets/images/flower.jpg", "a flower"),
    Photo("skimage", "data/astronaut.png", "an astronaut"),
    Photo("skimage", "data/chelsea.png", "a cat"),
    Photo("skimage", "data/coffee.png", "a cup of coffee"),
    Photo("skimage", "data/rocket.jpg", "a rocket"),
    Photo("skimage", "data/motorcycle_left.png", "a motorcycle"),
    Photo("skimage", "data/hubble_deep_field.jpg", "galaxies"),
    Photo("skimage", "data/camera.png", "a cameraman", colored=False),
    Photo("skimage", "data/coins.png", "coins", colored=False),
    Photo("skimage", "data/moon.png", "the moon", colored=False),
    Photo("matplotlib", "sample_data/grace_hopper.jpg", "an officer"),
)


@functools.cache
def _photo(photo: Photo) -> Image.Image:
    folder = Path(get_data_path()) if photo.package == "matplotlib" else package_folder(photo.package)
    with Image.open(folder / photo.file) as image:
        scale = _KEPT / min(image.size)
        return image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))


def photographs(dice: Dice, size: int) -> Made:
    """What a photograph shows, whether it is in colour, whether it stands on its head.

    A piece of it is shown, up to a third smaller and perhaps mirrored. Pieces for held-out samples begin further
    right or further down than any for training.
    """
    photo = dice.choice(PHOTOS)
    image = _photo(photo)
    side = _KEPT * dice.uniform(0.7, 0.9)
    across, down = image.width - side, image.height - side
    along = dice.uniform(0.85, 1.0) if dice.split == "held_out" else dice.uniform(0.0, 0.75)
    left, top = (along * across, dice.random() * down) if across > down else (dice.random() * across, along * down)
    shown = image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side), 2.0)
    if dice.chance(0.5):
        shown = ImageOps.mirror(shown)
    grey, turned = dice.chance(0.3), dice.chance(0.3)
    if grey:
        shown = ImageOps.grayscale(shown).convert("RGB")
    if turned:
        shown = ImageOps.flip(shown)
    questions = [("What does the photograph show?", photo.shows)] * 2
    questions.append(("Is the photograph the right way up?", "no" if turned else "yes"))
    if photo.colored:
        questions.append(("Is the photograph in colour or grey?", "grey" if grey else "colour"))
    asked, answer = dice.choice(questions)
    return Made(asked, answer, pixels=np.asarray(shown), caption="A photograph.")


@functools.cache
def _digits() -> tuple[np.ndarray, tuple[int, ...]]:
    """(uint8 [1797, 8, 8] from 0 to 16, what each is)."""
    table = np.loadtxt(package_folder("sklearn") / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 8, 8), tuple(table[:, -1].tolist())


def digits(dice: Dice, size: int) -> Made:
    """Real handwriting: one digit, several on larger pictures. Held-out writing is of other records."""
    images, values = _digits()
    chosen = [dice.choice(_records(dice.split)) for _ in range(dice.randint(1, max(1, size // 32)))]
    side = min(0.8, 0.96 / len(chosen))
    pixels = max(8, round(side * size))
    paper, ink = dice.choice(PAPERS), dice.choice(INKS)
    canvas = Image.new("RGB", (size, size), paper)
    for place, record in enumerate(chosen):
        mask = (
            Image.fromarray(images[record] * 15).resize((pixels, pixels), Image.Resampling.BICUBIC).point(_SHARPER)
        )
        left = (size - pixels * len(chosen)) // 2 + place * pixels
        top = (size - pixels) // 2 + round(size * dice.uniform(-0.08, 0.08))
        canvas.paste(_plain(ink, pixels), (left, top), mask)
    asked = dice.choice(("Which number is written by hand?", "Read the handwritten number."))
    answer = "".join(str(values[record]) for record in chosen)
    return Made(asked, answer, pixels=np.asarray(canvas), caption="A scan of handwriting.")


@functools.cache
def _records(split: Split) -> tuple[int, ...]:
    return members(tuple(range(len(_digits()[1]))), split)


@functools.lru_cache(64)
def _plain(color: Color, pixels: int) -> Image.Image:
    return Image.new("RGB", (pixels, pixels), color)
