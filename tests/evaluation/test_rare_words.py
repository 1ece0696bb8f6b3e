"""Pairs are sentences as they stand whose rare words can change places; accuracy is the share told apart."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench_shadows.data.rows.segments import DOCUMENTS
from bench_shadows.evaluation.rare_words import (
    BANDS,
    Pair,
    Text,
    band_of,
    count_words,
    make_pairs,
    pairs_from_json,
    rare_word_rows,
)
from bench_shadows.evaluation.sentences import replaceable, replaced, sentences, word_class

# Whose thing is whose: "the tailor came to look for his violin", "the sailor ... for his kettle", ...
NOUNS = "violin kettle pistol lantern donkey helmet necklace dagger teapot sofa temple sword".split()  # noqa: SIM905
HOLDERS = "tailor sailor player keeper farmer lawyer soldier painter doctor baker miller hunter".split()  # noqa: SIM905
SENTENCES = [
    f"Early in the morning the {holder} came to look for his {noun} in the house."
    for holder, noun in zip(HOLDERS, NOUNS, strict=True)
]
COUNTS = Counter({word: 2 for word in NOUNS} | {word: 1000 for word in "early morning house look came".split()})  # noqa: SIM905


def pairs(wanted: int = 100, seed: int = 0) -> list[Pair]:
    return make_pairs([Text(" ".join(SENTENCES), "prose", "en")], COUNTS, wanted, seed)


def test_a_pair_changes_two_rare_words_of_one_class_and_band_and_nothing_else() -> None:
    made = pairs()
    assert len(made) == 6  # twelve sentences, each used once
    for pair in made:
        assert (pair.band, pair.counts) == ("1-2", (2, 2))
        assert set(pair.true) <= set(SENTENCES)
        assert word_class(pair.words[0], "en") == word_class(pair.words[1], "en")
        for true, swapped, own, other in zip(pair.true, pair.swapped, pair.words, pair.words[::-1], strict=True):
            assert swapped == true.replace(own, other) != true
    used = [sentence for pair in made for sentence in pair.true]
    assert len(set(used)) == len(used)


def test_pairs_follow_the_seed_alone_and_survive_the_disk() -> None:
    assert pairs() == pairs()
    assert pairs(seed=1) != pairs()
    assert pairs_from_json(json.loads(json.dumps([pair._asdict() for pair in pairs()]))) == pairs()
    assert len(pairs(wanted=6)) == 2  # a third of them for each band, and here one band has words


def likelihood_of_a_bigram_model(bigrams: set[tuple[str, str]], sentence: str) -> float:
    """Nats of a sentence where a known bigram costs one and any other ten."""
    found = sentence.split()
    return float(sum(1 if pair in bigrams else 10 for pair in itertools.pairwise(found)))


def accuracy(made: list[Pair], nats: np.ndarray) -> float:
    values = {row["task"]: (row["value"], row["count"]) for row in rare_word_rows(made, nats)}
    assert values["all"][1] == len(made)
    assert values["3-7"] == (None, 0)
    return values["all"][0]


def test_a_model_that_knows_where_the_words_belong_is_always_right_and_its_opposite_never() -> None:
    texts = [
        f"Nobody but the {holder} has a {noun} {holder}." for holder, noun in zip(HOLDERS, NOUNS, strict=True)
    ]
    made = make_pairs([Text("  ".join(texts), "prose", "en")], COUNTS, 99, 0)
    assert len(made) == 6
    bigrams = {pair for text in texts for pair in itertools.pairwise(text.split())}
    nats = np.array(
        [[likelihood_of_a_bigram_model(bigrams, text) for text in (*one.true, *one.swapped)] for one in made]
    )
    assert accuracy(made, nats) == 1
    assert accuracy(made, -nats) == 0


def test_a_model_that_sees_words_alone_ties_and_a_random_one_is_right_in_half() -> None:
    made = pairs()
    unigram = np.array([[sum(map(len, text.split())) for text in (*one.true, *one.swapped)] for one in made])
    assert accuracy(made, unigram) == 0.5
    many = made * 400
    noise = np.random.default_rng(0).normal(size=(len(many), 4))
    assert accuracy(many, noise) == pytest.approx(0.5, abs=0.04)


def test_bands_hold_the_counts_that_their_names_say() -> None:
    assert [band_of(count) for count in (0, 1, 2, 3, 7, 8, 20, 21)] == [
        None, "1-2", "1-2", "3-7", "3-7", "8-20", "8-20", None,
    ]  # fmt: skip
    assert all(one[1] + 1 == other[0] for one, other in itertools.pairwise(BANDS))


def test_words_are_counted_in_both_halves_and_not_in_held_out_text(tmp_path: Path) -> None:
    entries = [("first", "A rare word."), ("second", "Rare or not."), ("held_out", "rare rare rare")]
    columns = {name: [""] * 3 for name in DOCUMENTS.names}
    columns |= {"text": [text for _, text in entries], "split": [split for split, _ in entries]}
    pq.write_table(pa.table(columns, schema=DOCUMENTS), tmp_path / "documents.parquet")
    counts = count_words(tmp_path / "documents.parquet")
    assert (counts["rare"], counts["word"], counts["not"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained all day,\nand the river rose.  Nobody slept that night at all!",
         ["It rained all day, and the river rose.", "Nobody slept that night at all!"]),
        ("Heading of a section\n\nThe text under the heading is a paragraph.",
         ["The text under the heading is a paragraph."]),
        ("- How are you on this morning?\n- I am well and so is she.",
         ["How are you on this morning?", "I am well and so is she."]),
        ("The year 1911 was not a very good one. Call ``run()`` to see what happens then.", []),
        ("We went there with old Mr. Stark and his wife.", []),
        ("Too short.", []),
        ('He said "this is where we all must stop.', []),
    ],
)  # fmt: skip
def test_sentences_are_prose_from_a_capital_to_a_full_stop(text: str, expected: list[str]) -> None:
    assert list(sentences(text, "en")) == expected


def test_words_in_capitals_in_hyphens_or_twice_stay() -> None:
    sentence = "The self-help book and the other book helped Mary's sister."
    assert list(replaceable(sentence, "en")) == ["and", "other", "helped", "sister"]
    assert (
        replaced(sentence, "helped", "hurt", "en") == "The self-help book and the other book hurt Mary's sister."
    )


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("besieged", "laughed", "en"),
        ("battalions", "corridors", "en"),
        ("酒店", "房间", "zh"),
    ],
)
def test_words_of_one_class_have_the_same_form(one: str, other: str, language: str) -> None:
    assert word_class(one, language) == word_class(other, language) is not None


@pytest.mark.parametrize(
    ("one", "other"), [("besieged", "besieging"), ("battalion", "battalions"), ("orchard", "doorway")]
)
def test_another_tense_number_or_article_is_another_class(one: str, other: str) -> None:
    assert word_class(one, "en") != word_class(other, "en")


@pytest.mark.parametrize("word", ["watch", "doth", "dreadful", "quickly", "was", "queryset", "ox"])
def test_words_of_several_classes_or_none_adjectives_and_adverbs_are_left_out(word: str) -> None:
    assert word_class(word, "en") is None
    assert word_class(word, "fr") is None


def test_chinese_pairs_are_made_too() -> None:
    text = "这家酒店的房间非常干净舒适。我们在飞机上看到了一片海洋。"
    counts = Counter({"酒店": 1, "飞机": 1})
    [pair] = make_pairs([Text(text, "reviews", "zh")], counts, 3, 0)
    assert set(pair.swapped) == {"这家飞机的房间非常干净舒适。", "我们在酒店上看到了一片海洋。"}
