"""Samples as they are drawn or read, before anything is chosen from them: pieces, each made by one process.

A piece is a folder that is written once, whole:

    samples.array_record   a record for each sample: [its place, the sample] in JSON
    images.array_record    the pixels of those that have an image, in their order
    columns.parquet        split, domain (GROUP/TASK), image, identity of each
    piece.json             how many samples, and what reading counted
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import PromptsConfig
from bench_shadows.data.corpus.array_records import ArrayRecords, writer
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources.part import Part
from bench_shadows.data.samples import sample_files
from bench_shadows.data.samples.builtin.corpus import builtin_samples, weights
from bench_shadows.data.samples.encoding import clean, dialogue
from bench_shadows.data.samples.formats import Sampled, SampleSettings, read_samples
from bench_shadows.data.samples.sample import Split
from bench_shadows.files import atomic_path, read_json, write_json

COLUMNS = pa.schema({"split": pa.string(), "domain": pa.string(), "image": pa.bool_(), "identity": pa.binary(16)})
"""`split` is empty where it is not decided yet; `identity` is the image's or, without one, the prompt's."""
LEFT_OUT = "left_out"
"""Split of a sample with an image in a study without images."""
FILE_PIECE = 2**22
"""Bytes of the user's files that one process reads at once: some thousand samples, with their images."""
BUILTIN_PIECE = 1000
"""Samples of the built-in corpus that one process draws at once."""
_ROUGH = 1e-3  # megabytes that a sample counts as, besides its pixels: about what drawing one takes


@dataclasses.dataclass(frozen=True)
class Piece:
    """What one process makes."""

    part: Part
    settings: SampleSettings
    folder: Path
    split: Split | None = None
    """Of the built-in corpus's samples; the user's are split when all of them are read."""

    @property
    def megabytes(self) -> float:
        """About, to show progress by."""
        if self.split is None:
            return dict(self.part.facts)["bytes"] / 1e6
        pixels = 3e-6 * self.settings.vision.image_size**2
        return ((self.part.end or 0) - self.part.begin) * (pixels + _ROUGH)


def sample_parts(sources: Sequence[str]) -> list[Part]:
    """The user's files; DataError for a source that holds no samples."""
    return [part for source in sources if source != "builtin" for part in sample_files.parts(source)]


def pieces(settings: SampleSettings, folder: Path) -> list[Piece]:
    """All pieces of a study's samples, in the order in which their samples are numbered."""
    found: list[Piece] = []
    if "builtin" in settings.data.sources:
        tasks = len(weights(settings.prompts, settings.vision.image_size))
        counts: dict[Split, int] = {
            "train": settings.prompts.samples,
            "held_out": settings.data.held_out_rows * tasks,
        }
        for split, count in counts.items():
            for begin in range(0, count, BUILTIN_PIECE):
                part = Part(f"builtin/{split}", "builtin", begin=begin, end=min(begin + BUILTIN_PIECE, count))
                found.append(Piece(part, settings, folder / f"{len(found):06d}", split))
    for part in sample_parts(settings.data.sources):
        for some in sample_files.pieces(part, FILE_PIECE):
            found.append(Piece(some, settings, folder / f"{len(found):06d}"))
    return found


def write_piece(piece: Piece, seen: Callable[[float], None]) -> None:
    """Writes one piece; does nothing where it is there."""
    if piece.folder.exists():
        return
    counts = Counts(piece.settings.data.bad_records_limit)
    counts.ignored.update(dict(piece.part.ignored))
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
    with atomic_path(piece.folder) as temporary:
        temporary.mkdir(parents=True)
        texts, pixels = writer(temporary / "samples.array_record"), writer(temporary / "images.array_record")
        total, told = piece.megabytes, 0.0
        for sampled in _samples(piece, counts):
            texts.write(json.dumps([sampled.where, sampled.sample], ensure_ascii=False).encode())
            if sampled.image is not None:
                pixels.write(sampled.image.tobytes())
            row = (
                piece.split or (LEFT_OUT if sampled.sample.get("image") and sampled.image is None else ""),
                f"{sampled.sample['group']}/{sampled.sample['task']}",
                sampled.image is not None,
                _identity(sampled, piece.settings.prompts),
            )
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            if piece.split is not None:
                told += (step := total / ((piece.part.end or 0) - piece.part.begin))
                seen(step)
        texts.close()
        pixels.close()
        seen(max(0.0, total - told))
        pq.write_table(pa.table(columns, schema=COLUMNS), temporary / "columns.parquet")
        write_json(temporary / "piece.json", {"samples": len(columns["split"]), "counts": counts.as_json()})


def _samples(piece: Piece, counts: Counts) -> Iterator[Sampled]:
    settings, part = piece.settings, piece.part
    if piece.split is None:
        yield from read_samples(part, settings, counts)
        return
    prompts = settings.prompts
    if piece.split == "held_out":  # as many of each task, whatever it weighs
        tasks = weights(prompts, settings.vision.image_size)
        prompts = dataclasses.replace(prompts, tasks=tuple(f"{task.name}=1" for task in tasks))
    size, seed = settings.vision.image_size, settings.data.seed
    made = builtin_samples(prompts, size, seed, piece.split, part.end or 0, first=part.begin)
    for number, (sample, image) in enumerate(made, part.begin):
        counts.documents[part.name] += 1
        yield Sampled(f"{part.name}[{number}]", dict(sample), image)


def _identity(sampled: Sampled, prompts: PromptsConfig) -> bytes:
    """What training and held-out samples must not share: the image or, without one, what is asked.

    The system's message, and a prompt that is repeated, make no other sample.
    """
    if sampled.image is not None:
        content = sampled.image.tobytes()
    else:
        asked = clean({**sampled.sample, "system": ""}, prompts).sample
        content = "\n".join(prompt for prompt, _ in dialogue(asked, prompts)).encode()
    return hashlib.blake2b(content, digest_size=16).digest()


class NumberedSamples:
    """The samples of several pieces, numbered from 0."""

    def __init__(self, folders: Sequence[Path], image_size: int):
        self._size = image_size
        described = [read_json(folder / "piece.json") for folder in folders]
        self.counts = [one["counts"] for one in described]
        starts = np.cumsum([0, *(one["samples"] for one in described)])
        table = pa.concat_tables([pq.read_table(folder / "columns.parquet", schema=COLUMNS) for folder in folders])
        self.splits: list[str] = table["split"].to_pylist()
        self.domains: list[str] = table["domain"].to_pylist()
        self.has_image = np.array(table["image"].to_pylist(), bool)
        self.identities: list[bytes] = table["identity"].to_pylist()
        self._image_number = np.cumsum([0, *self.has_image])  # of a sample, and how many images there are
        self._samples = ArrayRecords([folder / "samples.array_record" for folder in folders], starts)
        image_starts = self._image_number[starts]
        self._images = ArrayRecords([folder / "images.array_record" for folder in folders], image_starts)

    def __len__(self) -> int:
        return len(self.splits)

    def samples(self, numbers: Sequence[int] | np.ndarray) -> list[tuple[str, dict[str, Any]]]:
        """(place, sample) of each number."""
        return [(where, sample) for where, sample in map(json.loads, self._samples.read(numbers))]

    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """The images of samples that have one, uint8 [S, S, 3]."""
        for begin in range(0, len(numbers), 256):
            for record in self._images.read(self._image_number[numbers[begin : begin + 256]]):
                yield np.frombuffer(record, np.uint8).reshape(self._size, self._size, 3)
