"""Tasks about drawn pictures: text, forms, counting, shapes and their relations, boxes, captions."""

import functools
import itertools
import string

import numpy as np

from bench_shadows.data.samples.builtin import vocabulary
from bench_shadows.data.samples.builtin.canvas import CHINESE, COLORS, INKS, LATIN, PAPERS, SHAPES, Box, Canvas
from bench_shadows.data.samples.builtin.task import Dice, Made

GRID = 10
"""Boxes are told in tenths of the picture's side."""
MOST = 6
"""Things to count at most."""
LABELS = ("TAX", "SUM", "DAY", "AGE", "BOX", "FEE")
VALUES = tuple(range(1, 100))
"""Of a form's fields."""
_GLYPHS = string.digits + string.ascii_uppercase


def ocr(dice: Dice, size: int) -> Made:
    """A letter, a number, a code or an English word, in one of several fonts. Larger pictures hold longer ones.

    Words only where there is room for several lengths of them: a few short ones are sooner known than read.
    """
    longest = max(3, size // 14)
    kind = dice.random()
    if kind < 0.3:
        text = dice.choice(_GLYPHS)
    elif kind < 0.6:
        text = dice.own(_numbers(dice.randint(2, min(5, longest - 1))))
    elif kind < 0.8 or longest < 5:
        text = dice.own(_codes(dice.randint(2, min(3, longest - 1))))
    else:
        text = dice.own(_short_words(longest)).upper()
    asked = dice.choice(("What does the image say?", "Read the text in the image.", "Which text do you see?"))
    return Made(
        asked, text, pixels=_written(dice, size, text, longest, dice.choice(LATIN)), caption="A picture of a sign."
    )


def ocr_zh(dice: Dice, size: int) -> Made:
    """One or two Chinese characters, in two fonts."""
    text = dice.choice(vocabulary.CHARACTERS) if dice.chance(0.5) else dice.own(vocabulary.CHINESE)
    asked = dice.choice(("图片里写的是什么字？", "请读出图片中的文字。", "你看到了哪些文字？"))
    pixels = _written(dice, size, text, 2, dice.choice(CHINESE))
    return Made(asked, text, pixels=pixels, caption="一张写着字的图片。", language="zh")


def _written(dice: Dice, size: int, text: str, cells: int, name: str) -> np.ndarray:
    canvas = Canvas(size, dice.choice(PAPERS))
    if dice.chance(0.3):
        canvas.frame((0.01, 0.12, 0.99, 0.88), (150, 150, 150))
    left, top = dice.uniform(0.03, 0.06), dice.uniform(0.27, 0.33)
    canvas.letters(text, (left, top, left + 0.91, top + 0.4), cells, name, dice.choice(INKS))
    return canvas.pixels()


@functools.cache
def _numbers(digits: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(10 ** (digits - 1), 10**digits))


@functools.cache
def _codes(letters: int) -> tuple[str, ...]:
    return tuple("".join(code) for code in itertools.product(string.ascii_uppercase, repeat=letters))


@functools.cache
def _short_words(longest: int) -> tuple[str, ...]:
    return tuple(word for word in vocabulary.SIGNS if len(word) <= longest)


def fields(dice: Dice, size: int) -> Made:
    """The value of one field of a form."""
    count = max(2, min(5, size // 24))
    labels = dice.sample(LABELS, count)
    values = [dice.own(VALUES) for _ in labels]
    canvas = Canvas(size, dice.choice(PAPERS))
    name, ink, high = dice.choice(LATIN[:3]), dice.choice(INKS), 0.94 / count
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        top = 0.03 + place * high
        canvas.letters(label, (0.04, top + 0.12 * high, 0.52, top + 0.88 * high), 3, name, (110, 110, 110))
        canvas.letters(str(value), (0.6, top + 0.12 * high, 0.96, top + 0.88 * high), 2, name, ink)
        canvas.line([(0.03, top + high), (0.97, top + high)], (190, 190, 190), 0.01)
    which = dice.randrange(count)
    asked = dice.choice(("Read the value of the field.", "Find the field and give its value."))
    return Made(asked, str(values[which]), labels[which], canvas.pixels(), "A scan of a form.")


def counting(dice: Dice, size: int) -> Made:
    """One to six things of one kind."""
    count, shape, color = dice.randint(1, MOST), dice.choice(SHAPES), dice.choice(list(COLORS))
    canvas = Canvas(size, dice.choice(PAPERS))
    radius = dice.uniform(0.1, 0.12)
    for column, row in dice.sample(list(itertools.product(range(3), range(3))), count):
        center = [(place + 0.5) / 3 + dice.uniform(-0.03, 0.03) for place in (column, row)]
        canvas.shape(shape, (center[0], center[1]), radius, COLORS[color])
    things = f"{shape}s" if shape != "cross" else "crosses"
    asked = dice.choice((f"How many {things} are in the image?", f"Count the {things} in the image."))
    return Made(asked, str(count), "Answer with a number.", canvas.pixels(), "A drawing of shapes.")


def shapes(dice: Dice, size: int) -> Made:
    """One thing: its shape, its colour, or both."""
    shape, color, pixels = _thing(dice, size)
    asked, answer = dice.choice(
        (
            ("Which shape is in the image?", shape),
            ("Which colour does the shape have?", color),
            ("Name the colour and the shape.", f"{color} {shape}"),
        )
    )
    return Made(asked, answer, pixels=pixels, caption="A drawing of a shape.")


def image_constraints(dice: Dice, size: int) -> Made:
    """One thing, and an instruction with a constraint that a program can verify."""
    shape, color, pixels = _thing(dice, size)
    asked, answer = dice.choice(
        (
            ("Name the colour of the shape in capital letters.", color.upper()),
            ("Name the shape in square brackets.", f"[{shape}]"),
            ("Write the colour of the shape twice, with a comma.", f"{color}, {color}"),
            ("Name the shape and end with an exclamation mark.", f"{shape}!"),
        )
    )
    return Made(asked, answer, pixels=pixels, caption="A drawing of a shape.", check={"equals": answer})


def _thing(dice: Dice, size: int) -> tuple[str, str, np.ndarray]:
    """(shape, colour, picture) of one thing."""
    shape, color = dice.choice(SHAPES), dice.choice(list(COLORS))
    canvas = Canvas(size, dice.choice(PAPERS))
    canvas.shape(shape, (dice.uniform(0.3, 0.7), dice.uniform(0.3, 0.7)), dice.uniform(0.15, 0.28), COLORS[color])
    return shape, color, canvas.pixels()


RELATIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Where the first of two things is, seen from the second: across, down."""


def _pair(dice: Dice, size: int) -> tuple[Canvas, str, list[str]]:
    """Two different things: (canvas, relation of the first to the second, their names)."""
    canvas = Canvas(size, dice.choice(PAPERS))
    relation = dice.choice(list(RELATIONS))
    across, down = RELATIONS[relation]
    kinds, colors = dice.sample(SHAPES, 2), dice.sample(list(COLORS), 2)
    x, y = dice.uniform(0.4, 0.6), dice.uniform(0.4, 0.6)
    for sign, kind, color in zip((1, -1), kinds, colors, strict=True):
        center = x + sign * 0.24 * across, y + sign * 0.24 * down
        canvas.shape(kind, center, dice.uniform(0.12, 0.15), COLORS[color])
    return canvas, relation, [f"{color} {kind}" for color, kind in zip(colors, kinds, strict=True)]


def relations(dice: Dice, size: int) -> Made:
    """Where one thing is, seen from the other."""
    canvas, relation, (first, second) = _pair(dice, size)
    asked = f"Where is the {first}, seen from the {second}?"
    answer = {"left": "left of it", "right": "right of it", "above": "above it", "below": "below it"}[relation]
    return Made("Look at the two shapes.", answer, asked, canvas.pixels(), "A drawing of two shapes.")


def captioning(dice: Dice, size: int) -> Made:
    """What is to be seen, by a template."""
    canvas, relation, (first, second) = _pair(dice, size)
    where = {"left": "left of", "right": "right of", "above": "above", "below": "below"}[relation]
    asked = dice.choice(("Describe what the image shows.", "Write a caption for the image."))
    return Made(asked, f"a {first} {where} a {second}", pixels=canvas.pixels(), caption="A drawing of shapes.")


def grounding(dice: Dice, size: int) -> Made:
    """The box of one of two things, as text, in tenths of the picture."""
    canvas = Canvas(size, dice.choice(PAPERS))
    boxes: list[Box] = []
    names = []
    halves = dice.sample((0, 1), 2)
    for half, kind, color in zip(halves, dice.sample(SHAPES, 2), dice.sample(list(COLORS), 2), strict=True):
        side = dice.choice((3, 4))
        left, top = half * 5 + dice.randint(0, 5 - side), dice.randint(0, GRID - side)
        canvas.shape(kind, ((left + side / 2) / GRID, (top + side / 2) / GRID), side / 2 / GRID, COLORS[color])
        boxes.append((left, top, left + side, top + side))
        names.append(f"{color} {kind}")
    asked = "Give its box in tenths of the image."
    answer = " ".join(str(edge) for edge in boxes[0])
    caption = "A drawing of two shapes."
    return Made(asked, answer, names[0], canvas.pixels(), caption, check={"box": list(boxes[0])})
