"""The dice of one built-in sample, which seed, split, task and number decide, and what a task makes of a throw."""

import functools
import random
import zlib
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bench_shadows.data.samples.sample import Split

HELD_OUT = 5
"""One of so many words, numbers and pictures is kept for held-out samples alone; our choice."""

Member = TypeVar("Member", bound=Hashable)


class Dice(random.Random):
    """A random number generator that knows its split."""

    def __init__(self, seed: int, split: Split, task: str, number: int):
        super().__init__(f"{seed}/{split}/{task}/{number}")
        self.split: Split = split

    def own(self, pool: tuple[Member, ...]) -> Member:
        """A member of a pool that only samples of this split are made of."""
        return self.choice(members(pool, self.split))

    def chance(self, share: float) -> bool:
        """True in that share of the cases."""
        return self.random() < share


@functools.cache
def members(pool: tuple[Member, ...], split: Split) -> tuple[Member, ...]:
    """The part of a pool that belongs to a split. The parts are disjoint, whatever the seed."""
    return tuple(
        member for member in pool if (zlib.crc32(repr(member).encode()) % HELD_OUT == 0) == (split == "held_out")
    )


class Made(NamedTuple):
    """A sample without the fields that every sample has."""

    instruction: str
    """What is asked, in words that many samples share."""
    answer: str
    content: str = ""
    """What this sample asks besides: on the lines below the instruction."""
    pixels: np.ndarray | None = None
    """uint8 [size, size, 3]."""
    caption: str = ""
    """What a pipeline knows about the image before anybody looks; never the answer."""
    language: str = "en"
    check: dict[str, Any] | None = None


Make = Callable[[Dice, int], Made]
"""Makes one sample, `make(dice, size)`; `size` in pixels is 0 for a task without images."""
