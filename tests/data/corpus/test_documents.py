"""The user's files become documents; what cannot is counted with file, line and reason, up to a limit."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read, read_documents

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus import counts as module
from bench_shadows.data.corpus.documents import Counts, Document
from bench_shadows.errors import DataError


def jsonl(path: Path, *lines: object) -> Path:
    """Writes records (or lines as they are, given as bytes); the suffix .gz compresses."""
    data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_a_record_gives_what_it_has_and_the_rest_is_filled_in(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "tales.en.jsonl",
        {"text": "Once upon a time."},
        b"\n",
        {"text": "从前有一座山。", "id": 7, "kind": "exercise", "domain": "mountains"},
        {"text": "puts 1", "language": "Ruby", "kind": "code", "other": [1, 2]},
    )
    documents, counts = read(path)
    assert documents == [
        Document(f"{path}:1", "Once upon a time.", "tales", "en", "text", str(path)),
        Document("7", "从前有一座山。", "mountains", "zh", "exercise", str(path)),
        Document(f"{path}:4", "puts 1", "tales", "ruby", "code", str(path)),
    ]
    assert (counts.documents, counts.bad, counts.examples) == ({str(path): 3}, {}, {})


def test_jsonl_gzip_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = [{"body": f"Text number {n}.", "key": n, "topic": "t"} for n in range(300)]
    plain, packed = jsonl(tmp_path / "a.jsonl", *rows), jsonl(tmp_path / "a.jsonl.gz", *rows)
    columns = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), columns, row_group_size=70)
    read_all = [read(path, text="body", id="key", domain="topic")[0] for path in (plain, packed, columns)]
    texts = [
        [(one.id, one.text, one.domain, one.language, one.kind) for one in documents] for documents in read_all
    ]
    assert texts[0] == texts[1] == texts[2]
    assert texts[0][3] == ("3", "Text number 3.", "t", "en", "text")


def test_files_of_a_glob_are_read_by_name_and_sources_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        jsonl(tmp_path / f"{name}.jsonl", {"text": name})
    first = jsonl(tmp_path / "z[1].jsonl", {"text": "first"})
    documents, _ = read(first, tmp_path / "[ab].jsonl", tmp_path / "**" / "c.jsonl")
    assert [one.text for one in documents] == ["first", "a", "b", "deep/c"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut\n', "not JSON"),
        (b'{"text": 1' + b"0" * 5000 + b"}\n", "not JSON"),
        (b'{"text": "caf\xe9"}\n', "not UTF-8"),
        (b'["text"]\n', "not an object (a list)"),
        (b'{"body": "x"}\n', "no field 'text' (it has body; its text may be in --config.data.fields.text=body)"),
        (b'{"text": null}\n', "field 'text' is null"),
        (b'{"text": 5}\n', "field 'text' is not text (a int)"),
        (b'{"text": " \\n\\t"}\n', "empty text"),
        (b'{"text": "a\\u0000b"}\n', "NUL character in the text"),
        (b'{"text": "\\ud800"}\n', "field 'text' has half a surrogate pair"),
        (b'{"text": "a", "kind": "poem"}\n', "unknown kind ('poem'; there are text, exercise, code)"),
        (b'{"text": "a", "domain": 3}\n', "field 'domain' is not text"),
        (
            b'{"text": "a", "language": "klingon"}\n',
            "unknown language ('klingon' of kind text; expected a code, such as en, zh or de)",
        ),
        (
            b'{"text": "a", "language": "x = 1;", "kind": "code"}\n',
            "unknown language ('x = 1;' of kind code; expected a name of Pygments, such as python)",
        ),
    ],
)
def test_a_bad_line_is_left_out_and_named(tmp_path: Path, line: bytes, reason: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "good"}, line, {"text": "also good"})
    documents, counts = read(path)
    assert [one.text for one in documents] == ["good", "also good"]
    assert sum(counts.bad.values()) == 1
    [[example]] = counts.examples.values()
    assert example.startswith(f"{path}:2: {reason}")


def test_one_bad_record_more_than_the_limit_stops(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "good"}, *[b"{\n"] * 3)
    documents, counts = read(path, limit=3)
    assert len(documents) == 1
    assert counts.bad == {"not JSON": 3}
    with pytest.raises(DataError, match=rf"{path}:4: not JSON .*config\.data\.bad_records_limit allows 2"):
        read(path, limit=2)
    with pytest.raises(DataError, match=f"{path}:2: not JSON"):
        read(path, limit=0)


def test_only_the_first_examples_of_a_reason_are_kept(tmp_path: Path) -> None:
    _, counts = read(jsonl(tmp_path / "a.jsonl", {"text": "good"}, *[b"{\n"] * 50, *[b"[]\n"] * 2))
    assert counts.bad == {"not JSON": 50, "not an object": 2}
    assert [len(shown) for shown in counts.examples.values()] == [module.EXAMPLES, 2]
    assert json.loads(json.dumps(counts.as_json())) == counts.as_json()


def test_of_a_gzip_cut_short_what_came_before_is_read(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl.gz", *[{"text": f"{n} " * 50} for n in range(1000)])
    path.write_bytes(path.read_bytes()[:-2000])
    documents, counts = read(path)
    assert 0 < len(documents) < 1000
    assert counts.bad == {"the rest of the file cannot be read": 1}
    with pytest.raises(DataError, match=rf"a\.jsonl\.gz:{len(documents) + 1}: the rest"):
        read(path, limit=0)


@pytest.mark.parametrize("keep", [0, 3, 400])
def test_a_parquet_file_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    path, good = tmp_path / "a.parquet", jsonl(tmp_path / "b.jsonl", {"text": "good"})
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(1000)]}), path)
    path.write_bytes(path.read_bytes()[:keep])
    documents, counts = read(path, good)
    assert [one.text for one in documents] == ["good"]
    [[example]] = counts.examples.values()
    assert example.startswith(f"{path}:1: the rest of the file cannot be read")


def test_a_parquet_cell_that_is_not_utf8_costs_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    cells = pa.array([b"one", b"caf\xe9", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": cells}), path)
    documents, counts = read(path)
    assert [one.text for one in documents] == ["one", "three"]
    assert counts.examples["not UTF-8"][0].startswith(f"{path}:2: ")


def test_a_parquet_file_without_the_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["x"], "text_en": ["y"]}), path)
    with pytest.raises(DataError, match=f"{path}:1: no field 'text'"):
        read(path, limit=0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing/*.jsonl", "matches no file"),
        ("a.csv", "expected .jsonl, .ndjson, .json"),
    ],
)
def test_sources_that_cannot_be_are_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "a.csv").write_text("text\nx\n")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / source)
    assert source in str(caught.value)


def test_a_wrong_source_is_found_before_the_first_is_read(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "good"})
    config = DataConfig(sources=(str(path), str(tmp_path / "b.jsonl")))
    with pytest.raises(DataError, match=r"b\.jsonl"):
        next(read_documents(config, Counts(0)))


@pytest.mark.network
@pytest.mark.timeout(600)
def test_the_builtin_corpus_is_read_among_files(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "Something new that nobody wrote before."})
    documents, counts = read("builtin", path, limit=0)
    assert documents[-1].text.startswith("Something new")
    assert counts.documents == {"builtin": len(documents) - 1, str(path): 1}


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), st.just(b'{"text": "good"}')), max_size=8))
def test_whatever_the_bytes_are_every_line_is_read_or_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    data = b"\n".join(line.replace(b"\n", b"") for line in [b'{"text": "good"}', *lines])
    path.write_bytes(data)
    documents, counts = read(path)
    blank = sum(not line.strip() for line in data.split(b"\n"))
    assert len(documents) + sum(counts.bad.values()) + blank == data.count(b"\n") + 1
