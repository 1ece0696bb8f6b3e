"""Files of samples are written again without repeated prompts: same formats, same order, all else as it was."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench_shadows.data.corpus.sources import parquet, storage
from bench_shadows.data.corpus.sources.json_lists import elements
from bench_shadows.data.samples import clean_files, sample_files
from bench_shadows.data.samples.clean_files import dedupe_prompts
from bench_shadows.data.samples.repetition import Rules, deduplicate
from bench_shadows.errors import DataError, RunError
from bench_shadows.report.prompts.duplicates import write_prompts_page

ASK = "Describe the picture in one sentence."
REPEATING: dict[str, Any] = {"id": 1, "prompt": f"<image>\n{ASK}", "system": ASK, "answer": ASK, "score": 0.10}
CLEAN = {"id": 1, "prompt": f"<image>\n{ASK}", "system": "", "answer": ASK, "score": 0.10}
OTHER_LINE = b'{"id":   2, "prompt": "What is it?", "escaped": "\\u732b"}'


def test_lines_that_repeat_nothing_are_copied_byte_for_byte(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join([OTHER_LINE, json.dumps(REPEATING).encode(), b"", OTHER_LINE]))
    found = dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0)
    first, second, blank, last = (tmp_path / "out" / "in.jsonl").read_bytes().rstrip(b"\n").split(b"\n")
    assert (first, blank, last) == (OTHER_LINE, b"", OTHER_LINE)
    assert json.loads(second) == CLEAN
    assert (found["samples"], found["repeating"], found["repeating_after"]) == (3, 1, 0)
    assert found["fields_repeating"] == {"system": 1}


def test_many_pieces_and_processes_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    lines = [json.dumps(REPEATING | {"id": number, "caption": "x" * (number % 97)}) for number in range(500)]
    source.write_text("\n".join(lines) + "\n")
    whole = dedupe_prompts([str(source)], tmp_path / "whole", Rules(), 0)
    monkeypatch.setattr(clean_files, "SMALLEST", 4096)
    pieces = dedupe_prompts([str(source)], tmp_path / "pieces", Rules(), 0)
    assert (tmp_path / "pieces" / "in.jsonl").read_bytes() == (tmp_path / "whole" / "in.jsonl").read_bytes()
    assert {**whole, "examples": []} == {**pieces, "examples": []}
    assert whole["samples"] == whole["repeating"] == 500


def test_a_json_list_stays_one_and_is_read_piece_by_piece(tmp_path: Path) -> None:
    source = tmp_path / "llava.json"
    samples = [REPEATING, {"n": [1, -2.5e3, None, True]}, REPEATING | {"text": "\\u732b } ] ,\\" * 90_000}] * 2
    source.write_text("\ufeff" + json.dumps(samples, indent=2))
    assert [element.value for element in elements(str(source))] == samples
    dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0)
    written = json.loads((tmp_path / "out" / "llava.json").read_text())
    assert written == [deduplicate(sample, Rules()).sample for sample in samples]


@pytest.mark.parametrize("bad", [(), (0, 1, 2), (299,), tuple(range(300))])
def test_a_json_list_in_pieces_is_the_list(
    bad: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "llava.json"
    samples: list[Any] = [REPEATING | {"id": number, "caption": "猫" * (number % 97)} for number in range(300)]
    for number in bad:
        samples[number] = [number]
    source.write_text("\ufeff" + json.dumps(samples, indent=1, ensure_ascii=False), "utf-8")
    whole = dedupe_prompts([str(source)], tmp_path / "whole", Rules(), 300)
    monkeypatch.setattr(clean_files, "SMALLEST", 4096)
    pieces = dedupe_prompts([str(source)], tmp_path / "pieces", Rules(), 300)
    assert (tmp_path / "pieces" / "llava.json").read_bytes() == (tmp_path / "whole" / "llava.json").read_bytes()
    assert {**whole, "examples": []} == {**pieces, "examples": []}
    written = json.loads((tmp_path / "pieces" / "llava.json").read_text())
    assert written == [CLEAN | one for one in map(kept, samples) if one is not None]


def kept(sample: Any) -> dict[str, Any] | None:
    return {name: sample[name] for name in ("id", "caption")} if isinstance(sample, dict) else None


def test_a_json_list_is_cut_where_elements_begin(tmp_path: Path) -> None:
    source = tmp_path / "list.json"
    source.write_text('\ufeff[ 12 ,"猫],[", {"a": [1, 2]}\n,\t[] ]', "utf-8")
    found = list(elements(str(source)))
    assert [element.value for element in found] == [12, "猫],[", {"a": [1, 2]}, []]
    content, places = source.read_bytes(), [*(element.place for element in found[1:]), None]
    for element, end in zip(found, places, strict=True):
        assert content[element.place :].startswith(element.text.encode())
        if element is not found[0]:
            assert list(elements(str(source), element.place, end)) == [element]
    assert list(elements(str(source), 0, found[2].place)) == found[:2]


@pytest.mark.parametrize("text", ["[", "[1", "[1,", "[1 2]", "{}", "", "[1]x", "[]", "[ ]", "[12]", "[1,]", '["a'])
def test_a_json_list_is_read_as_the_library_reads_it(tmp_path: Path, text: str) -> None:
    source = tmp_path / "list.json"
    source.write_text(text)
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    if isinstance(expected, list):
        assert [element.value for element in elements(str(source))] == expected
    elif text != "[1]x":  # what stands behind the list is not read
        with pytest.raises(ValueError, match=r"."):
            list(elements(str(source)))


def test_a_list_that_is_nested_too_deeply_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "deep.json"
    source.write_text(f"[{json.dumps(REPEATING)}, {'[' * 100_000}{']' * 100_000}]")
    found = dedupe_prompts([str(source)], tmp_path / "out", Rules(), 1)
    assert found["bad_records"] == {"the rest of the file cannot be read": 1}
    assert json.loads((tmp_path / "out" / "deep.json").read_text()) == [CLEAN]


def test_parquet_keeps_its_schema_and_its_images(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": ASK}, {"from": "gpt", "value": ASK}]
    schema = pa.schema(
        {
            "image": pa.binary(),
            "system": pa.large_string(),
            "turns": pa.list_(pa.struct({"from": pa.string(), "value": pa.string()})),
            "size": pa.int32(),
        }
    )
    rows = [{"image": os.urandom(50), "system": ASK, "turns": turns, "size": n} for n in range(700)]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "in.parquet")
    dedupe_prompts([str(tmp_path / "in.parquet")], tmp_path / "out", Rules(), 0)
    written = pq.read_table(tmp_path / "out" / "in.parquet")
    assert written.schema == schema
    assert written.to_pylist() == [row | {"system": ""} for row in rows]


def test_parquet_in_pieces_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [REPEATING | {"id": number, "image": os.urandom(50)} for number in range(900)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=200)
    whole = dedupe_prompts([str(tmp_path / "in.parquet")], tmp_path / "whole", Rules(), 0)
    monkeypatch.setattr(clean_files, "SMALLEST", 4096)
    pieces = dedupe_prompts([str(tmp_path / "in.parquet")], tmp_path / "pieces", Rules(), 0)
    assert pq.read_table(tmp_path / "pieces" / "in.parquet") == pq.read_table(tmp_path / "whole" / "in.parquet")
    assert {**whole, "examples": []} == {**pieces, "examples": []}
    assert pieces["samples"] == 900


def test_a_folder_keeps_its_shape_and_its_images_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "in" / "part").mkdir(parents=True)
    with gzip.open(tmp_path / "in" / "part" / "a.jsonl.gz", "wt") as file:
        file.write(json.dumps(REPEATING) + "\n")
    (tmp_path / "in" / "b.json").write_text(json.dumps([REPEATING]))
    (tmp_path / "in" / "cat.png").write_bytes(b"png")
    found = dedupe_prompts([str(tmp_path / "in")], tmp_path / "out", Rules(), 0)
    assert found["ignored_files"] == {".png": 1}
    with gzip.open(tmp_path / "out" / "part" / "a.jsonl.gz", "rt") as file:
        assert json.loads(file.read()) == CLEAN
    assert json.loads((tmp_path / "out" / "b.json").read_text()) == [CLEAN]


def test_what_is_no_sample_is_counted_with_its_place_up_to_the_limit(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join([b"{", json.dumps(REPEATING).encode(), b"[1]", b'{"a": "\xff"}', b'{"id": 3}']))
    found = dedupe_prompts([str(source)], tmp_path / "out", Rules(), 3)
    assert found["bad_records"] == {"not JSON": 1, "not an object": 1, "not UTF-8": 1}
    assert found["bad_examples"]["not an object"] == [f"{source}:3: not an object (a list)"]
    assert (found["samples"], found["without_text"]) == (2, 1)
    with pytest.raises(DataError, match="--bad-records-limit allows 2"):
        dedupe_prompts([str(source)], tmp_path / "other", Rules(), 2)


def test_nothing_is_written_over_the_input_or_into_other_work(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(REPEATING))
    before = source.read_bytes()
    with pytest.raises(RunError, match="nothing is written over the input"):
        dedupe_prompts([str(source)], tmp_path, Rules(), 0)
    dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0)
    with pytest.raises(RunError, match="other options"):
        dedupe_prompts([str(source)], tmp_path / "out", Rules(minimum=8), 0)
    with pytest.raises(DataError, match=r"dedupe-prompts: .* matches no file"):
        dedupe_prompts([str(tmp_path / "none.jsonl")], tmp_path / "out", Rules(), 0)
    assert source.read_bytes() == before


def test_a_second_call_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(REPEATING))
    first = dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0)
    monkeypatch.setattr(clean_files, "clean_piece", None)
    assert dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0) == first


def test_the_page_shows_samples_side_by_side_and_escapes_them(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(REPEATING | {"caption": f"<script>alert(1)</script> {ASK} A cat."}))
    dedupe_prompts([str(source)], tmp_path / "out", Rules(), 0)
    page = write_prompts_page(tmp_path / "out", ["bench-shadows", "dedupe-prompts"]).read_text()
    assert "<script>alert" not in page
    assert f"<del>{ASK}" in page
    assert "1 (100.0" in page


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_files(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    with open(source, "w") as file:
        for number in range(30_000):
            file.write(
                json.dumps(REPEATING | {"id": number, "caption": f"{number} {ASK} " + "word " * 200}) + "\n"
            )
    command = "from bench_shadows.data.samples import clean_files as files; files.SMALLEST = 2**21; "
    command += "from bench_shadows.main import entry; entry()"
    words = [sys.executable, "-c", command, "dedupe-prompts", str(source), "--out"]
    subprocess.run([*words, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    for seconds in (1.0, 2.0, 3.0, 4.5, 6.0):
        process = subprocess.Popen([*words, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*words, str(tmp_path / "killed")], check=True, capture_output=True)
    for name in ("in.jsonl", "duplicates.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_small_file_of_large_rows_is_held_a_few_rows_at_a_time(tmp_path: Path) -> None:
    """Each row repeats one text of a dictionary: what is decoded counts, not what the file says of its size."""
    rows = {"prompt": ["x" * 2**20] * 60, "turns": [[{"value": "y" * 2**20}]] * 60, "n": list(range(60))}
    pq.write_table(pa.table(rows), tmp_path / "in.parquet", compression="zstd")
    assert (tmp_path / "in.parquet").stat().st_size < 10_000
    whole = sample_files.whole(storage.find(str(tmp_path / "in.parquet"))[0][0])
    with parquet.opened(whole) as (source, groups):
        [batch] = parquet.batches(whole, source, groups)
        assert batch.nbytes < 2**23  # of 120 MiB
        stretches = [(len(some), len(rows)) for some, rows in clean_files._decoded(batch, ["prompt", "turns"])]
    assert stretches == [(2, 2)] * 30
    dedupe_prompts([str(tmp_path / "in.parquet")], tmp_path / "out", Rules(), 0)
    assert pq.read_table(tmp_path / "out" / "in.parquet") == pq.read_table(tmp_path / "in.parquet")
