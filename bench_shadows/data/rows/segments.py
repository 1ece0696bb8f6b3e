"""Filling row sets: stretches of the drawing order become token ids on disk, until they make the rows wanted.

A stretch (`Segment`) is read, rewritten and tokenised on its own and lies in RUN/data/drawn/tokens/ until the rows
are written. Where segments begin and end follows from the order and the need alone, not from who makes
them.
"""

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus.document import SCHEMA, Document, to_batch
from bench_shadows.data.corpus.workers import Engine
from bench_shadows.data.rewriting.rewrite import open_teacher
from bench_shadows.data.rows import row_store, sampling
from bench_shadows.data.rows.sampled_corpus import Drawn, Wanted, open_drawn
from bench_shadows.data.rows.tokenizer import Tokenizer, load_tokenizer
from bench_shadows.files import atomic_path, read_json, write_json
from bench_shadows.progress import Progress

LARGEST = 16e6
"""Bytes of text of a segment: what a killed process loses, and what each worker holds in memory."""
_FIRST_SHARE = 0.9  # of the expected need, in segments made side by side; then smaller ones follow ...
_REST = 20  # ... of this part of the need each, so that little more is made than is needed
_ENCODED = 2**20  # characters tokenised at once: the backend takes 100 bytes for a token
_EXAMPLES = 3  # of each outcome of the rewriting
DOCUMENTS = pa.schema(
    [*SCHEMA, *(pa.field(name, pa.string()) for name in ("split", "rewritten", "rewritten_language"))]
)
"""Columns of documents.parquet: a document used, its split, and where there is one its rewritten text with its
language (a teacher may turn Python into JavaScript)."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """The documents from `start` to `stop` of a split's drawing order, as one piece of work."""

    wanted: Wanted
    folder: Path
    """RUN/data."""
    split: str
    number: int
    start: int
    stop: int
    rewritten: bool

    @property
    def path(self) -> Path:
        """Where its tokens lie."""
        return self.folder / "drawn" / "tokens" / f"{self.split}-{self.number:05d}"

    def described(self) -> dict[str, Any]:
        """What `tokenise` counted in it."""
        return read_json(self.path / "segment.json")


def order_of(drawn: Drawn, split: str) -> np.ndarray:
    """The drawing order that a split is taken from."""
    return drawn.held_out if split == "held_out" else drawn.training


@functools.lru_cache(maxsize=1)
def _opened(wanted: Wanted, folder: Path) -> tuple[Drawn, Tokenizer]:
    return open_drawn(folder), load_tokenizer(
        folder / "tokenizer.json", wanted.vocab_size, wanted.data.end_of_text
    )


def tokenise(segment: Segment, seen: Callable[[float], None]) -> None:
    """Makes one segment: ids and lengths of its documents by domain, the documents, and counts."""
    if segment.path.exists():
        return
    drawn, tokenizer = _opened(segment.wanted, segment.folder)
    pieces = order_of(drawn, segment.split)[segment.start : segment.stop]
    documents = list(drawn.documents(pieces))
    sets: dict[str, list[Document]] = {segment.split: documents}
    rewritten: list[Document | None] = [None] * len(documents)
    report = None
    if segment.rewritten and segment.wanted.rewriting:
        with open_teacher(segment.wanted.rewriting, segment.folder) as teacher:
            rewritten = teacher(documents)
            report = teacher.report()
        sets["rewritten"] = [document for document in rewritten if document is not None]
    with atomic_path(segment.path) as temporary:
        temporary.mkdir(parents=True)
        counts = {name: _write_tokens(temporary, name, made, tokenizer) for name, made in sets.items()}
        added = (
            [segment.split] * len(documents),
            [document and document.text for document in rewritten],
            [document and document.language for document in rewritten],
        )
        columns = [*to_batch(documents).columns, *(pa.array(values, pa.string()) for values in added)]
        table = pa.Table.from_arrays(columns, schema=DOCUMENTS)
        pq.write_table(table, temporary / "documents.parquet", compression="zstd")
        write_json(temporary / "segment.json", {"sets": counts, "rewriting": report})
    seen(int(pieces["bytes"].sum()) / 1e6)


def _write_tokens(folder: Path, name: str, documents: Sequence[Document], tokenizer: Tokenizer) -> dict[str, Any]:
    """NAME-ids.npy (uint32) and NAME-lengths.npy (int64, of each document), domain after domain.

    Returns {domains: {domain: [documents, tokens]}, unknown: tokens, mixture: see sampling.mixture}.
    """
    by_domain: dict[str, list[np.ndarray]] = {}
    for batch in _batches(documents):
        for document, ids in zip(batch, tokenizer.encode_documents([one.text for one in batch]), strict=True):
            by_domain.setdefault(document.domain, []).append(ids)
    ordered, unknown = dict(sorted(by_domain.items())), tokenizer.unknown
    every = [ids for of_domain in ordered.values() for ids in of_domain]
    np.save(folder / f"{name}-ids.npy", np.concatenate([np.empty(0, row_store.TOKEN), *every]), allow_pickle=False)
    np.save(folder / f"{name}-lengths.npy", np.array(list(map(len, every)), dtype=np.int64), allow_pickle=False)
    columns = {key: [getattr(one, key) for one in documents] for key in ("domain", "language", "kind")}
    schema = pa.schema([*((key, pa.string()) for key in columns), ("characters", pa.int64())])
    table = pa.table({**columns, "characters": [len(one.text) for one in documents]}, schema=schema)
    return {
        "domains": {domain: [len(made), sum(map(len, made))] for domain, made in ordered.items()},
        "unknown": sum(int((ids == unknown).sum()) for ids in every) if unknown is not None else 0,
        "mixture": sampling.mixture(name, table),
    }


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= _ENCODED:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


# ---- as many as are needed


def boundaries(sizes: np.ndarray, start: int, need: float) -> Iterator[tuple[int, int]]:
    """(start, stop) of segments from `start` to the end of an order whose documents have `sizes` [n] bytes.

    Up to `_FIRST_SHARE` of `need` bytes they are equal and at most `LARGEST`, after that a part of the need.
    """
    ends = np.cumsum(sizes[start:], dtype=np.int64)
    first = _FIRST_SHARE * need
    large = first / max(1, math.ceil(first / LARGEST))
    done, position = 0, 0
    while position < len(ends):
        wanted = large if done < first else min(LARGEST, need / _REST)
        stop = min(len(ends), max(position + 1, int(np.searchsorted(ends, done + wanted)) + 1))
        yield start + position, start + stop
        done, position = int(ends[stop - 1]), stop


@dataclasses.dataclass
class Filled:
    """The segments that fill a set, and for the first half its rewritten form too."""

    segments: list[Segment] = dataclasses.field(default_factory=list)
    tokens: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    """{set: {domain: tokens, the end-of-text tokens counted}}."""
    unknown: Counter[str] = dataclasses.field(default_factory=Counter)
    """{set: tokens that stand for what the vocabulary has no token for}."""

    def add(self, segment: Segment) -> None:
        """Appends a segment that was made."""
        self.segments.append(segment)
        for name, made in segment.described()["sets"].items():
            counter = self.tokens.setdefault(name, Counter())
            for domain, (documents, tokens) in made["domains"].items():
                counter[domain] += documents + tokens
            self.unknown[name] += made["unknown"]

    def rows(self, name: str, seq_len: int) -> int:
        """Rows that the documents of a set make."""
        return sum(tokens // seq_len for tokens in self.tokens.get(name, Counter()).values())

    def token_count(self, name: str) -> int:
        """Tokens of a set, the end-of-text tokens counted."""
        return sum(self.tokens.get(name, Counter()).values())

    def mixture(self) -> list[dict[str, str | int]]:
        """Documents and characters of every set by domain, language and kind."""
        documents: Counter[tuple[str, ...]] = Counter()
        characters: Counter[tuple[str, ...]] = Counter()
        names = ("split", "domain", "language", "kind")
        for segment in self.segments:
            for made in segment.described()["sets"].values():
                for one in made["mixture"]:
                    key = tuple(one[name] for name in names)
                    documents[key] += one["documents"]
                    characters[key] += one["characters"]
        return [
            {**dict(zip(names, key, strict=True)), "documents": documents[key], "characters": characters[key]}
            for key in sorted(documents)
        ]

    def rewriting(self) -> dict[str, Any] | None:
        """What the teacher counted in all segments, added up."""
        reports = [report for segment in self.segments if (report := segment.described()["rewriting"])]
        return functools.reduce(_added, reports) if reports else None


def _added(one: Any, other: Any) -> Any:
    """Two reports as one: numbers are added, of examples the first of each outcome stay."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = one.keys() & other.keys()
        return {**one, **other, **{key: _added(one[key], other[key]) for key in both}}
    if isinstance(one, list):
        kept, counts = [], Counter[str]()
        for item in [*one, *other]:
            outcome = item.get("outcome", "") if isinstance(item, dict) else ""
            counts[outcome] += 1
            kept += [item] if counts[outcome] <= _EXAMPLES else []
        return kept
    return one + other if isinstance(one, int | float) else one


@dataclasses.dataclass(frozen=True)
class Filling:
    """What the splits of a study are filled from."""

    wanted: Wanted
    folder: Path
    """RUN/data."""
    drawn: Drawn
    ratio: float
    """Bytes of a token, about."""
    engine: Engine

    def fill(self, split: str, start: int, rows: int | None, rewritten: bool = False) -> Filled:
        """Makes segments of a split until they, and what is rewritten of them, make `rows` rows.

        Args:
          start: where in the drawing order the split begins.
          rows: None takes all there is.
          rewritten: whether its rewritten form is made, too.
        Returns:
          The segments; they make fewer rows where the documents ran out.
        """
        filled = Filled()
        sizes = order_of(self.drawn, split)["bytes"]
        seq_len = self.wanted.data.seq_len
        need = float(sizes.sum()) / _FIRST_SHARE if rows is None else rows * seq_len * self.ratio
        plan = (
            Segment(self.wanted, self.folder, split, number, *place, rewritten)
            for number, place in enumerate(boundaries(sizes, start, need))
        )
        side_by_side = max(1, math.ceil(_FIRST_SHARE * need / LARGEST))
        names = [split, "rewritten"] if rewritten else [split]
        label = f"{split.replace('_', ' ')}: {'rewriting and ' if rewritten else ''}tokenising"
        have = 0
        with Progress(label, need * _FIRST_SHARE / 1e6, "MB") as progress:
            while rows is None or have < rows:
                wave = list(itertools.islice(plan, side_by_side))
                if not wave:
                    break
                missing = [segment for segment in wave if not segment.path.exists()]
                megabytes = {s.number: float(sizes[s.start : s.stop].sum()) / 1e6 for s in wave}
                progress.total = max(progress.total or 0, progress.done + sum(megabytes.values()))
                progress.add(sum(megabytes.values()) - (left := sum(megabytes[s.number] for s in missing)))
                if rewritten and self.wanted.data.rewriter == "endpoint":  # its journal belongs to one process
                    for segment in missing:
                        tokenise(segment, progress.add)
                else:
                    self.engine.each(tokenise, missing, left, progress)
                for segment in wave:
                    filled.add(segment)
                    have = min(filled.rows(name, seq_len) for name in names)
                    if rows is not None and have >= rows:
                        break
                if rows is not None:
                    share = (rows - have) / rows
                    side_by_side = max(1, min(64, math.ceil(share * max(_REST, need / LARGEST))))
                progress.add(0, note=f"{have:,} rows")
        return filled


@dataclasses.dataclass(frozen=True)
class Packing:
    """One row set as a piece of work."""

    data: DataConfig
    folder: Path
    name: str
    segments: tuple[Segment, ...]
    end_of_text: int


def pack(packing: Packing, seen: Callable[[float], None]) -> None:
    """Writes RUN/data/rows/NAME from the tokens of segments."""
    target = packing.folder / "rows" / packing.name
    if not (target / "rows.json").exists():
        limit = packing.data.held_out_rows if packing.name == "held_out" else None
        made = row_store.write_rows(target, _domains(packing), packing.data.seq_len, packing.end_of_text, limit)
        seen((made["tokens"] + made["dropped_tokens"]) * row_store.TOKEN.itemsize / 1e6)


def _domains(packing: Packing) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """(domain, its documents' ids in drawing order), domains sorted."""
    described = [(segment, segment.described()["sets"][packing.name]["domains"]) for segment in packing.segments]

    def documents(domain: str) -> Iterator[np.ndarray]:
        for segment, domains in described:
            if domain in domains:
                before = [counts for name, counts in sorted(domains.items()) if name < domain]
                first, begin = (sum(counts[i] for counts in before) for i in (0, 1))
                count, tokens = domains[domain]
                path = segment.path / packing.name
                ids = np.load(f"{path}-ids.npy", mmap_mode="r", allow_pickle=False)[begin : begin + tokens]
                lengths = np.load(f"{path}-lengths.npy", allow_pickle=False)[first : first + count]
                yield from np.split(np.asarray(ids), np.cumsum(lengths)[:-1])

    for domain in sorted({name for _, domains in described for name in domains}):
        yield domain, documents(domain)
