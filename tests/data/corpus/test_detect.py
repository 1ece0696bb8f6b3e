"""Exercises, code and languages are told apart where the data does not say."""

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.corpus import detect, languages
from bench_shadows.data.corpus.document import KINDS

PROSE = (
    "The river had risen in the night, and the road to the mill lay under water. We waited for the carrier until "
    "noon; when he came at last he had no letters for us, and we went home by the hill without a word.\n"
) * 3
DOCUMENTATION = (
    "The session keeps the objects that were loaded.\n\n.. versionadded:: 2.0\n\nCall :meth:`close` when the work "
    "is done::\n\n    session = Session(engine)\n    session.close()\n\nObjects that were loaded stay usable, but "
    "what has not been loaded yet cannot be had any more.\nSee also the chapter on transactions.\n"
)
PYTHON = '''import os


class Reader:
    """Reads lines."""

    def __init__(self, path):
        self.path = path

    def lines(self):
        with open(self.path) as file:
            for line in file:
                yield line.rstrip()


def main():
    for line in Reader(os.environ["NAME"]).lines():
        print(line)
'''
RUST = """use std::collections::HashMap;

fn count(words: &[&str]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in words {
        *counts.entry(word.to_string()).or_insert(0) += 1;
    }
    counts
}

fn main() {
    println!("{:?}", count(&["a", "b", "a"]));
}
"""

EXERCISES = {
    "questions and answers": "Q: What is the capital of France?\nA: Paris",
    "words": "Question: How many legs have three dogs?\nThink first.\nAnswer: 12",
    "numbers and marks": "**Problem 3.** Show that n is even.\n\n**Solution.** Suppose that it is not.",
    "instructions": "### Instruction:\nName three colours.\n\n### Response:\nRed, green, blue.",
    "choices in lines": "What do plants take in?\nA. Oxygen\nB. Carbon dioxide\nC. Helium\nD. Neon\nAnswer: B",
    "choices in a line": "The opposite of 'hot' is: (A) warm (B) cold (C) red (D) tall",
    "boxed": "Let x = 2. Then x + 2 = 4, so the sum is $\\boxed{4}$.",
    "word problems": "Ann has 3 apples and buys 39 more. How many has she?\nShe has 3 + 39 = 42.\n#### 42",
    "programming": "Find the largest of n numbers.\n\nInput\nn, then n integers.\n\nOutput\nOne integer.\n",
    "Chinese questions": "题目：小明有三个苹果，又买了两个，一共有几个？\n答案：五个",
    "Chinese choices": "下列哪一个是哺乳动物？（ ）\nA、鲸鱼\nB、鲨鱼\nC、青蛙\nD、蛇\n",
}
NO_EXERCISES = {
    "prose": PROSE,
    "documentation": DOCUMENTATION,
    "code": PYTHON,
    "a play": "ACT I\nFirst Lord: A question: who comes?\nSecond Lord: An answer will not come from me.",
    "headings": "A. Introduction\nThis chapter says what there is.\nB. Method\nAs before.\nC. Results\nNone.",
    "a question alone": "Question: what have the Romans ever done for us? Nobody knew.",
}


@pytest.mark.parametrize("text", EXERCISES.values(), ids=EXERCISES)
def test_exercises_are_known_by_their_form(text: str) -> None:
    assert detect.is_exercise(text)
    assert detect.is_exercise("Read with care.\n\n" + text + "\n")


@pytest.mark.parametrize("text", NO_EXERCISES.values(), ids=NO_EXERCISES)
def test_other_texts_are_no_exercises(text: str) -> None:
    assert not detect.is_exercise(text)


JAVASCRIPT = """const fs = require("fs");

module.exports = function (name) {
  return fs.readFileSync(name, "utf8").split("\\n");
};
"""


@pytest.mark.parametrize(("text", "language"), [(PYTHON, "python"), (JAVASCRIPT, "javascript")])
def test_code_of_the_commonest_languages_is_known_by_its_lines(text: str, language: str) -> None:
    assert detect.code(text) == detect.Code(True, language, "rules")


@pytest.mark.peers
def test_other_languages_are_found_by_magika() -> None:
    pytest.importorskip("magika")
    assert detect.code(RUST) == detect.Code(True, "rust", "magika")


def test_text_is_no_code() -> None:
    assert not detect.code(PROSE).is_code
    assert not detect.code(DOCUMENTATION).is_code


def test_without_magika_rules_tell_code_and_the_language_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "magika", None)  # importing it raises ImportError
    detect._magika.cache_clear()
    try:
        assert detect.code(PYTHON) == detect.Code(True, "python", "rules")
        assert detect.code(RUST) == detect.Code(True, detect.UNKNOWN, "rules")
        assert not detect.code(PROSE).is_code
        assert detect.code("Not like code at all.", certain=True) == detect.Code(True, detect.UNKNOWN, "rules")
    finally:
        detect._magika.cache_clear()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PROSE, "en"),
        ("Once upon a time.", "en"),
        ("1234 !?", "en"),
        ("从前有一座山，山上有一座庙。", "zh"),
        ("Hello 你好", "zh"),
        ("The word 道 stands for the way, and for much besides.", "en"),
        ("昔々あるところに、おじいさんとおばあさんがいました。", "ja"),
        ("옛날 옛적에 호랑이가 담배 피우던 시절에", "ko"),
        ("Es war einmal ein König, der hatte drei Töchter, und die jüngste war die schönste.", "de"),
        ("Había una vez un rey que tenía tres hijas, y la más joven era la más hermosa.", "es"),
        ("Жил-был старик со своею старухой у самого синего моря.", "ru"),
    ],
)
def test_natural_languages_are_known_by_script_and_words(text: str, language: str) -> None:
    assert detect.natural_language(text) == language
    assert detect.natural_language(f"{text}\n\n" * 40) == language


@settings(deadline=None)
@given(st.text())
def test_whatever_the_text_there_is_an_answer(text: str) -> None:
    assert isinstance(detect.is_exercise(text), bool)
    assert math.isfinite(detect.codeness(text))
    assert languages.natural(detect.natural_language(text))


def test_a_long_text_is_looked_at_in_part_only() -> None:
    long = PROSE * 20_000
    assert detect.natural_language(long) == "en"
    assert not detect.is_exercise(long)
    assert not detect.code(long).is_code


@pytest.mark.parametrize(
    ("name", "natural", "code"),
    [
        ("en", "en", "en"),
        ("EN-us", "en", "en-us"),
        ("pt_BR", "pt", "pt_br"),
        ("zho", "zh", "zho"),
        ("cmn", "zh", "cmn"),
        ("Python", None, "python"),
        ("py", None, "python"),
        ("C++", None, "cpp"),
        ("Emacs Lisp", None, "emacs-lisp"),
        ("R", None, "r"),
        ("Visual Basic .NET", None, None),
        ("", None, None),
        ("???", None, None),
    ],
)
def test_names_of_languages_are_made_one(name: str, natural: str | None, code: str | None) -> None:
    assert languages.natural(name) == natural
    if code:
        assert languages.of_code(name) == code


def test_a_name_of_two_letters_is_spoken() -> None:
    assert languages.is_spoken("cs")
    assert languages.is_spoken("eng")
    assert not languages.is_spoken("lua")
    assert not languages.is_spoken("python")


def test_every_ending_of_code_has_a_language_that_pygments_reads() -> None:
    assert all(languages.programming(language) for language in languages.CODE_ENDINGS.values())
    assert set(KINDS) == {"text", "exercise", "code"}
