"""Of documents that say the same the first stays; near copies go by their similarity."""

import json
import random
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.deduplicate import PERMUTATIONS, SHINGLE, deduplicate, find_duplicates, shingles
from bench_shadows.data.document import Document


def document(text: str, name: str = "d") -> Document:
    return Document(name, text, "prose", "en", "text", "here")


def words(random_words: random.Random, count: int) -> list[str]:
    return [f"w{random_words.randrange(30_000)}" for _ in range(count)]


def pair_at(jaccard: float, seed: int, count: int = 400) -> tuple[str, str, float]:
    """Two texts whose shingle sets have about that Jaccard similarity, and the exact similarity."""
    source = random.Random(seed)
    first = words(source, count)
    shared = round(2 * jaccard * count / (1 + jaccard))  # |A and B| of two sets of equal size
    second = first[:shared] + words(source, count - shared)
    a, b = set(shingles(" ".join(first))), set(shingles(" ".join(second)))
    return " ".join(first), " ".join(second), len(a & b) / len(a | b)


def found(jaccard: float, pairs: int, threshold: float = 0.8) -> float:
    """Share of planted pairs that are found, all pairs in one corpus."""
    planted = [pair_at(jaccard, seed) for seed in range(pairs)]
    assert all(abs(exact - jaccard) < 0.02 for _, _, exact in planted)
    documents = [document(text) for first, second, _ in planted for text in (first, second)]
    removed, report = find_duplicates(documents, threshold)
    assert all(index % 2 for index in removed), "the first of a pair stays"
    assert report["near"] == len(removed)
    return len(removed) / pairs


def test_near_duplicates_at_0_9_are_found_nearly_always() -> None:
    assert found(0.9, 400) >= 0.98


def test_at_0_3_none_is_found() -> None:
    assert found(0.3, 400) == 0


def test_at_the_threshold_about_half_are_found() -> None:
    assert 0.25 < found(0.8, 400) < 0.75


def test_white_space_does_not_make_a_document_new() -> None:
    texts = ["one two\n\nthree four", "one  two three\tfour ", "one two three five"]
    kept, report = deduplicate([document(text, str(i)) for i, text in enumerate(texts)], 1.0)
    assert [one.text for one in kept] == [texts[0], texts[2]]
    assert report["exact"] == 1
    assert report["near"] == 0
    assert report["documents"] == 3
    assert report["characters_removed"] == len(texts[1])
    assert report["examples"] == [{"kind": "exact", "kept": "0", "removed": "1", "similarity": 1.0}]


def test_threshold_1_keeps_what_differs_in_case_only_and_a_lower_one_does_not() -> None:
    text = " ".join(words(random.Random(0), 50))
    documents = [document(text), document(text.upper())]
    assert len(deduplicate(documents, 1.0)[0]) == 2
    assert len(deduplicate(documents, 0.8)[0]) == 1


def test_chinese_characters_count_as_words() -> None:
    assert shingles("今天天气很好") == ["今 天 天 气 很", "天 天 气 很 好"]
    assert shingles("a bc, d! e-f") == ["a bc d e f"]
    assert shingles("two words") == ["two words"]
    assert shingles("…") == []


def test_chinese_near_duplicates_are_found() -> None:
    source = random.Random(1)
    text = "".join(chr(source.randrange(0x4E00, 0x9000)) for _ in range(500))
    kept, _ = deduplicate([document(text), document(text[:250] + "了" + text[251:])], 0.8)
    assert len(kept) == 1


def test_documents_without_words_are_compared_exactly() -> None:
    kept, _ = deduplicate([document("***"), document("***"), document("---")], 0.8)
    assert [one.text for one in kept] == ["***", "---"]


def test_another_process_removes_the_same_documents() -> None:
    program = (
        "import json, random; from bench_shadows.data.deduplicate import find_duplicates\n"
        "from bench_shadows.data.document import Document\n"
        "r = random.Random(7); base = [r.randrange(500) for _ in range(120)]\n"
        "def text():\n"
        "    words = list(base)\n"
        "    for _ in range(r.randrange(12)): words[r.randrange(120)] = r.randrange(500)\n"
        "    return ' '.join(f'w{word}' for word in words)\n"
        "documents = [Document(str(i), text(), 'd', 'en', 'text', 's') for i in range(200)]\n"
        "print(json.dumps(find_duplicates(documents, 0.5)))\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    removed = json.loads(runs[0])[0]
    assert 0 < len(removed) < 200


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="ab \n", max_size=40), max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
def test_what_is_kept_has_no_exact_copy_and_keeps_its_order(texts: list[str], threshold: float) -> None:
    documents = [document(text, str(index)) for index, text in enumerate(texts)]
    kept, report = deduplicate(documents, threshold)
    normal = [" ".join(one.text.split()) for one in kept]
    assert len(set(normal)) == len(normal)
    assert [one for one in documents if one in kept] == kept
    assert report["exact"] + report["near"] == len(documents) - len(kept)
    again, _ = deduplicate(kept, threshold)
    assert again == kept, "nothing is left to remove"


def test_the_report_of_nothing_is_whole() -> None:
    assert find_duplicates([], 0.8)[1] == {
        "documents": 0,
        "exact": 0,
        "near": 0,
        "characters": 0,
        "characters_removed": 0,
        "threshold": 0.8,
        "shingle": SHINGLE,
        "permutations": PERMUTATIONS,
        "examples": [],
    }
