"""Records by the names of their fields; what a part is known by; counts of many processes."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import lines, read, records

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus.documents import Counts, parts, read_part, weights
from bench_shadows.data.corpus.sources.part import split_of
from bench_shadows.errors import DataError

# ---- records


def test_fields_may_be_nested_and_may_be_missing(tmp_path: Path) -> None:
    rows = [
        {"body": {"text": "one"}, "meta": {"lang": "de", "tags": {"topic": "t"}}, "a.b": "exact"},
        {"body": {"text": "two"}, "meta": None},
        {"body": {"text": "three"}, "meta": {"lang": None}},
        {"body": "no record"},
        {"body": {"text": {"deep": 1}}},
    ]
    (tmp_path / "a.jsonl").write_bytes(lines(*rows))
    named = {"text": "body.text", "language": "meta.lang", "domain": "meta.tags.topic", "id": "a.b"}
    documents, counts = read(tmp_path / "a.jsonl", **named)
    assert [(one.text, one.language, one.domain) for one in documents] == [
        ("one", "de", "t"),
        ("two", "en", "a"),
        ("three", "en", "a"),
    ]
    assert documents[0].id == "exact"
    assert counts.bad == {"no field 'body.text'": 1, "field 'body.text' is not text": 1}
    table = pa.Table.from_pylist(rows[:3])
    pq.write_table(table, tmp_path / "a.parquet")
    columns, counts = read(tmp_path / "a.parquet", **named)
    assert [one.text for one in columns] == ["one", "two", "three"]
    assert [one.language for one in columns] == ["de", "en", "en"]
    assert columns[0].id == "exact"


@pytest.mark.peers
def test_what_the_data_does_not_say_is_detected_and_counted(tmp_path: Path) -> None:
    pytest.importorskip("magika")
    code = "def main():\n    import os\n    for name in os.listdir():\n        print(name)\n    return None\n"
    values = [
        {"text": "The cat sat on the mat, and nobody said a word."},
        {"text": "Q: How much is 2 + 2?\nA: 4"},
        {"text": code},
        {"text": code, "language": "Python"},
        {"text": code, "kind": "code"},
        {"text": "x", "language": "en"},
        {"text": "x", "kind": "exercise", "language": "fr"},
    ]
    (tmp_path / "a.jsonl").write_bytes(lines(*values))
    documents, counts = read(tmp_path / "a.jsonl")
    assert [(one.kind, one.language) for one in documents] == [
        ("text", "en"),
        ("exercise", "en"),
        ("code", "python"),
        ("code", "python"),
        ("code", "python"),
        ("text", "en"),
        ("exercise", "fr"),
    ]
    assert counts.detected == {"kind": 4, "language": 2, "programming language": 2}


# ---- parts and counts


def test_a_changed_file_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(2))
    [before] = parts(DataConfig(sources=(str(path),)))
    [again] = parts(DataConfig(sources=(str(path),)))
    path.write_bytes(records(3))
    [after] = parts(DataConfig(sources=(str(path),)))
    assert before == again
    assert before.identity() != after.identity()
    assert before.identity().keys() == {"bytes", "modified_ns"}


def test_counts_of_many_processes_merge_to_those_of_one(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_bytes(records(number) + b"{\n" * 4 + lines({"text": "detect me"}))
    config = DataConfig(sources=(str(tmp_path),))
    _, alone = read(tmp_path)
    merged = Counts(100)
    for part in parts(config):
        own = Counts(100)
        list(read_part(part, config, own))
        merged.merge(json.loads(json.dumps(own.as_json())))
    assert merged == alone
    with pytest.raises(
        DataError, match=r"there are 12 bad records, and config\.data\.bad_records_limit allows 11"
    ):
        Counts(11).merge(alone.as_json())


def test_weights_are_those_of_the_mixture() -> None:
    config = DataConfig(mixture=("docs=2", "a=b=0.5"))
    assert weights(config) == {"docs": 2.0, "a=b": 0.5}


@pytest.mark.parametrize(
    ("source", "name", "split"),
    [
        ("tfds:mnist", "mnist", "train"),
        ("tfds:wiki40b/en:1.3.0@test[:10%]", "wiki40b/en:1.3.0", "test[:10%]"),
        ("tfds:/data/@home/x/1.0.0", "/data/@home/x/1.0.0", "train"),
        ("tfds:/data/@home/x/1.0.0@validation", "/data/@home/x/1.0.0", "validation"),
    ],
)
def test_the_split_stands_behind_an_at(source: str, name: str, split: str) -> None:
    assert split_of(source, "tfds:") == (name, split)
