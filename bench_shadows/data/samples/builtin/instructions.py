"""Instructions with constraints that a program can verify, with and without a picture."""

import itertools

from bench_shadows.data.samples.builtin import vocabulary
from bench_shadows.data.samples.builtin.canvas import COLORS, PAPERS, SHAPES, Canvas
from bench_shadows.data.samples.builtin.chance import Dice
from bench_shadows.data.samples.builtin.task import Made

TIMES = {2: "two", 3: "three", 4: "four"}
_LISTS = tuple(itertools.product(vocabulary.KINDS, TIMES))
_LETTERS = tuple(itertools.product(vocabulary.KINDS, "aeio"))


def constraints(dice: Dice, size: int) -> Made:
    """A text-only instruction."""
    return dice.choice((_capitals, _brackets, _repeat, _list, _sentence, _without))(dice)


def _capitals(dice: Dice) -> Made:
    word = dice.own(vocabulary.NOUNS)
    return Made("Write the word in capital letters.", word.upper(), word, check={"equals": word.upper()})


def _brackets(dice: Dice) -> Made:
    word = dice.own(vocabulary.NOUNS)
    return Made("Write the word in square brackets.", f"[{word}]", word, check={"equals": f"[{word}]"})


def _repeat(dice: Dice) -> Made:
    word, count = dice.own(vocabulary.NOUNS), dice.choice(list(TIMES))
    answer = ", ".join([word] * count)
    return Made(f"Write the word {TIMES[count]} times, with commas.", answer, word, check={"equals": answer})


def _list(dice: Dice) -> Made:
    kind, count = dice.own(_LISTS)
    answer = ", ".join(dice.some(vocabulary.KINDS[kind], count))
    check = {"items": count, "members": list(vocabulary.KINDS[kind])}
    return Made(f"Name {TIMES[count]} {kind}, with commas.", answer, check=check)


def _sentence(dice: Dice) -> Made:
    word = dice.own(vocabulary.NOUNS)
    sentence = dice.choice(
        (
            ("four", f"The {word} is old."),
            ("five", f"I see a small {word}."),
            ("six", f"The {word} is in the house."),
        )
    )
    count, answer = sentence
    check = {"words": len(answer.split()), "contains": [word], "ends": "."}
    return Made(f"Write a sentence of {count} words with this word.", answer, word, check=check)


def _without(dice: Dice) -> Made:
    kind, letter = dice.own(_LETTERS)
    allowed = [member for member in vocabulary.KINDS[kind] if letter not in member]
    check = {"members": allowed, "excludes": [letter]}
    singular = kind.removesuffix("s")
    return Made(f"Name one {singular} without the letter {letter}.", dice.choice(allowed), check=check)


def image_constraints(dice: Dice, size: int) -> Made:
    """An instruction about a picture."""
    shape, color = dice.choice(SHAPES), dice.choice(list(COLORS))
    canvas = Canvas(size, dice.choice(PAPERS))
    canvas.shape(shape, (dice.uniform(0.3, 0.7), dice.uniform(0.3, 0.7)), dice.uniform(0.15, 0.28), COLORS[color])
    asked, answer = dice.choice(
        (
            ("Name the colour of the shape in capital letters.", color.upper()),
            ("Name the shape in square brackets.", f"[{shape}]"),
            ("Write the colour of the shape twice, with a comma.", f"{color}, {color}"),
            ("Name the shape and end with an exclamation mark.", f"{shape}!"),
        )
    )
    return Made(asked, answer, pixels=canvas.pixels(), caption="A drawing of a shape.", check={"equals": answer})
