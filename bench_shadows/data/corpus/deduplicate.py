"""Exact and near duplicates, from a digest and a sketch of each document: the first of those that agree stays.

Exact: equal once runs of white space are one space. Near: the Jaccard similarity of two documents' sets of
shingles reaches the threshold. A shingle is `SHINGLE` consecutive words, in lower case and without punctuation; in
scripts without spaces between words each character counts as one; a shorter document is one shingle. Texts are
compared in Unicode's form NFKC, so that composed and decomposed accents, wide and narrow letters are the same. A
document goes where any earlier one is as similar, whether that one stays or not: no decision depends on another,
so any number of processes gives the same answer. (What stays has no near duplicate among what stays; connected
components would remove more.)

Documents whose sketches agree in a whole band are candidates (locality-sensitive hashing; Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, chapter 3). MinHash sketches (rensa, https://github.com/beowolx/rensa) estimate
their similarity with a standard error of sqrt(J (1 - J) / PERMUTATIONS), 0.035 at J = 0.8. Within `SURE` standard
errors of the threshold the texts themselves are compared: else a decision at the threshold were a coin flip.
"""

import functools
import hashlib
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import rensa

from bench_shadows.progress import Progress

VERSION = 2
"""Of what is found in the same documents; raised with every change."""
SHINGLE = 5
PERMUTATIONS = 128
SEED = 42
RECALL = 0.999
"""Least share of the pairs at the threshold that become candidates."""
SURE = 4.0
"""Standard errors from the threshold at which an estimate is believed: wrong 3 times in 100,000."""
CROWD = 32
"""Documents of one band's bucket that the others in it are compared with, the first ones: thousands of documents
that share a licence's text would make millions of pairs."""
EMPTY = np.uint32(2**32 - 1)  # all over the sketch of a document without words, which is nobody's near duplicate

UNSPACED = "".join(
    (
        r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff",  # kana
        r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",  # Han
        r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf",  # Thai, Lao
        r"\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f",  # Burmese
        r"\u1780-\u17d3\u17d7\u17dc-\u17dd",  # Khmer
    )
)
"""Letters and signs, but no digits, of scripts that do not set words apart."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd: prefixes of a polynomial hash can be divided out again
_PAIRS = 2**14  # whose sketches are in memory at once

Texts = Callable[[Sequence[int]], Sequence[str]]


class Duplicates(NamedTuple):
    """The documents that go, by ascending number; four arrays of one length."""

    removed: np.ndarray
    """Their numbers, int64."""
    first: np.ndarray
    """The earliest document that each repeats, int64."""
    similarity: np.ndarray
    """Jaccard similarity of the two, float64: 1 for exact duplicates, estimated where that was sure enough."""
    exact: np.ndarray
    """Whether they are exact duplicates, bool."""


# ---- what is kept of a document


def digest(text: str) -> bytes:
    """16 bytes that are equal where texts are but for white space."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@functools.cache
def _kinds() -> np.ndarray:
    """What each character is, uint8 [code points]: 1 part of a word, 2 a word itself (`UNSPACED`), 0 neither."""
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    characters = "".join(map(chr, range(len(kinds))))
    kinds[[match.start() for match in re.finditer(r"\w", characters)]] = 1
    kinds[[match.start() for match in re.finditer(f"[{UNSPACED}]", characters)]] = 2
    return kinds


@functools.lru_cache(maxsize=4)
def _powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    """(m^0 ... m^length, their inverses), uint64, modulo 2^64."""
    inverse = np.uint64(pow(int(_MULTIPLIER), -1, 2**64))
    ones = np.ones(length + 1, dtype=np.uint64)
    powers, inverses = ones * _MULTIPLIER, ones * inverse
    powers[0] = inverses[0] = 1
    return np.multiply.accumulate(powers), np.multiply.accumulate(inverses)


def shingle_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of the texts' shingles, in order and with repetitions.

    Returns (uint64 [shingles of all], int64 [texts + 1]: where each text's begin). A text without words has none.
    """
    lowered = [unicodedata.normalize("NFKC", text).lower() for text in texts]
    ends = np.cumsum([len(text) + 1 for text in lowered], dtype=np.int64)
    codes = np.frombuffer("\n".join([*lowered, ""]).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = _kinds()[codes]
    inside = kinds == 1
    before = np.concatenate(([False], inside[:-1]))
    alone = kinds == 2
    starts = np.flatnonzero((inside & ~before) | alone)
    stops = np.flatnonzero((inside & ~np.concatenate((inside[1:], [False]))) | alone) + 1
    powers, inverses = _powers(1 << max(16, len(codes).bit_length()))
    prefix = np.concatenate(([np.uint64(0)], np.cumsum((codes + np.uint64(1)) * powers[: len(codes)])))
    words = _mixed((prefix[stops] - prefix[starts]) * inverses[starts])

    first_word = np.concatenate(([0], np.searchsorted(starts, ends)))
    counts = np.diff(first_word)
    size = np.minimum(counts, SHINGLE)  # of this text's shingles, in words
    shingles = np.where(counts > 0, counts - size + 1, 0)
    offsets = np.concatenate(([0], np.cumsum(shingles)))
    begin = np.repeat(first_word[:-1] - offsets[:-1], shingles) + np.arange(offsets[-1])
    width = np.repeat(size, shingles)
    hashes = np.zeros(len(begin), dtype=np.uint64)
    for k in range(SHINGLE):
        more = width > k
        hashes[more] = hashes[more] * _MULTIPLIER + words[begin[more] + k]
    return _mixed(hashes), offsets


def _mixed(values: np.ndarray) -> np.ndarray:
    """Spreads what differs in some bits over all of them (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketches(texts: Sequence[str]) -> np.ndarray:
    """MinHash sketches of the texts' sets of shingles, uint32 [texts, PERMUTATIONS]."""
    hashes, offsets = shingle_hashes(texts)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(np.uint64), PERMUTATIONS, SEED
    )
    return np.array(matrix.to_rows(), dtype="<u4").reshape(len(texts), PERMUTATIONS)


def jaccard(first: str, second: str) -> float:
    """Jaccard similarity of two texts' sets of shingles; 0 where neither has a word."""
    return _similarity(_shingle_set(first), _shingle_set(second))


def _shingle_set(text: str) -> np.ndarray:
    return np.unique(shingle_hashes([text])[0])


def _similarity(a: np.ndarray, b: np.ndarray) -> float:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(1, len(a) + len(b) - shared)


# ---- candidates


def banding(threshold: float) -> tuple[int, int]:
    """(bands, rows of a band): the longest bands that make a pair at the threshold a candidate with RECALL."""
    for rows in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return PERMUTATIONS, 1


def band_keys(sketches_NxP: np.ndarray, band: int, rows: int) -> np.ndarray:
    """The buckets that sketches fall into by one band, uint64 [N]."""
    part = sketches_NxP[:, band * rows : (band + 1) * rows].astype(np.uint64)
    keys = np.zeros(len(part), dtype=np.uint64)
    for row in range(rows):
        keys = _mixed(keys * _MULTIPLIER + part[:, row])
    return keys


def bounds(threshold: float) -> tuple[float, float]:
    """(below this estimate two documents differ, from this on they are near duplicates); between, texts decide."""
    error = SURE * math.sqrt(threshold * (1 - threshold) / PERMUTATIONS)
    return threshold - error, threshold + error


def estimates(first_NxP: np.ndarray, second_NxP: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarities of pairs of sketches, float64 [N]."""
    return (first_NxP == second_NxP).mean(axis=1)


def bucket_pairs(members: np.ndarray, keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (earlier, later) of documents that share a bucket, in blocks.

    `members` int64 [N] ascending are documents, `keys` uint64 [N] their buckets. In each bucket the later
    documents are paired with its first CROWD.
    """
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    new = np.concatenate(([True], sorted_keys[1:] != sorted_keys[:-1]))
    start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    rank = np.arange(len(order)) - start
    crowded = np.flatnonzero(rank)
    for head in range(CROWD):
        later = crowded[rank[crowded] > head]
        if not len(later):
            return
        yield members[order[start[later] + head]], members[order[later]]


def decide(
    candidates: Iterable[tuple[int, float]], exactly: Callable[[int], float], threshold: float
) -> tuple[int, float] | None:
    """The first of a document's candidates (number, estimate), ascending, that it is a near duplicate of.

    `exactly` gives the similarity with that candidate's text. Returns (its number, similarity), or None.
    """
    low, high = bounds(threshold)
    for number, estimate in candidates:
        if estimate < low:
            continue
        similarity = estimate if estimate >= high else exactly(number)
        if similarity >= threshold:
            return number, similarity
    return None


# ---- all of it, on one machine


def first_of_equals(digests: np.ndarray) -> np.ndarray:
    """The lowest number with the same digest, int64 [N]; `digests` is uint64 [N, 2]."""
    order = np.lexsort((np.arange(len(digests)), digests[:, 0], digests[:, 1]))
    ordered = digests[order]
    new = np.concatenate(([True], (ordered[1:] != ordered[:-1]).any(axis=1)))[: len(order)]
    first = np.empty(len(digests), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return first


def find_duplicates(
    digests: np.ndarray, sketches_of: Callable[[np.ndarray], np.ndarray], texts: Texts, threshold: float
) -> Duplicates:
    """The documents that go.

    Args:
      digests: uint64 [N, 2], in the order of the sources.
      sketches_of: numbers -> their sketches, uint32 [n, PERMUTATIONS].
      texts: numbers -> their texts; asked for pairs that the sketches cannot decide.
      threshold: Jaccard similarity from which the later document goes; 1 removes exact duplicates only.
    Memory, besides what `sketches_of` holds: 100 bytes a document, 16 a pair of candidates.
    """
    first = first_of_equals(digests)
    numbers = np.arange(len(digests))
    exact = numbers[first != numbers]
    found: dict[int, tuple[int, float]] = {}
    if threshold < 1:
        found = _near(numbers[first == numbers], sketches_of, texts, threshold)
    near = np.array(sorted(found), dtype=np.int64)
    removed = np.concatenate((exact, near))
    order = np.argsort(removed)
    firsts = np.concatenate((first[exact], np.array([found[i][0] for i in near.tolist()], dtype=np.int64)))
    similarity = np.concatenate((np.ones(len(exact)), np.array([found[i][1] for i in near.tolist()])))
    return Duplicates(
        removed[order], firsts[order], similarity[order], (np.arange(len(removed)) < len(exact))[order]
    )


def _near(
    members: np.ndarray, sketches_of: Callable[[np.ndarray], np.ndarray], texts: Texts, threshold: float
) -> dict[int, tuple[int, float]]:
    """{number: (earliest near duplicate among `members`, similarity)}."""
    bands, rows = banding(threshold)
    blocks = [members[i : i + _PAIRS] for i in range(0, len(members), _PAIRS)]
    members = np.concatenate([members[:0], *(b[(sketches_of(b) != EMPTY).any(axis=1)] for b in blocks)])
    blocks = [members[i : i + _PAIRS] for i in range(0, len(members), _PAIRS)]
    documents = int(members[-1]) + 1 if len(members) else 0
    codes = np.empty(0, dtype=np.uint64)  # later * documents + earlier: sorted, they stand by later and by earlier
    with Progress("looking for near duplicates", bands, "bands") as progress:
        for band in range(bands):
            keys = np.concatenate(
                [np.empty(0, np.uint64), *(band_keys(sketches_of(b), band, rows) for b in blocks)]
            )
            pairs = bucket_pairs(members, keys)
            new = [
                later.astype(np.uint64) * np.uint64(documents) + earlier.astype(np.uint64)
                for earlier, later in pairs
            ]
            codes = np.unique(np.concatenate((codes, *new)))
            progress.add(1)
    candidates: dict[int, list[tuple[int, float]]] = {}
    low, _ = bounds(threshold)
    for i in range(0, len(codes), _PAIRS):
        later, earlier = (part.astype(np.int64) for part in np.divmod(codes[i : i + _PAIRS], np.uint64(documents)))
        similar = estimates(sketches_of(earlier), sketches_of(later))
        for k in np.flatnonzero(similar >= low).tolist():
            candidates.setdefault(int(later[k]), []).append((int(earlier[k]), float(similar[k])))
    found = {}
    compare = comparison(texts)
    with Progress("comparing texts of candidates", len(candidates), "documents") as progress:
        for number, of_number in sorted(candidates.items()):
            if answer := decide(of_number, functools.partial(compare, number), threshold):
                found[number] = answer
            progress.add(1)
    return found


def comparison(texts: Texts) -> Callable[[int, int], float]:
    """(number, number) -> Jaccard similarity of the two texts; what was just looked at is remembered."""

    @functools.lru_cache(maxsize=256)
    def shingles(number: int) -> np.ndarray:
        return _shingle_set(texts([number])[0])

    return lambda first, second: _similarity(shingles(first), shingles(second))
