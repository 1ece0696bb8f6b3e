"""The prepare stage: documents -> tokenizer -> rows -> plans -> statistics, into RUN/data.

Every output stands under its final name only when it is whole, and a folder belongs to one set of inputs
(`inputs.json`): the config's fields that matter here and the content of the sources. So a killed run goes on
with what is missing, ends with the same bytes as an undisturbed one, and a folder made from other data is
refused, never mixed.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import Config, differences, to_dict
from bench_shadows.data import draw, rewrite, rows, statistics, tokenizer
from bench_shadows.data.conditions import RowCounts, build_plans, check_counts, load_plan, plan_path, save_plan
from bench_shadows.data.document import Document, to_batch
from bench_shadows.errors import DataError, RunError
from bench_shadows.files import TEMPORARY, atomic_path, hash_file, read_json, remove, write_json
from bench_shadows.progress import say

VERSION = 1
"""Of what this stage makes from the same inputs; raised with every change to it."""
SETS = (*rows.NAMES, "held_out")
_CHARACTERS_PER_TOKEN = 2  # of a small vocabulary; where long documents are cut needs no more precision
_SHORTEST_PART = 1000  # characters of a part of a cut document
_VERIFIED_BYTES = 2**31  # of a row set whose shards are hashed again: a second or two
_ESTIMATE_DOCUMENTS = 100  # whose tokens are counted to see how far the whole text will go ...
_FAR_TOO_LITTLE = 0.8  # ... and the share of the need below which no exact count is made


def prepare(config: Config, folder: Path | str) -> dict[str, str]:
    """Makes what is missing in RUN/data and returns the SHA-256 of every output, by its name in the folder.

    A row set is known by its rows.json, which holds the hashes of its shards.

    Raises:
      RunError: the folder was made from another config or other sources; the message names what differs.
      DataError: too little text for the run; the message says how many rows each phase has and needs.
      ConfigError: the tokenizer cannot be used with this config.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in sorted(folder.rglob("*" + TEMPORARY)):
        remove(left)
    _claim(folder / "inputs.json", config)
    if all(path.exists() for path in _drawn_files(folder)):
        _verify(folder)
    else:
        _draw(config, folder)
    _plans(config, folder)
    _statistics(config, folder)
    outputs = [*_drawn_files(folder), *sorted({path for _, path in _runs(config, folder)})]
    outputs += [folder / "token_counts.npy", folder / "statistics.json"]
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in outputs}


def _drawn_files(folder: Path) -> list[Path]:
    """What `_draw` writes; documents.json comes last."""
    sets = [folder / "rows" / name / "rows.json" for name in SETS]
    return [folder / "tokenizer.json", *sets, folder / "documents.parquet", folder / "documents.json"]


def _verify(folder: Path) -> None:
    """Compares rows of an earlier life with their hashes, where reading them all takes seconds."""
    for name in SETS:
        row_set = rows.RowSet(folder / "rows" / name)
        if row_set.description["tokens"] * rows.TOKEN.itemsize <= _VERIFIED_BYTES:
            row_set.verify()


# ---- what the folder is made from


def _claim(path: Path, config: Config) -> None:
    """Records the inputs in a new folder; raises RunError if an old one was made from others."""
    old = _read_inputs(path) if path.exists() else None
    new = _inputs(config, old["files"] if old else {})
    if old and (changed := [_described(*change) for change in differences(_content(old), _content(new))]):
        raise RunError(
            f"{path.parent} was made from other data: {'; '.join(changed)}. "
            "Delete this folder to prepare again, or name another run folder with --out"
        )
    if old != new:
        write_json(path, new)


def _read_inputs(path: Path) -> dict[str, Any]:
    try:
        old = read_json(path)
        _content(old)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: not a list of inputs ({error}); delete {path.parent} and prepare again"
        ) from error
    return old


def _inputs(config: Config, known: dict[str, Any]) -> dict[str, Any]:
    """Everything the outputs depend on; `known` files of the same size and time are not read again."""
    fields = {
        "data": to_dict(config.data),
        "model.vocab_size": config.model.vocab_size,
        "train.samples": config.train.samples,
        "train.batch_size": config.train.batch_size,
        "conditions": to_dict(config.conditions),
    }
    files = {}
    for name, path in _files(config).items():
        status = path.stat()
        entry = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        old = known.get(name, {})
        same = all(old.get(key) == value for key, value in entry.items())
        files[name] = {**entry, "sha256": old["sha256"] if same else hash_file(path)}
    return {"version": VERSION, "config": fields, "files": files}


def _files(config: Config) -> dict[str, Path]:
    """Files that the outputs are made from: the built-in recipe, the user's sources, a tokenizer."""
    from bench_shadows.data.builtin import RECIPE
    from bench_shadows.data.documents import source_files

    files: dict[str, Path] = {}
    for source in config.data.sources:
        files |= {"builtin": RECIPE} if source == "builtin" else {str(path): path for path in source_files(source)}
    if config.data.tokenizer != "bpe":
        files[config.data.tokenizer] = Path(config.data.tokenizer)
    return {name: path for name, path in files.items() if path.is_file()}


def _content(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs without what may change while the content is the same."""
    return {**inputs, "files": {name: entry["sha256"] for name, entry in inputs["files"].items()}}


def _described(name: str, old: Any, new: Any) -> str:
    if name.startswith("files."):
        change = "is new" if old is None else "is gone" if new is None else "has another content"
        return f"{name.removeprefix('files.')} {change}"
    return f"{name} was {old!r}, is {new!r}"


# ---- documents, tokenizer, rows


def _draw(config: Config, folder: Path) -> None:
    """Chooses the documents, trains the tokenizer, rewrites, packs."""
    from bench_shadows.data.documents import corpus

    data, seq_len = config.data, config.data.seq_len
    documents, report = corpus(data)
    need_first = config.phase_steps * config.train.batch_size
    need_second = (config.steps - config.phase_steps) * config.train.batch_size
    longest = max(_SHORTEST_PART, int(draw.LONGEST_SHARE * need_first * seq_len * _CHARACTERS_PER_TOKEN))
    held_out, ordered = (
        draw.draw_order(list(draw.cut(part, longest)), data.seed)
        for part in draw.hold_out(documents, data.held_out_rows, seq_len, data.seed)
    )
    words = _tokenizer(config, folder / "tokenizer.json", (document.text for document in ordered))

    _estimate(ordered, need_first + need_second, seq_len, words)
    teacher = _Teacher() if "D" in config.conditions.names else None
    rest = iter(ordered)
    label = "first half: rewriting and tokenising" if teacher else "first half: tokenising"
    first, rewritten = draw.fill(label, rest, need_first, seq_len, words.encode_batch, teacher)
    second, _ = draw.fill("second half: tokenising", rest, need_second, seq_len, words.encode_batch)
    held = draw.Filled()
    held.add(held_out, words.encode_batch)

    sets = {"first": first, "second": second, "rewritten": rewritten, "held_out": held}
    have = {name: sets[name].rows(seq_len) for name in rows.NAMES}
    counts = RowCounts(**have, first_phase=need_first, second_phase=need_second)
    _check_text(config, counts, documents, sets)
    written = {}
    for name, filled in sets.items():
        limit = data.held_out_rows if name == "held_out" else None
        domains = sorted(filled.tokens.items())
        written[name] = rows.write_rows(folder / "rows" / name, domains, seq_len, words.end_of_text, limit)

    splits = {"held_out": held.documents, "first": first.documents, "second": second.documents}
    _write_documents(folder / "documents.parquet", splits, rewritten.documents)
    description = {
        "corpus": report,
        "longest_part": longest,
        "available": draw.mixture({"corpus": documents}),
        "mixture": draw.mixture(splits | {"rewritten": rewritten.documents}),
        "rows": {
            name: {key: value for key, value in made.items() if key != "sha256"} for name, made in written.items()
        },
        "rewriting": teacher.report() if teacher else None,
    }
    write_json(folder / "documents.json", description)


def _tokenizer(config: Config, path: Path, texts: Iterator[str]) -> tokenizer.Tokenizer:
    """The run's tokenizer, trained or loaded; a copy stands in the run's folder."""
    if not path.exists():
        if config.data.tokenizer == "bpe":
            say(f"tokenizer: training a BPE of {config.model.vocab_size:,} tokens")
            tokenizer.train_bpe(texts, config.model.vocab_size).save(path)
        else:
            tokenizer.load(config.data.tokenizer, config.model.vocab_size).save(path)
    return tokenizer.load(path, config.model.vocab_size)


def _estimate(ordered: Sequence[Document], rows_needed: int, seq_len: int, words: tokenizer.Tokenizer) -> None:
    """Raises DataError, before anything is rewritten, where the text is too little by far."""
    sample = list(itertools.islice(ordered, _ESTIMATE_DOCUMENTS))
    tokens = sum(len(ids) + 1 for ids in words.encode_batch([document.text for document in sample]))
    have = tokens * sum(map(draw.size, ordered)) / max(1, sum(map(draw.size, sample))) / seq_len
    if have < _FAR_TOO_LITTLE * rows_needed:
        raise DataError(
            f"too little text for the budget: {len(ordered):,} documents for training make about {have:,.0f} rows "
            f"of {seq_len} tokens, the two phases need {rows_needed:,}. Add text to config.data.sources, or lower "
            "config.train.samples or config.data.seq_len"
        )


class _Teacher:
    """Rewrites documents and counts what became of them."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()

    def __call__(self, document: Document) -> Document:
        result = rewrite.rewrite_counted(document)
        self.outcomes[result.outcome] += 1
        self.totals["words"] += result.words
        self.totals["words_changed"] += result.changed
        self.totals["characters_before"] += len(document.text)
        self.totals["characters_after"] += len(result.document.text)
        return result.document

    def report(self) -> dict[str, Any]:
        """Documents by outcome, words and characters."""
        documents = sum(self.outcomes.values())
        return {"documents": documents, "outcomes": dict(sorted(self.outcomes.items())), **self.totals}


def _check_text(
    config: Config, counts: RowCounts, documents: Sequence[Document], sets: dict[str, draw.Filled]
) -> None:
    """Raises DataError, with what there is, where the text does not fill the phases."""
    try:
        check_counts(counts, ["A", *config.conditions.names])
    except DataError as error:
        tokens = {name: filled.token_count() for name, filled in sets.items()}
        raise DataError(
            f"{error}. A row has {config.data.seq_len} tokens; the corpus has {len(documents):,} documents: "
            + ", ".join(f"{tokens[name]:,} tokens went to {name}" for name in ("first", "second", "held_out"))
        ) from error


def _write_documents(path: Path, splits: dict[str, list[Document]], rewritten: list[Document]) -> None:
    """documents.parquet: the documents used, their `split`, and where there is one their `rewritten` text."""
    documents = [document for group in splits.values() for document in group]
    split = [name for name, group in splits.items() for _ in group]
    after: list[str | None] = [None] * len(documents)
    start = split.index("first") if rewritten else 0
    after[start : start + len(rewritten)] = [document.text for document in rewritten]
    table = pa.Table.from_batches([to_batch(documents)])
    table = table.append_column("split", pa.array(split, pa.string()))
    table = table.append_column("rewritten", pa.array(after, pa.string()))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


# ---- plans and statistics


def _runs(config: Config, folder: Path) -> list[tuple[str, Path]]:
    """(run, its plan) for every condition and seed, and A's for every seed: C and the frequencies need it."""
    names = dict.fromkeys(("A", *config.conditions.names))
    return [
        (f"{name}-seed{seed}", plan_path(folder, name, seed)) for seed in config.conditions.seeds for name in names
    ]


def _plans(config: Config, folder: Path) -> None:
    """Makes the plans that are missing."""
    have = {name: len(rows.RowSet(folder / "rows" / name)) for name in rows.NAMES}
    first, second = config.phase_steps, config.steps - config.phase_steps
    batch = config.train.batch_size
    counts = RowCounts(**have, first_phase=first * batch, second_phase=second * batch)
    for seed in config.conditions.seeds:
        for name in dict.fromkeys(("A", *config.conditions.names)):
            path = plan_path(folder, name, seed)
            if not path.exists():
                [plan] = build_plans(counts, seed, config.conditions.repetition_factor, [name]).values()
                save_plan(path, plan)


def _statistics(config: Config, folder: Path) -> None:
    """token_counts.npy of Condition A (first seed) and statistics.json."""
    if (folder / "statistics.json").exists() and (folder / "token_counts.npy").exists():
        return
    store = rows.RowStore.open(folder / "rows")
    words = tokenizer.load(folder / "tokenizer.json", config.model.vocab_size)
    plans = {run: load_plan(path) for run, path in _runs(config, folder)}
    coverage = load_plan(plan_path(folder, "A", config.conditions.seeds[0]))
    say(f"statistics: what {len(plans)} plans show")
    counts = statistics.count_tokens(store, coverage, config.model.vocab_size)
    with atomic_path(folder / "token_counts.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, counts, allow_pickle=False)
    phase = config.phase_steps * config.train.batch_size
    write_json(
        folder / "statistics.json",
        {
            "seq_len": store.seq_len,
            "vocab_size": config.model.vocab_size,
            "rows": {rows_set.folder.name: len(rows_set) for rows_set in store.sets},
            "unigram_entropy_nats": statistics.entropy_nats(counts),
            "conditions": statistics.condition_statistics(store, plans, phase, counts, words.decode),
        },
    )
