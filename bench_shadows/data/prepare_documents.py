"""The data of a study of documents: documents -> tokenizer -> rows -> plans -> statistics, in RUN/data.

    sources -> corpus/ (corpus/ingest.py) -> drawn/order (rows/sampled_corpus.py)
            -> drawn/tokens (rows/segments.py) -> rows/ -> plans/

Only numbers of documents and counts are held in memory, text a piece at a time. corpus/ stays: rows that
are lost are made from it again, and `rewrite` reads it.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.config import Config, DataConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.corpus.workers import LOCAL, Engine
from bench_shadows.data.fingerprint import claim
from bench_shadows.data.rewriting.rewrite import Rewriting, changed_share, rewrite_shard
from bench_shadows.data.rows import row_store
from bench_shadows.data.rows.plans import RowCounts, build_plans, check_counts, load_plan, plan_path, save_plan
from bench_shadows.data.rows.sampled_corpus import (
    Drawn,
    Wanted,
    bytes_per_token,
    check_unknown,
    draw_corpus,
    first_half,
    run_tokenizer,
)
from bench_shadows.data.rows.segments import DOCUMENTS, Filled, Filling, Packing, pack
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.data.statistics import statistics
from bench_shadows.data.statistics.text_statistics import document_statistics
from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, exclusive, hash_file, read_json, remove, write_json
from bench_shadows.progress import Progress, say

SETS = (*row_store.NAMES, "held_out")
_VERIFIED_BYTES = 2**31  # of a row set whose shards are hashed again: a second or two

_MARGIN = 0.97
"""Of the rows that there are: halves and domains do not share text without a rest."""


def prepare_documents(config: Config, folder: Path, engine: Engine = LOCAL) -> dict[str, str]:
    """Makes what is missing in RUN/data; a row set is known by its rows.json, which holds its shards' hashes.

    Returns the SHA-256 of every output, by its name in the folder. Raises as `prepare` does.
    """
    if all(path.exists() for path in _drawn_files(folder)):
        _verify(folder)
    else:
        _draw(config, folder, engine)
    remove(folder / "drawn")
    _plans(config, folder)
    _statistics(config, folder)
    outputs = [*_drawn_files(folder), *sorted({path for _, path in _runs(config, folder)})]
    outputs += [folder / "token_counts.npy", folder / "statistics.json"]
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in outputs}


def rewrite_documents(config: Config, folder: Path, index: int, count: int) -> None:
    """Client `index` of `count` brings the endpoint's replies for its part of the first half into RUN/data.

    Raises as `rewriting.rewrite.rewrite_shard`.
    """
    wanted = wanted_text(config)

    def documents() -> Iterator[Document]:
        found = first_half(wanted, folder)
        with exclusive(folder.parent / ".prepare.lock", f"the corpus of {folder.parent}", wait=True):
            folder.mkdir(parents=True, exist_ok=True)
            claim(folder / "inputs.json", config)
            first = list(itertools.islice(found, 1))  # the first client that comes makes the corpus
        yield from itertools.chain(first, found)

    assert wanted.rewriting is not None, "a study without Condition D has nothing to rewrite"
    rewrite_shard(wanted.rewriting, documents(), folder, index, count)


def _drawn_files(folder: Path) -> list[Path]:
    """What `_draw` writes; documents.json comes last."""
    sets = [folder / "rows" / name / "rows.json" for name in SETS]
    return [folder / "tokenizer.json", *sets, folder / "documents.parquet", folder / "documents.json"]


def _verify(folder: Path) -> None:
    """Compares rows of an earlier life with their hashes, where reading them all takes seconds."""
    for name in SETS:
        row_set = row_store.RowSet(folder / "rows" / name)
        if row_set.description["tokens"] * row_store.TOKEN.itemsize <= _VERIFIED_BYTES:
            row_set.verify()


# ---- documents, tokenizer, rows


def wanted_text(config: Config) -> Wanted:
    """What a study of documents wants of its text."""
    first, data = config.phase_steps * config.train.batch_size, config.data
    share, tokens = config.conditions.rewriting_share, first * data.seq_len
    rewriting = Rewriting(data.rewriter, data.teacher, share, tokens) if "D" in config.conditions.names else None
    second = config.steps * config.train.batch_size - first
    return Wanted(data, config.model.vocab_size, first, second, rewriting)


def _draw(config: Config, folder: Path, engine: Engine) -> None:
    """Chooses the documents, trains the tokenizer, rewrites, packs."""
    wanted = wanted_text(config)
    drawn = draw_corpus(wanted, folder, engine)
    tokenizer = run_tokenizer(wanted, folder / "tokenizer.json", drawn)
    filling = Filling(wanted, folder, drawn, bytes_per_token(wanted, drawn, tokenizer), engine)
    first = filling.fill("first", 0, wanted.first_rows, rewritten=wanted.rewriting is not None)
    start = first.segments[-1].stop if first.segments else 0
    second = filling.fill("second", start, wanted.second_rows)
    held_out = filling.fill("held_out", 0, None)

    sets = {"first": first, "second": second, "rewritten": first, "held_out": held_out}
    _check_text(config, drawn, sets)
    unknown = first.unknown + second.unknown + held_out.unknown
    tokens = sum(filled.token_count(name) for name, filled in sets.items())
    check_unknown(wanted.data.tokenizer, unknown.total(), tokens)
    _pack(wanted.data, folder, sets, tokenizer.end_of_text, engine)
    _write_documents(folder / "documents.parquet", [held_out, first, second])
    made = {name: row_store.RowSet(folder / "rows" / name).description for name in SETS}
    description = {
        "corpus": drawn.corpus.report,
        "longest_part": drawn.longest,
        "held_out_shares_documents": drawn.shared,
        "available": drawn.available,
        "mixture": sorted(
            (one for filled in (first, second, held_out) for one in filled.mixture()),
            key=lambda one: [one[name] for name in ("split", "domain", "language", "kind")],
        ),
        "rows": {name: {key: value for key, value in made[name].items() if key != "sha256"} for name in SETS},
        "rewriting": _rewriting(config, first.rewriting()),
        "unknown_tokens": dict(sorted(unknown.items())),
    }
    write_json(folder / "documents.json", description)


def _rewriting(config: Config, report: dict[str, Any] | None) -> dict[str, Any] | None:
    """The teacher's report with the share of words that it changed; says where that is next to none."""
    if report is None:
        return None
    share, least = changed_share(report), config.conditions.rewriting_minimum
    withheld = None
    if share < least:
        outcomes = ", ".join(f"{count:,} {name}" for name, count in report["outcomes"].items())
        withheld = (
            f"rewriting changed {share:.1%} of the words of the first half, less than "
            f"config.conditions.rewriting_minimum={least:g}: D is next to A ({outcomes})"
        )
        say(f"prepare: {withheld}. Claims that read D are withheld")
    return report | {"changed_share": share, "withheld": withheld}


def _check_text(config: Config, drawn: Drawn, sets: dict[str, Filled]) -> None:
    """Raises DataError, with what there is, where the text does not fill the phases or the held-out part."""
    if not sets["held_out"].rows("held_out", config.data.seq_len):
        raise DataError(
            f"config.data.sources: {len(drawn.corpus.kept):,} documents are too little text to hold a row of "
            f"{config.data.seq_len} tokens out: a tenth of a domain is. Add text, or lower config.data.seq_len"
        )
    have = {name: sets[name].rows(name, config.data.seq_len) for name in row_store.NAMES}
    try:
        check_counts(_counts(config, have), ["A", *config.conditions.names])
    except DataError as error:
        tokens = {name: sets[name].token_count(name) for name in ("first", "second", "held_out")}
        raise DataError(
            f"{error}{_fitting(config, have)}. A row has {config.data.seq_len} tokens; the corpus has "
            f"{len(drawn.corpus.kept):,} documents: "
            + ", ".join(f"{count:,} tokens went to {name}" for name, count in tokens.items())
        ) from error


def _fitting(config: Config, have: dict[str, int]) -> str:
    """The `train.samples` that a text of so many rows is enough for, as the end of a sentence; empty for none.

    The phases share what was drawn; rewriting leaves of it what it left of the rows that it made.
    """
    left = min(1.0, have["rewritten"] / max(1, have["first"])) if "D" in config.conditions.names else 1.0
    if not left:
        return ""
    phase, batch = config.conditions.phase, config.train.batch_size
    fits = (have["first"] + have["second"]) / (phase / left + 1 - phase) * _MARGIN
    samples = int(fits) // batch * batch
    return f" (--config.train.samples={samples} would fit)" if samples > config.train.warmup_samples else ""


def _pack(data: DataConfig, folder: Path, sets: dict[str, Filled], end_of_text: int, engine: Engine) -> None:
    """Writes the row sets that are missing."""
    jobs = []
    for name, filled in sets.items():
        used = filled.segments if name in filled.tokens else []
        if not (folder / "rows" / name / "rows.json").exists():
            jobs.append(Packing(data, folder, name, tuple(used), end_of_text))
    megabytes = sum(sets[job.name].token_count(job.name) for job in jobs) * row_store.TOKEN.itemsize / 1e6
    with Progress("packing rows", megabytes, "MB") as progress:
        engine.each(pack, jobs, megabytes, progress)


def _write_documents(path: Path, splits: Sequence[Filled]) -> None:
    """documents.parquet: the documents used, in drawing order (`segments.DOCUMENTS`)."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, DOCUMENTS, compression="zstd") as writer:
        for filled in splits:
            for segment in filled.segments:
                writer.write_table(pq.read_table(segment.path / "documents.parquet", schema=DOCUMENTS))


# ---- plans and statistics


def _runs(config: Config, folder: Path) -> list[tuple[str, Path]]:
    """(run, its plan) for every condition and seed, and A's for every seed: C and the frequencies need it."""
    names = dict.fromkeys(("A", *config.conditions.names))
    return [
        (f"{name}-seed{seed}", plan_path(folder, name, seed)) for seed in config.conditions.seeds for name in names
    ]


def _counts(config: Config, have: dict[str, int]) -> RowCounts:
    batch, first = config.train.batch_size, config.phase_steps
    return RowCounts(**have, first_phase=first * batch, second_phase=(config.steps - first) * batch)


def _plans(config: Config, folder: Path) -> None:
    """Makes the plans that are missing."""
    have = {name: len(row_store.RowSet(folder / "rows" / name)) for name in row_store.NAMES}
    counts = _counts(config, have)
    for seed in config.conditions.seeds:
        for name in dict.fromkeys(("A", *config.conditions.names)):
            path = plan_path(folder, name, seed)
            if not path.exists():
                [plan] = build_plans(
                    counts, seed, config.conditions.repetition_factor, [name], config.conditions.repetition_share
                ).values()
                save_plan(path, plan)


def _statistics(config: Config, folder: Path) -> None:
    """token_counts.npy of Condition A (first seed) and statistics.json, where a plan is not in it yet."""
    plans = {run: load_plan(path) for run, path in _runs(config, folder)}
    path = folder / "statistics.json"
    if path.exists() and (folder / "token_counts.npy").exists() and plans.keys() == _described_runs(path):
        return
    store = row_store.RowStore.open(folder / "rows")
    tokenizer = load_run_tokenizer(config, folder)
    coverage = load_plan(plan_path(folder, "A", config.conditions.seeds[0]))
    say(f"statistics: what {len(plans)} plans show")
    counts = statistics.count_tokens(store, coverage, config.model.vocab_size)
    with atomic_path(folder / "token_counts.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, counts, allow_pickle=False)
    phase = config.phase_steps * config.train.batch_size
    write_json(
        path,
        {
            "seq_len": store.seq_len,
            "vocab_size": config.model.vocab_size,
            "rows": {rows_set.folder.name: len(rows_set) for rows_set in store.sets},
            "unigram_entropy_nats": statistics.entropy_nats(counts),
            "conditions": statistics.condition_statistics(store, plans, phase, counts, tokenizer.decode),
            "words": document_statistics(folder / "documents.parquet"),
        },
    )


def _described_runs(path: Path) -> set[str]:
    """The runs in statistics.json."""
    try:
        return set(read_json(path)["conditions"])
    except (ValueError, KeyError, TypeError):
        return set()  # it is made again
