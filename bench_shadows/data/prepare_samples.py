"""The data of a study of prompts: samples -> tokenizer -> rows and images -> plans -> statistics.

    sources -> drawn/ (samples/pieces.py) -> tokenizer.json
    -> rows/{baseline,deduplicated,held_out,held_out_repeated}, images/{train,held_out} (samples/packing.py)
    -> samples.parquet, token_counts.npy, statistics.json, duplicates.json, documents.json, plans/

Row n of `baseline` and of `deduplicated` is the same sample, its prompts as the pipeline left them and cleaned.
Outputs stand under their final names only when they are whole; drawing and reading samples, which takes longest,
is done in pieces that a killed run keeps.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.config import Config, DataConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.workers import LOCAL, Engine
from bench_shadows.data.rows import row_store
from bench_shadows.data.rows.plans import plan_path, save_plan
from bench_shadows.data.rows.tokenizer import Tokenizer, load_tokenizer, train_bpe
from bench_shadows.data.samples.encoding import dialogue
from bench_shadows.data.samples.formats import SampleSettings
from bench_shadows.data.samples.images import RowImages
from bench_shadows.data.samples.packing import SAMPLES, SETS, Packed, pack
from bench_shadows.data.samples.pieces import LEFT_OUT, NumberedSamples, pieces, write_piece
from bench_shadows.data.samples.sample import Split
from bench_shadows.data.special_tokens import SPECIAL_TOKENS
from bench_shadows.data.statistics.frequency import entropy_nats, finite, measures
from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, hash_file, remove, write_json
from bench_shadows.progress import Progress, say

HELD_OUT_SHARE = 0.1
"""Of the user's samples of a task that are held out at most."""
_TABLES = ("samples.parquet", "token_counts.npy", "statistics.json", "duplicates.json", "documents.json")
_BLOCK = 1024  # samples in memory at once


def prepare_samples(config: Config, folder: Path, engine: Engine = LOCAL) -> dict[str, str]:
    """Makes what is missing in RUN/data and returns the SHA-256 of every output, by its name in the folder.

    Raises as `prepare` does.
    """
    settings = SampleSettings(config.data, config.prompts, config.vision)
    outputs = [folder / "tokenizer.json", *(folder / "rows" / name / "rows.json" for name in _row_sets())]
    if config.vision.image_size:
        outputs += [folder / "images" / split / "images.json" for split in SETS]
    outputs += [folder / name for name in _TABLES]
    if all(path.exists() for path in outputs):
        _verify(folder)
    else:
        _make(settings, config.model.vocab_size, folder, engine)
    remove(folder / "drawn")
    outputs += _plans(config, folder)
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in outputs}


def _row_sets() -> Iterator[str]:
    for names in SETS.values():
        yield from names


def _verify(folder: Path) -> None:
    """Compares rows and images of an earlier life with their hashes."""
    for name in _row_sets():
        row_store.RowSet(folder / "rows" / name).verify()
    for path in sorted(folder.glob("images/*")):
        RowImages(path).verify()


def _make(settings: SampleSettings, vocab_size: int, folder: Path, engine: Engine) -> None:
    drawn = _drawn(settings, folder / "drawn", engine)
    counts = Counts(settings.data.bad_records_limit)
    for one in drawn.counts:
        counts.merge(one)
    numbers, left_out = split_samples(settings.data, drawn)
    for split, some in numbers.items():
        if not some:
            raise DataError(_too_few(settings.data.sources, drawn, split, counts))
    tokenizer = _tokenizer(settings, vocab_size, folder / "tokenizer.json", drawn, numbers["train"])
    packed = [pack(settings, folder, split, drawn, some, tokenizer) for split, some in numbers.items()]
    _write_tables(settings.data.seq_len, folder, packed, counts, left_out)


def _drawn(settings: SampleSettings, folder: Path, engine: Engine) -> NumberedSamples:
    wanted = pieces(settings, folder)
    missing = [piece for piece in wanted if not piece.folder.exists()]
    total, left = (sum(piece.megabytes for piece in some) for some in (wanted, missing))
    with Progress("samples", total, "MB", done=total - left) as progress:
        engine.each(write_piece, missing, left, progress)
    return NumberedSamples([piece.folder for piece in wanted], settings.vision.image_size)


def _too_few(named: Sequence[str], drawn: NumberedSamples, split: Split, counts: Counts) -> str:
    bad = f"; {sum(counts.bad.values())} bad records were left out {counts.bad}" if counts.bad else ""
    sources = ", ".join(named)
    if split == "held_out" and len(drawn):
        return (
            f"config.data.sources: {sources} hold {len(drawn):,} samples{bad}, and none can be held out: a tenth "
            "of a task's is, so it needs 10 samples with different images (or prompts)"
        )
    return f"config.data.sources: {sources} hold no sample that can be used{bad}"


def split_samples(data: DataConfig, drawn: NumberedSamples) -> tuple[dict[Split, list[int]], dict[str, int]]:
    """The samples that train and those that are held out, by number, sorted by task; and how many are in neither.

    No image, and no prompt without one, is in both: what the built-in corpus draws for both splits is held out. Of
    the user's samples `data.held_out_rows` of each task are held out, by lot, samples of one image together; a
    tenth of the task at most.
    """
    together: dict[bytes, list[int]] = {}
    for number, (identity, split) in enumerate(zip(drawn.identities, drawn.splits, strict=True)):
        if not split:
            together.setdefault(identity, []).append(number)
    tasks = Counter(drawn.domains[number] for some in together.values() for number in some)
    taken: Counter[str] = Counter()
    held_out = {one for one, split in zip(drawn.identities, drawn.splits, strict=True) if split == "held_out"}
    identities = sorted(together)
    for place in np.random.default_rng(data.seed).permutation(len(identities)).tolist():
        need = Counter(drawn.domains[number] for number in together[identities[place]])
        wanted = any(taken[name] < data.held_out_rows for name in need)
        if wanted and all(taken[name] + need[name] <= tasks[name] * HELD_OUT_SHARE for name in need):
            held_out.add(identities[place])
            taken += need
    found: dict[Split, list[int]] = {"train": [], "held_out": []}
    left_out = {"also_held_out": 0, "with_image": 0}
    for number, (identity, split) in enumerate(zip(drawn.identities, drawn.splits, strict=True)):
        if split == LEFT_OUT:
            left_out["with_image"] += 1
        elif split == "train" and identity in held_out:
            left_out["also_held_out"] += 1
        else:
            found["held_out" if identity in held_out else "train"].append(number)
    for numbers in found.values():
        numbers.sort(key=lambda number: drawn.domains[number])
    return found, left_out


def _tokenizer(
    settings: SampleSettings, vocab_size: int, path: Path, drawn: NumberedSamples, numbers: Sequence[int]
) -> Tokenizer:
    """The run's tokenizer, trained on prompts as they are and answers, samples of all tasks mixed."""
    if not path.exists():
        order = np.random.default_rng(settings.data.seed).permutation(numbers)

        def texts() -> Iterator[str]:
            for begin in range(0, len(order), _BLOCK):
                for _, sample in drawn.samples(order[begin : begin + _BLOCK]):
                    yield "\n".join(text for turn in dialogue(sample, settings.prompts) for text in turn)

        say(f"tokenizer: {vocab_size:,} tokens")
        train_bpe(texts(), vocab_size, special_tokens=SPECIAL_TOKENS).save(path)
    return load_tokenizer(path, vocab_size)


# ---- tables


def _write_tables(
    seq_len: int, folder: Path, packed: Sequence[Packed], counts: Counts, left_out: Mapping[str, int]
) -> None:
    with (
        atomic_path(folder / "samples.parquet") as temporary,
        pq.ParquetWriter(temporary, SAMPLES, compression="zstd") as file,
    ):
        for one in packed:
            for batch in pq.ParquetFile(folder / "drawn" / f"{one.split}.parquet").iter_batches():
                file.write_batch(batch)
    train = next(one for one in packed if one.split == "train")
    baseline = train.token_counts["baseline"]
    with atomic_path(folder / "token_counts.npy") as temporary, open(temporary, "wb") as handle:
        np.save(handle, baseline, allow_pickle=False)
    write_json(folder / "duplicates.json", train.account.report())
    write_json(folder / "documents.json", _documents(packed, counts, left_out))
    write_json(
        folder / "statistics.json",
        {
            "seq_len": seq_len,
            "vocab_size": len(baseline),
            "rows": {name: one.rows for one in packed for name in SETS[one.split]},
            "unigram_entropy_nats": entropy_nats(baseline),
            "tokens": {name: dict(tokens) for one in packed for name, tokens in one.tokens.items()},
            "text": {name: _text(table) for one in packed for name, table in one.token_counts.items()},
        },
    )
    held_out = sum(one.rows for one in packed) - train.rows
    say(
        f"samples: {train.rows:,} to train on, {held_out:,} held out; left out: "
        f"{sum(counts.bad.values()):,} bad records, {sum(one.too_long.total() for one in packed):,} too long, "
        f"{left_out['also_held_out']:,} also held out, {left_out['with_image']:,} with an image"
    )


def _text(counts: np.ndarray) -> dict[str, float | int | None]:
    """Measures of a row set's text, special tokens apart, each row read once (`frequency.measures`)."""
    return {name: finite(float(value[0])) for name, value in measures(counts[None]).items()}


def _documents(packed: Sequence[Packed], counts: Counts, left_out: Mapping[str, int]) -> dict[str, Any]:
    """documents.json: what was read, what is in the rows, and what was left out, with places and reasons."""
    return {
        "corpus": counts.as_json(),
        "left_out": {
            **left_out,
            "too_long": {one.split: one.too_long.total() for one in packed},
            "too_long_tasks": {one.split: dict(sorted(one.too_long.items())) for one in packed},
            "too_long_examples": [where for one in packed for where in one.too_long_examples],
        },
        "unread_fields": dict(sorted(sum((one.unread for one in packed), Counter()).items())),
        "samples": [
            {"split": one.split, "domain": domain, "samples": count}
            for one in packed
            for domain, count in sorted(one.samples.items())
        ],
    }


# ---- plans


def _plans(config: Config, folder: Path) -> list[Path]:
    """Makes the plans that are missing: one order of the samples for both conditions of a seed."""
    have, positions = len(row_store.RowSet(folder / "rows" / "baseline")), config.steps * config.train.batch_size
    paths = []
    for seed in config.conditions.seeds:
        for at, name in enumerate(SETS["train"]):
            if name in config.conditions.names:
                paths.append(plan_path(folder, name, seed))
                if not paths[-1].exists():
                    save_plan(paths[-1], order(have, positions, seed, at * have))
    return paths


def order(have: int, positions: int, seed: int, offset: int = 0) -> np.ndarray:
    """Global row ids of a run of `positions`: `have` rows from `offset` on in random order, again and again.

    uint32, or uint64 past 2^32 rows; the order does not depend on the offset.
    """
    random = np.random.default_rng(seed)
    epochs = [random.permutation(have) for _ in range(-(-positions // have))]
    ids = np.concatenate(epochs)[:positions] + offset
    return ids.astype(np.uint32 if offset + have <= 2**32 else np.uint64)
