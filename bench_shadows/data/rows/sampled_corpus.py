"""What a run draws from: its corpus in drawing order, and its tokenizer.

    RUN/data/drawn/order/   held_out.npy and training.npy (arrays of sampling.PIECE), order.json

The order is made once, in one process, from 40 bytes a document; what comes after works on stretches of it.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.corpus.documents import weights
from bench_shadows.data.corpus.ingest import Corpus, ingest, open_corpus
from bench_shadows.data.corpus.workers import LOCAL, Engine
from bench_shadows.data.rewriting.rewrite import Rewriting
from bench_shadows.data.rows import sampling
from bench_shadows.data.rows.tokenizer import Tokenizer, load_tokenizer, train_bpe
from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, exclusive, read_json, write_json
from bench_shadows.progress import say

_CHARACTERS_PER_TOKEN = 2  # of a small vocabulary; where long documents are cut needs no more precision
_SHORTEST_PART = 1000  # characters of a part of a cut document
_ESTIMATE_DOCUMENTS = 100  # whose tokens are counted to see how far the whole text will go ...
_FITS = 0.8
"""Of the rows that an estimate finds: what is safe to ask for, though rewriting shortens the first half."""
_FAR_TOO_LITTLE = 0.8  # ... and the share of the need below which no exact count is made
UNKNOWN_LIMIT = 0.01
"""Share of a text's tokens that may be unknown ones (our choice): what they stood for is not learnt."""
_REWRITING_SHORTENS = 1.25
"""How much more text than the first phase reads `first_half` gives: rewritten, it may be a fifth shorter."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a study wants of its text."""

    data: DataConfig
    vocab_size: int
    first_rows: int
    """Rows that the first phase reads ..."""
    second_rows: int
    """... and the second."""
    rewriting: Rewriting | None = None
    """What is rewritten of the first half; None: no condition reads rewritten text."""

    @property
    def first_tokens(self) -> int:
        """Tokens that the first phase reads."""
        return self.first_rows * self.data.seq_len


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A corpus in drawing order."""

    corpus: Corpus
    domains: tuple[str, ...]
    """Names, sorted; a piece's domain is a place in them."""
    held_out: np.ndarray
    """Pieces that are never trained on, sampling.PIECE [n], memory-mapped."""
    training: np.ndarray
    """The others, sampling.PIECE [n], memory-mapped; the first half begins at 0."""
    longest: int
    """Characters of the longest piece."""
    shared: int
    """Documents whose ends are held out and whose beginnings are trained on: nothing else could be."""
    available: list[dict[str, str | int]]
    """The corpus without duplicates by domain, language and kind (sampling.mixture)."""

    def documents(self, pieces: np.ndarray) -> Iterator[Document]:
        """The documents of some pieces, in their order, a few in memory at a time."""
        return sampling.documents_of(pieces, self.corpus.store.read)


def draw_corpus(wanted: Wanted, folder: Path, engine: Engine = LOCAL) -> Drawn:
    """Makes the corpus and its order in RUN/data as far as they are not there."""
    target = folder / "drawn" / "order"
    with exclusive(folder / ".drawing.lock", f"reading the sources into {folder}", wait=True):
        corpus = ingest(wanted.data, folder / "corpus", engine)
        if not target.exists():
            _order(wanted, corpus, target)
    return open_drawn(folder)


def _order(wanted: Wanted, corpus: Corpus, target: Path) -> None:
    columns = corpus.store.columns("domain", "language", "kind", "bytes", "characters", "work").take(corpus.kept)
    encoded = columns.column("domain").combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    names = sorted(found)
    domains = np.array([names.index(name) for name in found])[encoded.indices.to_numpy()]
    pieces = sampling.whole(
        corpus.kept, domains, columns.column("characters").to_numpy(), columns.column("bytes").to_numpy()
    )
    data = wanted.data
    longest = max(_SHORTEST_PART, int(sampling.LONGEST_SHARE * wanted.first_tokens * _CHARACTERS_PER_TOKEN))
    by_name = weights(data)
    by_number = {number: by_name[name] for number, name in enumerate(names) if name in by_name}
    if unknown := sorted(by_name.keys() - set(names)):
        raise DataError(
            f"config.data.mixture: no document has the domain {', '.join(unknown)}; there are {', '.join(names)}"
        )
    with atomic_path(target) as temporary:
        temporary.mkdir(parents=True)
        split = sampling.hold_out(
            *(pieces, data.held_out_rows, data.seq_len, data.seed, columns.column("work").to_numpy()),
            lambda one: sampling.cut(one, _part_of(one, longest), corpus.store.texts),
        )
        held_out, training = split
        shared = np.intersect1d(held_out["document"], training["document"])
        if len(shared):
            named = ", ".join(document.id for document in corpus.store.read(shared[:3]))
            say(
                f"held out: the ends of {len(shared)} documents whose beginnings are trained on ({named}), for "
                "nothing in their domains is short enough to be held out whole; losses there flatter the model"
            )
        for name, part in zip(("held_out", "training"), split, strict=True):
            cut = sampling.cut(part, longest, corpus.store.texts)
            drawn = sampling.draw_order(cut, data.seed, by_number if name == "training" else None)
            np.save(temporary / f"{name}.npy", drawn, allow_pickle=False)
        available = sampling.mixture("corpus", columns)
        order = {"domains": names, "longest": longest, "shared": len(shared), "available": available}
        write_json(temporary / "order.json", order)


def _part_of(document: np.ndarray, longest: int) -> int:
    """Characters of the parts of a document, PIECE [1], whose end is held out: ten of them at least."""
    return min(longest, max(_SHORTEST_PART, int(document["stop"][0]) // 10))


def open_drawn(folder: Path) -> Drawn:
    """What `draw_corpus` made in RUN/data."""
    path = folder / "drawn" / "order"
    held_out, training = (
        np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("held_out", "training")
    )
    order = read_json(path / "order.json")
    corpus, told = open_corpus(folder / "corpus"), (order[name] for name in ("longest", "shared", "available"))
    return Drawn(corpus, tuple(order["domains"]), held_out, training, *told)


def run_tokenizer(wanted: Wanted, path: Path, drawn: Drawn) -> Tokenizer:
    """The run's tokenizer, trained or loaded; a copy is stored in the run's folder."""
    if not path.exists():
        if wanted.data.tokenizer == "bpe":
            say(f"tokenizer: training a BPE of {wanted.vocab_size:,} tokens")
            texts = (document.text for document in drawn.documents(drawn.training))
            train_bpe(texts, wanted.vocab_size).save(path)
        else:
            load_tokenizer(wanted.data.tokenizer, wanted.vocab_size, wanted.data.end_of_text).save(path)
    return load_tokenizer(path, wanted.vocab_size, wanted.data.end_of_text)


def bytes_per_token(wanted: Wanted, drawn: Drawn, tokenizer: Tokenizer) -> float:
    """UTF-8 bytes of a token, from the first documents of the order.

    Raises DataError, before anything is rewritten, where the text is too little by far, or the tokenizer does not
    know it.
    """
    sample = drawn.training[:_ESTIMATE_DOCUMENTS]
    texts = [document.text for document in drawn.documents(sample)]
    encoded = tokenizer.encode_documents(texts)
    _check_fit(wanted.data.tokenizer, tokenizer, texts, encoded)
    ratio = int(sample["bytes"].sum()) / max(1, sum(len(ids) + 1 for ids in encoded))
    have = int(drawn.training["bytes"].sum()) / max(ratio, 1e-9) / wanted.data.seq_len
    need = wanted.first_rows + wanted.second_rows
    if have < _FAR_TOO_LITTLE * need:
        raise DataError(
            f"too little text for the budget: {len(drawn.training):,} documents for training make about "
            f"{have:,.0f} rows of {wanted.data.seq_len} tokens, the two phases need {need:,} "
            f"(--config.train.samples={int(_FITS * have)} would fit). Add text to config.data.sources, or lower "
            "config.train.samples or config.data.seq_len"
        )
    return ratio


def _check_fit(name: str, tokenizer: Tokenizer, texts: list[str], encoded: list[np.ndarray]) -> None:
    """Whether some texts survive a tokenizer; what it changes in them is said."""
    ids = np.concatenate([np.empty(0, np.uint32), *encoded])
    if tokenizer.unknown is not None:
        check_unknown(name, int((ids == tokenizer.unknown).sum()), len(ids))
    pairs = zip(encoded, texts, strict=True)
    changed = sum(tokenizer.decode(own) not in (text, f" {text}") for own, text in pairs)
    if not changed:
        return
    size = sum(len(text.encode()) for text in texts)
    kept = sum(int(tokenizer.bytes_of(own).sum()) for own in encoded) / max(1, size)
    if tokenizer.drops and kept < 1 - UNKNOWN_LIMIT:
        raise DataError(
            f"config.data.tokenizer={name}: it leaves out characters that it has no token for, {1 - kept:.0%} of "
            f"the first {len(texts):,} documents. Take one that was made for this text"
        )
    say(
        f"tokenizer: {changed} of {len(texts)} documents do not come back from it as they were; bits per byte "
        f"count the bytes of what comes back, {kept:.1%} of the text's"
    )


def check_unknown(name: str, unknown: int, tokens: int) -> None:
    """Raises DataError where more than `UNKNOWN_LIMIT` of a text's tokens are unknown ones."""
    if unknown > UNKNOWN_LIMIT * tokens:
        raise DataError(
            f"config.data.tokenizer={name}: {unknown / tokens:.0%} of {tokens:,} tokens are its "
            f"unknown one, at most {UNKNOWN_LIMIT:.0%} may be. Take a tokenizer that was made for this text, or "
            "`bpe`, which is trained on it"
        )


def first_half(wanted: Wanted, folder: Path) -> Iterator[Document]:
    """The documents of the first half in drawing order, and some more, for they may get shorter in rewriting.

    What is not there yet, `folder` (RUN/data) gets: the corpus, its order and the tokenizer.
    """
    drawn = draw_corpus(wanted, folder)
    tokenizer = run_tokenizer(wanted, folder / "tokenizer.json", drawn)
    need = _REWRITING_SHORTENS * wanted.first_tokens * bytes_per_token(wanted, drawn, tokenizer)
    stop = int(np.searchsorted(np.cumsum(drawn.training["bytes"]), need)) + 1
    yield from drawn.documents(drawn.training[:stop])
