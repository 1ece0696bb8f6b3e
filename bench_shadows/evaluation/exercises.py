"""Exercises that look like the training text's, and others: the right answer's loss, and whether it is given.

`narrow` generators have exercises in the training text, `broad` ones have none there; no exercise that is asked
stands in it. What is generated greedily after "Answer:" is the reply, as many lines of it as the answer has.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from bench_shadows.config import EvaluationConfig
from bench_shadows.data.corpus.builtin import exercises
from bench_shadows.data.corpus.builtin.exercises import Exercise
from bench_shadows.data.rows.tokenizer import Tokenizer
from bench_shadows.evaluation.table import Row, row

KINDS = ("narrow", "broad")
SPARE = 2
"""Tokens that are generated beyond the longest answer, so that a reply that goes on is seen to be another."""


class Question(NamedTuple):
    """An exercise and the set that it belongs to."""

    kind: str
    exercise: Exercise


class Encoded(NamedTuple):
    """A question as token ids, as at the beginning of a document."""

    prompt: np.ndarray
    answer: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """Prompt and answer."""
        return np.concatenate([self.prompt, self.answer])


def make_questions(config: EvaluationConfig, documents: int, seed: int) -> list[Question]:
    """`config.exercises` exercises of every generator, the narrow ones first; of reasoning-gym where it is named.

    Args:
      documents: of exercises in the built-in corpus, whose questions are not asked.
      seed: the data's.
    Raises:
      ConfigError: reasoning-gym is named and not installed, or has no such generator.
    """
    generators: tuple[Iterable[str], ...] = (config.narrow, config.broad)
    make = partial(exercises.reasoning_gym_exercises, seed=exercises.EVALUATION_SEED + seed)
    if not config.narrow:
        generators, known = (exercises.NARROW, exercises.BROAD), exercises.corpus_questions(documents)
        make = partial(exercises.evaluation_exercises, seed=seed, known=known)
    return [
        Question(kind, exercise)
        for kind, names in zip(KINDS, generators, strict=True)
        for name in names
        for exercise in make(name, count=config.exercises)
    ]


def encode(questions: Sequence[Question], tokenizer: Tokenizer) -> list[Encoded]:
    """Token ids of prompts and answers, encoded apart."""
    prompts = tokenizer.encode_alone([question.exercise.prompt for question in questions])
    answers = tokenizer.encode_behind([f" {question.exercise.answer}" for question in questions])
    return [Encoded(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def is_right(exercise: Exercise, reply: str) -> bool:
    """Whether a reply begins with exactly the answer and then a line's end; white space around it is no matter."""
    lines = exercise.answer.strip().split("\n")
    return [line.rstrip() for line in reply.strip().split("\n")[: len(lines)]] == [line.rstrip() for line in lines]


def exercise_rows(
    questions: Sequence[Question], nats_Q: np.ndarray, tokens_Q: np.ndarray, right_Q: np.ndarray
) -> Iterator[Row]:
    """Rows of evaluation.parquet for both sets and each generator; `count` is exercises.

    Args:
      nats_Q: -log likelihood of each answer.
      tokens_Q: tokens of each answer.
      right_Q: whether the greedy reply is the answer.
    """
    tasks = np.array([question.kind for question in questions])
    names = np.array([f"{question.kind}/{question.exercise.generator}" for question in questions])
    for task in (*KINDS, *dict.fromkeys(names.tolist())):
        chosen = (tasks == task) | (names == task)
        count, tokens = int(chosen.sum()), int(tokens_Q[chosen].sum())
        share = right_Q[chosen].mean() if count else math.nan
        yield row("exercises", task, "exact_match", share, count)
        loss = nats_Q[chosen].sum() / max(tokens, 1)
        yield row("exercises", task, "answer_loss_nats_per_token", loss, count)
