"""Which documents a run uses: held out, first half, second half. Pure functions of documents and a seed.

Documents are drawn at random in an order whose every prefix has the corpus's mixture, so that a small run
sees the same domains in the same shares as a large one.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from bench_shadows.data.document import Document
from bench_shadows.data.rows import count_rows
from bench_shadows.progress import Progress

LONGEST_SHARE = 0.01
"""A document is cut into parts of about this share of the first phase's text: else a few long documents would
be all that a small run sees of their domain. A run of the paper's size cuts none."""
HELD_OUT_SHARE = 0.1
"""At most this share of a domain's text is held out: small domains have fewer held-out rows."""
_BYTES_PER_TOKEN = 6  # more than any tokenizer here reaches: what is set aside to be held out is enough
_SMALLEST_BATCH = 200_000  # bytes of documents tokenised at once near the end of filling a large set
_STREAMS = {"held_out": 0, "order": 1}


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS[name],)))


def size(document: Document) -> int:
    """UTF-8 bytes of a document's text."""
    return len(document.text.encode())


def by_domain(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Documents of each domain in their order; domains sorted by name."""
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        groups[document.domain].append(document)
    return dict(sorted(groups.items()))


def hold_out(
    documents: Sequence[Document], rows: int, seq_len: int, seed: int
) -> tuple[list[Document], list[Document]]:
    """(held out, the others): of each domain random documents for `rows` rows, at most a tenth of its text."""
    generator = _stream(seed, "held_out")
    held: list[Document] = []
    others: list[Document] = []
    for domain in by_domain(documents).values():
        sizes = np.array([size(document) for document in domain])
        room, wanted = HELD_OUT_SHARE * sizes.sum(), rows * seq_len * _BYTES_PER_TOKEN
        taken = 0
        chosen = set()
        for index in generator.permutation(len(domain)):
            if taken >= wanted:
                break
            if taken + sizes[index] <= room:
                chosen.add(int(index))
                taken += sizes[index]
        for index, document in enumerate(domain):
            (held if index in chosen else others).append(document)
    return held, others


def cut(documents: Iterable[Document], longest: int) -> Iterator[Document]:
    """Yields the documents, those of more than `longest` characters in parts (id#1, id#2, ...) of at most so many.

    A part ends at the last blank line, line end or space in its second half, else anywhere; together the parts
    are the document.
    """
    for document in documents:
        text, start, number = document.text, 0, 0
        while len(text) - start > longest:
            stop = _cut_place(text, start + longest // 2, start + longest)
            number += 1
            yield dataclasses.replace(document, id=f"{document.id}#{number}", text=text[start:stop])
            start = stop
        name = f"{document.id}#{number + 1}" if number else document.id
        yield dataclasses.replace(document, id=name, text=text[start:])


def _cut_place(text: str, low: int, high: int) -> int:
    for sign in ("\n\n", "\n", "。", " "):
        if (found := text.rfind(sign, low, high)) >= 0:
            return found + len(sign)
    return high


def draw_order(documents: Sequence[Document], seed: int) -> list[Document]:
    """The documents in random order, every prefix mixed as the whole: domains are spread evenly by bytes."""
    generator = _stream(seed, "order")
    placed: list[tuple[float, str, int, Document]] = []
    for name, domain in by_domain(documents).items():
        order = generator.permutation(len(domain))
        sizes = np.array([size(domain[index]) for index in order], dtype=np.float64)
        places = (np.cumsum(sizes) - sizes * generator.random(len(order))) / max(sizes.sum(), 1.0)
        placed.extend(
            (float(place), name, rank, domain[index])
            for rank, (place, index) in enumerate(zip(places, order, strict=True))
        )
    placed.sort(key=lambda item: item[:3])
    return [document for *_, document in placed]


@dataclasses.dataclass
class Filled:
    """Documents that fill a row set, in drawing order, and their token ids by domain."""

    documents: list[Document] = dataclasses.field(default_factory=list)
    tokens: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=lambda: defaultdict(list))

    def add(self, documents: Sequence[Document], encode: "Encode") -> None:
        """Tokenises documents and appends them."""
        for document, ids in zip(documents, encode([document.text for document in documents]), strict=True):
            self.documents.append(document)
            self.tokens[document.domain].append(ids)

    def rows(self, seq_len: int) -> int:
        """Rows that the documents make."""
        return sum(count_rows(map(len, of_domain), seq_len) for of_domain in self.tokens.values())

    def token_count(self) -> int:
        """Tokens, the end-of-text tokens counted."""
        return sum(len(ids) + 1 for of_domain in self.tokens.values() for ids in of_domain)


Encode = Callable[[Sequence[str]], Sequence[np.ndarray]]


def fill(
    label: str,
    documents: Iterator[Document],
    rows: int,
    seq_len: int,
    encode: Encode,
    derive: Callable[[Document], Document] | None = None,
) -> tuple[Filled, Filled]:
    """Takes documents from an iterator until they, and what is derived from them, make `rows` rows.

    Args:
      label: of the progress line.
      documents: in drawing order; what is taken is gone from it.
      rows: wanted of each of the two sets.
      seq_len: tokens in a row.
      encode: texts -> token ids.
      derive: document -> its rewritten form; None for none.
    Returns:
      The documents taken, and their derived forms (empty without `derive`). They make fewer rows where
      the documents ran out.
    """
    taken, derived = Filled(), Filled()
    have = have_bytes = 0
    smallest = min(_SMALLEST_BATCH, rows * seq_len // 4)
    with Progress(label, total=rows, unit="rows") as progress:
        while have < rows:
            bytes_per_row = have_bytes / have if have else seq_len
            batch = _take(documents, max(smallest, 0.9 * (rows - have) * bytes_per_row))
            if not batch:
                break
            taken.add(batch, encode)
            counts = [taken.rows(seq_len)]
            if derive is not None:
                derived.add([derive(document) for document in batch], encode)
                counts.append(derived.rows(seq_len))
            have_bytes += sum(map(size, batch))
            progress.add(min(rows, min(counts)) - min(rows, have))
            have = min(counts)
    return taken, derived


def _take(documents: Iterator[Document], wanted: float) -> list[Document]:
    batch, taken = [], 0
    while taken < wanted and (document := next(documents, None)) is not None:
        batch.append(document)
        taken += size(document)
    return batch


def mixture(splits: Mapping[str, Iterable[Document]]) -> list[dict[str, str | int]]:
    """Documents and characters by split, domain, language and kind, sorted; one dict for each that occurs."""
    documents: Counter[tuple[str, str, str, str]] = Counter()
    characters: Counter[tuple[str, str, str, str]] = Counter()
    for split, group in splits.items():
        for document in group:
            key = (split, document.domain, document.language, document.kind)
            documents[key] += 1
            characters[key] += len(document.text)
    names = ("split", "domain", "language", "kind")
    return [
        {**dict(zip(names, key, strict=True)), "documents": documents[key], "characters": characters[key]}
        for key in sorted(documents)
    ]
