"""Rows hold the documents' tokens, in order, nothing added but the end-of-text token, nothing lost uncounted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.rows.row_store import RowSet, RowStore, write_rows
from bench_shadows.errors import RunError

END = 9


def documents(*lengths: int, first: int = 10) -> list[np.ndarray]:
    """Documents of the given numbers of tokens, all tokens different."""
    ids = np.arange(first, first + sum(lengths), dtype=np.uint32)
    return np.split(ids, np.cumsum(lengths)[:-1])


def test_documents_of_a_domain_are_joined_ended_and_cut(tmp_path: Path) -> None:
    written = write_rows(tmp_path / "rows", [("a", documents(3, 5)), ("b", documents(4, first=50))], 4, END)
    rows = RowSet(tmp_path / "rows")
    assert rows[0].tolist() == [10, 11, 12, END]
    assert rows[1].tolist() == [13, 14, 15, 16]
    assert rows[2].tolist() == [50, 51, 52, 53]
    assert rows.domains == {"a": (0, 2), "b": (2, 3)}
    assert (written["documents"], written["tokens"], written["dropped_tokens"]) == (3, 12, 3)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=12),
    seq_len=st.integers(2, 11),
    shard_rows=st.integers(1, 9),
    limit=st.none() | st.integers(0, 8),
)
def test_every_token_is_in_a_row_or_counted(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seq_len: int, shard_rows: int, limit: int | None
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    texts = documents(*lengths) if lengths else []
    stream = [i for text in texts for i in [*text.tolist(), END]]
    written = write_rows(folder / "r", [("a", texts)], seq_len, END, limit, shard_bytes=shard_rows * seq_len * 4)
    rows = RowSet(folder / "r")
    made = len(stream) // seq_len
    kept = made if limit is None else min(limit, made)
    assert len(rows) == kept == written["count"]
    assert len(written["files"]) == -(-kept // shard_rows)
    assert rows.read(range(kept)).ravel().tolist() == stream[: kept * seq_len]
    assert written["dropped_tokens"] == len(stream) - kept * seq_len
    rows.verify()


def test_the_same_documents_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_rows(tmp_path / name, [("a", documents(100))], 8, END) for name in ("one", "two"))
    assert one["sha256"] == two["sha256"]


def test_a_store_numbers_rows_over_its_sets(tmp_path: Path) -> None:
    for name, first in (("first", 100), ("second", 200), ("rewritten", 300)):
        write_rows(
            tmp_path / name, [("a", documents(7, first=first)), ("b", documents(3, first=first + 50))], 4, END
        )
    store = RowStore.open(tmp_path)
    assert len(store) == 9
    assert store.read([8, 0, 3, 4, 0])[:, 0].tolist() == [350, 100, 200, 204, 100]
    assert store.domain_counts(np.array([8, 0, 3, 4, 2])) == {"a": 3, "b": 2}
    assert store.domain_counts(np.array([8])) == {"b": 1}
    with pytest.raises(IndexError, match="of 9"):
        store.read([9])


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    def broken():
        yield from documents(100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows", [("a", broken())], 4, END)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows", [("a", documents(100))], 4, END, shard_bytes=160)
    return tmp_path / "rows"


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "rows-00001.array_record").unlink()
    with pytest.raises(RunError, match=r"rows-00001.array_record: missing"):
        RowSet(folder)


def test_a_missing_or_broken_description_is_named(folder: Path) -> None:
    (folder / "rows.json").write_text('{"seq_len": 4}')
    with pytest.raises(RunError, match=r"rows.json: not a description"):
        RowSet(folder)
    (folder / "rows.json").unlink()
    with pytest.raises(RunError, match=r"rows.json: missing"):
        RowSet(folder)


def test_another_count_than_described_is_refused(folder: Path) -> None:
    (folder / "rows.json").write_text((folder / "rows.json").read_text().replace('"count": 25', '"count": 26'))
    with pytest.raises(RunError, match=r"rows.json says 26 rows, shards hold 25"):
        RowSet(folder)


def test_a_shard_cut_short_is_refused(folder: Path) -> None:
    path = folder / "rows-00000.array_record"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match="delete it"):
        RowSet(folder)


def test_a_flipped_bit_is_found_by_the_hash(folder: Path) -> None:
    path = folder / "rows-00002.array_record"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"rows-00002.array_record: its SHA-256"):
        RowSet(folder).verify()


def test_rows_of_different_length_do_not_mix(tmp_path: Path) -> None:
    for name, seq_len in (("one", 4), ("two", 8)):
        write_rows(tmp_path / name, [("a", documents(100))], seq_len, END)
    with pytest.raises(RunError, match="different seq_len"):
        RowStore([RowSet(tmp_path / "one"), RowSet(tmp_path / "two")])
