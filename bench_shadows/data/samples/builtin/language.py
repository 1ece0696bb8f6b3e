"""Language-only tasks: sums, word forms, order, short stories, Chinese numerals."""

import functools

from bench_shadows.data.samples.builtin import vocabulary
from bench_shadows.data.samples.builtin.chance import Dice, members
from bench_shadows.data.samples.builtin.task import Made
from bench_shadows.data.samples.builtin.vocabulary import a

_PAIRS = tuple((one, other) for one in range(21) for other in range(21))
_TWO_DIGITS = tuple(range(11, 100))


def arithmetic(dice: Dice, size: int) -> Made:
    """Sums and differences of numbers up to 20."""
    one, other = dice.own(_PAIRS)
    if dice.chance(0.5):
        return Made("Work out the sum.", str(one + other), f"{one} + {other}")
    return Made("Work out the difference.", str(one), f"{one + other} - {other}")


def inflection(dice: Dice, size: int) -> Made:
    """Plural and past tense of English words."""
    if dice.chance(0.5):
        noun = dice.own(vocabulary.NOUNS)
        return Made("Give the plural of this word.", _inflected(noun, "NNS"), noun)
    verb = dice.own(vocabulary.VERBS)
    return Made("Give the past tense of this verb.", _inflected(verb, "VBD"), verb)


@functools.cache
def _inflected(word: str, tag: str) -> str:
    import lemminflect

    return lemminflect.getInflection(word, tag)[0]


def ordering(dice: Dice, size: int) -> Made:
    """Three or four numbers, or words, put in order."""
    count = dice.randint(3, 4)
    if dice.chance(0.5):
        numbers = dice.some(range(10, 100), count)
        return Made(
            "Sort the numbers from small to large.",
            " ".join(map(str, sorted(numbers))),
            " ".join(map(str, numbers)),
        )
    letters = dice.some("abcdefghijklmnopqrstuvwxyz", count)
    return Made("Sort the letters by the alphabet.", " ".join(sorted(letters)), " ".join(letters))


def reading(dice: Dice, size: int) -> Made:
    """A question about a story of two sentences."""
    people = dice.some(members(vocabulary.NAMES, dice.split), 2)
    things = dice.some(members(vocabulary.NOUNS, dice.split), 2)
    verb = dice.choice(("has", "wants", "finds", "sells"))
    story = " ".join(f"{who} {verb} {a(what)}." for who, what in zip(people, things, strict=True))
    which = dice.randrange(2)
    question, answer = dice.choice(
        (
            (f"Who {verb} the {things[which]}?", people[which]),
            (f"What is it that {people[which]} {verb}?", a(things[which])),
        )
    )
    return Made("Read the story and answer.", answer, f"{story}\n{question}")


def numerals_zh(dice: Dice, size: int) -> Made:
    """Chinese numerals and Arabic ones, both ways."""
    number = dice.own(_TWO_DIGITS)
    written = _chinese(number)
    if dice.chance(0.5):
        return Made("把中文数字写成阿拉伯数字。", str(number), written, language="zh")
    return Made("把阿拉伯数字写成中文数字。", written, str(number), language="zh")


def _chinese(number: int) -> str:
    """A number from 11 to 99."""
    tens, ones = divmod(number, 10)
    digits = " 一二三四五六七八九"
    return (digits[tens] if tens > 1 else "") + "十" + (digits[ones] if ones else "")
