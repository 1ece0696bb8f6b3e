"""What cannot be read is said: of which file, how much of it, and what to do."""

import gzip
import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import lines, read, records
from tiny_study import SHAPE, WORDS

from bench_shadows.config import DataConfig
from bench_shadows.config_file import load
from bench_shadows.data.corpus.documents import Counts, parts
from bench_shadows.data.corpus.ingest import ingest
from bench_shadows.data.prepare import prepare
from bench_shadows.errors import DataError, SourceError


def test_a_file_whose_text_is_no_text_counts_all_its_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [["a", "b"]] * 1000}), tmp_path / "lists.parquet")
    _, counts = read(tmp_path / "lists.parquet", limit=1000)
    assert counts.bad == {"field 'text' is not text": 1000}
    assert counts.lost[str(tmp_path / "lists.parquet")].startswith("1,000 records lost")
    with pytest.raises(
        DataError, match=r"there are 1000 bad records, and config\.data\.bad_records_limit allows 100"
    ):
        read(tmp_path / "lists.parquet")


def test_a_cut_gzip_keeps_what_came_before_the_cut(tmp_path: Path) -> None:
    draw = random.Random(0)
    whole = lines(*({"text": " ".join(draw.choices(WORDS, k=60))} for _ in range(1000)))
    data = gzip.compress(whole, mtime=0)
    (tmp_path / "cut.jsonl.gz").write_bytes(data[: len(data) * 2 // 3])
    documents, counts = read(tmp_path / "cut.jsonl.gz")
    assert 600 < len(documents) < 720
    assert counts.bad == {"the rest of the file cannot be read": 1}
    assert "an unknown number of records lost" in counts.lost[str(tmp_path / "cut.jsonl.gz")]


@pytest.mark.parametrize("rubbish", [b"rubbish", b"\x1f\x8b\x08\x00rubbish", b"\0\0\0x"])
def test_a_small_gzip_with_rubbish_at_its_end_keeps_its_records(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(records(20)) + gzip.compress(records(10)) + rubbish)
    documents, counts = read(tmp_path / "a.jsonl.gz")
    assert len(documents) == 30
    assert sum(counts.bad.values()) == 1
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(records(20)) + bytes(1000))  # a tape's padding
    documents, counts = read(tmp_path / "b.jsonl.gz")
    assert (len(documents), counts.bad) == (20, {})


def test_damage_inside_a_gzip_costs_what_lies_behind_it(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(records(2000)))
    data[-4] ^= 1  # the length at its end: all of it was read
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    documents, counts = read(tmp_path / "a.jsonl.gz")
    assert (len(documents), counts.bad) == (2000, {"the rest of the file cannot be read": 1})


def test_what_a_record_has_instead_of_text_is_suggested(tmp_path: Path) -> None:
    row = {"id": "a", "content": "Long enough to be a text.", "url": "x"}
    (tmp_path / "a.jsonl").write_bytes(lines(row))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        _, counts = read(tmp_path / name)
        [[example]] = counts.examples.values()
        assert "it has id, content, url; its text may be in --config.data.fields.text=content" in example


def test_null_texts_names_of_languages_and_numbers_of_domains(tmp_path: Path) -> None:
    rows = [
        {"text": None},
        {"text": "In English.", "language": "English"},
        {"text": "Numbered.", "language": "en", "kind": "text", "domain": 7},
    ]
    (tmp_path / "a.jsonl").write_bytes(lines(*rows))
    documents, counts = read(tmp_path / "a.jsonl")
    assert documents == []
    assert counts.bad == {"field 'text' is null": 1, "unknown language": 1, "field 'domain' is not text": 1}
    assert "'English' of kind text; expected a code, such as en" in counts.examples["unknown language"][0]


def test_a_file_name_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(records(1))
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl")).write_bytes(records(1))
    except OSError:
        pytest.skip("this filesystem has no such names")
    with pytest.raises(SourceError, match=r"udcff\.jsonl': its name is not UTF-8; rename it"):
        parts(DataConfig(sources=(str(tmp_path),)))


def test_what_was_lost_is_said_on_the_terminal_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jsonl").write_bytes(records(20))
    pq.write_table(pa.table({"text": [[1]] * 30}), tmp_path / "in" / "lists.parquet")
    made = ingest(DataConfig(sources=(str(tmp_path / "in"),)), tmp_path / "corpus")
    assert "lists.parquet: 30 records lost" in capsys.readouterr().err
    assert made.report["bad_records"] == {"field 'text' is not text": 30}
    merged = Counts(100)
    merged.merge({**made.report, "sources": {}})
    assert merged.lost == made.report["lost_files"]


@pytest.mark.parametrize("samples", [4800, 832])  # by far, and by little: seen before and after rewriting
def test_too_little_text_says_what_would_fit(tmp_path: Path, samples: int) -> None:
    draw = random.Random(0)
    texts = [f"{' '.join(draw.choices(WORDS, k=60))} {n}." for n in range(150)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    (tmp_path / "tiny.py").write_text(SHAPE.format(source=str(tmp_path / "corpus.jsonl")))
    config = {"train.samples": str(samples)}
    with pytest.raises(DataError, match=r"--config\.train\.samples=(\d+) would fit") as caught:
        prepare(load(tmp_path / "tiny.py", config), tmp_path / "data")
    fits = str(caught.value).partition("train.samples=")[2].split()[0]
    prepare(load(tmp_path / "tiny.py", {"train.samples": fits}), tmp_path / "again")
