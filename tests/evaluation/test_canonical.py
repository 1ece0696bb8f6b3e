"""The same held-out passages in two forms, and bits per byte that can be checked by hand."""

import math

import numpy as np
import pytest

from bench_shadows.data.corpus.document import Document
from bench_shadows.evaluation.canonical import canonical_rows, make_passages

ENGLISH = "The weary travellers perceived a colossal edifice, and they hastened towards the illuminated portal.\n"
PYTHON = "def area(width, height):\n    # of a rectangle\n    total = width * height\n    return total\n"


def document(number: int, text: str, domain: str, kind: str, language: str) -> Document:
    return Document(f"d{number}", text, domain, language, kind, "test")


DOCUMENTS = [document(n, f"Chapter {n}. " + ENGLISH * 8, "prose", "text", "en") for n in range(6)]
DOCUMENTS += [document(n, PYTHON * 3, "code", "code", "python") for n in range(10, 13)]
DOCUMENTS += [document(20, "What is 2 + 2? It is 4. " * 20, "exercises", "exercise", "en")]


def test_passages_are_held_out_text_and_what_the_rules_make_of_it() -> None:
    passages = make_passages(DOCUMENTS, seq_len=64, wanted=4, seed=0)
    assert [one.domain for one in passages] == ["code"] * 4 + ["prose"] * 4  # and no exercises
    for one in passages:
        assert any(one.original in document.text for document in DOCUMENTS)
        assert len(one.original) <= 2 * 64
        assert one.rewritten.split() != one.original.split()


def test_as_many_documents_as_possible_give_a_passage_before_one_gives_two() -> None:
    passages = make_passages(DOCUMENTS[:6], seq_len=512, wanted=6, seed=0)
    chapters = {one.original.split()[1] for one in passages if one.original.startswith("Chapter")}
    assert len(chapters) == 6


def test_passages_follow_the_seed() -> None:
    assert make_passages(DOCUMENTS, 64, 4, seed=0) == make_passages(DOCUMENTS, 64, 4, seed=0)
    assert make_passages(DOCUMENTS, 64, 4, seed=0) != make_passages(DOCUMENTS, 64, 4, seed=1)


def test_bits_per_byte_of_both_forms() -> None:
    losses = {"original": [np.full(3, math.log(2)), np.full(1, math.log(2))], "rewritten": [np.full(2, 1.0)]}
    rows = list(canonical_rows(losses, {"original": 8, "rewritten": 4}))
    assert [(row["task"], row["metric"], row["count"]) for row in rows] == [
        ("original", "bits_per_byte", 4),
        ("rewritten", "bits_per_byte", 2),
    ]
    assert [row["value"] for row in rows] == pytest.approx([0.5, 2 / math.log(2) / 4])


def test_no_passages_are_no_value() -> None:
    empty = {"original": [], "rewritten": []}
    assert [row["value"] for row in canonical_rows(empty, {"original": 0, "rewritten": 0})] == [None, None]
