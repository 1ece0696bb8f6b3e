"""A file of JSON lines keeps every whole line, whatever a killed process or a crash left behind it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench_shadows.json_lines import JsonLines, read, read_objects, read_pairs


def test_whole_lines_are_kept_wherever_the_file_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "j.jsonl"
    with JsonLines(path) as file:
        file.append([0, [{"alpha": 0.1 + 0.2}]], [2, []])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with JsonLines(path) as file:
            assert list(read_pairs(path)) == [
                key for key, end in ((0, whole.index(b"\n") + 1), (2, len(whole))) if cut >= end
            ]
            file.append([7, []])
            file.sync()
        assert list(read_pairs(path))[-1] == 7
        assert read_pairs(path).get(0, [{"alpha": 0.1 + 0.2}]) == [{"alpha": 0.1 + 0.2}]


def test_an_unended_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"1\n" + b"2" * 3_000_000)
    with JsonLines(path):
        assert path.read_bytes() == b"1\n"


def test_damaged_lines_are_passed_over_and_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a": 1}\n\0\0\0\n{"b": 2}\n\xff\n[3, 4]\n{"a": ')
    assert [value for _, value in read(path)] == [{"a": 1}, None, {"b": 2}, None, [3, 4], None]
    assert list(read_objects(path, "a")) == [{"a": 1}]
    assert read_pairs(path) == {3: 4}
    assert list(read(tmp_path / "absent.jsonl")) == []


def test_any_text_comes_back_and_the_later_of_two_values_counts(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    text = "中文 \u2028\r\n\0 and half a pair \ud800"
    with JsonLines(path) as file:
        file.append(["key", "old"], ["key", text], [1, "other"])
    assert read_pairs(path) == {"key": text, 1: "other"}


def test_a_number_that_is_no_json_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JsonLines(path) as file:
        with pytest.raises(ValueError, match="not JSON compliant"):
            file.append({"loss": float("nan")})
        assert path.read_bytes() == b""
        file.append(["key", float("inf")], allow_nan=True)
    assert read_pairs(path) == {"key": float("inf")}


FILLS = """
import resource, sys
from pathlib import Path
from bench_shadows.json_lines import JsonLines
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
with JsonLines(Path(sys.argv[1])) as file:
    for number in range(100):
        file.append({"number": number})
"""


def test_a_full_disk_is_an_error_and_what_was_written_before_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    result = subprocess.run([sys.executable, "-c", FILLS, path], capture_output=True, text=True)
    assert "OSError" in result.stderr
    assert path.stat().st_size == 100, "the last line is half written"
    with JsonLines(path):
        assert [value["number"] for _, value in read(path)] == list(range(7))
