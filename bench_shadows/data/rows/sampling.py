"""Which documents a run uses: held out, first half, second half. Pure functions of numbers, sizes and a seed.

Documents are drawn at random in an order whose every prefix has the corpus's mixture, so that a small run
sees the same domains in the same shares as a large one. Texts are looked at only where a document is cut.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from bench_shadows.data.corpus.document import Document

LONGEST_SHARE = 0.01
"""A document is cut into parts of about this share of the first phase's text: else a few long documents would
be all that a small run sees of their domain. A run of the paper's size cuts none."""
HELD_OUT_SHARE = 0.1
"""At most this share of a domain's text is held out: small domains have fewer held-out rows."""
WHOLE_SHARE = 0.25
"""Where no work fits a tenth, at most this share of the text is one that is held out whole."""
_BYTES_PER_TOKEN = 6  # more than any tokenizer here reaches: what is set aside to be held out is enough
_STREAMS = {"held_out": 0, "order": 1}
_AT_ONCE = 256  # documents that are read at once

PIECE = np.dtype(
    [
        ("document", "<i8"),
        ("number", "<i4"),
        ("domain", "<i4"),
        ("start", "<i8"),
        ("stop", "<i8"),
        ("bytes", "<i8"),
    ]
)
"""A document (its number in the corpus), or of a long one the characters from `start` to `stop`: then its parts
have the numbers 1, 2, ... `domain` is the place of its name among all names, sorted."""


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS[name],)))


def whole(documents: np.ndarray, domains: np.ndarray, characters: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Documents as pieces, PIECE [N], from their numbers, domains, characters and UTF-8 bytes."""
    pieces = np.zeros(len(documents), dtype=PIECE)
    pieces["document"], pieces["domain"], pieces["stop"], pieces["bytes"] = documents, domains, characters, sizes
    return pieces


def by_domain(pieces: np.ndarray) -> Iterator[np.ndarray]:
    """The places of each domain's pieces, in their order; domains ascending."""
    order = np.argsort(pieces["domain"], kind="stable")
    _, starts = np.unique(pieces["domain"][order], return_index=True)
    for start, stop in itertools.pairwise([*starts, len(order)]):
        yield order[start:stop]


def hold_out(
    pieces: np.ndarray,
    rows: int,
    seq_len: int,
    seed: int,
    works: np.ndarray | None = None,
    cut_up: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(held out, the others): of each domain random works for `rows` rows, at most a tenth of its text.

    Where none is so short the shortest is held out, if it is at most `WHOLE_SHARE` of the domain's text; and where
    it is longer the end of the longest document, whose beginning then is in `others`.

    Args:
      pieces: PIECE [N], whole documents.
      works: int64 [N], the number of the work that each is a part of; 0: it is one itself. None: all are.
      cut_up: a document, PIECE [1] -> its parts in order, PIECE [n]. None: no end of a document is held out.
    """
    generator = _stream(seed, "held_out")
    works = np.zeros(len(pieces), np.int64) if works is None else works
    chosen, cut_documents, parts = np.zeros(len(pieces), bool), [], []
    for members in by_domain(pieces):
        unit = _units(works[members])
        sizes = np.bincount(unit, pieces["bytes"][members])
        room, wanted = HELD_OUT_SHARE * sizes.sum(), rows * seq_len * _BYTES_PER_TOKEN
        picked, taken = [], 0
        for index in generator.permutation(len(sizes)):
            if taken >= wanted:
                break
            if taken + sizes[index] <= room:
                picked.append(index)
                taken += sizes[index]
        if not picked and sizes.min() <= WHOLE_SHARE * sizes.sum():
            picked = [sizes.argmin()]
        chosen[members[np.isin(unit, picked)]] = True
        if not picked and cut_up is not None:
            longest = members[pieces["bytes"][members].argmax()]
            cut_documents.append(longest)
            parts.append(_end_held_out(cut_up(pieces[[longest]]), min(room, wanted)))
    if works.any():  # a work may have documents in several domains
        chosen |= np.isin(works, works[chosen & (works != 0)]) & (works != 0)
    others = np.delete(pieces, np.union1d(np.flatnonzero(chosen), cut_documents).astype(np.int64))
    return (
        np.concatenate([pieces[chosen], *(held for held, _ in parts)]),
        np.concatenate([others, *(rest for _, rest in parts)]),
    )


def _units(works: np.ndarray) -> np.ndarray:
    """Documents that are held out together have one number, counted from 0 in the order of their first ones."""
    if not works.any():
        return np.arange(len(works))
    own = np.where(works == 0, -1 - np.arange(len(works)), works)
    _, first, unit = np.unique(own, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[unit]


def _end_held_out(parts: np.ndarray, wanted: float) -> tuple[np.ndarray, np.ndarray]:
    """(the last of a document's parts, at least one, up to `wanted` bytes; the others): one part has no end."""
    from_end = np.cumsum(parts["bytes"][::-1])
    count = min(max(1, int(np.searchsorted(from_end, wanted, side="right"))), len(parts) - 1)
    return parts[len(parts) - count :], parts[: len(parts) - count]


def spans(text: str, longest: int) -> list[tuple[int, int]]:
    """(start, stop) of the parts of a text, of at most `longest` characters each; together they are the text.

    A part ends at the last blank line, line end or space in its second half, else anywhere.
    """
    cuts = [0]
    while len(text) - cuts[-1] > longest:
        cuts.append(_cut_place(text, cuts[-1] + longest // 2, cuts[-1] + longest))
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))


def _cut_place(text: str, low: int, high: int) -> int:
    for sign in ("\n\n", "\n", "。", " "):
        if (found := text.rfind(sign, low, high)) >= 0:
            return found + len(sign)
    return high


def cut(pieces: np.ndarray, longest: int, texts: Callable[[np.ndarray], Sequence[str]]) -> np.ndarray:
    """The pieces, in the order of documents, those of more than `longest` characters in parts of at most so many.

    `texts` gives the texts of documents by number; only those of the long ones are asked for.
    """
    long = pieces["stop"] - pieces["start"] > longest
    parts = [pieces[~long]]
    for begin in range(0, int(long.sum()), _AT_ONCE):
        some = pieces[long][begin : begin + _AT_ONCE]
        for piece, text in zip(some, texts(some["document"]), strict=True):
            made = np.repeat(piece[None], len(places := spans(text, longest)))
            made["number"] = np.arange(1, len(made) + 1)
            made["start"], made["stop"] = np.transpose(places)
            made["bytes"] = [len(text[start:stop].encode()) for start, stop in places]
            parts.append(made)
    together = np.concatenate(parts)
    return together[np.lexsort((together["number"], together["document"]))]


def draw_order(pieces: np.ndarray, seed: int, weights: Mapping[int, float] | None = None) -> np.ndarray:
    """The pieces in random order, every prefix mixed as the whole: domains are spread evenly by bytes.

    `weights` {domain: weight}, 1 where none is named: a domain is drawn so many times as often as its share of the
    text. No text is drawn twice, so the order ends where the first domain is used up.
    """
    generator = _stream(seed, "order")
    weights = weights or {}
    drawn, places, ranks = [pieces[:0]], [np.empty(0)], [np.empty(0, dtype=np.int64)]
    end = 1.0
    for members in by_domain(pieces):
        domain = pieces[members]
        order = generator.permutation(len(domain))
        sizes = domain["bytes"][order].astype(np.float64)
        place = (np.cumsum(sizes) - sizes * generator.random(len(order))) / max(sizes.sum(), 1.0)
        weight = weights.get(int(domain["domain"][0]), 1.0)
        end = min(end, 1 / weight) if weights else end
        drawn.append(domain[order])
        places.append(place / weight)
        ranks.append(np.arange(len(order)))
    together, place = np.concatenate(drawn), np.concatenate(places)
    order = np.lexsort((np.concatenate(ranks), together["domain"], place))
    return together[order[place[order] <= end]]


def documents_of(pieces: np.ndarray, read: Callable[[np.ndarray], Sequence[Document]]) -> Iterator[Document]:
    """The documents of pieces, a few in memory at a time; parts of a document are called id#1, id#2, ..."""
    for begin in range(0, len(pieces), _AT_ONCE):
        some = pieces[begin : begin + _AT_ONCE]
        for document, piece in zip(read(some["document"]), some, strict=True):
            if piece["number"]:
                name, text = f"{document.id}#{piece['number']}", document.text[piece["start"] : piece["stop"]]
                document = dataclasses.replace(document, id=name, text=text)
            yield document


def mixture(split: str, columns: pa.Table) -> list[dict[str, str | int]]:
    """Documents and characters by domain, language and kind, sorted; one dict for each that occurs.

    `columns` has domain, language, kind and characters.
    """
    names = ["domain", "language", "kind"]
    groups = columns.group_by(names).aggregate([("characters", "count"), ("characters", "sum")]).to_pylist()
    found = [
        {"split": split, **{name: group[name] for name in names}}
        | {"documents": group["characters_count"], "characters": group["characters_sum"]}
        for group in groups
    ]
    return sorted(found, key=lambda one: [one[name] for name in names])
