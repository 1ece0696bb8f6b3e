"""The concentrated form itself: held-out text as it is, and as condition D's rules rewrite it.

The same passages in both forms, so that what differs is the form alone. The rules are the built-in ones, whatever
teacher the run had: every run is measured with the same narrow text.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rules.rules import rewrite
from bench_shadows.data.rows import sampling
from bench_shadows.evaluation.table import Row, row

FORMS = ("original", "rewritten")
_CHARACTERS_PER_TOKEN = 2  # a passage is cut to so many for each token of a row, so that it fits one


class Passage(NamedTuple):
    """A piece of a held-out document in both forms."""

    domain: str
    original: str
    rewritten: str


def make_passages(documents: Iterable[Document], seq_len: int, wanted: int, seed: int) -> list[Passage]:
    """At most `wanted` passages of each domain that the rules change, of as many documents as there are.

    A passage is a piece of a document of about a row's length, drawn with the seed. Exercises are left out: the
    rules keep them as they are.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,)))
    by_domain: dict[str, list[list[Document]]] = {}
    for document in documents:
        if document.kind != "exercise":
            cuts = sampling.spans(document.text, seq_len * _CHARACTERS_PER_TOKEN)
            pieces = [dataclasses.replace(document, text=document.text[start:stop]) for start, stop in cuts]
            by_domain.setdefault(document.domain, []).append([pieces[i] for i in generator.permutation(len(cuts))])
    return [
        passage
        for domain, documents_of in sorted(by_domain.items())
        for passage in itertools.islice(_changed(domain, documents_of), wanted)
    ]


def _changed(domain: str, documents: Sequence[Sequence[Document]]) -> Iterator[Passage]:
    """The passages of a domain: the first pieces of all documents, then the second ones, and so on."""
    for round_of in itertools.zip_longest(*documents):
        for piece in filter(None, round_of):
            rewritten = rewrite(piece).text
            if rewritten.split() != piece.text.split():
                yield Passage(domain, piece.text, rewritten)


def canonical_rows(losses: Mapping[str, Sequence[np.ndarray]], bytes_: Mapping[str, int]) -> Iterator[Row]:
    """Rows of evaluation.parquet: bits per byte of each form; `count` is tokens.

    Args:
      losses: of each form, the losses of each passage's tokens in nats, [tokens] each.
      bytes_: of each form, the bytes that these tokens stand for.
    """
    for form in FORMS:
        nats = sum(float(passage.astype(np.float64).sum()) for passage in losses[form])
        value = nats / math.log(2) / max(bytes_[form], 1)
        yield row("canonical", form, "bits_per_byte", value, sum(map(len, losses[form])))
