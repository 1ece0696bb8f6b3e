"""Exact match and the answers' loss, of models whose replies are known."""

import math

import numpy as np
import pytest

from bench_shadows.config import EvaluationConfig
from bench_shadows.data.corpus.builtin.exercises import BROAD, NARROW, Exercise
from bench_shadows.data.rows.tokenizer import Tokenizer, train_bpe
from bench_shadows.errors import ConfigError
from bench_shadows.evaluation.exercises import Question, encode, exercise_rows, is_right, make_questions


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["Question: What is 12 + 34?\nAnswer: 46\n\n" * 20], 260)


def test_each_generator_asks_as_many_questions_as_the_config_says() -> None:
    questions = make_questions(EvaluationConfig(exercises=3), documents=2, seed=0)
    assert len(questions) == 3 * (len(NARROW) + len(BROAD))
    assert {one.exercise.generator for one in questions if one.kind == "narrow"} == set(NARROW)
    assert {one.exercise.generator for one in questions if one.kind == "broad"} == set(BROAD)
    assert questions == make_questions(EvaluationConfig(exercises=3), documents=2, seed=0)


def test_prompt_and_answer_together_are_the_text_as_a_document_has_it(tokenizer: Tokenizer) -> None:
    questions = make_questions(EvaluationConfig(exercises=2), documents=0, seed=0)
    texts = tokenizer.encode_batch([one.exercise.text for one in questions])
    for question, encoded, ids in zip(questions, encode(questions, tokenizer), texts, strict=True):
        assert encoded.prompt[0] == tokenizer.end_of_text
        assert encoded.whole[1:].tolist() == ids.tolist()
        assert tokenizer.decode(encoded.answer) == f" {question.exercise.answer}"


@pytest.mark.parametrize(
    ("answer", "reply", "right"),
    [
        ("46", " 46\n\nQuestion: What", True),
        ("46", " 46", True),
        ("46", " 467\n", False),
        ("46", " 46 apples\n", False),
        ("46", "", False),
        ("1 2\n3 4", " 1 2 \n3 4\n5 6", True),
        ("1 2\n3 4", " 1 2\n", False),
    ],
)
def test_a_reply_is_right_up_to_its_line_end(answer: str, reply: str, right: bool) -> None:
    assert is_right(Exercise("any", "?", answer), reply) is right


def test_scores_of_both_sets_and_of_each_generator_by_hand() -> None:
    kinds = [("narrow", "addition"), ("narrow", "sort"), ("broad", "initials")]
    questions = [Question(kind, Exercise(name, "?", "!")) for kind, name in kinds]
    rows = exercise_rows(questions, np.array([2.0, 4.0, 9.0]), np.array([1, 3, 2]), np.array([True, False, False]))
    values = {(row["task"], row["metric"]): (row["value"], row["count"]) for row in rows}
    assert values["narrow", "exact_match"] == (0.5, 2)
    assert values["narrow", "answer_loss_nats_per_token"] == (6 / 4, 2)
    assert values["narrow/addition", "exact_match"] == (1.0, 1)
    assert values["narrow/sort", "answer_loss_nats_per_token"] == (4 / 3, 1)
    assert values["broad", "exact_match"] == (0.0, 1) == values["broad/initials", "exact_match"]
    assert values["broad", "answer_loss_nats_per_token"] == (4.5, 1)


def test_where_no_exercise_fits_there_is_no_value() -> None:
    empty = np.zeros(0)
    rows = list(exercise_rows([], empty, empty.astype(int), empty.astype(bool)))
    assert {row["task"] for row in rows} == {"narrow", "broad"}
    assert all(row["value"] is None and row["count"] == 0 for row in rows)
    assert not any(math.isnan(row["count"]) for row in rows)


def test_without_reasoning_gym_its_generators_cannot_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(ConfigError, match="extra `exercises`"):
        make_questions(EvaluationConfig(narrow=("chain_sum",), broad=("maze",)), documents=0, seed=0)


@pytest.mark.peers
def test_reasoning_gym_has_no_generator_of_that_name() -> None:
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ConfigError, match="no generator 'chains'"):
        make_questions(EvaluationConfig(narrow=("chains",), broad=("maze",)), documents=0, seed=0)
