"""Answers to held-out samples: how likely the right one is, and whether the model gives it.

Scores are exact or verifiable (`data.vision.scoring`), never a judge's. Suite `tasks` has a task by itself, as
`documents/table`; suite `groups` the groups of the paper's Table 3 and `all`. A group's exact match is the mean of
its tasks', as the paper averages benchmarks (appendix A.2); its loss is that of all its tokens.

`chance` is what somebody gets who never looks: who gives a task's commonest answer in training to every question.

Letters: N samples, T positions of a row.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bench_shadows.data.vision.sample import ASSISTANT_ID, END_ID, Sample
from bench_shadows.data.vision.scoring import score
from bench_shadows.evaluation.table import Row, row

ALL = "all"
Counts = dict[str, Counter[str]]


class Question(NamedTuple):
    """A row cut in two: what the model is given, and the answer that it is to give, without its end."""

    prompt: np.ndarray
    answer: np.ndarray


def last_question(row_T: np.ndarray) -> Question:
    """The last turn's question, behind all turns before it as they stand.

    Args:
      row_T: token ids of a sample, padding included.
    """
    begin = int(np.flatnonzero(row_T == ASSISTANT_ID)[-1]) + 1
    length = int(np.argmax(row_T[begin:] == END_ID))
    return Question(row_T[:begin], row_T[begin : begin + length])


def answer_rows(
    names_N: Sequence[str],
    nats_N: np.ndarray,
    tokens_N: np.ndarray,
    right_N: np.ndarray | None,
    suffix: str = "",
) -> Iterator[Row]:
    """Rows of the suites `groups` and `tasks` of one checkpoint; `count` is samples.

    Args:
      names_N: `GROUP/TASK` of each sample.
      nats_N: -log likelihood of its answers, float64.
      tokens_N: tokens of its answers, their ends among them.
      right_N: whether its last answer was given, bool; None: nobody was asked, there is no exact match.
      suffix: of the suites' names.
    """
    samples = np.array(names_N)
    tasks = list(dict.fromkeys(names_N))
    members = {task: samples == task for task in tasks}
    shares = {task: right_N[mine].mean() for task, mine in members.items()} if right_N is not None else {}

    def of(suite: str, name: str, its: Sequence[str]) -> Iterator[Row]:
        mine = np.logical_or.reduce([members[task] for task in its])
        count, tokens = int(mine.sum()), int(tokens_N[mine].sum())
        if shares:
            yield row(suite + suffix, name, "exact_match", float(np.mean([shares[task] for task in its])), count)
        loss = nats_N[mine].sum() / tokens if tokens else math.nan
        yield row(suite + suffix, name, "answer_loss_nats_per_token", loss, count)

    groups: dict[str, list[str]] = {ALL: tasks} if tasks else {}
    for task in tasks:
        groups.setdefault(task.split("/")[0], []).append(task)
    for group, its in groups.items():
        yield from of("groups", group, its)
    for task in tasks:
        yield from of("tasks", task, [task])


def chance_rows(names_N: Sequence[str], samples_N: Sequence[Sample], training: Counts) -> Iterator[Row]:
    """Rows of the suite `chance`: exact match where every question of a task gets its commonest training answer.

    Args:
      names_N: `GROUP/TASK` of each held-out sample.
      samples_N: the held-out samples.
      training: how often each answer stands in training, by task; of equally common ones the first is given. A
        task that has none has no value.
    """
    for task in dict.fromkeys(names_N):
        mine = [sample for name, sample in zip(names_N, samples_N, strict=True) if name == task]
        [commonest] = [text for text, _ in training.get(task, Counter()).most_common(1)] or [None]
        right = [score(sample, commonest) for sample in mine] if commonest is not None else [math.nan]
        yield row("chance", task, "exact_match", float(np.mean(right)), len(mine))


def count_answers(samples: Iterable[tuple[str, str]]) -> Counts:
    """Answers by task, from (`GROUP/TASK`, answer)."""
    counts: Counts = {}
    for name, text in samples:
        counts.setdefault(name, Counter())[text] += 1
    return counts
