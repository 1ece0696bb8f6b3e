"""Exact and near duplicates: of documents that say the same, the first stays.

Exact: equal once runs of white space are one space. Near: the Jaccard similarity of two documents' sets of
shingles, estimated by MinHash, reaches the threshold. A shingle is `SHINGLE` consecutive words, in lower case and
without punctuation; each Chinese character counts as a word; a shorter document is one shingle. Candidates come
from locality-sensitive hashing and are checked on the whole sketch (rensa, https://github.com/beowolx/rensa).
The estimate's standard error is sqrt(J (1 - J) / PERMUTATIONS): 0.035 at J = 0.8.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import rensa

from bench_shadows.data.document import Document
from bench_shadows.progress import Progress

SHINGLE = 5
PERMUTATIONS = 128
BANDS = 32  # of 4 rows: a pair at Jaccard 0.8 is a candidate with probability 1 - (1 - 0.8^4)^32 > 0.9999
SEED = 42
CHUNK = 256  # documents sketched at once, which bounds the memory of their shingles
EXAMPLES = 5

WORDS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+")


def shingles(text: str) -> list[str]:
    """The shingles of a text, in order and with repetitions; empty where it has no word."""
    words = WORDS.findall(text.lower())
    if len(words) < SHINGLE:
        return [" ".join(words)] if words else []
    return [
        " ".join(run) for run in zip(*(itertools.islice(words, i, None) for i in range(SHINGLE)), strict=False)
    ]


def find_duplicates(documents: Sequence[Document], threshold: float) -> tuple[list[int], dict[str, Any]]:
    """Indices, ascending, of the documents that go, and a report in plain JSON values.

    `threshold` is the Jaccard similarity from which the later document goes; 1 removes exact duplicates only.
    The report: {documents, exact, near, characters, characters_removed, threshold, shingle, permutations,
    examples: [{kept, removed, kind, similarity}]}. The same documents give the same answer in any process.
    """
    exact = _exact(documents)
    kept = [index for index in range(len(documents)) if index not in exact]
    near = _near(documents, kept, threshold) if threshold < 1 else {}
    examples = [
        _example(documents, "exact", first, index, 1.0)
        for index, first in itertools.islice(exact.items(), EXAMPLES)
    ]
    examples += [
        _example(documents, "near", first, index, similarity)
        for index, (first, similarity) in itertools.islice(near.items(), EXAMPLES)
    ]
    removed = sorted([*exact, *near])
    return removed, {
        "documents": len(documents),
        "exact": len(exact),
        "near": len(near),
        "characters": sum(len(document.text) for document in documents),
        "characters_removed": sum(len(documents[index].text) for index in removed),
        "threshold": threshold,
        "shingle": SHINGLE,
        "permutations": PERMUTATIONS,
        "examples": examples,
    }


def deduplicate(documents: Sequence[Document], threshold: float) -> tuple[list[Document], dict[str, Any]]:
    """The documents that stay, in order, and the report of `find_duplicates`."""
    removed, report = find_duplicates(documents, threshold)
    return without(documents, removed), report


def without(documents: Sequence[Document], removed: Sequence[int]) -> list[Document]:
    """The documents but those at the indices `removed`."""
    gone = set(removed)
    return [document for index, document in enumerate(documents) if index not in gone]


def _exact(documents: Sequence[Document]) -> dict[int, int]:
    """Index of each exact duplicate -> index of the first document with its text."""
    first: dict[bytes, int] = {}
    duplicates = {}
    for index, document in enumerate(documents):
        digest = hashlib.blake2b(" ".join(document.text.split()).encode(), digest_size=16).digest()
        if first.setdefault(digest, index) != index:
            duplicates[index] = first[digest]
    return duplicates


def _near(documents: Sequence[Document], kept: Sequence[int], threshold: float) -> dict[int, tuple[int, float]]:
    """Index of each near duplicate among `kept` -> (index of the document it repeats, estimated similarity)."""
    index_of_kept = rensa.RMinHashDeduplicator(threshold, PERMUTATIONS, True, BANDS, SEED)
    sketches: dict[int, rensa.RMinHash] = {}
    duplicates = {}
    with Progress("looking for near duplicates", len(kept), "documents") as progress:
        for start in range(0, len(kept), CHUNK):
            chunk = kept[start : start + CHUNK]
            sets = [(index, shingles(documents[index].text)) for index in chunk]
            sets = [(index, tokens) for index, tokens in sets if tokens]
            made = rensa.RMinHash.from_token_sets([tokens for _, tokens in sets], PERMUTATIONS, SEED)
            for (index, _), sketch in zip(sets, made, strict=True):
                if index_of_kept.add(str(index), sketch):
                    sketches[index] = sketch
                else:
                    first = min(int(key) for key in index_of_kept.get_duplicates(sketch))
                    duplicates[index] = (first, sketch.jaccard(sketches[first]))
            progress.add(len(chunk))
    return duplicates


def _example(
    documents: Sequence[Document], kind: str, kept: int, removed: int, similarity: float
) -> dict[str, Any]:
    names = {"kept": documents[kept].id, "removed": documents[removed].id}
    return {"kind": kind, **names, "similarity": round(similarity, 3)}
