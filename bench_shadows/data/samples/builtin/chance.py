"""Chance of one built-in sample: everything about it follows from seed, split, task and number."""

import functools
import random
import zlib
from collections.abc import Hashable, Sequence
from typing import TypeVar

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

    def some(self, pool: Sequence[Member], count: int) -> list[Member]:
        """Different members of a pool, in random order."""
        return self.sample(pool, count)


@functools.cache
def members(pool: tuple[Member, ...], split: Split) -> tuple[Member, ...]:
    """The part of a pool that belongs to a split. The parts are disjoint, whatever the seed."""
    return tuple(
        member for member in pool if (zlib.crc32(repr(member).encode()) % HELD_OUT == 0) == (split == "held_out")
    )
