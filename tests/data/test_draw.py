"""Documents are drawn at random, in the corpus's mixture, and what is held out is never trained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.document import Document
from bench_shadows.data.draw import cut, draw_order, fill, hold_out, mixture, size


def documents(domain: str, sizes: list[int]) -> list[Document]:
    return [Document(f"{domain}{i}", "x" * n, domain, "en", "text", "s") for i, n in enumerate(sizes)]


def encode(texts: list[str]) -> list[np.ndarray]:
    return [np.ones(len(text), np.uint32) for text in texts]


corpora = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=40), min_size=1, max_size=4).map(
    lambda domains: [one for i, sizes in enumerate(domains) for one in documents(f"d{i}", sizes)]
)


@settings(max_examples=100)
@given(corpus=corpora, rows=st.integers(1, 20), seed=st.integers(0, 1000))
def test_at_most_a_tenth_of_a_domain_is_held_out_and_nothing_is_lost(
    corpus: list[Document], rows: int, seed: int
) -> None:
    held, others = hold_out(corpus, rows, 4, seed)
    assert sorted(one.id for one in held + others) == sorted(one.id for one in corpus)
    for domain in {one.domain for one in corpus}:
        whole = sum(size(one) for one in corpus if one.domain == domain)
        assert sum(size(one) for one in held if one.domain == domain) <= 0.1 * whole
    assert hold_out(corpus, rows, 4, seed) == (held, others)


def test_no_more_is_held_out_than_the_rows_need() -> None:
    held, _ = hold_out(documents("a", [100] * 10_000), rows=2, seq_len=100, seed=0)
    assert 200 <= sum(map(size, held)) <= 1300


@settings(max_examples=100)
@given(corpus=corpora, seed=st.integers(0, 1000))
def test_drawing_takes_every_document_once(corpus: list[Document], seed: int) -> None:
    order = draw_order(corpus, seed)
    assert sorted(one.id for one in order) == sorted(one.id for one in corpus)
    assert draw_order(corpus, seed) == order


def test_every_prefix_of_the_draw_has_the_mixture_of_the_whole() -> None:
    random = np.random.default_rng(0)
    corpus = documents("a", [*random.integers(10, 200, 600)]) + documents("b", [*random.integers(10, 2000, 200)])
    whole = sum(size(one) for one in corpus if one.domain == "a") / sum(map(size, corpus))
    order = draw_order(corpus, 1)
    for stop in (80, 200, 500):
        part = order[:stop]
        share = sum(size(one) for one in part if one.domain == "a") / sum(map(size, part))
        assert share == pytest.approx(whole, abs=0.05)


@settings(max_examples=100)
@given(text=st.text("ab \n。", max_size=200), longest=st.integers(2, 50))
def test_the_parts_of_a_document_are_the_document(text: str, longest: int) -> None:
    parts = list(cut([Document("a", text, "d", "en", "text", "s")], longest))
    assert "".join(part.text for part in parts) == text
    assert all(0 < len(part.text) <= longest for part in parts) or text == ""
    assert [part.id for part in parts] == (["a"] if len(parts) == 1 else [f"a#{i + 1}" for i in range(len(parts))])


def test_a_long_document_is_cut_between_paragraphs() -> None:
    text = "one line\nand another\n\nnext paragraph is here"
    first, second = cut([Document("a", text, "d", "en", "text", "s")], 30)
    assert first.text == "one line\nand another\n\n"
    assert second.text == "next paragraph is here"


def test_seeds_draw_differently() -> None:
    corpus = documents("a", [10] * 50)
    assert draw_order(corpus, 0) != draw_order(corpus, 1)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 200), seq_len=st.integers(2, 30))
def test_filling_stops_soon_after_both_sets_are_full(rows: int, seq_len: int) -> None:
    def half(document: Document) -> Document:
        return Document(document.id, document.text[::2], "a", "en", "text", "s")

    corpus = iter(documents("a", [20] * 2000))
    taken, derived = fill("test", corpus, rows, seq_len, encode, half)
    assert [one.id for one in derived.documents] == [one.id for one in taken.documents]
    if next(corpus, None) is not None:
        assert derived.rows(seq_len) >= rows
        assert derived.rows(seq_len) <= 1.3 * rows + 40 / seq_len + 1
    assert taken.rows(seq_len) >= derived.rows(seq_len)


def test_what_one_set_takes_the_next_does_not_see() -> None:
    corpus = iter(documents("a", [20] * 100))
    first, none = fill("first", corpus, 10, 7, encode)
    second, _ = fill("second", corpus, 10, 7, encode)
    assert none.documents == []
    assert not {one.id for one in first.documents} & {one.id for one in second.documents}


def test_the_mixture_counts_characters_by_every_property() -> None:
    assert mixture({"first": documents("a", [3, 4])}) == [
        {"split": "first", "domain": "a", "language": "en", "kind": "text", "documents": 2, "characters": 7}
    ]
