"""Of documents that say the same the first stays; near copies go by their similarity."""

import itertools
import json
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.corpus import deduplicate
from bench_shadows.data.corpus.deduplicate import (
    SHINGLE,
    UNSPACED,
    Duplicates,
    banding,
    bounds,
    digest,
    estimates,
    find_duplicates,
    jaccard,
    shingle_hashes,
    sketches,
)

WORDS = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")


def shingles(text: str) -> list[str]:
    """What a shingle is, in words: the definition that the hashes are held to."""
    words = WORDS.findall(unicodedata.normalize("NFKC", text).lower())
    if len(words) < SHINGLE:
        return [" ".join(words)] if words else []
    return [" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)]


def duplicates(texts: Sequence[str], threshold: float) -> Duplicates:
    digests = np.frombuffer(b"".join(map(digest, texts)), np.uint64).reshape(-1, 2)
    found = sketches(texts)
    return find_duplicates(digests, lambda some: found[some], lambda some: [texts[i] for i in some], threshold)


def kept(texts: Sequence[str], threshold: float) -> list[str]:
    removed = set(duplicates(texts, threshold).removed.tolist())
    return [text for index, text in enumerate(texts) if index not in removed]


def words(random_words: random.Random, count: int) -> list[str]:
    return [f"w{random_words.randrange(30_000)}" for _ in range(count)]


def pair_at(similarity: float, seed: int, count: int = 400) -> tuple[str, str]:
    """Two texts whose shingle sets have about that Jaccard similarity, and not less."""
    source = random.Random(seed)
    first = words(source, count)
    for shared in range(round(2 * similarity * count / (1 + similarity)), count):  # |A and B| of equal sets
        second = first[:shared] + words(source, count - shared)
        a, b = (set(shingles(" ".join(text))) for text in (first, second))
        if len(a & b) >= similarity * len(a | b):
            break
    return " ".join(first), " ".join(second)


def found(similarity: float, pairs: int, threshold: float = 0.8) -> int:
    """How many of the planted pairs are found, all pairs in one corpus."""
    planted = [pair_at(similarity, seed) for seed in range(pairs)]
    removed = duplicates([text for pair in planted for text in pair], threshold)
    assert all(index % 2 for index in removed.removed), "the first of a pair stays"
    assert np.array_equal(removed.first, removed.removed - 1)
    assert np.allclose(removed.similarity, similarity, atol=0.1)
    return len(removed.removed)


def test_of_a_thousand_near_duplicates_at_0_8_at_least_990_are_found() -> None:
    assert found(0.8, 1000) >= 990


@pytest.mark.parametrize("similarity", [0.3, 0.7, 0.75])
def test_below_the_threshold_fewer_than_one_in_a_hundred_goes(similarity: float) -> None:
    assert found(similarity, 400) < 4


def test_of_long_families_of_edited_copies_each_goes_that_has_a_near_original() -> None:
    source = random.Random(5)
    texts = []
    for _ in range(40):
        text = words(source, 150)
        for _ in range(12):
            texts.append(" ".join(text))
            text = [word if source.random() > 0.055 else f"n{source.randrange(10**6)}" for word in text]
    sets = [set(shingles(text)) for text in texts]
    expected = [
        later
        for later, b in enumerate(sets)
        if any(len(a & b) >= 0.5 * len(a | b) for a in sets[later // 12 * 12 : later])
    ]
    removed = duplicates(texts, 0.5).removed.tolist()
    assert len(set(removed) ^ set(expected)) <= 0.01 * len(expected)
    assert 100 < len(expected) < 440


@pytest.mark.parametrize("similarity", [0.5, 0.8])
def test_the_sketch_estimates_within_its_stated_error(similarity: float) -> None:
    pairs = [pair_at(similarity, seed) for seed in range(300)]
    errors = estimates(*(sketches([pair[i] for pair in pairs]) for i in (0, 1))) - [
        jaccard(*pair) for pair in pairs
    ]
    stated = (similarity * (1 - similarity) / deduplicate.PERMUTATIONS) ** 0.5
    assert abs(errors.mean()) < 4 * stated / 300**0.5
    assert errors.std() == pytest.approx(stated, rel=0.2)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95])
def test_the_bands_make_nearly_every_pair_at_the_threshold_a_candidate(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert bands * rows <= deduplicate.PERMUTATIONS
    assert (1 - threshold**rows) ** bands <= 1 - deduplicate.RECALL
    low, high = bounds(threshold)
    assert low < threshold < high


def test_white_space_does_not_make_a_document_new() -> None:
    texts = ["one two\n\nthree four", "one  two three\tfour ", "one two three five"]
    removed = duplicates(texts, 1.0)
    assert [column.tolist() for column in removed] == [[1], [0], [1.0], [True]]


def test_threshold_1_keeps_what_differs_in_case_only_and_a_lower_one_does_not() -> None:
    text = " ".join(words(random.Random(0), 50))
    assert len(kept([text, text.upper()], 1.0)) == 2
    assert len(kept([text, text.upper()], 0.8)) == 1


def test_chinese_characters_count_as_words() -> None:
    assert shingles("今天天气很好") == ["今 天 天 气 很", "天 天 气 很 好"]
    assert shingles("a bc, d! e-f") == ["a bc d e f"]
    assert shingles("two words") == ["two words"]
    assert shingles("…") == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abC 1_今天.\n😀é\u0301\U00020000のカｶﾞＡกำ်ក", max_size=60), max_size=6))
def test_hashes_are_equal_where_shingles_are(texts: list[str]) -> None:
    hashes, offsets = shingle_hashes(texts)
    hashes_of = [hashes[start:stop].tolist() for start, stop in itertools.pairwise(offsets.tolist())]
    assert [len(made) for made in hashes_of] == [len(shingles(text)) for text in texts]
    spelt = [shingle for text in texts for shingle in shingles(text)]
    made = [one for of_text in hashes_of for one in of_text]
    assert len(set(zip(spelt, made, strict=True))) == len(set(spelt)) == len(set(made))
    assert hashes_of == [shingle_hashes([text])[0].tolist() for text in texts], "whatever else is hashed with it"


def test_chinese_near_duplicates_are_found() -> None:
    source = random.Random(1)
    text = "".join(chr(source.randrange(0x4E00, 0x9000)) for _ in range(500))
    assert len(kept([text, text[:250] + "了" + text[251:]], 0.8)) == 1


def near(pairs: Sequence[tuple[str, str]]) -> int:
    """How many of these pairs, all in one corpus, are found to be near duplicates."""
    removed = duplicates([text for pair in pairs for text in pair], 0.8)
    assert np.array_equal(removed.first, removed.removed - 1)
    assert not removed.exact.any()
    return len(removed.removed)


@pytest.mark.parametrize(
    "letters",
    [
        *("".join(map(chr, range(*span))) for span in ((0x3041, 0x3097), (0x30A1, 0x30F7), (0xE01, 0xE3B))),
        *("".join(map(chr, range(*span))) for span in ((0xE81, 0xEA4), (0x1780, 0x17D3), (0x1000, 0x103F))),
        "".join(map(chr, range(0x4E00, 0x5200))),
    ],
    ids=["hiragana", "katakana", "Thai", "Lao", "Khmer", "Burmese", "Han"],
)
def test_of_scripts_without_spaces_copies_with_one_other_character_are_found(letters: str) -> None:
    source = random.Random(3)
    pairs = []
    for _ in range(100):
        text = "".join(source.choices(letters, k=300))
        at = source.randrange(1, 299)
        other = next(sign for sign in letters if sign != text[at])
        pairs.append((text, text[:at] + other + text[at + 1 :]))
    assert near(pairs) == 100


def test_the_same_letters_in_another_form_of_unicode_are_found() -> None:
    source = random.Random(4)
    french = ["".join(source.choices("aeéèêëiîïoôuùûçcdlmnrst", k=6)) for _ in range(3000)]
    texts = [" ".join(source.sample(french, 60)) for _ in range(100)]
    assert near([(text, unicodedata.normalize("NFD", text)) for text in texts]) == 100
    english = [" ".join(words(source, 60)) for _ in range(100)]
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    assert near([(text, text.translate(wide)) for text in english]) == 100


def test_documents_without_words_are_compared_exactly() -> None:
    assert kept(["***", "***", "---"], 0.8) == ["***", "---"]


def test_another_process_removes_the_same_documents() -> None:
    program = (
        "import random, numpy as np\n"
        "from bench_shadows.data.corpus.deduplicate import digest, find_duplicates, sketches\n"
        "r = random.Random(7); base = [r.randrange(500) for _ in range(120)]\n"
        "def text():\n"
        "    words = list(base)\n"
        "    for _ in range(r.randrange(12)): words[r.randrange(120)] = r.randrange(500)\n"
        "    return ' '.join(f'w{word}' for word in words)\n"
        "texts = [text() for _ in range(200)]; found = sketches(texts)\n"
        "digests = np.frombuffer(b''.join(map(digest, texts)), np.uint64).reshape(-1, 2)\n"
        "gone = find_duplicates(digests, lambda some: found[some], lambda some: [texts[i] for i in some], 0.5)\n"
        "print([column.tolist() for column in gone[:3]])\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert 0 < len(json.loads(runs[0])[0]) < 200


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="ab \n", max_size=40), max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
def test_of_what_is_kept_nothing_is_removed(texts: list[str], threshold: float) -> None:
    stays = kept(texts, threshold)
    normal = [" ".join(text.split()) for text in stays]
    assert len(set(normal)) == len(normal)
    assert kept(stays, threshold) == stays


def test_a_crowd_that_shares_half_of_its_text_is_not_compared_pair_by_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = random.Random(2)
    licence = words(source, 150)
    texts = [" ".join(licence + words(source, 50)) for _ in range(600)]
    compared = 0
    estimate = deduplicate.estimates

    def counted(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(first)
        return estimate(first, second)

    monkeypatch.setattr(deduplicate, "estimates", counted)
    twin = texts[400] + " one more word"
    assert duplicates([*texts, twin], 0.8).removed.tolist() == [600]
    assert compared < 0.5 * 600 * 599 / 2


def test_of_nothing_nothing_goes() -> None:
    assert [len(column) for column in duplicates([], 0.8)] == [0, 0, 0, 0]
