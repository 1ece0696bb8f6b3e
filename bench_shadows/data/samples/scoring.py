"""Whether an answer is right: exact after normalisation, or by what the sample's `check` asks for. No judge.

A `check` is a dict of conditions that must all hold:

    equals     the answer, letter by letter (white space at its ends does not count)
    words      how many words it has          lines     how many lines
    upper      has no small letter            lower     has no capital letter
    starts     how it begins                  ends      how it ends
    contains   words that are in it           excludes  words or letters that are not
    members    every part between commas is one of these, and none comes twice
    items      how many parts there are between commas
    box        four numbers, left, top, right and bottom, whose overlap with this box (intersection over union) is
               at least OVERLAP
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from bench_shadows.data.samples.sample import Sample, answer

OVERLAP = 0.5
"""Intersection over union from which a box is right, as it is usual for grounding."""


def score(sample: Sample | Mapping[str, Any], said: str) -> bool:
    """Whether `said` answers the sample. ValueError where its `check` has a condition that there is not."""
    check: Mapping[str, Any] = sample.get("check") or {}
    if unknown := sorted(set(check) - set(_CONDITIONS)):
        raise ValueError(f"check has {', '.join(unknown)}; conditions are {', '.join(_CONDITIONS)}")
    if check:
        text = said.strip()
        return bool(text) and all(_CONDITIONS[name](text, wanted) for name, wanted in check.items())
    return normalized(said) == normalized(answer(sample))  # type: ignore[arg-type]


def normalized(text: str) -> str:
    """Compatible forms of characters, small letters, single spaces; without the signs that end a sentence."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!?。！？ ")


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom); 0 for an empty one."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def _parts(text: str) -> list[str]:
    return [normalized(part) for part in text.split(",")]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _members(text: str, wanted: list[str]) -> bool:
    parts = _parts(text)
    return len(set(parts)) == len(parts) and set(parts) <= {normalized(member) for member in wanted}


def _box(text: str, wanted: list[float]) -> bool:
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    return len(numbers) == 4 and overlap(tuple(numbers), tuple(wanted)) >= OVERLAP


_CONDITIONS: dict[str, Callable[[str, Any], bool]] = {
    "equals": lambda text, wanted: text == wanted,
    "words": lambda text, wanted: len(text.split()) == wanted,
    "lines": lambda text, wanted: len(text.splitlines()) == wanted,
    "upper": lambda text, wanted: (text == text.upper()) == wanted,
    "lower": lambda text, wanted: (text == text.lower()) == wanted,
    "starts": lambda text, wanted: text.startswith(wanted),
    "ends": lambda text, wanted: text.endswith(wanted),
    "contains": lambda text, wanted: set(_words(" ".join(wanted))) <= set(_words(text)),
    "excludes": lambda text, wanted: not any(part.casefold() in text.casefold() for part in wanted),
    "members": _members,
    "items": lambda text, wanted: len(_parts(text)) == wanted,
    "box": _box,
}
