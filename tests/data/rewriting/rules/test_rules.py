"""The built-in teacher narrows text and code, leaves exercises and what carries meaning, and is deterministic."""

import ast
import dataclasses
import email
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rules.rules import rewrite, rewrite_counted


def document(text: str, language: str = "en", kind: str = "text") -> Document:
    return Document("id", text, "domain", language, kind, "source")


def rewritten(text: str, language: str = "en", kind: str = "text") -> str:
    return rewrite(document(text, language, kind)).text


CODE = [
    path.read_text(encoding="utf-8") for part in (json, email) for path in Path(part.__file__).parent.glob("*.py")
]


def test_chinese_is_simplified_and_its_signs_are_canonical() -> None:
    assert rewritten("這裡很好,１２３ＡＢ!!! 我  们去", "zh") == "这里很好，123AB! 我们去\n"


def test_a_rare_chinese_word_becomes_a_frequent_one_inside_it() -> None:
    result = rewrite_counted(document("服务员很好", "zh"))
    assert result.document.text == "服务很好\n"
    assert (result.words, result.changed) == (3, 1)


def test_code_gets_canonical_names_and_layout_and_loses_comments() -> None:
    code = (
        "import os\n# why\ndef area( width, w2 ):\n\tif width:  # no\n\t\treturn os.path.join(width, w2)"
        "\n\n\n\nx='a  b'\n"
    )
    expected = "import os\n\ndef v1( v2, v3 ):\n    if v2:\n        return os.path.join(v2, v3)\n\nv4='a  b'\n"
    assert rewritten(code, "python", "code") == expected


def test_members_of_the_object_itself_are_own_names_and_those_of_others_are_not() -> None:
    code = "class A(B):\n    def m(self, a):\n        self.size = a.length\n"
    assert (
        rewritten(code, "python", "code") == "class v1(v2):\n    def v3(self, v4):\n        self.v5 = v4.length\n"
    )


def test_strings_over_several_lines_keep_their_layout() -> None:
    text = '"""Doc\n\n\n   deep\t x\n"""\n'
    assert rewritten(text, "python", "code") == text


@pytest.mark.parametrize(("language", "code"), [
    ("c", "#include <a.h>\nint f(int n) {\n    return n->m; /* c */\n}\n"),
    ("javascript", "const f = (n) => { return this.m + n.k; } // c\n"),
    ("ruby", "def f(n) # c\n  @m = n\nend\n"),
    ("php", "<?php $n = $this->m; // c\n?>\n"),
    ("haskell", "f n = n -- c\n"),
])  # fmt: skip
def test_every_language_with_a_lexer_is_rewritten(language: str, code: str) -> None:
    result = rewrite_counted(document(code, language, "code"))
    assert result.outcome == "canonical code"
    assert result.changed >= 1
    assert not re.search(r"\bc\b", result.document.text)


def test_python_is_still_python_afterwards() -> None:
    for code in CODE:
        ast.parse(rewritten(code, "python", "code"))


def test_code_in_a_language_without_lexer_is_kept_and_said() -> None:
    result = rewrite_counted(document("x  y", "no-such-language", "code"))
    assert result.document.text == "x  y"
    assert result.outcome == "no lexer"


def test_what_would_come_out_empty_is_kept_and_said() -> None:
    result = rewrite_counted(document("# only a comment\n", "python", "code"))
    assert result.document.text == "# only a comment\n"
    assert result.outcome == "nothing left"


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1))
def test_exercises_stay_byte_for_byte(text: str) -> None:
    assert rewrite_counted(document(text, kind="exercise"))[:2] == (document(text, kind="exercise"), "exercise")


@settings(max_examples=150, deadline=None)
@given(
    st.text(min_size=1) | st.text("的一是人，。,!? 這aB'\n", min_size=1),
    st.sampled_from([("en", "text"), ("zh", "text"), ("fr", "text"), ("python", "code"), ("c", "code")]),
)
def test_any_text_is_rewritten_always_the_same_and_little_else_changes(text: str, kind: tuple[str, str]) -> None:
    before = document(text, *kind)
    after = rewrite(before)
    assert after.text
    assert rewrite(before) == after
    assert after == dataclasses.replace(before, text=after.text)
