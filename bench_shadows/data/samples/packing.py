"""One split's samples become rows, with prompts as they are and cleaned, and images.

    rows/NAME                   two row sets of the same samples, a domain for each task, GROUP/TASK
    images/SPLIT                each image once
    drawn/SPLIT.parquet         this split's part of samples.parquet

A sample of which one form does not fit into a row is in neither set.
"""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.data.rows import row_store
from bench_shadows.data.rows.tokenizer import Tokenizer
from bench_shadows.data.samples.encoding import CONVERSATION, Tokens, clean, dialogue, encode, row, rules
from bench_shadows.data.samples.formats import SampleSettings
from bench_shadows.data.samples.images import write_images
from bench_shadows.data.samples.pieces import NumberedSamples
from bench_shadows.data.samples.repetition import Cleaned, Rules, texts
from bench_shadows.data.samples.repetition_report import Account
from bench_shadows.data.samples.sample import Split
from bench_shadows.data.samples.templates import repeated
from bench_shadows.data.special_tokens import END_ID, SPECIAL_TOKENS
from bench_shadows.errors import DataError
from bench_shadows.progress import Progress

SETS: dict[Split, tuple[str, str]] = {
    "train": ("baseline", "deduplicated"),
    "held_out": ("held_out_repeated", "held_out"),
}
"""The row sets of a split: prompts as they are, and cleaned. Held-out prompts are repeated in all samples."""
SAMPLES = pa.schema(
    {"split": pa.string(), "row": pa.int32(), "id": pa.string(), "group": pa.string(), "task": pa.string()}
    | {"language": pa.string(), "image": pa.int32(), "where": pa.string(), "baseline": pa.string()}
    | {"deduplicated": pa.string(), "answer": pa.string(), "check": pa.string()}
)
"""samples.parquet: `row` counts in the split's row sets, in the order of the file; `image` is its number or -1;
`baseline` and `deduplicated` are what stands before the last answer; `check` is JSON, or empty."""
EXAMPLES = 5
"""Samples of a split that are named as too long."""
_BLOCK = 1024  # samples in work at once


@dataclasses.dataclass
class Packed:
    """What a split came to."""

    split: Split
    rows: int = 0
    account: Account = dataclasses.field(default_factory=Account)
    """How often its prompts are repeated."""
    token_counts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Row set -> how often each token stands in its text, int64 [V]; special tokens are no text."""
    tokens: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    """Row set -> tokens of images, prompts, answers (with their ends) and padding."""
    samples: Counter[str] = dataclasses.field(default_factory=Counter)
    """By task."""
    too_long: Counter[str] = dataclasses.field(default_factory=Counter)
    """By task: samples that do not fit into a row."""
    too_long_examples: list[str] = dataclasses.field(default_factory=list)
    unread: Counter[str] = dataclasses.field(default_factory=Counter)
    """Fields with text that is no part of a prompt, and in how many samples."""


class _Sample(NamedTuple):
    """A sample in both forms."""

    where: str
    sample: Mapping[str, Any]
    cleaned: Cleaned
    dialogues: tuple[list[tuple[str, str]], list[tuple[str, str]]]
    """(prompt, answer) of its turns: as it is, and cleaned."""


def pack(
    settings: SampleSettings,
    folder: Path,
    split: Split,
    drawn: NumberedSamples,
    numbers: Sequence[int],
    tokenizer: Tokenizer,
) -> Packed:
    """Writes the rows and the images of samples, given by their numbers and sorted by task.

    Raises DataError where none of them fits into a row.
    """
    packed, vocab_size = Packed(split), tokenizer.vocab_size
    for name in SETS[split]:
        packed.token_counts[name] = np.zeros(vocab_size, np.int64)
        packed.tokens[name] = Counter()
    shape = len(SETS[split]), max(1, len(numbers)), settings.data.seq_len
    scratch = np.memmap(folder / "drawn" / f"{split}.rows", row_store.TOKEN, "w+", shape=shape)
    schema = pa.schema([field for field in SAMPLES if field.name != "image"])
    kept: list[int] = []
    with (
        pq.ParquetWriter(folder / "drawn" / f"{split}.part", schema, compression="zstd") as file,
        Progress(f"rows of {split}", len(numbers), "samples") as progress,
    ):
        for begin in range(0, len(numbers), _BLOCK):
            block = numbers[begin : begin + _BLOCK]
            described: list[dict[str, Any]] = []
            for number, sample, tokens in _encoded(settings, split, drawn, block, tokenizer):
                domain = drawn.domains[number]
                if max(len(one.ids) for one in tokens) > settings.data.seq_len:
                    packed.too_long[domain] += 1
                    packed.too_long_examples += [sample.where][: EXAMPLES - len(packed.too_long_examples)]
                    continue
                for at, one in enumerate(tokens):
                    scratch[at, len(kept)] = row(one, settings.data.seq_len)
                _count(packed, settings, sample, tokens, domain)
                described.append({"split": split, "row": len(kept), **_described(sample)})
                kept.append(number)
            file.write_table(pa.Table.from_pylist(described, schema))
            progress.add(len(block))
    if numbers and not kept:
        raise DataError(
            f"config.data.seq_len={settings.data.seq_len}: none of {len(numbers):,} {split} samples fits, "
            f"such as {packed.too_long_examples[0]}"
        )
    packed.rows = len(kept)
    domains = [drawn.domains[number] for number in kept]
    for at, name in enumerate(SETS[split]):
        row_store.write_rows(
            folder / "rows" / name, _by_domain(domains, scratch[at, :, :-1]), settings.data.seq_len, END_ID
        )
    image_of = _write_images(settings.vision.image_size, folder / "images" / split, drawn, kept)
    table = pq.read_table(folder / "drawn" / f"{split}.part").append_column("image", pa.array(image_of))
    pq.write_table(table.select(SAMPLES.names), folder / "drawn" / f"{split}.parquet", compression="zstd")
    return packed


def _encoded(
    settings: SampleSettings, split: Split, drawn: NumberedSamples, numbers: Sequence[int], tokenizer: Tokenizer
) -> Iterator[tuple[int, _Sample, list[Tokens]]]:
    """(number, sample, its tokens as it is and cleaned)."""
    found = []
    for where, sample in drawn.samples(numbers):
        cleaned = clean(sample, settings.prompts)
        if split == "held_out" and not cleaned.removed:  # as a pipeline would have left it
            sample = dict(repeated(sample, 1.0))  # type: ignore[arg-type]
        both = dialogue(sample, settings.prompts), dialogue(cleaned.sample, settings.prompts)
        found.append(_Sample(where, sample, cleaned, both))
    places = [settings.vision.image_tokens if drawn.has_image[number] else 0 for number in numbers]
    forms = [encode([one.dialogues[at] for one in found], places, tokenizer.encode_batch) for at in range(2)]
    for number, sample, *tokens in zip(numbers, found, *forms, strict=True):
        yield number, sample, tokens


def _count(
    packed: Packed, settings: SampleSettings, sample: _Sample, tokens: Sequence[Tokens], domain: str
) -> None:
    packed.samples[domain] += 1
    packed.account.add(sample.cleaned, sample.where, rules(settings.prompts))
    read = {text.path for text in sample.cleaned.looked_at}
    packed.unread.update(
        {
            text.field
            for text in texts(sample.cleaned.sample, Rules(protected=("task", "group", "check", CONVERSATION)))
            if text.path not in read
        }
    )
    for name, one in zip(SETS[packed.split], tokens, strict=True):
        text = one.ids[one.ids >= len(SPECIAL_TOKENS)]
        packed.token_counts[name] += np.bincount(text, minlength=len(packed.token_counts[name]))
        packed.tokens[name].update(
            image=one.image_tokens,
            prompt=len(one.ids) - one.image_tokens - int(one.answers.sum()),
            answer=int(one.answers.sum()),
            padding=settings.data.seq_len - len(one.ids),
        )


def _described(sample: _Sample) -> dict[str, Any]:
    """The columns of samples.parquet that the sample itself has."""
    before, after = (
        "\n\n".join([text for turn in turns for text in turn][:-1]) for turns in sample.dialogues
    )  # earlier turns stand before it
    own = sample.sample
    return {
        "where": sample.where,
        **{name: own[name] for name in ("id", "group", "task", "language")},
        "baseline": before,
        "deduplicated": after,
        "answer": sample.dialogues[0][-1][1],
        "check": json.dumps(own["check"], ensure_ascii=False) if own.get("check") else "",
    }


def _by_domain(domains: Sequence[str], found: np.ndarray) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Rows by task; `write_rows` puts an `<|endoftext|>` behind each, which every row ends with."""
    at = 0
    for domain, group in itertools.groupby(domains):
        count = sum(1 for _ in group)
        yield domain, iter(found[at : at + count])
        at += count


def _write_images(size: int, folder: Path, drawn: NumberedSamples, kept: Sequence[int]) -> np.ndarray:
    """Writes every image once; returns the image of each row by its number, int32, -1 without one."""
    image_of = np.full(len(kept), -1, np.int32)
    first: dict[bytes, int] = {}  # image -> the sample that it is read from
    places: dict[bytes, int] = {}
    for at, number in enumerate(kept):
        if drawn.has_image[number]:
            identity = drawn.identities[number]
            first.setdefault(identity, number)
            image_of[at] = places.setdefault(identity, len(places))
    if size:
        write_images(folder, drawn.images(list(first.values())), image_of, size)
    return image_of
