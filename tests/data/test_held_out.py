"""Text of any shape has a part that is held out, and what it is a part of is not trained on."""

import dataclasses
import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow.parquet as pq
import pytest
from data.test_prepare import config_for

from bench_shadows.config import Config
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.errors import DataError
from bench_shadows.files import read_json

TEXT = "\n\n".join(text for _, text in sorted(topics.items()))


def small(source: Path) -> Config:
    config = config_for(source, samples=160, warmup_samples=16)
    data = dataclasses.replace(config.data, held_out_rows=10)
    conditions = dataclasses.replace(config.conditions, names=("A", "C"))
    return dataclasses.replace(config, data=data, conditions=conditions)


def prepared(source: Path, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The documents of each split."""
    prepare(small(source), folder)
    assert len(RowSet(folder / "rows" / "held_out")) > 0
    documents = pq.read_table(folder / "documents.parquet").to_pylist()
    return {
        split: [one for one in documents if one["split"] == split] for split in ("first", "second", "held_out")
    }


def test_of_one_text_file_the_end_is_held_out_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text(TEXT[:160_000], encoding="utf-8")
    splits = prepared(tmp_path / "one.txt", tmp_path / "data")
    held_out = splits["held_out"][-1]["text"]
    assert TEXT[:160_000].endswith(held_out)
    assert not any(held_out[-200:] in one["text"] for one in (*splits["first"], *splits["second"]))
    assert read_json(tmp_path / "data" / "documents.json")["held_out_shares_documents"] == 1
    assert "whose beginnings are trained on" in capsys.readouterr().err


def test_of_five_large_files_one_is_held_out_whole(tmp_path: Path) -> None:
    (tmp_path / "five").mkdir()
    for number in range(5):
        part = TEXT[number * 60_000 : (number + 1) * 60_000]
        (tmp_path / "five" / f"{number}.txt").write_text(part, encoding="utf-8")
    splits = prepared(tmp_path / "five", tmp_path / "data")
    files = {split: {one["source"] for one in documents} for split, documents in splits.items()}
    assert len(files["held_out"]) == 1
    assert not files["held_out"] & (files["first"] | files["second"])
    assert read_json(tmp_path / "data" / "documents.json")["held_out_shares_documents"] == 0


def test_a_work_that_the_records_name_is_held_out_whole(tmp_path: Path) -> None:
    with open(tmp_path / "books.jsonl", "w", encoding="utf-8") as file:
        for number in range(200):
            text = TEXT[number * 1000 : (number + 1) * 1000]
            record = {"text": text, "work": f"book {number % 20}", "language": "en", "kind": "text"}
            file.write(json.dumps(record) + "\n")
    splits = prepared(tmp_path / "books.jsonl", tmp_path / "data")
    works = {split: {one["work"] for one in documents} for split, documents in splits.items()}
    assert works["held_out"]
    assert not works["held_out"] & (works["first"] | works["second"])


def test_text_that_is_too_little_to_hold_some_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.txt").write_text(TEXT[:900], encoding="utf-8")
    config = small(tmp_path / "tiny.txt")
    train = dataclasses.replace(config.train, samples=8, batch_size=2, micro_batch_size=2, warmup_samples=0)
    model = dataclasses.replace(config.model, vocab_size=280)
    diagnostics = dataclasses.replace(config.diagnostics, fractions=(0.25, 1.0))
    tiny = dataclasses.replace(config, train=train, model=model, diagnostics=diagnostics)
    with pytest.raises(DataError, match=r"1 documents are too little text to hold a row of 32 tokens out"):
        prepare(tiny, tmp_path / "data")
