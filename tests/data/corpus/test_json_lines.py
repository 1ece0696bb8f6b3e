"""JSON lines, compressed or not, whole or in pieces: every line is a document or is counted."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import lines, read, records, texts

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus.documents import Counts, Part, parts, read_part
from bench_shadows.data.corpus.sources import files, jsonl, storage

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
