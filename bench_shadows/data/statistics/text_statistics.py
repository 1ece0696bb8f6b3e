"""What a condition did to the words: the documents of both halves, and the first half as it was rewritten.

A and B read `first` and then `second`, D `rewritten` and then `second`; C's words are a tenth of A's. Everything
is measured for the whole text and for its largest parts (English text, code, ...), and the rewritten text against
the text that it was made from, document by document.
"""

import dataclasses
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.data.statistics import ngrams, resampling, semantic_spread
from bench_shadows.data.statistics.frequency import estimates
from bench_shadows.data.statistics.vocabulary import Vocabulary, split
from bench_shadows.progress import Progress

COUNTED_BYTES = 2**24
"""Of a larger corpus about so many bytes are measured, of evenly spaced documents: `documents_counted`."""
PARTS = 5
"""Parts of the text that are measured by themselves: those with the most characters."""
CODE_LANGUAGES = 12
"""Programming languages that are named; the others are one."""
TOTALS = ("characters", "words", "types", "hapaxes")
"""Measures that grow with the text: compared by their ratio, the others by their difference."""


@dataclasses.dataclass(frozen=True)
class Text:
    """One document of one split, its words counted; long documents were cut, and their parts drawn like others."""

    unit: int
    """The document, numbered by domain and size: `resampling.deal` keeps the shares of both."""
    part: str
    language: str
    text: str
    words: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Yardstick:
    """What all texts of a run are measured by: of every word, by its number."""

    zipf: Mapping[str, np.ndarray]
    """Language -> its frequency (`Vocabulary.zipf`)."""
    buckets: np.ndarray
    """Its bucket in `semantic_spread`, int64 [words]."""
    idf: np.ndarray
    """Of the buckets, in the first half."""


class Measured(NamedTuple):
    """The measures of some texts, by name."""

    found: dict[str, resampling.Estimate]
    grams: ngrams.Grams
    halves: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """The values with their intervals; how much text there is was decided by the budget and has none."""
        pairs = resampling.intervals(self.found)
        kept = {name: pair for name, pair in pairs.items() if name not in ("characters", "words")}
        return {**{name: value for name, (value, _) in self.found.items()}, "intervals": kept}


def document_statistics(path: Path) -> dict[str, Any]:
    """Word statistics of a run's documents.parquet, as statistics.json holds them under `words`.

    Returns:
      level, resamples, documents, documents_counted;
      parts {part: {first, rewritten, second, rewritten_against_first}}; each split has characters, words, types,
        hapaxes, unigram_entropy_bits, top_100_share, top_1000_share, zipf_slope (`frequency`), mean_word_zipf and
        unknown_words_share (words that wordfreq does not know), distinct_trigrams (`ngrams`), compression_ratio
        (zlib), semantic_spread (`spread`), trigrams_not_in_first and _not_in_rewritten where there is such a text
        before it, and intervals {measure: [low, high]}; the last is {measure: {ratio or difference, interval}};
      code_languages {split: {language: {share of the code's characters, interval}}}.
      `rewritten` is missing where nothing was rewritten.
    """
    texts, vocabulary, documents, counted = _read(path)
    sides = {name: found for name, found in texts.items() if found}
    languages = {text.language for found in sides.values() for text in found if text.part != "code"}
    zipf = {language: vocabulary.zipf(language) for language in sorted(languages)}
    buckets = np.array(
        [zlib.crc32(word.encode()) % semantic_spread.BUCKETS for word in vocabulary.words()], dtype=np.int64
    )
    first = sides.get("first", [])
    _, words = semantic_spread.pieces([text.words for text in first])
    idf = semantic_spread.inverse_document_frequency(semantic_spread.term_counts(words, buckets))
    yardstick = _Yardstick(zipf, buckets, idf)
    parts = {}
    for part in ("all", *_by_size(first, lambda text: text.part)[:PARTS]):
        chosen = {name: [text for text in found if part in ("all", text.part)] for name, found in sides.items()}
        parts[part] = _part(chosen, yardstick)
    return {
        "level": resampling.LEVEL,
        "resamples": resampling.RESAMPLES,
        "documents": documents,
        "documents_counted": counted,
        "parts": parts,
        "code_languages": {name: _code_languages(found) for name, found in sides.items()},
    }


def _read(path: Path) -> tuple[dict[str, list[Text]], Vocabulary, int, int]:
    """(texts by split, their vocabulary, documents there are, documents counted)."""
    file = pq.ParquetFile(path)
    size = sum(
        group.column(index).total_uncompressed_size
        for group in map(file.metadata.row_group, range(file.num_row_groups))
        for index in range(group.num_columns)
        if group.column(index).path_in_schema == "text"
    )
    stride = max(1, math.ceil(size / COUNTED_BYTES))
    names = ["id", "text", "domain", "language", "kind", "split", "rewritten", "rewritten_language"]
    vocabulary = Vocabulary()
    texts: dict[str, list[Text]] = {"first": [], "rewritten": [], "second": []}
    order: dict[int, tuple[str, int]] = {}  # document -> domain and size
    seen = 0
    with Progress("word statistics", file.metadata.num_rows, "documents") as progress:
        for batch in file.iter_batches(256, columns=names):
            rows = batch.to_pylist()
            for row in rows:
                seen += 1
                if row["split"] not in texts or seen % stride:
                    continue
                order[seen] = row["domain"], len(row["text"])
                versions = [(row["split"], row["text"], row["language"])]
                if row["rewritten"] is not None:
                    versions.append(("rewritten", row["rewritten"], row["rewritten_language"]))
                for name, text, language in versions:
                    words = vocabulary.numbers(split(text, language, row["kind"]))
                    texts[name].append(Text(seen, _part_of(row), language, text, words))
            progress.add(len(rows))
    rank = {number: place for place, number in enumerate(sorted(order, key=lambda number: order[number]))}
    for name, found in texts.items():
        texts[name] = [dataclasses.replace(text, unit=rank[text.unit]) for text in found]
    return texts, vocabulary, seen, len(order)


def _part_of(row: Mapping[str, str]) -> str:
    kind, language = row["kind"], row["language"]
    return {"code": "code", "exercise": "exercises"}.get(kind, f"{language} text")


def _by_size(texts: Sequence[Text], name_of: Callable[[Text], str]) -> list[str]:
    """The names of texts, that with the most characters first."""
    characters: Counter[str] = Counter()
    for text in texts:
        characters[name_of(text)] += len(text.text)
    return [name for name, _ in characters.most_common()]


def _part(sides: Mapping[str, Sequence[Text]], yardstick: _Yardstick) -> dict[str, Any]:
    """Every split's measures of one part of the text, and what rewriting changed."""
    measured: dict[str, Measured] = {}
    for name, texts in sides.items():
        if texts:
            # A rewritten document is in the group of the one that it was made from: their difference is paired.
            units = np.array([text.unit for text in (sides["first"] if name == "rewritten" else texts)])
            groups, halves = resampling.Dealt.of(units)
            group_of = dict(zip(units.tolist(), groups.tolist(), strict=True))
            measured[name] = _measure(texts, np.array([group_of[text.unit] for text in texts]), halves, yardstick)
    for name, before in (("rewritten", "first"), ("second", "first"), ("second", "rewritten")):
        if name in measured and before in measured:
            mine = measured[name]
            found = ngrams.novelty(mine.grams, measured[before].grams.distinct, mine.halves)
            mine.found[f"trigrams_not_in_{before}"] = found
    result = {name: found.as_json() for name, found in measured.items()}
    if "rewritten" in measured and "first" in measured:
        result["rewritten_against_first"] = _against(measured["rewritten"].found, measured["first"].found)
    return result


def _measure(texts: Sequence[Text], groups: np.ndarray, halves: np.ndarray, yardstick: _Yardstick) -> Measured:
    count = halves.shape[1]
    lengths = np.array([len(text.words) for text in texts])
    words = np.concatenate([text.words for text in texts])
    types, number = np.unique(words, return_inverse=True)
    cells = np.repeat(groups, lengths) * len(types) + number
    counts_KxV = np.bincount(cells, minlength=count * len(types)).reshape(count, len(types))
    characters = np.bincount(groups, [len(text.text) for text in texts], minlength=count)
    found: dict[str, resampling.Estimate] = {
        "documents": (len(texts), np.empty(0)),
        "characters": (int(characters.sum()), halves @ characters),
        "words": (len(words), halves @ counts_KxV.sum(axis=1)),
        **estimates(counts_KxV, halves),
    }
    # A run's budget fixes how much text there is: how many types a longer half has is not their uncertainty.
    for name in ("types", "hapaxes") if len(halves) else ():
        value, samples = found[name]
        found[name] = value, resampling.at_equal_size(samples, found["words"][1])
    known, frequency, all_words = (np.zeros(count) for _ in range(3))
    for text, group in zip(texts, groups, strict=True):
        if text.part != "code":  # names are no words of a language
            scale = yardstick.zipf[text.language][text.words]
            present = np.isfinite(scale)
            known[group] += present.sum()
            frequency[group] += scale[present].sum()
            all_words[group] += len(scale)
    found["mean_word_zipf"] = resampling.ratio(frequency, known, halves)
    if known.any():
        found["unknown_words_share"] = resampling.ratio(all_words - known, all_words, halves)
    long = lengths >= ngrams.LENGTH
    sequences = [(texts[at].words, int(groups[at])) for at in np.flatnonzero(long).tolist()]
    grams = ngrams.grams(sequences, max(1, len(yardstick.buckets)))
    found["distinct_trigrams"] = ngrams.distinct_share(grams, halves)
    found["compression_ratio"] = resampling.ratio(*_compressed(texts, groups, count), halves)
    of, pieces = semantic_spread.pieces([text.words for text in texts])
    if len(of):
        terms = semantic_spread.term_counts(pieces, yardstick.buckets)
        units = np.array([text.unit for text in texts])[of]
        found["semantic_spread"] = semantic_spread.spread(terms, yardstick.idf, units, groups[of], halves)
    return Measured(found, grams, halves)


def _compressed(texts: Sequence[Text], groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How many bytes zlib leaves of each group's texts, and their UTF-8 bytes, float64 [K] each."""
    joined: list[list[str]] = [[] for _ in range(count)]
    for text, group in zip(texts, groups, strict=True):
        joined[group].append(text.text)
    blobs = ["\n".join(group).encode() for group in joined]
    left = [len(zlib.compress(blob, 6)) if blob else 0 for blob in blobs]
    return np.array(left, dtype=np.float64), np.array(list(map(len, blobs)), dtype=np.float64)


def _against(
    after: Mapping[str, resampling.Estimate], before: Mapping[str, resampling.Estimate]
) -> dict[str, Any]:
    """{measure: {ratio or difference, interval}}: what rewriting did, over the same resamples of documents."""
    found: dict[str, Any] = {}
    for name, (new, news) in after.items():
        old, olds = before.get(name, (None, news))
        if name == "documents" or old is None or new is None:
            continue
        same = news.shape == olds.shape
        if name in TOTALS and old:
            samples = news / np.where(olds > 0, olds, np.nan) if same else np.empty(0)
            found[name] = {"ratio": new / old, "interval": resampling.interval(new / old, samples)}
        elif name not in TOTALS:
            samples = news - olds if same else np.empty(0)
            found[name] = {"difference": new - old, "interval": resampling.interval(new - old, samples, True)}
    return found


def _code_languages(texts: Sequence[Text]) -> dict[str, Any]:
    """{language: {"share", "interval"}} of the code's characters, the commonest first, the rest as `others`."""
    code = [text for text in texts if text.part == "code"]
    if not code:
        return {}
    every = _by_size(code, lambda text: text.language)
    named = every[:CODE_LANGUAGES]
    columns = [*named, "others"] if len(every) > len(named) else named
    groups, halves = resampling.Dealt.of(np.array([text.unit for text in code]))
    table = np.zeros((halves.shape[1], len(columns)))
    for text, group in zip(code, groups, strict=True):
        table[group, named.index(text.language) if text.language in named else len(named)] += len(text.text)
    pairs = zip(columns, resampling.shares(table, halves), strict=True)
    return {name: {"share": share, "interval": interval} for name, (share, interval) in pairs}
