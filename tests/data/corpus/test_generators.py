"""Our generators: answers that are right, sets that are disjoint, exercises that no training text has."""

import json
import random
import runpy
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from bench_shadows.data.corpus.builtin.exercises import (
    BROAD,
    EVALUATION_SEED,
    NARROW,
    Exercise,
    corpus_documents,
    corpus_questions,
    evaluation_exercises,
    reasoning_gym_exercises,
)
from bench_shadows.data.rewriting.rules.rules import rewrite

EVERY = {**NARROW, **BROAD}


def numbers(text: str) -> list[int]:
    return [
        int(word) for word in text.replace(",", " ").replace("?", " ").replace(".", " ").split() if word.isdigit()
    ]


def solved(name: str, question: str) -> str:
    """The answer, from the words of the question alone."""
    found, words = numbers(question), question.rstrip("?.").split()
    match name:
        case "addition":
            return str(sum(found))
        case "subtraction":
            return str(found[0] - found[1])
        case "larger":
            return str(max(found))
        case "between":
            return str(next(x for x in found if min(found) < x < max(found)))
        case "sort":
            return ", ".join(map(str, sorted(found)))
        case "parity":
            return ["even", "odd"][found[0] % 2]
        case "divides":
            return "yes" if Fraction(found[1], found[0]).denominator == 1 else "no"
        case "continue_sequence":
            return str(2 * found[3] - found[2])
        case "reverse":
            return "".join(reversed(words[3]))
        case "count_letter":
            return str(sum(letter == words[6] for letter in words[-1]))
        case "initials":
            return "".join(word[0] for word in words[7:])
        case "count_words":
            return str(len(words) - 5)
    raise AssertionError(name)


@pytest.mark.parametrize("name", EVERY)
def test_the_answer_is_the_right_one(name: str) -> None:
    draw = random.Random(1)
    for _ in range(200):
        question, answer = EVERY[name](draw)
        assert solved(name, question) == answer, question


def test_narrow_and_broad_generators_are_disjoint_and_the_corpus_has_the_narrow_ones_alone() -> None:
    assert not NARROW.keys() & BROAD.keys()
    text = "\n\n".join(document.text for document in corpus_documents(30))
    marks = {
        **{"addition": " + ", "larger": "is larger", "sort": "Sort", "parity": "even or odd"},
        **{"reverse": "backwards", "count_letter": "the letter", "subtraction": " - ", "between": "lies between"},
        **{"continue_sequence": "comes next", "divides": "divide", "initials": "first letters"},
        **{"count_words": "How many words"},
    }
    assert marks.keys() == EVERY.keys()
    for name, mark in marks.items():
        assert mark in EVERY[name](random.Random(0))[0]
        assert (mark in text) == (name in NARROW), name


def test_documents_are_always_the_same_and_condition_d_keeps_them() -> None:
    documents = list(corpus_documents(5))
    assert documents == list(corpus_documents(5)) == list(corpus_documents(9))[:5]
    assert len({document.id for document in documents}) == 5
    assert all(3000 <= len(document.text) < 3200 for document in documents)
    assert [rewrite(document) for document in documents] == documents


def test_no_exercise_of_the_evaluation_stands_in_the_corpus_or_twice() -> None:
    known = corpus_questions(200)
    text = "\n\n".join(document.text for document in corpus_documents(200))
    for name in EVERY:
        asked = evaluation_exercises(name, 100, seed=0, known=known)
        assert len({one.question for one in asked}) == 100
        assert not any(one.prompt in text for one in asked)
        assert asked[:10] == evaluation_exercises(name, 10, seed=0, known=known)
        assert asked != evaluation_exercises(name, 100, seed=1, known=known)


def test_a_prompt_is_the_text_without_its_answer() -> None:
    exercise = Exercise("addition", "What is 1 + 1?", "2")
    assert exercise.prompt + " 2" == exercise.text == "Question: What is 1 + 1?\nAnswer: 2"


@pytest.mark.peers
def test_reasoning_gym_gives_its_own_exercises_by_name_and_seed() -> None:
    pytest.importorskip("reasoning_gym")
    made = reasoning_gym_exercises("chain_sum", 5, seed=3)
    assert made == reasoning_gym_exercises("chain_sum", 9, seed=3)[:5]
    assert made != reasoning_gym_exercises("chain_sum", 5, seed=4)
    for exercise in made:
        problem = exercise.question.split(":")[1].rstrip(" =")
        total, sign = 0, 1
        for word in problem.split():
            if word in "+-":
                sign = 1 if word == "+" else -1
            else:
                total += sign * int(word)
        assert str(total) == exercise.answer


@pytest.mark.peers
def test_the_script_writes_training_text_that_is_read_as_exercises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("reasoning_gym")
    out = tmp_path / "exercises.jsonl"
    script = Path(__file__).parents[3] / "scripts" / "make_exercises.py"
    options = ["--generators=chain_sum,letter_counting", "--count=60", f"--out={out}"]
    monkeypatch.setattr(sys, "argv", [str(script), *options])
    runpy.run_path(str(script), run_name="__main__")
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {record["kind"] for record in records} == {"exercise"}
    text = "\n\n".join(record["text"] for record in records)
    assert text.count("Question: ") == text.count("\nAnswer: ") == 120
    asked = reasoning_gym_exercises("chain_sum", 60, EVALUATION_SEED)
    assert not any(exercise.prompt in text for exercise in asked)
