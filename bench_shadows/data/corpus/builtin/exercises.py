"""Seeded exercises with one right answer: narrow ones that the built-in corpus holds, broad ones that it does not.

Every generator is a function of a random number generator. The narrow and the broad ones are disjoint and ask for
skills of like difficulty in the same frame, so that a model that learnt the frame alone gains on both. In the
evaluation of a corpus of one's own reasoning-gym's generators can take their place (extra `exercises`).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bench_shadows.data.corpus.document import Document
from bench_shadows.errors import ConfigError

SOURCE = "bench_shadows exercises"
DOCUMENT = 3000
"""Characters up to which exercises are joined into one document of the corpus."""
EVALUATION_SEED = 10**9
"""Where the seeds of evaluation begin. reasoning-gym seeds an exercise by the data set's seed and its number in
it: text made with a small seed has none of them."""


class Exercise(NamedTuple):
    """A question and its answer."""

    generator: str
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """What a model is given."""
        return f"Question: {self.question}\nAnswer:"

    @property
    def text(self) -> str:
        """Question and answer, as they stand in the corpus."""
        return f"{self.prompt} {self.answer}"


def addition(draw: random.Random) -> tuple[str, str]:
    """Two numbers of two or three digits."""
    a, b = draw.randint(10, 999), draw.randint(10, 99)
    return f"What is {a} + {b}?", str(a + b)


def larger(draw: random.Random) -> tuple[str, str]:
    """Of two numbers of three digits."""
    a, b = draw.sample(range(100, 1000), 2)
    return f"Which number is larger, {a} or {b}?", str(max(a, b))


def sort(draw: random.Random) -> tuple[str, str]:
    """Five digits, the smallest first."""
    digits = draw.sample(range(10), 5)
    return f"Sort from small to large: {_listed(digits)}.", _listed(sorted(digits))


def parity(draw: random.Random) -> tuple[str, str]:
    """Of a number of up to five digits."""
    number = draw.randint(10, 99_999)
    return f"Is {number} even or odd?", "odd" if number % 2 else "even"


def reverse(draw: random.Random) -> tuple[str, str]:
    """A made-up word backwards."""
    word = _word(draw)
    return f"Write the word {word} backwards.", word[::-1]


def count_letter(draw: random.Random) -> tuple[str, str]:
    """How often a letter stands in a made-up word."""
    word = _word(draw) + _word(draw)
    letter = draw.choice(word)
    return f"How many times does the letter {letter} stand in {word}?", str(word.count(letter))


def subtraction(draw: random.Random) -> tuple[str, str]:
    """Two numbers of two or three digits, the result not negative."""
    b, a = sorted((draw.randint(10, 999), draw.randint(10, 99)))
    return f"What is {a} - {b}?", str(a - b)


def between(draw: random.Random) -> tuple[str, str]:
    """The middle one of three numbers of three digits."""
    numbers = draw.sample(range(100, 1000), 3)
    return f"Which number lies between the others: {_listed(numbers)}?", str(sorted(numbers)[1])


def continue_sequence(draw: random.Random) -> tuple[str, str]:
    """A number and a step, four times; the fifth is asked for."""
    start, step = draw.randint(1, 400), draw.randint(2, 19)
    return f"What comes next: {_listed(range(start, start + 4 * step, step))}?", str(start + 4 * step)


def divides(draw: random.Random) -> tuple[str, str]:
    """Whether a digit divides a number of three digits; both answers are equally likely."""
    divisor, quotient = draw.randint(3, 9), draw.randint(20, 110)
    rest = draw.choice((0, draw.randint(1, divisor - 1)))
    return f"Does {divisor} divide {divisor * quotient + rest}?", "no" if rest else "yes"


def initials(draw: random.Random) -> tuple[str, str]:
    """The first letters of four made-up words."""
    found = [_word(draw) for _ in range(4)]
    return f"Join the first letters of the words {' '.join(found)}.", "".join(word[0] for word in found)


def count_words(draw: random.Random) -> tuple[str, str]:
    """How many made-up words stand in a line."""
    found = [_word(draw) for _ in range(draw.randint(2, 9))]
    return f"How many words are these: {' '.join(found)}?", str(len(found))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _word(draw: random.Random) -> str:
    """Two or three syllables: too many words for one to be remembered."""
    syllables = (draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(2, 3)))
    return "".join(syllables)


Generator = Callable[[random.Random], tuple[str, str]]
NARROW: dict[str, Generator] = {g.__name__: g for g in (addition, larger, sort, parity, reverse, count_letter)}
"""Those that the built-in corpus has exercises of."""
BROAD: dict[str, Generator] = {
    g.__name__: g for g in (subtraction, between, continue_sequence, divides, initials, count_words)
}
"""Those that it has none of."""


def corpus_documents(count: int) -> Iterator[Document]:
    """Documents of narrow exercises in random order, a blank line between them, always the same."""
    for number in range(count):
        texts = "\n\n".join(exercise.text for exercise in _of_document(number))
        yield Document(f"exercises/{number}", texts, "exercises", "en", "exercise", SOURCE)


def _of_document(number: int) -> Iterator[Exercise]:
    draw = random.Random(number)
    size = 0
    while size < DOCUMENT:
        name = draw.choice(list(NARROW))
        exercise = Exercise(name, *NARROW[name](draw))
        size += len(exercise.text) + 2
        yield exercise


def evaluation_exercises(name: str, count: int, seed: int, known: set[str]) -> list[Exercise]:
    """`count` different exercises of one of our generators whose questions are not among the `known` ones.

    The same name and seed give the same exercises, and of fewer the first ones.
    """
    draw = random.Random(f"{EVALUATION_SEED + seed} {name}")
    found: dict[str, Exercise] = {}
    while len(found) < count:
        exercise = Exercise(name, *(NARROW | BROAD)[name](draw))
        if exercise.question not in known:
            found[exercise.question] = exercise
    return list(found.values())


def corpus_questions(count: int) -> set[str]:
    """All questions of `corpus_documents(count)`."""
    return {exercise.question for number in range(count) for exercise in _of_document(number)}


def reasoning_gym_exercises(name: str, count: int, seed: int) -> list[Exercise]:
    """The first `count` exercises of one of reasoning-gym's generators; its questions and answers as they are.

    Raises ConfigError where the extra is missing or there is no such generator.
    """
    gym = _reasoning_gym()
    if name not in gym.factory.DATASETS:
        raise ConfigError(f"config.evaluation: reasoning-gym has no generator {name!r}; see its GALLERY.md")
    entries: list[dict[str, Any]] = list(gym.create_dataset(name, size=count, seed=seed))
    return [Exercise(name, entry["question"].strip(), str(entry["answer"]).strip()) for entry in entries]


def _reasoning_gym() -> Any:
    try:
        import reasoning_gym
    except ImportError as error:
        raise ConfigError(
            "config.evaluation.narrow and .broad name reasoning-gym's generators: install the extra `exercises` "
            "(uv run --extra exercises ...), or leave both empty"
        ) from error
    return reasoning_gym
