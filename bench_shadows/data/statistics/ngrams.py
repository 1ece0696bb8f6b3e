"""Three words or tokens in a row: how many different ones a text has, and how many another text did not have.

distinct-3 is different trigrams / trigrams (Li et al. 2016, distinct-n). Novelty is the share of a text's trigrams
that stand nowhere in another text (McCoy et al. 2023, n-gram novelty); ours counts occurrences.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from bench_shadows.data.statistics.resampling import Estimate, ratio

LENGTH = 3


@dataclasses.dataclass(frozen=True)
class Grams:
    """All trigrams of a text: their keys and the group each stands in."""

    keys: np.ndarray
    """uint64 [n]; one number for each trigram, exact for up to 2.6 million types."""
    groups: np.ndarray
    """int64 [n]"""

    @property
    def distinct(self) -> np.ndarray:
        """The different keys, ascending."""
        return _different(self.keys)


def _different(values: np.ndarray) -> np.ndarray:
    """The different values, ascending; NumPy's `unique` hashes, which took five times as long on trigrams."""
    ordered = np.sort(values)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def grams(sequences: Iterable[tuple[np.ndarray, int | np.ndarray]], types: int) -> Grams:
    """Trigrams of sequences of ids with their groups; no trigram reaches over the end of a sequence.

    A sequence is an array of ids [n] with its group, or several of equal length [m, n] (rows) with theirs [m].
    """
    keys, groups = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for ids, group in sequences:
        wide = ids.astype(np.uint64)
        key = wide[..., : wide.shape[-1] - LENGTH + 1]
        for offset in range(1, LENGTH):
            key = key * np.uint64(types) + wide[..., offset : wide.shape[-1] - LENGTH + 1 + offset]
        keys.append(key.ravel())
        groups.append(np.broadcast_to(np.asarray(group, np.int64)[..., None], key.shape).ravel())
    return Grams(np.concatenate(keys), np.concatenate(groups))


def distinct_share(found: Grams, halves_RxK: np.ndarray) -> Estimate:
    """Different trigrams / trigrams, and the same of every resample [R]."""
    if not found.keys.size:
        return None, np.empty(0)
    groups = halves_RxK.shape[1]
    different, number = np.unique(found.keys, return_inverse=True)
    pairs = _different(number.astype(np.int64) * groups + found.groups)  # each trigram once for each of its groups
    gram, group = pairs // groups, pairs % groups
    spread = np.bincount(gram)
    alone = spread[gram] == 1
    seen = halves_RxK @ np.bincount(group[alone], minlength=groups)
    # A trigram of several groups is in a resample that has any of them.
    gram, group = gram[~alone], group[~alone]
    starts = np.flatnonzero(np.diff(gram, prepend=-1))
    if len(starts):
        inside = halves_RxK.astype(np.int8)
        seen += [np.maximum.reduceat(half[group], starts).sum() for half in inside]
    totals = halves_RxK @ np.bincount(found.groups, minlength=groups)
    return len(different) / len(found.keys), seen / np.maximum(totals, 1)


def novelty(found: Grams, before: np.ndarray, halves_RxK: np.ndarray) -> Estimate:
    """Share of the trigrams that are not among `before` (different keys, ascending), and of every resample [R].

    Only the text whose novelty is measured is resampled; the other one is what it is.
    """
    new, groups = ~np.isin(found.keys, before), halves_RxK.shape[1]
    every = np.bincount(found.groups, minlength=groups)
    return ratio(np.bincount(found.groups, new, minlength=groups), every, halves_RxK)
