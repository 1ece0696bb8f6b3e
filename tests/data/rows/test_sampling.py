"""Documents are drawn at random, in the corpus's mixture, and what is held out is never trained on."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rows.sampling import cut, documents_of, draw_order, hold_out, mixture, spans, whole


def pieces(*domains: list[int]) -> np.ndarray:
    """Documents of so many ASCII characters each, domain 0 first."""
    sizes = np.array([size for domain in domains for size in domain], dtype=np.int64)
    of = np.repeat(np.arange(len(domains)), [len(domain) for domain in domains])
    return whole(np.arange(len(sizes)), of, sizes, sizes)


def numbers(drawn: np.ndarray) -> list[int]:
    return drawn["document"].tolist()


corpora = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=40), min_size=1, max_size=4).map(
    lambda domains: pieces(*domains)
)


@settings(max_examples=100)
@given(corpus=corpora, rows=st.integers(1, 20), seed=st.integers(0, 1000))
def test_a_tenth_of_a_domain_at_most_or_one_short_document_is_held_out_and_nothing_is_lost(
    corpus: np.ndarray, rows: int, seed: int
) -> None:
    held, others = hold_out(corpus, rows, 4, seed)
    assert sorted(numbers(held) + numbers(others)) == numbers(corpus)
    for domain in np.unique(corpus["domain"]):
        sizes = corpus["bytes"][corpus["domain"] == domain]
        of_domain = held["bytes"][held["domain"] == domain]
        if sizes.min() <= 0.1 * sizes.sum():
            assert 0 < of_domain.sum() <= 0.1 * sizes.sum()
        elif len(of_domain):
            assert of_domain.tolist() == [sizes.min()]
            assert sizes.min() <= 0.25 * sizes.sum()
        else:
            assert sizes.min() > 0.25 * sizes.sum()
    again = hold_out(corpus, rows, 4, seed)
    assert np.array_equal(again[0], held)
    assert np.array_equal(again[1], others)


@settings(max_examples=100)
@given(corpus=corpora, rows=st.integers(1, 20), seed=st.integers(0, 1000), data=st.data())
def test_what_is_held_out_shares_no_work_with_the_rest(
    corpus: np.ndarray, rows: int, seed: int, data: st.DataObject
) -> None:
    works = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(corpus), max_size=len(corpus))))
    held, others = hold_out(corpus, rows, 4, seed, works)
    assert sorted(numbers(held) + numbers(others)) == numbers(corpus)
    assert not set(works[numbers(held)].tolist()) & set(works[numbers(others)].tolist()) - {0}
    alone = hold_out(corpus, rows, 4, seed, np.arange(1, len(corpus) + 1))
    assert numbers(alone[0]) == numbers(hold_out(corpus, rows, 4, seed)[0]), "works of one document change nothing"


def test_of_five_large_documents_one_is_held_out_whole_and_of_one_its_end() -> None:
    def cut_up(one: np.ndarray) -> np.ndarray:
        return cut(one, 1000, lambda _: ["x" * int(one["stop"][0])])

    held, others = hold_out(pieces([9000, 8000, 9100, 9200, 9300]), 2, 100, 0, None, cut_up)
    assert numbers(held) == [1]
    assert len(others) == 4
    held, others = hold_out(pieces([20_000], [50_000, 40_000]), 2, 100, 0, None, cut_up)
    assert sorted(set(numbers(held))) == [0, 1], "of two the longest is cut"
    assert held["bytes"].tolist() == [1000, 1000]
    assert held["stop"].tolist() == [20_000, 50_000]
    assert sorted(set(numbers(others))) == [0, 1, 2]
    assert others["bytes"].sum() + held["bytes"].sum() == 110_000
    held, others = hold_out(pieces([900]), 2, 100, 0, None, cut_up)
    assert (len(held), len(others)) == (0, 1), "too short to have an end"


def test_no_more_is_held_out_than_the_rows_need() -> None:
    held, _ = hold_out(pieces([100] * 10_000), rows=2, seq_len=100, seed=0)
    assert 200 <= held["bytes"].sum() <= 1300


@settings(max_examples=100)
@given(corpus=corpora, seed=st.integers(0, 1000))
def test_drawing_takes_every_document_once(corpus: np.ndarray, seed: int) -> None:
    order = draw_order(corpus, seed)
    assert sorted(numbers(order)) == numbers(corpus)
    assert np.array_equal(draw_order(corpus, seed), order)
    assert np.array_equal(draw_order(corpus, seed, {0: 1.0}), order), "a weight of 1 changes nothing"


def share_of_first(order: np.ndarray) -> float:
    return float(order["bytes"][order["domain"] == 0].sum() / order["bytes"].sum())


def mixed() -> np.ndarray:
    random = np.random.default_rng(0)
    return pieces(random.integers(10, 200, 600).tolist(), random.integers(10, 2000, 200).tolist())


def test_every_prefix_of_the_draw_has_the_mixture_of_the_whole() -> None:
    corpus = mixed()
    for stop in (80, 200, 500):
        assert share_of_first(draw_order(corpus, 1)[:stop]) == pytest.approx(share_of_first(corpus), abs=0.05)


@pytest.mark.parametrize("weight", [0.25, 2.0, 5.0])
def test_a_domain_is_drawn_so_many_times_as_often_as_its_weight_says(weight: float) -> None:
    corpus = mixed()
    share = share_of_first(corpus)
    order = draw_order(corpus, 1, {0: weight})
    for stop in (len(order) // 2, len(order)):
        assert share_of_first(order[:stop]) == pytest.approx(
            weight * share / (weight * share + 1 - share), abs=0.06
        )
    assert len(set(numbers(order))) == len(order), "none is drawn twice"


def test_the_order_ends_where_a_weighted_domain_is_used_up() -> None:
    order = draw_order(pieces([10] * 1000, [10] * 1000), 0, {0: 4.0})
    assert np.bincount(order["domain"]).tolist() == pytest.approx([1000, 250], abs=2)
    both = draw_order(pieces([10] * 100, [10] * 100), 0, {0: 2.0, 1: 2.0})
    assert len(both) == 200, "only the ratio of weights counts"


@settings(max_examples=100)
@given(text=st.text("ab \n。", max_size=200), longest=st.integers(2, 50))
def test_the_parts_of_a_document_are_the_document(text: str, longest: int) -> None:
    [document] = whole(np.array([0]), np.array([0]), np.array([len(text)]), np.array([len(text.encode())]))
    parts = cut(np.array([document]), longest, lambda _: [text])
    made = list(documents_of(parts, lambda some: [Document("a", text, "d", "en", "text", "s")] * len(some)))
    assert "".join(part.text for part in made) == text
    assert all(0 < len(part.text) <= longest for part in made) or text == ""
    assert [part.id for part in made] == (["a"] if len(made) == 1 else [f"a#{i + 1}" for i in range(len(made))])
    assert [len(part.text.encode()) for part in made] == parts["bytes"].tolist()


def test_only_long_documents_are_read_to_be_cut_and_the_order_stays() -> None:
    texts = {1: "x" * 90, 3: "y" * 25}
    parts = cut(pieces([5, 90, 7, 25]), 20, lambda some: [texts[int(number)] for number in some])
    assert numbers(parts) == sorted(numbers(parts))
    assert parts["number"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


def test_a_long_document_is_cut_between_paragraphs() -> None:
    text = "one line\nand another\n\nnext paragraph is here"
    assert [text[start:stop] for start, stop in spans(text, 30)] == [
        "one line\nand another\n\n",
        "next paragraph is here",
    ]


def test_seeds_draw_differently() -> None:
    corpus = pieces([10] * 50)
    assert numbers(draw_order(corpus, 0)) != numbers(draw_order(corpus, 1))


def test_the_mixture_counts_characters_by_every_property() -> None:
    columns = {"domain": ["b", "a", "a"], "language": ["en"] * 3, "kind": ["text"] * 3, "characters": [9, 3, 4]}
    assert mixture("first", pa.table(columns)) == [
        {"split": "first", "domain": name, "language": "en", "kind": "text", "documents": n, "characters": size}
        for name, n, size in (("a", 2, 7), ("b", 1, 9))
    ]
