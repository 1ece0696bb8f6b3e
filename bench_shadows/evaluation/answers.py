"""Answers to held-out samples: how likely the right one is, and whether the model gives it.

Scores are exact or verifiable (`data.samples.scoring`), never a judge's. Suite `tasks` has a task by itself, as
`documents/table`; suite `groups` the groups of the paper's Table 3 and `all`. A group's exact match is the mean of
its tasks', as the paper averages benchmarks (appendix A.2); its loss is that of all its tokens.

`chance` is what somebody gets who never looks: who gives a task's commonest answer in training to every question.

Letters: N samples, T positions of a row.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench_shadows.data.samples.scoring import score
from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID
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


def loss_rows(names_N: Sequence[str], nats_N: np.ndarray, tokens_N: np.ndarray, suffix: str = "") -> Iterator[Row]:
    """Loss of the answers by group and task; `count` is samples.

    Args:
      names_N: `GROUP/TASK` of each sample.
      nats_N: -log likelihood of its answers, float64.
      tokens_N: tokens of its answers, their ends among them.
      suffix: of the suites' names.
    """
    for suite, name, tasks in _sets(names_N):
        mine = np.isin(names_N, tasks)
        loss = nats_N[mine].sum() / tokens_N[mine].sum()
        yield row(suite + suffix, name, "answer_loss_nats_per_token", loss, int(mine.sum()))


def match_rows(names_N: Sequence[str], right_N: np.ndarray, suffix: str = "") -> Iterator[Row]:
    """Exact match by group and task, from whether each sample's last answer was given; `count` is samples."""
    shares = {task: float(right_N[np.array(names_N) == task].mean()) for task in dict.fromkeys(names_N)}
    for suite, name, tasks in _sets(names_N):
        count = int(np.isin(names_N, tasks).sum())
        yield row(suite + suffix, name, "exact_match", statistics.fmean(shares[task] for task in tasks), count)


def _sets(names_N: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(suite, its task, `GROUP/TASK` of all samples that belong to it)."""
    tasks = list(dict.fromkeys(names_N))
    groups = {ALL: tasks} if tasks else {}
    for task in tasks:
        group = task.split("/")[0]
        groups[group] = [*groups.get(group, []), task]
    yield from (("groups", group, its) for group, its in groups.items())
    yield from (("tasks", task, [task]) for task in tasks)


def chance_rows(names_N: Sequence[str], samples_N: Sequence[Mapping[str, Any]], training: Counts) -> Iterator[Row]:
    """Rows of the suite `chance`: exact match where every question of a task gets its commonest training answer.

    Args:
      names_N: `GROUP/TASK` of each held-out sample.
      samples_N: the held-out samples, as `scoring.score` reads them.
      training: how often each answer stands in training, by task; of equally common ones the first is given. A
        task that has none has no value.
    """
    for task in dict.fromkeys(names_N):
        mine = [sample for name, sample in zip(names_N, samples_N, strict=True) if name == task]
        commonest = training.get(task, Counter()).most_common(1)
        right = [score(sample, text) for text, _ in commonest for sample in mine]
        yield row("chance", task, "exact_match", float(np.mean(right)) if right else math.nan, len(mine))


def count_answers(samples: Iterable[tuple[str, str]]) -> Counts:
    """Answers by task, from (`GROUP/TASK`, answer)."""
    counts: Counts = {}
    for name, text in samples:
        counts.setdefault(name, Counter())[text] += 1
    return counts
