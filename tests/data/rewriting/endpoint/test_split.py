"""A document longer than the teacher's context is cut where it hurts least; the pieces are the document."""

from itertools import pairwise
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.data.rewriting.endpoint.split import split

TEXTS = st.text(alphabet=st.sampled_from("ab. \n\t。中文😀!?\r\u2028")) | st.text()


@given(TEXTS, st.sampled_from(["text", "exercise", "code"]), st.integers(4, 60))
def test_the_pieces_together_are_the_document_and_none_is_too_long(text: str, kind: str, longest: int) -> None:
    pieces = split(text, kind, "python", longest)
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= longest for piece in pieces)


@given(st.lists(st.text(alphabet="ab \n", min_size=1), min_size=1), st.integers(4, 60))
def test_there_are_no_more_pieces_than_twice_what_would_do(paragraphs: list[str], longest: int) -> None:
    pieces = split("\n\n".join(paragraphs), "text", "en", longest)
    assert all(len(a) + len(b) > longest / 4 for a, b in pairwise(pieces))


def test_text_is_cut_between_paragraphs_where_they_fit() -> None:
    paragraphs = [f"Paragraph {n}. It has two sentences.\n\n" for n in range(20)]
    pieces = split("".join(paragraphs), "text", "en", 100)
    assert len(pieces) > 5
    assert all(piece.startswith("Paragraph") and piece.endswith(".\n\n") for piece in pieces)


def test_a_long_paragraph_is_cut_between_sentences_and_a_long_sentence_between_words() -> None:
    pieces = split("One two. Three four! 五六。七八九。" + "word " * 20, "text", "en", 24)
    assert pieces[:2] == ["One two. Three four! ", "五六。七八九。"]
    assert all(piece.endswith("word ") for piece in pieces[2:])


def test_code_is_cut_between_definitions_not_within_strings_that_look_like_them() -> None:
    function = 'def f{n}():\n    """Doc.\n\ndef not_a_function():\n    """\n\n    return 1\n\n\n'
    decorated = "# about it\n@cached\n" + function
    code = "".join((decorated if n % 2 else function).replace("{n}", str(n)) for n in range(30))
    pieces = split(code, "code", "python", 200)
    assert len(pieces) > 10
    for piece in pieces:
        compile(piece, "piece", "exec")
        assert piece.startswith(("def f", "# about it\n@cached"))


@pytest.mark.parametrize("language", ["javascript", "c", "rust", "java", "html+django", "no-such-language"])
def test_code_of_any_language_is_cut_and_joined(language: str) -> None:
    text = topics["class"]
    assert "".join(split(text, "code", language, 300)) == text


def test_a_line_of_megabytes_is_cut() -> None:
    pieces = split("x" * 4_000_000, "text", "en", 20_000)
    assert len(pieces) == 200
