"""The prepare stage of a study of prompts: samples -> tokenizer -> rows and images -> plans -> statistics.

    sources -> drawn/ (drawn.py) -> tokenizer.json -> rows/{baseline,deduplicated,held_out,held_out_repeated},
    images/{train,held_out}, samples.parquet -> plans/, statistics.json, duplicates.json, documents.json

Row n of `baseline` and of `deduplicated` is the same sample, its prompts as the pipeline left them and cleaned; a
domain of a row set is a task, GROUP/TASK. Outputs stand under their final names only when they are whole, so a
killed run goes on with what is missing.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import Config
from bench_shadows.data import rows, tokenizer
from bench_shadows.data.conditions import plan_path, save_plan
from bench_shadows.data.counts import Counts
from bench_shadows.data.frequency import entropy_nats
from bench_shadows.data.inputs import claim
from bench_shadows.data.prompt_measure import Account
from bench_shadows.data.vision.drawn import Drawn, draw, pieces
from bench_shadows.data.vision.images import RowImages, write_images
from bench_shadows.data.vision.rows import clean, dialogue, encode, row, rules
from bench_shadows.data.vision.sample import END_ID, SPECIAL_TOKENS
from bench_shadows.data.vision.templates import repeated
from bench_shadows.data.workers import LOCAL, Engine
from bench_shadows.errors import DataError
from bench_shadows.files import TEMPORARY, atomic_path, hash_file, remove, write_json
from bench_shadows.progress import Progress, say

SETS = {"train": ("baseline", "deduplicated"), "held_out": ("held_out_repeated", "held_out")}
"""The row sets of a split: prompts as they are, and cleaned."""
SAMPLES = pa.schema(
    {"split": pa.string(), "row": pa.int32(), "id": pa.string(), "group": pa.string(), "task": pa.string()}
    | {"language": pa.string(), "image": pa.int32(), "where": pa.string(), "baseline": pa.string()}
    | {"deduplicated": pa.string(), "answer": pa.string(), "check": pa.string()}
)
"""samples.parquet: `row` counts in the split's row sets, in the order of the file; `image` is its number or -1;
`baseline` and `deduplicated` are what stands before the last answer; `check` is JSON, or empty."""
HELD_OUT_SHARE = 0.1
"""Of the user's samples of a task that are held out at most."""
_BLOCK = 1024  # samples in work at once


def prepare_prompts(config: Config, folder: Path, engine: Engine = LOCAL) -> dict[str, str]:
    """Makes what is missing in RUN/data and returns the SHA-256 of every output, by its name in the folder.

    Raises:
      RunError: the folder was made from another config or other sources.
      DataError: no samples, none that fits into a row, or more bad records than `data.bad_records_limit`.
      ConfigError: an image folder that is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in sorted(folder.rglob("*" + TEMPORARY)):
        remove(left)
    claim(folder / "inputs.json", config)
    outputs = [folder / "tokenizer.json", folder / "samples.parquet"]
    outputs += [folder / "rows" / name / "rows.json" for names in SETS.values() for name in names]
    if config.vision.image_size:
        outputs += [folder / "images" / split / "images.json" for split in SETS]
    outputs += [
        folder / name for name in ("token_counts.npy", "statistics.json", "duplicates.json", "documents.json")
    ]
    if not all(path.exists() for path in outputs):
        _make(config, folder, engine)
    else:
        _verify(folder)
    remove(folder / "drawn")
    outputs += _plans(config, folder)
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in outputs}


def _verify(folder: Path) -> None:
    for path in sorted((folder / "rows").iterdir()):
        rows.RowSet(path).verify()
    if (folder / "images").exists():
        for path in sorted((folder / "images").iterdir()):
            RowImages(path).verify()


def _make(config: Config, folder: Path, engine: Engine) -> None:
    wanted = pieces(config, folder / "drawn")
    missing = [piece for piece in wanted if not piece.folder.exists()]
    megabytes, left = (sum(piece.megabytes for piece in some) for some in (wanted, missing))
    with Progress("samples", megabytes, "MB", done=megabytes - left) as progress:
        engine.each(draw, missing, left, progress)
    drawn = Drawn([piece.folder for piece in wanted], config.vision.image_size)
    counts = Counts(config.data.bad_records_limit)
    for one in drawn.counts:
        counts.merge(Counts.from_json(counts.limit, one))
    numbers, also_held_out = split_samples(config, drawn)
    if not numbers["train"]:
        raise DataError(
            f"config.data.sources: {', '.join(config.data.sources)} hold no usable sample; "
            f"{sum(counts.bad.values())} bad records were left out {counts.bad or ''}".rstrip()
        )
    words = _tokenizer(config, folder / "tokenizer.json", drawn, numbers["train"])
    filled = {split: _Filled(config, folder, split, drawn, numbers[split], words) for split in SETS}
    for one in filled.values():
        one.write()
    _write_tables(config, folder, filled, counts, also_held_out)


def split_samples(config: Config, drawn: Drawn) -> tuple[dict[str, list[int]], int]:
    """Which samples train and which are held out, by task; and how many were left out of training.

    No image, and no prompt without one, is in both: what the built-in corpus draws for both splits is held out.
    Of the user's samples `data.held_out_rows` of each task are held out, a tenth of it at most, samples of one
    image together, by lot.
    """
    room = {
        domain: min(config.data.held_out_rows, int(count * HELD_OUT_SHARE))
        for domain, count in Counter(
            domain for domain, split in zip(drawn.domains, drawn.splits, strict=True) if not split
        ).items()
    }
    held_out = {
        identity for identity, split in zip(drawn.identities, drawn.splits, strict=True) if split == "held_out"
    }
    together: dict[bytes, list[int]] = {}
    for number, (identity, split) in enumerate(zip(drawn.identities, drawn.splits, strict=True)):
        if not split:
            together.setdefault(identity, []).append(number)
    identities = sorted(together)
    for place in np.random.default_rng(config.data.seed).permutation(len(identities)):
        need = Counter(drawn.domains[number] for number in together[identities[place]])
        if all(room[domain] >= count for domain, count in need.items()):
            held_out.add(identities[place])
            room = {domain: count - need[domain] for domain, count in room.items()}
    found: dict[str, list[int]] = {"train": [], "held_out": []}
    dropped = 0
    for number, (identity, split) in enumerate(zip(drawn.identities, drawn.splits, strict=True)):
        if split == "train" and identity in held_out:
            dropped += 1
        else:
            found["held_out" if identity in held_out else "train"].append(number)
    for numbers in found.values():
        numbers.sort(key=lambda number: drawn.domains[number])
    return found, dropped


def _tokenizer(config: Config, path: Path, drawn: Drawn, numbers: Sequence[int]) -> tokenizer.Tokenizer:
    """The run's tokenizer, trained on prompts as they are and answers, samples of all tasks mixed."""
    if not path.exists():
        order = np.random.default_rng(config.data.seed).permutation(numbers)

        def texts() -> Iterator[str]:
            for begin in range(0, len(order), _BLOCK):
                for _, sample in drawn.samples(order[begin : begin + _BLOCK]):
                    yield "\n".join(text for turn in dialogue(sample, config.prompts) for text in turn)

        say(f"tokenizer: {config.model.vocab_size:,} tokens")
        tokenizer.train_bpe(texts(), config.model.vocab_size, special_tokens=SPECIAL_TOKENS).save(path)
    return tokenizer.load(path, config.model.vocab_size)


class _Filled:
    """The row sets of one split, and what was counted on the way."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        split: str,
        drawn: Drawn,
        numbers: Sequence[int],
        words: tokenizer.Tokenizer,
    ):
        self.config, self.folder, self.split, self.drawn, self.words = config, folder, split, drawn, words
        self.numbers = numbers
        self.account = Account()
        self.kept: list[int] = []
        self.too_long: list[str] = []
        self.counts = {name: np.zeros(config.model.vocab_size, np.int64) for name in SETS[split]}
        self.tokens: dict[str, Counter[str]] = {name: Counter() for name in SETS[split]}

    def write(self) -> None:
        """Writes rows, images and this split's part of samples.parquet."""
        names, seq_len = SETS[self.split], self.config.data.seq_len
        scratch = self.folder / "drawn" / f"{self.split}.rows"
        shape = (len(names), max(1, len(self.numbers)), seq_len)
        found = np.memmap(scratch, rows.TOKEN, "w+", shape=shape)
        self._encode(found)
        domains = [self.drawn.domains[number] for number in self.kept]
        for at, name in enumerate(names):
            rows.write_rows(self.folder / "rows" / name, _by_domain(domains, found[at, :, :-1]), seq_len, END_ID)
        if self.config.vision.image_size:
            shown = [number for number in self.kept if self.drawn.has_image[number]]
            first: dict[bytes, int] = {}
            for number in shown:
                first.setdefault(self.drawn.identities[number], number)
            places = {identity: place for place, identity in enumerate(first)}
            self.image_of = np.array(
                [
                    places[self.drawn.identities[number]] if self.drawn.has_image[number] else -1
                    for number in self.kept
                ],
                np.int32,
            )
            write_images(
                self.folder / "images" / self.split,
                self.drawn.images(list(first.values())),
                self.image_of,
                self.config.vision.image_size,
            )
        else:
            self.image_of = np.full(len(self.kept), -1, np.int32)

    def _encode(self, found: np.ndarray) -> None:
        prompts, seq_len = self.config.prompts, self.config.data.seq_len
        schema = pa.schema([field for field in SAMPLES if field.name not in ("row", "image")])
        with (
            pq.ParquetWriter(self.folder / "drawn" / f"{self.split}.parquet", schema, compression="zstd") as file,
            Progress(f"rows of {self.split}", len(self.numbers), "samples") as progress,
        ):
            for begin in range(0, len(self.numbers), _BLOCK):
                block = self.numbers[begin : begin + _BLOCK]
                table: dict[str, list[Any]] = {name: [] for name in schema.names}
                both, facts = [], []
                for where, sample in self.drawn.samples(block):
                    cleaned = clean(sample, prompts)
                    if self.split == "held_out" and not cleaned.removed:
                        sample = dict(repeated(sample, 1.0))  # type: ignore[arg-type]
                    both.append([dialogue(sample, prompts), dialogue(cleaned.sample, prompts)])
                    facts.append((where, sample, cleaned))
                places = np.where(self.drawn.has_image[block], self.config.vision.image_tokens, 0).tolist()
                made = [
                    encode([one[at] for one in both], places, self.words.encode_batch)
                    for at in range(len(both[0]))
                ]
                for at, number in enumerate(block):
                    where, sample, cleaned = facts[at]
                    tokens = [one[at] for one in made]
                    if max(len(one.ids) for one in tokens) > seq_len:
                        self.too_long.append(where)
                        continue
                    for place, (name, one) in enumerate(zip(SETS[self.split], tokens, strict=True)):
                        found[place, len(self.kept)] = row(one, seq_len)
                        self.counts[name] += np.bincount(one.ids, minlength=len(self.counts[name]))
                        answers = int(one.answers.sum())
                        self.tokens[name].update(
                            image=places[at],
                            prompt=len(one.ids) - places[at] - answers,
                            answer=answers,
                            padding=seq_len - len(one.ids),
                        )
                    self.kept.append(number)
                    self.account.add(cleaned, where, rules(prompts))
                    values = (
                        *(self.split, sample["id"], sample["group"], sample["task"], sample.get("language", "")),
                        *(where, _asked(both[at][0]), _asked(both[at][1]), both[at][0][-1][1]),
                        json.dumps(sample["check"], ensure_ascii=False) if sample.get("check") else "",
                    )
                    for name, value in zip(table, values, strict=True):
                        table[name].append(value)
                file.write_table(pa.table(table, schema=schema))
                progress.add(len(block))
        if not self.kept and self.numbers:
            raise DataError(
                f"config.data.seq_len={seq_len}: none of {len(self.numbers):,} {self.split} samples fits"
            )


def _asked(turns: Sequence[tuple[str, str]]) -> str:
    """What stands before the last answer."""
    said = [text for turn in turns for text in turn]
    return "\n\n".join(said[:-1])


def _by_domain(domains: Sequence[str], found: np.ndarray) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Rows by task; `write_rows` puts an `<|endoftext|>` behind each, which every row ends with."""
    at = 0
    for domain, group in itertools.groupby(domains):
        count = sum(1 for _ in group)
        yield domain, iter(found[at : at + count])
        at += count


def _write_tables(
    config: Config, folder: Path, filled: dict[str, _Filled], counts: Counts, also_held_out: int
) -> None:
    """samples.parquet, token_counts.npy, statistics.json, duplicates.json, documents.json."""
    with (
        atomic_path(folder / "samples.parquet") as temporary,
        pq.ParquetWriter(temporary, SAMPLES, compression="zstd") as file,
    ):
        for split, one in filled.items():
            table = pq.read_table(folder / "drawn" / f"{split}.parquet")
            table = table.append_column("row", pa.array(np.arange(len(one.kept), dtype=np.int32)))
            table = table.append_column("image", pa.array(one.image_of))
            file.write_table(table.select(SAMPLES.names).cast(SAMPLES))
    baseline = filled["train"].counts["baseline"].copy()
    baseline[: len(SPECIAL_TOKENS)] = 0
    with atomic_path(folder / "token_counts.npy") as temporary, open(temporary, "wb") as handle:
        np.save(handle, baseline, allow_pickle=False)
    write_json(
        folder / "statistics.json",
        {
            "seq_len": config.data.seq_len,
            "vocab_size": config.model.vocab_size,
            "rows": {name: len(one.kept) for split, one in filled.items() for name in SETS[split]},
            "unigram_entropy_nats": entropy_nats(baseline),
            "tokens": {name: dict(one.tokens[name]) for split, one in filled.items() for name in SETS[split]},
        },
    )
    write_json(folder / "duplicates.json", filled["train"].account.report())
    write_json(
        folder / "documents.json",
        {
            "corpus": counts.as_json(),
            "left_out": {
                "too_long": {split: len(one.too_long) for split, one in filled.items()},
                "too_long_examples": [where for one in filled.values() for where in one.too_long[:5]],
                "also_held_out": also_held_out,
            },
            "samples": [
                {"split": split, "domain": domain, "samples": count}
                for split, one in filled.items()
                for domain, count in sorted(Counter(one.drawn.domains[number] for number in one.kept).items())
            ],
        },
    )


def _plans(config: Config, folder: Path) -> list[Path]:
    """Makes the plans that are missing: one order of the samples for both conditions of a seed."""
    have, positions = len(rows.RowSet(folder / "rows" / "baseline")), config.steps * config.train.batch_size
    paths = []
    for seed in config.conditions.seeds:
        plan = order(have, positions, seed)
        for at, name in enumerate(SETS["train"]):
            if name in config.conditions.names:
                paths.append(plan_path(folder, name, seed))
                if not paths[-1].exists():
                    save_plan(paths[-1], plan + np.uint32(at * have))
    return paths


def order(have: int, positions: int, seed: int) -> np.ndarray:
    """Row ids of a run of `positions`, uint32: all rows in random order, again and again."""
    random = np.random.default_rng(seed)
    epochs = -(-positions // have)
    return np.concatenate([random.permutation(have).astype(np.uint32) for _ in range(epochs)])[:positions]
