"""Tasks without pictures: language, notes of a business, and constraints that a program can verify."""

import functools
import itertools

from bench_shadows.data.samples.builtin import vocabulary
from bench_shadows.data.samples.builtin.task import Dice, Made, members
from bench_shadows.data.samples.builtin.vocabulary import a

_PAIRS = tuple((one, other) for one in range(21) for other in range(21))
_TWO_DIGITS = tuple(range(11, 100))
TIMES = {2: "two", 3: "three", 4: "four"}
_LISTS = tuple(itertools.product(vocabulary.KINDS, TIMES))
_LETTERS = tuple(itertools.product(vocabulary.KINDS, "aeio"))


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
        numbers = dice.sample(range(10, 100), count)
        return Made(
            "Sort the numbers from small to large.",
            " ".join(map(str, sorted(numbers))),
            " ".join(map(str, numbers)),
        )
    letters = dice.sample("abcdefghijklmnopqrstuvwxyz", count)
    return Made("Sort the letters by the alphabet.", " ".join(sorted(letters)), " ".join(letters))


def reading(dice: Dice, size: int) -> Made:
    """A question about a story of two sentences."""
    people = dice.sample(members(vocabulary.NAMES, dice.split), 2)
    things = dice.sample(members(vocabulary.NOUNS, dice.split), 2)
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


def extraction(dice: Dice, size: int) -> Made:
    """One fact of a short business note."""
    number, amount = dice.own(tuple(range(100, 1000))), dice.own(tuple(range(10, 100)))
    name, thing = dice.own(vocabulary.NAMES), dice.own(vocabulary.NOUNS)
    day, month = dice.randint(1, 28), dice.choice(vocabulary.MONTHS)
    note = dice.choice(
        (
            f"Bill {number}: {name} pays {amount} euros for {a(thing)} on {day} {month}.",
            f"On {day} {month}, {name} buys {a(thing)} for {amount} euros. Bill {number}.",
            f"{name} owes {amount} euros for {a(thing)}, bill {number}, due on {day} {month}.",
        )
    )
    what, answer = dice.choice(
        (
            ("number of the bill", str(number)),
            ("amount in euros", str(amount)),
            ("name of the buyer", name),
            ("day and the month", f"{day} {month}"),
        )
    )
    return Made(f"Find the {what} in the note.", answer, note)


def keywords(dice: Dice, size: int) -> Made:
    """The things that a note is about, in its order."""
    things = dice.sample(members(vocabulary.NOUNS, dice.split), dice.randint(2, 3))
    name, place = dice.own(vocabulary.NAMES), dice.choice(("shop", "office", "port", "market"))
    listed = " and ".join(map(a, things))
    note = dice.choice((f"{name} brings {listed} to the {place}.", f"The {place} sends {name} {listed}."))
    return Made("List the goods in the note, with commas.", ", ".join(things), note)


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
    answer = ", ".join(dice.sample(vocabulary.KINDS[kind], count))
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
