"""Files, folders and buckets give the same records, and what is broken in them is named."""

import gzip
import json
import pickle
import sys
import urllib.parse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.documents import Counts, Document, Part, parts, read_documents, read_part, weights
from bench_shadows.data.sources import files, jsonl, parquet, storage, textfiles
from bench_shadows.data.sources.part import split_of
from bench_shadows.errors import DataError


def read(*sources: object, limit: int = 100, **fields: str) -> tuple[list[Document], Counts]:
    config = DataConfig(sources=tuple(map(str, sources)), fields=FieldsConfig(**fields), bad_records_limit=limit)
    counts = Counts(limit)
    return list(read_documents(config, counts)), counts


def texts(*sources: object, **fields: str) -> list[str]:
    return [document.text for document in read(*sources, limit=0, **fields)[0]]


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def records(count: int, word: str = "text") -> bytes:
    return lines(*({"text": f"{word} {number}", "language": "en", "kind": "text"} for number in range(count)))


# ---- compressed JSON lines


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json.gz", "a.ndjson", "a.jsonl.bz2", "A.JSONL"]
)
def test_json_lines_are_read_however_they_are_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pa.output_stream(path, compression=storage.compression(name)) as stream:
        stream.write(records(1000))
    assert texts(path) == [f"text {number}" for number in range(1000)]


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(records(3)) + gzip.compress(records(2, "more")))
    assert texts(tmp_path / "a.jsonl.gz") == ["text 0", "text 1", "text 2", "more 0", "more 1"]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("damage", ["cut short", "overwritten", "not compressed", "empty"])
def test_of_a_damaged_compressed_file_what_came_before_is_read(tmp_path: Path, name: str, damage: str) -> None:
    path, good = tmp_path / name, tmp_path / "good.jsonl"
    noise = np.random.default_rng(0).integers(0, 10**9, 15_000)
    values = lines(*({"text": f"{number}", "kind": "text", "language": "en"} for number in noise))
    with pa.output_stream(path, compression=storage.compression(name)) as stream:
        stream.write(values)
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(
        {
            "cut short": whole[:half],
            "overwritten": whole[:half] + bytes(4096) + whole[half + 4096 :],
            "not compressed": values,
            "empty": b"",
        }[damage]
    )
    good.write_bytes(records(2))
    documents, counts = read(path, good, limit=10**6)
    assert [document.text for document in documents[-2:]] == ["text 0", "text 1"]
    if damage == "empty":
        assert counts.bad == {}
    else:
        assert counts.bad["the rest of the file cannot be read"] == 1
        [shown] = counts.examples["the rest of the file cannot be read"]
        line = int(shown.removeprefix(f"{path}:").split(":")[0])
        assert line >= len(documents) - 2 + sum(counts.bad.values())
        if damage != "overwritten":
            assert (line > 1000) == (damage == "cut short")


# ---- lines of any length and content


@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    st.integers(1, 50),
    st.integers(0, 45),
    st.booleans(),
)
def test_lines_are_those_of_the_bytes_whatever_the_chunks(
    content: list[bytes], chunk: int, longest: int, ends: bool
) -> None:
    data = b"\n".join(content) + (b"\n" if ends and content else b"")
    reader = iter([data[start : start + chunk] for start in range(0, len(data), chunk)])
    found = list(jsonl.split_lines(lambda: next(reader, b""), 100, longest))
    expected = data.split(b"\n")[:-1] if data.endswith(b"\n") else data.split(b"\n") if data else []
    assert [line.length for line in found] == [len(line) for line in expected]
    assert [line.content for line in found] == [line if len(line) <= longest else None for line in expected]
    assert all(data[line.offset - 100 :].startswith(text) for line, text in zip(found, expected, strict=True))


def test_a_line_that_is_too_long_is_counted_and_the_rest_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_RECORD", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(1) + b'{"text": "' + b"x" * 5_000_000 + b'"}\n' + records(1, "more"))
    documents, counts = read(path)
    assert [document.text for document in documents] == ["text 0", "more 0"]
    assert counts.examples == {
        "line too long": [f"{path}:2: line too long (5,000,012 bytes, at most 1,000 are read)"]
    }


def test_of_a_line_that_is_too_long_little_is_held() -> None:
    sizes = []

    def read_chunk() -> bytes:
        sizes.append(sum(map(len, held)) if (held := sys._getframe(1).f_locals.get("held")) else 0)
        return b"x" * 1000 if len(sizes) < 5000 else b""

    [line] = jsonl.split_lines(read_chunk, 0, 10_000)
    assert line == jsonl.Line(0, 4_999_000, None)
    assert max(sizes) <= 10_000


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_a_file_in_another_encoding_is_one_bad_record(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path.write_bytes((mark + records(500).decode()).encode(encoding))
    (tmp_path / "b.jsonl").write_bytes(records(1))
    documents, counts = read(path, tmp_path / "b.jsonl", limit=1)
    assert len(documents) == 1
    [[shown]] = counts.examples.values()
    assert shown.startswith(f"{path}:1: the rest of the file cannot be read (the file is UTF-")


def test_latin_1_and_nul_bytes_cost_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(1) + b'{"text": "caf\xe9"}\n\0\0\0\n{"text": "a\0b"}\n' + records(1, "more"))
    documents, counts = read(path)
    assert [document.text for document in documents] == ["text 0", "more 0"]
    assert counts.bad == {"not UTF-8": 1, "not JSON": 2}
    assert counts.examples["not UTF-8"] == [f"{path}:2: not UTF-8 (byte 14 of the line)"]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_crash_and_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "a.jsonl").write_bytes(b'{"text": "good", "kind": "text", "language": "en"}\n' + data)
    documents, counts = read(folder / "a.jsonl", limit=10**6)
    lines_of_data = [line for line in data.split(b"\n") if line.strip()]
    assert len(documents) + sum(counts.bad.values()) == 1 + len(lines_of_data)
    for name in ("a.jsonl.gz", "a.parquet", "a.txt"):
        (folder / name).write_bytes(data)
        part = files.parts(str(folder / name))[0]
        read_all = list(read_part(part, DataConfig(), counts := Counts(10**6)))
        assert len(read_all) + sum(counts.bad.values()) <= 1 or name == "a.jsonl.gz"


# ---- pieces of a large file


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_pieces_of_a_file_have_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, piece: int, count: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "a.jsonl"
    path.write_bytes(records(count).rstrip(b"\n"))
    size = path.stat().st_size
    config = DataConfig()
    found = []
    for begin in range(0, size, piece):
        part = Part(f"piece {begin}", "json", (str(path),), begin, min(begin + piece, size))
        found += [document.text for document in read_part(part, config, Counts(0))]
    assert found == [f"text {number}" for number in range(count)]


def test_a_large_file_is_several_parts_and_positions_are_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PIECE", 100)
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(3) + b"{\n" + records(2, "more"))
    made = parts(DataConfig(sources=(str(path),)))
    assert [part.name for part in made][:2] == [f"{path} (from byte 0)", f"{path} (from byte 100)"]
    documents, counts = read(path)
    assert [document.text for document in documents] == ["text 0", "text 1", "text 2", "more 0", "more 1"]
    assert len({document.id for document in documents}) == 5
    [[shown]] = counts.examples.values()
    assert shown.startswith(f"{path}@{len(records(3))}: not JSON")


# ---- folders, globs, URIs


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of records, text and code, with things in it that are no documents."""
    contents = {
        "news/1999/a.txt": "Nothing happened.",
        "news/b.md": "# Weather\r\n\r\nRain.",
        "tools/run.py": "print('hello')\n",
        "tools/main.rs": "fn main() {}\n",
        "readme.txt": "Read me.",
        "picture.png": "\x89",
        "settings.json": '{"text": "no"}',
        "tools/__init__.py": "\n",
        ".git/config.txt": "hidden",
        "tools/.hidden.py": "hidden",
    }
    for name, content in contents.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(content, newline="")
    (tmp_path / "corpus/train-00001-of-00002.jsonl").write_bytes(records(1, "second"))
    (tmp_path / "corpus/train-00000-of-00002.jsonl").write_bytes(records(1, "first"))
    return tmp_path / "corpus"


def test_a_folder_is_read_with_all_that_is_below_it(corpus: Path) -> None:
    documents, counts = read(corpus)
    told = {Path(one.source).name: (one.text, one.domain, one.language, one.kind) for one in documents}
    assert told == {
        "train-00000-of-00002.jsonl": ("first 0", "train", "en", "text"),
        "train-00001-of-00002.jsonl": ("second 0", "train", "en", "text"),
        "a.txt": ("Nothing happened.", "news", "en", "text"),
        "b.md": ("# Weather\n\nRain.", "news", "en", "text"),
        "readme.txt": ("Read me.", "corpus", "en", "text"),
        "run.py": ("print('hello')\n", "tools", "python", "code"),
        "main.rs": ("fn main() {}\n", "tools", "rust", "code"),
    }
    assert counts.ignored == {".png": 1, ".json": 1, "empty code file": 1}
    assert counts.bad == {}
    assert [document.text for document in documents][:2] == ["first 0", "second 0"]


def test_a_uri_says_the_same_as_a_path(corpus: Path) -> None:
    by_path, _ = read(corpus)
    by_uri, _ = read(corpus.as_uri())
    assert [one.text for one in by_uri] == [one.text for one in by_path]
    assert [one.domain for one in by_uri] == [one.domain for one in by_path]
    assert by_uri[0].source == f"file://{by_path[0].source}"


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.txt", ["Read me."]),
        ("**/*.txt", ["Nothing happened.", "Read me."]),
        ("n*/[ab].*", ["# Weather\n\nRain."]),
        ("news/*/a.txt", ["Nothing happened."]),
        ("**/main.r?", ["fn main() {}\n"]),
        (".git/*", ["hidden"]),
        ("train-*-of-*.jsonl", ["first 0", "second 0"]),
    ],
)
def test_globs_work_in_paths_and_uris(corpus: Path, glob: str, expected: list[str]) -> None:
    assert texts(f"{corpus}/{glob}") == expected
    if "?" not in glob:  # begins the options of a URI
        assert texts(f"{corpus.as_uri()}/{glob}") == expected


def test_the_home_folder_is_known(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(corpus))
    assert [one.source for one in read("~/readme.txt", "~/tools/*.py")[0]] == [
        f"{corpus}/readme.txt",
        f"{corpus}/tools/run.py",
    ]


def test_links_are_followed_but_not_in_circles(corpus: Path, tmp_path: Path) -> None:
    before = texts(corpus)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.txt").write_text("far")
    (corpus / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("around", "again"):
        (corpus / "news" / name).symlink_to(corpus)
    assert sorted(texts(corpus)) == sorted([*before, "far"])
    assert texts(f"{corpus}/linked/*.txt") == ["far"]


def test_relative_paths_stay_relative(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    assert [one.source for one in read("*.txt", "news")[0]] == ["readme.txt", "news/1999/a.txt", "news/b.md"]
    monkeypatch.chdir(corpus / "news")
    assert [one.source for one in read(".")[0]] == ["1999/a.txt", "b.md"]


@pytest.mark.parametrize("name", ["a b.jsonl", "50%.jsonl", "z[1].jsonl", "naïve.jsonl", "q?x.jsonl", "a#b.jsonl"])
def test_names_with_odd_characters(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(records(1))
    assert texts(tmp_path / name) == ["text 0"]
    assert texts(tmp_path) == ["text 0"]
    assert texts(tmp_path.as_uri() + "/*.jsonl") == ["text 0"]
    [document] = read(tmp_path.as_uri())[0]
    assert document.source == f"file://{tmp_path}/{name}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing/*.jsonl", "matches no file"),
        ("nothing", "matches no file"),
        ("empty", "matches no file"),
        ("pictures", r"holds no file that is read here \(1 with .png\)"),
        ("pictures/*", r"a\.png: expected .jsonl"),
        ("data.parquet.gz", "expected .jsonl"),
        ("file://{}/nothing", "matches no file"),
        ("ftp://host/file.jsonl", "cannot be listed"),
    ],
)
def test_sources_that_hold_nothing_are_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").touch()
    (tmp_path / "data.parquet.gz").touch()
    source = source.format(tmp_path) if "://" in source else str(tmp_path / source)
    with pytest.raises(DataError, match=message) as caught:
        parts(DataConfig(sources=(source,)))
    assert source in str(caught.value).replace("'", "") or "expected" in message


def test_a_file_named_twice_is_refused(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"readme\.txt is named twice"):
        parts(DataConfig(sources=(f"{corpus}/readme.txt", f"{corpus}/*.txt")))


def test_a_bucket_is_listed_and_read_like_a_folder(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = fs.SubTreeFileSystem(str(corpus.parent), fs.LocalFileSystem())  # stands in for S3: another filesystem

    def connect(address: str) -> tuple[fs.FileSystem, str]:
        inside = address.removeprefix("s3://key:secret@").removesuffix("?region=here")
        return bucket, urllib.parse.unquote(inside)

    expected = texts(corpus)
    monkeypatch.setattr(storage, "connect", connect)
    documents, _ = read("s3://key:secret@corpus?region=here")
    assert [one.text for one in documents] == expected
    assert documents[0].source == "s3://corpus/train-00000-of-00002.jsonl"
    config = DataConfig(sources=("s3://key:secret@corpus?region=here",))
    assert not any("secret" in f"{part.name}{part.identity()}" for part in parts(config))
    assert texts("s3://key:secret@corpus/n*/*.md?region=here") == ["# Weather\n\nRain."]


def test_buckets_are_opened_by_their_scheme_with_options() -> None:
    system, inside = storage.connect("s3://bucket/a b/x.jsonl?region=eu-west-1")
    assert (system.type_name, system.region, inside) == ("s3", "eu-west-1", "bucket/a b/x.jsonl")
    system, inside = storage.connect("gs://bucket/x.jsonl")
    assert (system.type_name, inside) == ("gcs", "bucket/x.jsonl")


def test_keys_of_a_bucket_are_not_shown() -> None:
    assert storage.shown("s3://key:secret@bucket/a%20b?region=x&secret_key=y") == "s3://bucket/a b"


# ---- text files


def test_text_files_that_cannot_be_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfiles, "LONGEST_RECORD", 1000)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "wide.txt").write_text("wide", encoding="utf-16")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "long.txt").write_text("x" * 1001)
    (tmp_path / "broken.txt.gz").write_bytes(b"no gzip")
    (tmp_path / "good.txt").write_text("good")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    shown = {line for examples in counts.examples.values() for line in examples}
    assert {line.removeprefix(f"{tmp_path}/").partition(" (")[0] for line in shown} == {
        "latin.txt: not UTF-8",
        "wide.txt: not UTF-8",
        "nul.txt: NUL character in the text",
        "empty.txt: empty text",
        "long.txt: file too long",
        "broken.txt.gz: the file cannot be read",
    }
    assert "wide.txt: not UTF-8 (the file is UTF-16)" in str(shown)


def test_many_text_files_are_few_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP_FILES", 4)
    for domain in ("a", "b"):
        (tmp_path / domain).mkdir()
        for number in range(6):
            (tmp_path / domain / f"{number}.txt").write_text(f"{domain} {number}")
    made = parts(DataConfig(sources=(str(tmp_path),)))
    assert [(part.domain, len(part.paths)) for part in made] == [("a", 4), ("a", 2), ("b", 4), ("b", 2)]
    assert made[0].name == f"{tmp_path}/a/0.txt and 3 more"
    assert texts(tmp_path) == [f"{domain} {number}" for domain in "ab" for number in range(6)]
    before = made[1].identity()
    (tmp_path / "a/5.txt").write_text("other")
    after = parts(DataConfig(sources=(str(tmp_path),)))
    assert after[1].identity() != before
    assert after[0] == made[0]


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


# ---- Parquet


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([["a"], ["b"]]), pa.array([{"x": "a"}, {"x": "b"}])]
)
def test_a_parquet_column_that_is_not_text_is_one_bad_record(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(records(1))
    documents, counts = read(tmp_path / "a.parquet", tmp_path / "b.jsonl", limit=1)
    assert len(documents) == 1
    assert counts.bad == {"field 'text' is not text": 1}


def test_a_parquet_column_that_is_there_twice_is_one_bad_record(tmp_path: Path) -> None:
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(records(1))
    documents, counts = read(tmp_path / "a.parquet", tmp_path / "b.jsonl")
    assert [document.text for document in documents] == ["text 0"]
    assert sum(counts.bad.values()) == 1


@pytest.mark.parametrize(
    "type_", [pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_in_parquet_is_read_however_it_is_laid_out(tmp_path: Path, type_: pa.DataType) -> None:
    column = pa.array(["é", "b", None]).cast(pa.string()).cast(type_)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    documents, counts = read(tmp_path / "a.parquet")
    assert [document.text for document in documents] == ["é", "b"]
    assert counts.examples == {"no field 'text'": [f"{tmp_path}/a.parquet:3: no field 'text' (it has text)"]}


def test_large_rows_of_parquet_are_read_few_at_a_time(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x" * 2**20] * 32}), tmp_path / "large.parquet")
    pq.write_table(pa.table({"text": ["x"] * 32}), tmp_path / "small.parquet")
    assert parquet._batch_rows(pq.read_metadata(tmp_path / "small.parquet")) == 32 * 32
    text = "".join(map(chr, np.random.default_rng(0).integers(32, 1000, 2**19)))
    pq.write_table(pa.table({"text": [text + str(n) for n in range(8)]}), tmp_path / "large.parquet")
    assert parquet._batch_rows(pq.read_metadata(tmp_path / "large.parquet")) <= 5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), min_size=1, max_size=20))
def test_damage_anywhere_in_a_parquet_file_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    rows = [{"text": f"text {n}", "kind": "text", "meta": {"lang": "en"}} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=20)
    data = bytearray((folder / "a.parquet").read_bytes())
    for place, values in damage:
        start = place % len(data)
        data[start : start + len(values)] = values[: len(data) - start]
    (folder / "a.parquet").write_bytes(data)
    [part] = files.parts(str(folder / "a.parquet"))
    config = DataConfig(fields=FieldsConfig(language="meta.lang"))
    documents = list(read_part(part, config, counts := Counts(10**6)))
    assert len(documents) == 40 or counts.bad


# ---- parts and counts


def test_a_part_can_be_sent_to_another_process_and_is_the_same_there(corpus: Path) -> None:
    config = DataConfig(sources=(str(corpus),))
    for part in parts(config):
        sent = pickle.loads(pickle.dumps(part))
        assert sent == part
        assert hash(sent) == hash(part)
        assert list(read_part(sent, config, Counts(0))) == list(read_part(part, config, Counts(0)))
        json.dumps(part.identity(), allow_nan=False)


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
        merged.merge(Counts.from_json(100, json.loads(json.dumps(own.as_json()))))
    assert merged == alone
    with pytest.raises(
        DataError, match=r"there are 12 bad records, and config\.data\.bad_records_limit allows 11"
    ):
        Counts(11).merge(alone)


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
