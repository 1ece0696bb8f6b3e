"""All suites of a run: what is made once from its data, and the rows that they give for one checkpoint.

What is made lies in RUN/data/evaluation/, to be read by people too, with the hash of what it was made from: all
checkpoints are asked the same.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq

from bench_shadows.config import Config, determined
from bench_shadows.data.corpus.builtin.builtin import exercise_documents
from bench_shadows.data.corpus.builtin.exercises import Exercise
from bench_shadows.data.corpus.document import FIELDS, Document
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.data.statistics.statistics import frequency_deciles
from bench_shadows.declared import Determines
from bench_shadows.evaluation.canonical import FORMS, Passage, canonical_rows, make_passages
from bench_shadows.evaluation.exercises import SPARE, Question, encode, exercise_rows, is_right, make_questions
from bench_shadows.evaluation.harness import task_rows
from bench_shadows.evaluation.likelihood import build_losses, likelihood_rows, sequence_losses
from bench_shadows.evaluation.rare_words import (
    Text,
    count_words,
    make_pairs,
    pairs_from_json,
    rare_word_rows,
)
from bench_shadows.evaluation.table import Row
from bench_shadows.files import hash_file, hash_json, read_json, write_json
from bench_shadows.model.generation import build_generate
from bench_shadows.progress import say

Suite = Callable[[Mapping[str, Any]], Iterator[Row]]
"""Parameters -> rows of the table."""
VERSION = 4
"""Of what the suites ask of the same data and what they make of the answers; raised with every change to it."""


class Suites:
    """The evaluations of one run folder."""

    def __init__(self, config: Config, folder: Path):
        self.config, self.data = config, folder / "data"
        self.tokenizer = load_run_tokenizer(config, self.data)
        self.losses = build_losses(config)
        self._suites = [self._likelihood(), self._rare_words(), self._canonical(), self._exercises()]

    def rows(self, params: Mapping[str, Any], last: bool = False) -> Iterator[Row]:
        """As `kinds.kind.Suites` has it; the last checkpoint of a run is asked lm-eval's tasks, too."""
        on_device = jax.device_put(params)
        rows = itertools.chain.from_iterable(suite(on_device) for suite in self._suites)
        tasks = self.config.evaluation.tasks if last else ()
        return itertools.chain(rows, task_rows(on_device, self.config, self.tokenizer, tasks))

    def _likelihood(self) -> Suite:
        held_out = RowSet(self.data / "rows" / "held_out")
        domains = {
            domain: np.arange(start, min(stop, start + self.config.evaluation.rows))
            for domain, (start, stop) in held_out.domains.items()
        }
        rows_NxT = held_out.read(np.concatenate(list(domains.values())))
        domains_N = np.repeat(list(domains), [len(indices) for indices in domains.values()])
        deciles_V = frequency_deciles(np.load(self.data / "token_counts.npy"))
        bytes_NxT = self.tokenizer.bytes_of(rows_NxT)
        masked = self.config.train.mask_documents
        losses = build_losses(self.config, self.tokenizer.start) if masked else self.losses
        return lambda params: likelihood_rows(losses(params, rows_NxT), rows_NxT, domains_N, bytes_NxT, deciles_V)

    def _rare_words(self) -> Suite:
        pairs = pairs_from_json(self._made("rare_words", self._make_pairs))
        sequences = self._sequences([text for pair in pairs for text in (*pair.true, *pair.swapped)])

        def rows(params: Mapping[str, Any]) -> Iterator[Row]:
            found = sequence_losses(self.losses, params, sequences, self.tokenizer.end_of_text)
            nats = np.array([one.astype(np.float64).sum() for one in found])
            return rare_word_rows(pairs, nats.reshape(len(pairs), 4))

        return rows

    def _make_pairs(self) -> list[dict[str, Any]]:
        texts = [Text(one.text, one.domain, one.language) for one in self._held_out() if one.kind == "text"]
        counts = count_words(self.data / "documents.parquet")
        wanted = self.config.evaluation.rare_word_pairs
        pairs = make_pairs(texts, counts, wanted, self.config.data.seed)
        if len(pairs) < wanted:
            say(f"evaluate: the held-out text has {len(pairs)} of {wanted} pairs of rare words")
        return [pair._asdict() for pair in pairs]

    def _canonical(self) -> Suite:
        passages = [Passage(**entry) for entry in self._made("canonical", self._make_passages)]
        sequences = {form: self._sequences([getattr(one, form) for one in passages]) for form in FORMS}
        every = [*itertools.chain(*sequences.values())]
        lengths = [self.tokenizer.bytes_of(one)[1:] for one in every]
        sizes = [int(one.sum()) for one in lengths]

        def rows(params: Mapping[str, Any]) -> Iterator[Row]:
            found = sequence_losses(self.losses, params, every, self.tokenizer.end_of_text)
            of_text = [losses[own > 0] for losses, own in zip(found, lengths, strict=True)]
            count = len(passages)
            bytes_ = {form: sum(some) for form, some in zip(FORMS, (sizes[:count], sizes[count:]), strict=True)}
            return canonical_rows(dict(zip(FORMS, (of_text[:count], of_text[count:]), strict=True)), bytes_)

        return rows

    def _make_passages(self) -> list[dict[str, Any]]:
        evaluation, data = self.config.evaluation, self.config.data
        passages = make_passages(self._held_out(), data.seq_len, evaluation.passages, data.seed)
        return [passage._asdict() for passage in passages]

    def _exercises(self) -> Suite:
        evaluation = self.config.evaluation
        if not evaluation.exercises:
            return lambda params: iter(())
        if not evaluation.narrow and "builtin" not in self.config.data.sources:
            say(
                "evaluate: no exercises are asked, for the built-in corpus is no source; config.evaluation.narrow "
                "and .broad can name reasoning-gym's generators"
            )
            return lambda params: iter(())
        made = self._made("exercises", self._make_questions)
        questions = [Question(entry["kind"], Exercise(**entry["exercise"])) for entry in made]
        pairs, seq_len = zip(questions, encode(questions, self.tokenizer), strict=True), self.config.data.seq_len
        fitting = [(question, one) for question, one in pairs if len(one.whole) + SPARE <= seq_len]
        asked, encoded = [question for question, _ in fitting], [one for _, one in fitting]
        if long := len(questions) - len(asked):
            what = f"{long} of {len(questions)} exercises are longer than a row of {seq_len} tokens"
            say(f"evaluate: {what} and are left out")
        tokens = np.array([len(one.answer) for one in encoded], np.int64)
        generate, end = build_generate(self.config.model), self.tokenizer.end_of_text

        def rows(params: Mapping[str, Any]) -> Iterator[Row]:
            found = sequence_losses(self.losses, params, [one.whole for one in encoded], end)
            answers = [losses[-len(one.answer) :] for losses, one in zip(found, encoded, strict=True)]
            nats = np.array([losses.astype(np.float64).sum() for losses in answers])
            longest = int(tokens.max(initial=0)) + SPARE
            replies = generate(params, [one.prompt for one in encoded], longest, end)
            right = [
                is_right(one.exercise, self.tokenizer.decode(reply))
                for one, reply in zip(asked, replies, strict=True)
            ]
            return exercise_rows(asked, nats, tokens, np.array(right, bool))

        return rows

    def _make_questions(self) -> list[dict[str, Any]]:
        questions = make_questions(self.config.evaluation, exercise_documents(), self.config.data.seed)
        return [{"kind": one.kind, "exercise": one.exercise._asdict()} for one in questions]

    def _sequences(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids as at the beginning of a document, cut to the row's length."""
        return [ids[: self.config.data.seq_len] for ids in self.tokenizer.encode_alone(texts)]

    def _held_out(self) -> list[Document]:
        """The run's held-out documents; they stand first in documents.parquet."""
        found: list[Document] = []
        for batch in pq.ParquetFile(self.data / "documents.parquet").iter_batches(256, columns=[*FIELDS, "split"]):
            entries = [entry for entry in batch.to_pylist() if entry.pop("split") == "held_out"]
            found += [Document(**entry) for entry in entries]
            if len(entries) < len(batch):
                break
        return found

    def _made(self, name: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The questions of a suite: those kept if they were made from the same, else made and kept."""
        path, made_from = self.data / "evaluation" / f"{name}.json", hash_json(inputs(self.config, self.data))
        if path.is_file() and (kept := read_json(path))["made_from"] == made_from:
            return kept["entries"]
        say(f"evaluate: making the suite {name}")
        entries = make()
        write_json(path, {"made_from": made_from, "entries": entries})
        return entries


def inputs(config: Config, data: Path) -> list[Any]:
    """Everything that the questions and the scores of a checkpoint depend on, besides its weights."""
    files = [data / "rows" / name / "rows.json" for name in ("held_out", "first", "second")]
    files += [data / "token_counts.npy", data / "tokenizer.json"]
    return [VERSION, determined(config, Determines.EVALUATION), *map(hash_file, files)]
