"""Scores of answers are what a hand computation says, whatever the model."""

import math

import numpy as np
import pytest

from bench_shadows.data.samples.sample import Sample
from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID, IMAGE_ID, USER_ID
from bench_shadows.evaluation.answers import chance_rows, count_answers, last_question, loss_rows, match_rows

NAMES = ["multimodal/ocr", "multimodal/ocr", "multimodal/counting", "language/sums"]
NATS = np.array([2.0, 4.0, 1.0, 9.0])
TOKENS = np.array([1, 3, 1, 3])
RIGHT = np.array([True, False, True, False])


def values(rows: object) -> dict[tuple[str, str, str], tuple[float | None, int]]:
    """(suite, task, metric) -> (value, count)."""
    return {(row["suite"], row["task"], row["metric"]): (row["value"], row["count"]) for row in rows}  # type: ignore[attr-defined]


def sample(said: str, **fields: object) -> Sample:
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": said}]
    return {"id": "s", "task": "t", "group": "language", "language": "en", "conversations": turns} | fields  # type: ignore[return-value]


def test_a_group_s_exact_match_is_the_mean_of_its_tasks_and_its_loss_that_of_its_tokens() -> None:
    found = values([*match_rows(NAMES, RIGHT), *loss_rows(NAMES, NATS, TOKENS)])
    assert found["tasks", "multimodal/ocr", "exact_match"] == (0.5, 2)
    assert found["tasks", "multimodal/counting", "exact_match"] == (1.0, 1)
    assert found["groups", "multimodal", "exact_match"] == (0.75, 3)  # of the samples it would be 2/3
    assert found["groups", "language", "exact_match"] == (0.0, 1)
    assert found["groups", "all", "exact_match"] == (pytest.approx(0.5), 4)  # of three tasks
    assert found["tasks", "multimodal/ocr", "answer_loss_nats_per_token"] == (6 / 4, 2)
    assert found["groups", "multimodal", "answer_loss_nats_per_token"] == (7 / 5, 3)
    assert found["groups", "all", "answer_loss_nats_per_token"] == (2.0, 4)


def test_a_suffix_names_the_suites_of_another_form() -> None:
    found = values([*match_rows(NAMES, RIGHT, "_repeated"), *loss_rows(NAMES, NATS, TOKENS, "_repeated")])
    assert {suite for suite, _, _ in found} == {"groups_repeated", "tasks_repeated"}
    assert found["groups_repeated", "all", "answer_loss_nats_per_token"] == (2.0, 4)


def test_a_loss_that_is_not_finite_is_missing() -> None:
    found = values(loss_rows(NAMES, np.array([math.nan, 0, 0, 0]), TOKENS))
    assert found["groups", "multimodal", "answer_loss_nats_per_token"] == (None, 3)
    assert found["groups", "language", "answer_loss_nats_per_token"] == (0.0, 1)


def test_of_no_samples_there_are_no_rows() -> None:
    empty = np.zeros(0)
    assert list(loss_rows([], empty, empty)) == list(match_rows([], empty)) == []


def test_the_last_answer_is_asked_for_behind_the_turns_before_it() -> None:
    turn = [USER_ID, 7, 8, ASSISTANT_ID, 9, END_ID]
    row = np.array([IMAGE_ID, IMAGE_ID, *turn, USER_ID, 10, ASSISTANT_ID, 11, 12, END_ID, END_ID, END_ID])
    asked = last_question(row)
    assert asked.prompt.tolist() == [IMAGE_ID, IMAGE_ID, *turn, USER_ID, 10, ASSISTANT_ID]
    assert asked.answer.tolist() == [11, 12]
    assert last_question(np.array([USER_ID, ASSISTANT_ID, END_ID])).answer.tolist() == []


def test_chance_is_the_commonest_training_answer_given_to_every_question() -> None:
    training = count_answers([("a/x", "Two"), ("a/x", "three"), ("a/x", "Two"), ("b/y", "red"), ("b/y", "blue")])
    held_out = [sample("two."), sample("three"), sample("two"), sample("red", check={"ends": "e"}), sample("?")]
    found = values(chance_rows(["a/x", "a/x", "a/x", "b/y", "c/z"], held_out, training))
    assert found["chance", "a/x", "exact_match"] == (pytest.approx(2 / 3), 3)
    assert found["chance", "b/y", "exact_match"] == (0.0, 1)  # "red" came first, and does not end so
    assert found["chance", "c/z", "exact_match"] == (None, 1)  # nobody knows an answer
