"""Parquet however it is laid out, and what is broken in it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read, records

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus.documents import Counts, read_part
from bench_shadows.data.corpus.sources import files, parquet


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([["a"], ["b"]]), pa.array([{"x": "a"}, {"x": "b"}])]
)
def test_a_parquet_column_that_is_not_text_counts_its_rows(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(records(1))
    documents, counts = read(tmp_path / "a.parquet", tmp_path / "b.jsonl", limit=2)
    assert len(documents) == 1
    assert counts.bad == {"field 'text' is not text": 2}


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
    assert counts.examples == {"field 'text' is null": [f"{tmp_path}/a.parquet:3: field 'text' is null"]}


def test_large_rows_of_parquet_are_read_few_at_a_time(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x" * 2**20] * 32}), tmp_path / "large.parquet")
    pq.write_table(pa.table({"text": ["x"] * 32}), tmp_path / "small.parquet")
    assert parquet.batch_rows(pq.read_metadata(tmp_path / "small.parquet")) == 32 * 32
    text = "".join(map(chr, np.random.default_rng(0).integers(32, 1000, 2**19)))
    pq.write_table(pa.table({"text": [text + str(n) for n in range(8)]}), tmp_path / "large.parquet")
    assert parquet.batch_rows(pq.read_metadata(tmp_path / "large.parquet")) <= 5


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


def test_texts_in_lists_are_read_where_their_dictionary_is_given_up(tmp_path: Path) -> None:
    turns = [[{"content": f"{n} " * (3000 if n > 40 else 3)}, {"content": "same"}] for n in range(400)]
    table = pa.table({"text": [f"text {n}" for n in range(400)], "turns": turns})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=150)
    [part] = files.parts(str(tmp_path / "a.parquet"))
    with parquet.opened(part) as (file, groups):
        read_back = [row for batch in parquet.batches(part, file, groups) for row in batch.to_pylist()]
    assert read_back == table.to_pylist()
