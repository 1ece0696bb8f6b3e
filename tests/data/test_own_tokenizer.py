"""A user's tokenizer is checked against the user's text before anything is made of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from data.test_prepare import config_for
from tokenizer_layouts import TEXTS, file_of
from tokenizers import Tokenizer as Backend

from bench_shadows.config import Config
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.errors import DataError
from bench_shadows.files import read_json


def own(folder: Path, tokenizer_json: str, texts: list[str]) -> Config:
    """A config with this tokenizer and, numbered, these texts."""
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
        for number in range(60):
            words = " ".join(f"{text} {number * 7 + place}" for place, text in enumerate(texts))
            file.write(json.dumps({"text": words, "language": "en", "kind": "text"}) + "\n")
    config = config_for(folder / "corpus.jsonl", samples=160, warmup_samples=16)
    data = dataclasses.replace(
        config.data, tokenizer=str(folder / "tokenizer.json"), near_duplicate_threshold=1.0, held_out_rows=10
    )
    conditions = dataclasses.replace(config.conditions, names=("A", "C"))
    model = dataclasses.replace(config.model, vocab_size=1200)
    return dataclasses.replace(config, data=data, model=model, conditions=conditions)


def test_documents_are_neither_cut_nor_padded(tmp_path: Path) -> None:
    backend = Backend.from_str(file_of("llama2"))
    backend.enable_truncation(32)
    backend.enable_padding(length=64, pad_id=2)
    config = own(tmp_path, backend.to_str(), TEXTS)
    prepare(config, tmp_path / "data")
    tokenizer = load_run_tokenizer(config, tmp_path / "data")
    table = pq.read_table(tmp_path / "data" / "documents.parquet").to_pylist()
    documents = tokenizer.encode_documents([one["text"] for one in table if one["split"] == "first"])
    assert {int(ids[0]) for ids in documents} == {tokenizer.start}
    stream = np.concatenate([[*ids, tokenizer.end_of_text] for ids in documents])
    rows = RowSet(tmp_path / "data" / "rows" / "first")
    np.testing.assert_array_equal(rows.read(range(len(rows))).ravel(), stream[: len(rows) * rows.seq_len])
    assert read_json(tmp_path / "data" / "documents.json")["unknown_tokens"] == {}


def test_a_text_that_the_vocabulary_does_not_know_is_refused_with_the_share(tmp_path: Path) -> None:
    config = own(tmp_path, file_of("unigram"), ["ขยายใหญ่ มาก ตอนเย็น", TEXTS[0]])
    with pytest.raises(DataError, match=r"\d+% of [\d,]+ tokens are its unknown one, at most 1% may be"):
        prepare(config, tmp_path / "data")


def test_what_a_tokenizer_changes_in_the_text_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(own(tmp_path, file_of("wordpiece"), TEXTS[:4] * 2), tmp_path / "data")
    assert "documents do not come back from it as they were" in capsys.readouterr().err
