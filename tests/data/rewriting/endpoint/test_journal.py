"""The journal keeps every finished reply through kills and torn lines, and never mixes settings or clients."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.rewriting.endpoint.journal import Journal, Reply, open_settings, piece_key
from bench_shadows.errors import RunError


def reply(key: str, text: str | None = "rewritten", attempts: int = 1) -> Reply:
    return Reply(key, text, None if text is not None else "empty", None, attempts, 10, 5)


def key(number: int) -> str:
    return piece_key("document", number, "text", "text", "en")


def write(home: Path, replies: Sequence[Reply], index: int = 0, count: int = 1) -> Path:
    with Journal.open(home, index, count) as journal:
        for one in replies:
            journal.append(one)
    return home / f"shard-{index:05d}-of-{count:05d}.jsonl"


def test_what_was_written_is_found_by_the_next_process(tmp_path: Path) -> None:
    replies = [reply(key(n), f"text {n}\n\u2028 中文 \x00") for n in range(100)]
    write(tmp_path, replies)
    with Journal.open(tmp_path, 0, 1) as journal:
        assert len(journal) == 100
        assert [journal.find(one.key) for one in replies] == replies
        assert journal.find(key(100)) is None


def test_an_empty_journal_has_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0, 1) as journal:
        assert journal.find(key(0)) is None


def test_a_line_is_with_the_operating_system_at_once(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0, 1) as journal:
        journal.append(reply(key(1)))
        [path] = tmp_path.glob("*.jsonl")
        assert path.read_bytes().endswith(b"\n")  # while the file is open: a killed process loses nothing


@settings(max_examples=30)
@given(st.integers(0, 1200))
def test_a_torn_last_line_is_cut_and_the_others_stay(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    home = tmp_path_factory.mktemp("journal")
    replies = [reply(key(n)) for n in range(5)]
    path = write(home, replies)
    data = path.read_bytes()[:length]
    path.write_bytes(data)
    whole = data.count(b"\n")
    with Journal.open(home, 0, 1) as journal:
        assert [journal.find(one.key) for one in replies] == replies[:whole] + [None] * (5 - whole)
        for one in replies[whole:]:
            journal.append(one)
    assert [Reply(**json.loads(line)) for line in path.read_bytes().splitlines()] == replies


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path, [reply(key(1)), reply(key(2), "x" * 3_000_000)])
    path.write_bytes(path.read_bytes()[:-2])
    with Journal.open(tmp_path, 0, 1) as journal:
        assert journal.find(key(1))
        assert journal.find(key(2)) is None
    assert path.read_bytes().count(b"\n") == 1


def test_a_damaged_line_is_counted_and_asked_for_again(tmp_path: Path) -> None:
    path = write(tmp_path, [reply(key(n)) for n in range(3)])
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\0" * (len(first) - 1) + b"\n" + second[:60] + b"\0" * (len(second) - 61) + b"\n" + third)
    with Journal.open(tmp_path, 0, 1) as journal:
        assert [journal.find(key(n)) for n in range(3)] == [None, None, reply(key(2))]
        assert journal.damaged == 2


def test_a_valid_reply_counts_more_than_an_invalid_one_and_more_attempts_more_than_few(tmp_path: Path) -> None:
    write(
        tmp_path,
        [reply(key(1), None, 8), reply(key(1), "good", 2), reply(key(2), None, 8), reply(key(2), None, 2)],
    )
    with Journal.open(tmp_path, 0, 1) as journal:
        assert journal.find(key(1)) == reply(key(1), "good", 2)
        assert journal.find(key(2)) == reply(key(2), None, 8)


def test_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    one, other = "0" * 32, "0" * 31 + "1"
    write(tmp_path, [reply(one, "one"), reply(other, "other")])
    with Journal.open(tmp_path, 0, 1) as journal:
        assert [journal.find(name) for name in (one, other, "0" * 30 + "11")] == [
            reply(one, "one"), reply(other, "other"), None,
        ]  # fmt: skip


@given(st.lists(st.tuples(st.text(), st.integers(0, 3), st.text()), unique=True))
def test_another_document_piece_or_content_has_another_key(pieces: list[tuple[str, int, str]]) -> None:
    keys = {piece_key(document, number, text, "text", "en") for document, number, text in pieces}
    assert len(keys) == len(pieces)


def test_a_client_finds_what_other_clients_and_other_divisions_wrote(tmp_path: Path) -> None:
    write(tmp_path, [reply(key(1))], 0, 2)
    write(tmp_path, [reply(key(2))], 1, 2)
    with Journal.open(tmp_path, 3, 7) as journal:
        assert journal.find(key(1))
        assert journal.find(key(2))
        assert len(list(tmp_path.glob("*.jsonl"))) == 3


@pytest.mark.parametrize(("shard", "problem"), [
    ((0, 2), "another process is at shard 0/2"),
    ((0, 3), "divided by another number (shard-00000-of-00002)"),
    ((0, 1), "divided by another number (shard-00000-of-00002)"),
])  # fmt: skip
def test_two_processes_never_have_the_same_documents(tmp_path: Path, shard: tuple[int, int], problem: str) -> None:
    # The lock belongs to the open file, so one process is as good as two.
    with (
        Journal.open(tmp_path, 0, 2),
        pytest.raises(RunError, match=re.escape(problem)),
        Journal.open(tmp_path, *shard),
    ):
        pass


def test_clients_of_one_division_work_side_by_side(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0, 2), Journal.open(tmp_path, 1, 2):
        pass


def test_other_settings_have_another_folder(tmp_path: Path) -> None:
    homes = [open_settings(tmp_path, {"model": name}) for name in ("a", "b", "a")]
    assert homes[0] == homes[2] != homes[1]
    assert json.loads((homes[1] / "settings.json").read_text()) == {"model": "b"}


def test_settings_that_somebody_changed_are_refused(tmp_path: Path) -> None:
    home = open_settings(tmp_path, {"model": "a"})
    (home / "settings.json").write_text('{"model": "b"}')
    with pytest.raises(RunError, match="was changed"):
        open_settings(tmp_path, {"model": "a"})
