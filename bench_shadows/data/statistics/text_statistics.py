"""What a condition did to the words: the documents of both halves, and the first half as it was rewritten.

A and B read `first` and then `second`, D `rewritten` and then `second`; C's words are a tenth of A's. Everything
is measured for the whole text and for its largest parts (English text, code, ...), and the rewritten text against
the text that it was made from, document by document.
"""

import dataclasses
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.data.statistics import ngrams, resampling, semantic_spread
from bench_shadows.data.statistics.frequency import finite, measures, resampled_measures
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

Values = dict[str, float | int | None]


@dataclasses.dataclass(frozen=True)
class Text:
    """One document of one split, its words counted; long documents were cut, and their parts drawn like others."""

    unit: int
    """The document, numbered by domain and size: `resampling.deal` keeps the shares of both."""
    part: str
    language: str
    text: str
    words: np.ndarray


@dataclasses.dataclass
class Measured:
    """The measures of some texts: values, and float64 [R] for every resample."""

    values: Values
    resampled: dict[str, np.ndarray]
    grams: ngrams.Grams

    def as_json(self) -> dict[str, Any]:
        """The values with their intervals; how much text there is was decided by the budget and has none."""
        found = resampling.intervals(self.values, self.resampled)
        kept = {name: pair for name, pair in found.items() if name not in ("characters", "words")}
        return {**self.values, "intervals": kept}


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
    idf = _idf([text.words for text in sides.get("first", [])], buckets)
    parts = {}
    for part in ("all", *_largest(sides.get("first", []))):
        chosen = {name: [text for text in found if part in ("all", text.part)] for name, found in sides.items()}
        parts[part] = _part(chosen, vocabulary, zipf, buckets, idf)
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


def _largest(texts: Sequence[Text]) -> list[str]:
    """The parts with the most characters, largest first."""
    characters: Counter[str] = Counter()
    for text in texts:
        characters[text.part] += len(text.text)
    return [part for part, _ in characters.most_common(PARTS)]


def _idf(documents: Sequence[np.ndarray], buckets: np.ndarray) -> np.ndarray:
    found = semantic_spread.pieces(documents)
    if not found:
        return np.ones(semantic_spread.BUCKETS, np.float32)
    return semantic_spread.inverse_document_frequency(
        semantic_spread.term_counts(np.stack([words for _, words in found]), buckets)
    )


def _part(
    sides: Mapping[str, Sequence[Text]],
    vocabulary: Vocabulary,
    zipf: Mapping[str, np.ndarray],
    buckets: np.ndarray,
    idf: np.ndarray,
) -> dict[str, Any]:
    """Every split's measures of one part of the text, and what rewriting changed."""
    measured: dict[str, Measured] = {}
    halves: dict[str, np.ndarray] = {}
    for name, texts in sides.items():
        if not texts:
            continue
        # A rewritten document is in the group of the one that it was made from: their difference is paired.
        whole = sides["first"] if name == "rewritten" else texts
        units = np.array([text.unit for text in whole])
        group_of = dict(zip(units.tolist(), resampling.deal(units).tolist(), strict=True))
        groups = np.array([group_of[text.unit] for text in texts])
        halves[name] = resampling.half_samples(max(group_of.values()) + 1)
        measured[name] = _measure(texts, groups, halves[name], vocabulary, zipf, buckets, idf)
    for name, before in (("rewritten", "first"), ("second", "first"), ("second", "rewritten")):
        if name in measured and before in measured:
            found = ngrams.novelty(measured[name].grams, measured[before].grams.distinct, halves[name])
            key = f"trigrams_not_in_{before}"
            measured[name].values[key], measured[name].resampled[key] = found
    result = {name: found.as_json() for name, found in measured.items()}
    if "rewritten" in measured and "first" in measured:
        result["rewritten_against_first"] = _against(measured["rewritten"], measured["first"])
    return result


def _measure(
    texts: Sequence[Text],
    groups: np.ndarray,
    halves: np.ndarray,
    vocabulary: Vocabulary,
    zipf: Mapping[str, np.ndarray],
    buckets: np.ndarray,
    idf: np.ndarray,
) -> Measured:
    count = max(halves.shape[1], int(groups.max()) + 1)
    lengths = np.array([len(text.words) for text in texts])
    words = np.concatenate([text.words for text in texts])
    group_of_word = np.repeat(groups, lengths)
    types, number = np.unique(words, return_inverse=True)
    counts_KxV = np.bincount(group_of_word * len(types) + number, minlength=count * len(types))
    counts_KxV = counts_KxV.reshape(count, len(types))
    values: Values = {"documents": len(texts)}
    resampled: dict[str, np.ndarray] = {}

    def add(name: str, value: float | None, samples: np.ndarray) -> None:
        values[name], resampled[name] = value, samples

    def ratio(name: str, above: np.ndarray, below: np.ndarray) -> None:
        """A share of sums over groups [K]."""
        total = below.sum()
        samples = (halves @ above) / np.maximum(halves @ below, 1) if len(halves) else np.empty(0)
        add(name, float(above.sum() / total) if total else None, samples)

    characters = np.bincount(groups, [len(text.text) for text in texts], minlength=count)
    add("characters", int(characters.sum()), halves @ characters)
    add("words", len(words), halves @ counts_KxV.sum(axis=1))
    found = resampled_measures(counts_KxV, halves)
    # A run's budget fixes how much text there is: how many types a longer half has is not their uncertainty.
    for name in ("types", "hapaxes") if found else ():
        found[name] = resampling.at_equal_size(found[name], resampled["words"])
    for name, value in measures(counts_KxV.sum(axis=0)[None]).items():
        add(name, finite(float(value[0])), found.get(name, np.empty(0)))
    known, frequency, all_words = (np.zeros(count) for _ in range(3))
    for text, group in zip(texts, groups, strict=True):
        if text.part != "code":  # names are no words of a language
            scale = zipf[text.language][text.words]
            present = np.isfinite(scale)
            known[group] += present.sum()
            frequency[group] += scale[present].sum()
            all_words[group] += len(scale)
    ratio("mean_word_zipf", frequency, known)
    if known.any():
        ratio("unknown_words_share", all_words - known, all_words)
    grams = ngrams.grams(
        zip(
            (text.words for text in texts if len(text.words) >= ngrams.LENGTH),
            groups[lengths >= ngrams.LENGTH].tolist(),
            strict=True,
        ),
        max(1, len(vocabulary)),
    )
    add("distinct_trigrams", *ngrams.distinct_share(grams, halves))
    raw, compressed = _compressed(texts, groups, count)
    ratio("compression_ratio", compressed, raw)
    found_pieces = semantic_spread.pieces([text.words for text in texts])
    if found_pieces:
        of = np.array([number for number, _ in found_pieces])
        terms = semantic_spread.term_counts(np.stack([piece for _, piece in found_pieces]), buckets)
        units = np.array([text.unit for text in texts])[of]
        add("semantic_spread", *semantic_spread.spread(terms, idf, units, groups[of], halves))
    return Measured(values, resampled, grams)


def _compressed(texts: Sequence[Text], groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes of each group's texts, and how many are left of them, float64 [K] each."""
    joined: list[list[str]] = [[] for _ in range(count)]
    for text, group in zip(texts, groups, strict=True):
        joined[group].append(text.text)
    blobs = ["\n".join(group).encode() for group in joined]
    raw = np.array([len(blob) for blob in blobs], dtype=np.float64)
    return raw, np.array([len(zlib.compress(blob, 6)) if blob else 0 for blob in blobs], dtype=np.float64)


def _against(after: Measured, before: Measured) -> dict[str, Any]:
    """{measure: {ratio or difference, interval}}: what rewriting did, over the same resamples of documents."""
    found: dict[str, Any] = {}
    for name, new in after.values.items():
        old = before.values.get(name)
        if name == "documents" or old is None or new is None:
            continue
        news, olds = after.resampled[name], before.resampled[name]
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
    totals: Counter[str] = Counter()
    for text in code:
        totals[text.language] += len(text.text)
    if not totals:
        return {}
    named = [language for language, _ in totals.most_common(CODE_LANGUAGES)]
    columns = [*named, "others"] if len(totals) > len(named) else named
    groups = resampling.deal(np.array([text.unit for text in code]))
    halves = resampling.half_samples(int(groups.max()) + 1)
    table = np.zeros((max(halves.shape[1], 1), len(columns)))
    for text, group in zip(code, groups, strict=True):
        column = named.index(text.language) if text.language in named else len(named)
        table[group, column] += len(text.text)
    samples = halves @ table
    samples /= np.maximum(samples.sum(axis=1, keepdims=True), 1)
    shares = table.sum(axis=0) / table.sum()
    return {
        name: {"share": float(share), "interval": resampling.interval(float(share), samples[:, column])}
        for column, (name, share) in enumerate(zip(columns, shares, strict=True))
    }
