"""Rare words in minimal pairs: does a model know where a word belongs that it has seen a few times?

In the spirit of LongTail-Swap (arXiv 2510.04268), built from the run's own held-out text, by rules instead of a
language model. A pair is two held-out sentences of one domain, each with a word that is rare in the training text;
the words are of one class (`sentences.word_class`) and one frequency band, and change places:

    true      Is all thy comfort shut in Gloster's tomb?     Well, I will be so much a sinner ...
    swapped   Is all thy comfort shut in Gloster's sinner?   Well, I will be so much a tomb ...

A pair is right where the two true sentences together are likelier than the two swapped ones. Both sides hold the
same words, so neither frequency nor length nor how a word is tokenised decides; a model that knows nothing of the
words gets one half. None gets all: of 20 pairs of the laptop study read by hand, 17 were clearly worse
when swapped; the words of three were near synonyms or at home in both sentences.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.data.statistics import vocabulary
from bench_shadows.evaluation.sentences import replaceable, replaced, sentences, stem, word_class
from bench_shadows.evaluation.table import Row, row
from bench_shadows.progress import Progress

BANDS = ((1, 2), (3, 7), (8, 20))
"""First and last count of a frequency band, in the training text that was counted (our choice)."""
COUNTED_BYTES = 2**28
"""Of more training text, evenly spaced pieces of about so many bytes are counted, 45 million words: a band is then
a rate, as the benchmark's are for its 10 and 100 million words."""


class Pair(NamedTuple):
    """Two sentences whose rare words can change places."""

    language: str
    domain: str
    band: str
    words: tuple[str, str]
    counts: tuple[int, int]
    """Of the words in the training text."""
    true: tuple[str, str]
    swapped: tuple[str, str]


class Text(NamedTuple):
    """A held-out document, as far as it matters here."""

    text: str
    domain: str
    language: str


def count_words(documents: Path) -> Counter[str]:
    """How often each word stands in condition A's training text, both halves of documents.parquet.

    Every document counts, whatever its kind; words are those of `vocabulary.split`.
    """
    file = pq.ParquetFile(documents)
    pieces = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    stride = max(1, math.ceil(sum(piece.total_byte_size for piece in pieces) / COUNTED_BYTES))
    counts: Counter[str] = Counter()
    total = sum(piece.num_rows for piece in pieces[::stride])
    with Progress("evaluate: counting words", total, "documents") as progress:
        for number in range(0, file.num_row_groups, stride):
            for document in file.read_row_group(number, columns=["text", "language", "split"]).to_pylist():
                if document["split"] != "held_out":
                    language = "zh" if document["language"] == "zh" else "en"
                    counts.update(vocabulary.split(document["text"], language, "text"))
                progress.add()
    return counts


def make_pairs(texts: Iterable[Text], counts: Counter[str], wanted: int, seed: int) -> list[Pair]:
    """At most `wanted` pairs, as many of each band as there are of the others, where the text has them.

    A sentence is used once and a word twice at most. The same texts, counts and seed give the same pairs.
    """
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    known: set[str] = set()
    for text in texts:
        for sentence in sentences(text.text, text.language):
            if sentence in known:
                continue
            known.add(sentence)
            for word in replaceable(sentence, text.language):
                band, kind = band_of(counts[word]), word_class(word, text.language)
                if band and kind:
                    groups[band, text.language, text.domain, kind].append((sentence, word))
    pairs: list[Pair] = []
    taken: set[str] = set()
    uses: Counter[str] = Counter()
    for number, band in enumerate(map(_name, BANDS)):
        candidates = [(key, one) for key in sorted(groups) if key[0] == band for one in groups[key]]
        left = (wanted - len(pairs)) // (len(BANDS) - number)
        pairs += _pairs_of([candidates[i] for i in draw.permutation(len(candidates))], counts, left, taken, uses)
    return pairs


def _pairs_of(
    candidates: Sequence[tuple[tuple[str, ...], tuple[str, str]]],
    counts: Counter[str],
    wanted: int,
    taken: set[str],
    uses: Counter[str],
) -> list[Pair]:
    """The first pairs that a walk along the candidates of one band finds; adds to `taken` and `uses`."""
    waiting: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    pairs: list[Pair] = []
    for key, (sentence, word) in candidates:
        if len(pairs) == wanted:
            break
        if sentence in taken or uses[word] == 2:
            continue
        band, language, domain, _ = key
        for other in waiting[key]:
            if other[0] not in taken and uses[other[1]] < 2 and _differ(other, (sentence, word), language):
                second, rival = other
                swapped = replaced(second, rival, word, language), replaced(sentence, word, rival, language)
                found = (rival, word), (counts[rival], counts[word]), (second, sentence), swapped
                pairs.append(Pair(language, domain, band, *found))
                taken.update((second, sentence))
                uses.update((rival, word))
                break
        else:
            waiting[key].append((sentence, word))
    return pairs


def _differ(one: tuple[str, str], other: tuple[str, str], language: str) -> bool:
    """Whether two candidates are different words, and neither sentence has the other's word in it."""
    (sentence, word), (second, rival) = one, other
    apart = stem(word, language) != stem(rival, language)
    return apart and sentence != second and rival not in sentence.casefold() and word not in second.casefold()


def _name(band: tuple[int, int]) -> str:
    return f"{band[0]}-{band[1]}"


def band_of(count: int) -> str | None:
    """The name of the band that a count lies in, such as `3-7`."""
    return next((_name(band) for band in BANDS if band[0] <= count <= band[1]), None)


def rare_word_rows(pairs: Sequence[Pair], nats_Px4: np.ndarray) -> Iterator[Row]:
    """Rows of evaluation.parquet: accuracy of all pairs and of each band; a tie counts one half.

    Args:
      nats_Px4: -log likelihood of each pair's sentences, [pairs, 4]: the two true ones, the two swapped ones.
    """
    margin = nats_Px4[:, 2:].sum(axis=1) - nats_Px4[:, :2].sum(axis=1)
    right = np.where(margin == 0, 0.5, margin > 0)
    bands = np.array([pair.band for pair in pairs])
    for task in ("all", *map(_name, BANDS)):
        chosen = right if task == "all" else right[bands == task]
        yield row("rare_words", task, "accuracy", chosen.mean() if len(chosen) else math.nan, len(chosen))


def pairs_from_json(entries: Sequence[dict[str, Any]]) -> list[Pair]:
    """Pairs from their fields, as JSON keeps them."""
    names = ("words", "counts", "true", "swapped")
    return [Pair(**{**entry, **{name: tuple(entry[name]) for name in names}}) for entry in entries]
