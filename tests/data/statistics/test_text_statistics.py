"""Word statistics of a run's documents: what they count, and what rewriting did."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench_shadows.data.statistics import text_statistics
from bench_shadows.data.statistics.text_statistics import document_statistics
from bench_shadows.data.statistics.vocabulary import Vocabulary, split

COMMON = "the of and to in is that it was for as with on be at by this have from or".split()  # noqa: SIM905
RARE = [f"{a}{b}{c}" for a in "bdfgklmn" for b in ("ar", "el", "or", "un") for c in ("dat", "fin", "gol", "mek")]


def documents(count: int = 80) -> list[dict[str, Any]]:
    """English prose whose rewriting has half of the rare words, and code in two languages."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        words = [draw.choice(COMMON if draw.random() < 0.6 else RARE) for _ in range(250)]
        code = number % 4 == 3
        row = {
            "id": f"d{number}",
            "text": " ".join(words),
            "domain": "code" if code else "prose",
            "language": ("python" if number % 8 == 3 else "c") if code else "en",
            "kind": "code" if code else "text",
            "source": "test",
            "split": "first" if number < count // 2 else "second",
        }
        fewer = [word if word in COMMON or RARE.index(word) % 2 else RARE[RARE.index(word) + 1] for word in words]
        row["rewritten"] = " ".join(fewer) if row["split"] == "first" and not code else None
        if row["split"] == "first" and code:
            row["rewritten"] = row["text"]
        row["rewritten_language"] = row["rewritten"] and row["language"]
        rows.append(row)
    return [*rows, {**rows[0], "id": "h", "split": "held_out", "rewritten": None}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return document_statistics(write(tmp_path_factory.mktemp("documents") / "documents.parquet", documents()))


def test_the_parts_of_the_text_are_measured_alone_and_together(found: dict[str, Any]) -> None:
    parts = found["parts"]
    assert list(parts) == ["all", "en text", "code"]
    assert parts["all"]["first"]["documents"] == 40
    assert parts["en text"]["first"]["documents"] == 30
    assert parts["en text"]["first"]["words"] == 30 * 250
    assert parts["all"]["first"]["words"] == parts["en text"]["first"]["words"] + parts["code"]["first"]["words"]
    assert (found["documents"], found["documents_counted"]) == (81, 80)


def test_rewriting_with_fewer_words_is_seen_with_its_interval(found: dict[str, Any]) -> None:
    change = found["parts"]["en text"]["rewritten_against_first"]
    first, after = (found["parts"]["en text"][name] for name in ("first", "rewritten"))
    assert after["types"] == len(COMMON) + len(RARE) // 2
    assert change["types"]["ratio"] == pytest.approx(after["types"] / first["types"])
    for measure in ("unigram_entropy_bits", "semantic_spread"):
        low, high = change[measure]["interval"]
        assert low <= change[measure]["difference"] <= high < 0
    assert change["top_100_share"]["interval"][0] > 0
    assert change["words"]["ratio"] == 1
    assert after["trigrams_not_in_first"] > 0.3
    low, high = first["intervals"]["unigram_entropy_bits"]
    assert low < first["unigram_entropy_bits"] < high


def test_text_that_was_not_changed_differs_by_nothing(found: dict[str, Any]) -> None:
    change = found["parts"]["code"]["rewritten_against_first"]
    assert all(value.get("ratio", 1) == 1 and value.get("difference", 0) == 0 for value in change.values())
    assert found["parts"]["code"]["rewritten"]["trigrams_not_in_first"] == 0


def test_code_has_its_languages(found: dict[str, Any]) -> None:
    languages = found["code_languages"]["first"]
    assert set(languages) == {"python", "c"}
    assert sum(value["share"] for value in languages.values()) == pytest.approx(1)
    assert "mean_word_zipf" in found["parts"]["en text"]["first"]
    assert found["parts"]["code"]["first"]["mean_word_zipf"] is None  # names are no words of a language


def test_without_rewriting_two_halves_are_measured(tmp_path: Path) -> None:
    rows = [row | {"rewritten": None} for row in documents(40)]
    parts = document_statistics(write(tmp_path / "documents.parquet", rows))["parts"]
    assert set(parts["all"]) == {"first", "second"}
    assert parts["all"]["second"]["trigrams_not_in_first"] > 0


def test_a_large_corpus_is_sampled_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "documents.parquet", documents())
    size = pq.ParquetFile(path).metadata.row_group(0).column(1).total_uncompressed_size
    monkeypatch.setattr(text_statistics, "COUNTED_BYTES", size / 3.5)
    found = document_statistics(path)
    assert found["documents_counted"] == 20
    assert found["parts"]["all"]["first"]["documents"] == 10


def test_words_are_what_a_reader_calls_words() -> None:
    assert split("Don’t count 3 X's, or_this!", "en", "text") == ["don't", "count", "x's", "or", "this"]
    assert split("def get_v1(x2): return 3", "python", "code") == ["def", "get_v1", "x2", "return"]
    assert split("我喜欢读书", "zh", "text") == ["我", "喜欢", "读书"]


def test_frequent_words_are_high_on_the_zipf_scale() -> None:
    vocabulary = Vocabulary()
    vocabulary.numbers(["the", "arithmetic", "zzqxv"])
    the, arithmetic, nonsense = vocabulary.zipf("en")
    assert the > 7 > 4 > arithmetic > 2
    assert nonsense != nonsense
    assert all(value != value for value in vocabulary.zipf("klingon"))
