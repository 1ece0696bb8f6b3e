"""The suites of a study of prompts: held-out samples, their prompts clean and as a pipeline repeats them.

Suites `groups` and `tasks` ask the clean samples, `groups_repeated` and `tasks_repeated` the same samples with
repeated prompts (`answers`). Suite `likelihood`, task `language`, is the loss of the answers to clean
samples without an image, in nats a token and in bits a byte: bytes compare models of different tokenizers.
Losses are measured at every checkpoint, on the first `evaluation.rows` samples of each task. For the last one of a
run replies are generated, greedily, to all held-out samples.

Letters: N samples, M samples of them, T positions, S pixels of a side.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq

from bench_shadows.config import Config, determined
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.data.samples.images import RowImages
from bench_shadows.data.samples.scoring import score
from bench_shadows.data.special_tokens import END_ID
from bench_shadows.declared import Determines
from bench_shadows.evaluation.answers import chance_rows, count_answers, last_question, loss_rows, match_rows
from bench_shadows.evaluation.exercises import SPARE
from bench_shadows.evaluation.harness import task_rows
from bench_shadows.evaluation.likelihood import build_losses, sequence_losses
from bench_shadows.evaluation.table import Row, row
from bench_shadows.files import hash_file
from bench_shadows.model.generation import build_generate
from bench_shadows.model.loss import answer_weights

VERSION = 2
"""Of what the suites ask of the same data and what they make of the answers; raised with every change to it."""
ENCODER = ("vision", "projector")
"""Parts of the parameters that lm-eval's tasks, which are text, do not need."""
FORMS = {"": "held_out", "_repeated": "held_out_repeated"}
"""A suite's suffix -> the rows that it asks."""


class HeldOut(NamedTuple):
    """The held-out samples."""

    names: list[str]
    """`GROUP/TASK` of each."""
    samples: list[dict[str, Any]]
    """What `scoring.score` reads of them."""
    rows: dict[str, np.ndarray]
    """A suite's suffix -> token ids, int32 [N, T]."""
    images: np.ndarray | None
    """uint8 [N, S, S, 3], zeros where there is none; None in a study without images."""
    with_image: np.ndarray
    """bool [N]."""
    measured: np.ndarray
    """bool [N]: those whose losses are measured."""


class PromptSuites:
    """The evaluations of one run folder. Raises RunError where what `prepare` makes is missing."""

    def __init__(self, config: Config, folder: Path):
        self.config, data = config, folder / "data"
        self.tokenizer = load_run_tokenizer(config, data)
        self._held_out = read_held_out(config, data)
        self._losses, self._generate = build_losses(config), build_generate(config.model, config.vision)
        training = count_answers(
            (f"{one['group']}/{one['task']}", one["answer"])
            for one in _samples(data, "train", ("group", "task", "answer"))
        )
        self._chance = list(chance_rows(self._held_out.names, self._held_out.samples, training))

    def rows(self, params: Mapping[str, Any], last: bool) -> Iterator[Row]:
        """As `kinds.kind.Suites` has it; the last checkpoint of a run is asked for replies, too."""
        on_device, held_out = jax.device_put(params), self._held_out
        mine = np.flatnonzero(held_out.measured)
        names = [held_out.names[index] for index in mine]
        for suffix, rows_NxT in held_out.rows.items():
            answers_MxT = np.asarray(answer_weights(jnp.asarray(rows_NxT[mine]))) > 0
            nats_M = self._nats(on_device, mine, rows_NxT[mine], answers_MxT)
            yield from loss_rows(names, nats_M, answers_MxT.sum(axis=1), suffix)
            if not suffix:
                yield from self._language_rows(nats_M, rows_NxT[mine], answers_MxT, ~held_out.with_image[mine])
            if last:
                yield from match_rows(held_out.names, self._right(on_device, rows_NxT), suffix)
        if last:
            yield from self._chance
            decoder = {name: part for name, part in on_device.items() if name not in ENCODER}
            yield from task_rows(decoder, self.config, self.tokenizer, self.config.evaluation.tasks)

    def _nats(
        self, params: Mapping[str, Any], numbers_M: np.ndarray, rows_MxT: np.ndarray, answers_MxT: np.ndarray
    ) -> np.ndarray:
        """-log likelihood of the answers of some samples' rows, float64 [M].

        `answers_MxT` says whether the next token is an answer's.
        """
        nats_M = np.zeros(len(rows_MxT))
        lengths_M = rows_MxT.shape[1] + 1 - np.argmax(answers_MxT[:, ::-1], axis=1)
        for mine, images in self._halves(numbers_M):
            sequences = [rows_MxT[index, : lengths_M[index]] for index in mine]
            found = sequence_losses(self._losses, params, sequences, END_ID, images, rows_MxT.shape[1])
            for index, losses in zip(mine, found, strict=True):
                nats_M[index] = losses[answers_MxT[index, : len(losses)]].astype(np.float64).sum()
        return nats_M

    def _right(self, params: Mapping[str, Any], rows_NxT: np.ndarray) -> np.ndarray:
        """Whether the greedy reply to each row's last question is right, bool [N]."""
        right_N = np.zeros(len(rows_NxT), bool)
        asked = [last_question(row_T) for row_T in rows_NxT]
        longest = max((len(question.answer) for question in asked), default=0) + SPARE
        for mine, images in self._halves(np.arange(len(rows_NxT))):
            prompts = [asked[index].prompt for index in mine]
            replies = self._generate(params, prompts, longest, END_ID, images=images)
            for index, reply in zip(mine, replies, strict=True):
                right_N[index] = score(self._held_out.samples[index], self.tokenizer.decode(reply))
        return right_N

    def _halves(self, numbers_M: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """(places in `numbers_M`, images) of the samples that have an image, then of those that have none."""
        with_image_M, images = self._held_out.with_image[numbers_M], self._held_out.images
        if images is not None:
            yield np.flatnonzero(with_image_M), images[numbers_M[with_image_M]]
        yield np.flatnonzero(~with_image_M), None

    def _language_rows(
        self, nats_M: np.ndarray, rows_MxT: np.ndarray, answers_MxT: np.ndarray, mine_M: np.ndarray
    ) -> Iterator[Row]:
        """Of the answers, with their ends, of samples without an image (`mine_M`); `count` is tokens."""
        targets = np.roll(rows_MxT, -1, axis=1)[mine_M][answers_MxT[mine_M]]
        nats, size = float(nats_M[mine_M].sum()), int(self.tokenizer.token_bytes[targets].sum())
        yield row("likelihood", "language", "loss_nats_per_token", nats / max(len(targets), 1), len(targets))
        yield row("likelihood", "language", "bits_per_byte", nats / math.log(2) / max(size, 1), len(targets))


def read_held_out(config: Config, data: Path) -> HeldOut:
    """The samples that are asked, from RUN/data."""
    sets = {suffix: RowSet(data / "rows" / name) for suffix, name in FORMS.items()}
    tasks, numbers_N = sets[""].domains, np.arange(len(sets[""]))
    images, with_image = None, np.zeros(len(numbers_N), bool)
    if config.vision.image_size:
        stored = RowImages(data / "images" / "held_out")
        images, with_image = stored.read(numbers_N), stored.image_of >= 0
    return HeldOut(
        [name for name, (start, stop) in tasks.items() for _ in range(start, stop)],
        [_scored(**one) for one in _samples(data, "held_out", ("answer", "check"))],
        {suffix: rows.read(numbers_N).astype(np.int32) for suffix, rows in sets.items()},
        images,
        with_image,
        np.array(
            [at < config.evaluation.rows for start, stop in tasks.values() for at in range(stop - start)], bool
        ),
    )


def _scored(answer: str, check: str) -> dict[str, Any]:
    """A sample as `scoring.score` reads it, from a row of samples.parquet."""
    return {"conversations": [{"from": "gpt", "value": answer}], "check": json.loads(check or "null")}


def _samples(data: Path, split: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Columns of one split's rows of samples.parquet, in the order of the file."""
    for batch in pq.ParquetFile(data / "samples.parquet").iter_batches(columns=["split", *columns]):
        yield from (entry for entry in batch.to_pylist() if entry.pop("split") == split)


def inputs(config: Config, data: Path) -> list[Any]:
    """Everything that the scores of a checkpoint depend on, besides its weights."""
    files = [data / "rows" / name / "rows.json" for name in FORMS.values()]
    files += [data / "samples.parquet", data / "tokenizer.json"]
    files += [data / "images" / "held_out" / "images.json"] if config.vision.image_size else []
    return [VERSION, determined(config, Determines.EVALUATION), *map(hash_file, files)]
