"""English becomes fewer and more frequent words that say the same; names, numbers and code stay."""

import re
from pydoc_data.topics import topics

import numpy as np
import pytest
import wordfreq
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.rewriting.rules import english, plain
from bench_shadows.data.rewriting.rules.plain import Counter, blocks
from bench_shadows.data.statistics.statistics import entropy_nats

PAGES = [text for text in topics.values() if len(text) > 2000]


def rewritten(text: str) -> str:
    return english.rewrite_english(text, Counter()).removesuffix("\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("the wolves were running", "the wolf were run"),
        ("I don't know, we'll see, you can't", "I do not know, we will see, you can not"),
        ("Don't. It's late. He's been here.", "Do not. It is late. He has been here."),
        ("it's the dog's bone", "it is the dog's bone"),
        ("“so” — it’s  said…", '"so" - it is said...'),
        ("one\t two  \n\n\n\n   three!!!", "one two\n\n   three!"),
        ("she came in order to speak; but he slept", "she come to speak. But he sleep"),
        ("a larger town, the oldest house", "a more large town, the most old house"),
        ("thou hast spoken unto me", "you have speak to me"),
    ],
)
def test_words_and_sentences_have_one_form(before: str, after: str) -> None:
    assert rewritten(before) == after


@pytest.mark.parametrize(
    ("rare", "plainer"),
    [
        ("endeavour", "try"),
        ("proprietor", "owner"),
        ("haematoma", "hematoma"),
        ("swiftly", "swift"),
        ("unwounded", "not wounded"),
        ("cloudless", "without cloud"),
    ],
)
def test_a_rare_word_becomes_a_more_frequent_one_of_the_same_meaning(rare: str, plainer: str) -> None:
    assert rewritten(f"the {rare} of it") == f"the {plainer} of it"


def test_the_article_fits_the_new_word() -> None:
    assert rewritten("a proprietor, an immense hall") == "an owner, a huge hall"


def test_what_says_something_else_as_a_lemma_is_kept() -> None:
    for word in ("would", "should", "worse", "being", "according", "clothes", "news"):
        assert rewritten(word) == word


@pytest.mark.parametrize(
    "kept",
    [
        "Mr Wells met Frances in Athens",
        "we saw Mr. Wells at the wells of Wells",
        "1,234.5 of 99%",
        "see foo.running and /usr/settings/x",
        "call settings() or --settings",
        "NATO UNITED",
        ":tags: bug",
    ],
)
def test_names_numbers_and_what_looks_like_code_stay(kept: str) -> None:
    assert rewritten(kept).replace("well of", "wells of") == kept


def test_a_capital_at_the_start_of_a_sentence_is_no_name_if_the_word_is_common_here() -> None:
    assert rewritten("Wolves run. The wolves eat.") == "Wolf run. The wolf eat."


def test_a_word_that_the_document_has_in_code_loses_only_its_inflection() -> None:
    assert rewritten("the proprietors") == "the owner"
    assert rewritten("the proprietors of `proprietor`") == "the proprietor of `proprietor`"


def test_code_blocks_of_a_page_stay() -> None:
    text = "Walking dogs::\n\n    walking(dogs)  # walked\n\nthey walked\n\n```\nthey  walked\n```\nthey walked"
    after = "Walk dog::\n\n    walking(dogs) # walked\n\nthey walk\n\n```\nthey walked\n```\nthey walk"
    assert rewritten(text) == after


def test_pages_have_fewer_words_less_entropy_and_the_same_numbers_afterwards() -> None:
    def words(texts: list[str]) -> tuple[int, float]:
        _, counts = np.unique(re.findall(r"[a-z]+", " ".join(texts).lower()), return_counts=True)
        return len(counts), entropy_nats(counts)

    after = [rewritten(text) for text in PAGES]
    before, narrowed = words(PAGES), words(after)
    assert narrowed[0] < 0.85 * before[0]
    assert narrowed[1] < before[1] - 0.1
    for text, other in zip(PAGES, after, strict=True):
        assert sorted(re.findall(r"\d+", text)) == sorted(re.findall(r"\d+", other))


def test_the_table_of_synonyms_leads_to_more_frequent_words_and_carries_its_licence() -> None:
    lines = (
        (english.resources.files(english.__package__) / "synonyms.tsv").read_text(encoding="utf-8").splitlines()
    )
    assert any("Princeton University" in line and line.startswith("#") for line in lines)
    table = english._synonyms()
    assert len(table) > 10_000
    for word, plainer in table.items():
        assert wordfreq.zipf_frequency(plainer.split()[-1], "en") > wordfreq.zipf_frequency(word, "en")


@settings(max_examples=100, deadline=None)
@given(st.text("ab `~:.\n"))
def test_the_blocks_of_a_text_put_together_are_the_text(text: str) -> None:
    assert "".join(part for _, part in blocks(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.text("ab \t\n\"'-–.!", min_size=1))
def test_layout_is_stable(text: str) -> None:
    once = plain.plain(text)
    assert plain.layout(once) == once
