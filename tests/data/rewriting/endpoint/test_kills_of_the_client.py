"""A client killed again and again, against a server that goes wrong at random: no reply lost, none asked twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import EVERY_FAULT, FaultServer, simple
from rewriting_client import client_config

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rewrite import open_teacher

CLIENT = Path(__file__).with_name("rewriting_client.py")
CONCURRENCY = 32


def some_documents(count: int) -> list[Document]:
    return [
        Document(f"d{n}", f"We utilise number {n}, and\n endeavour to go on.\n", "x", "en", "text", "s")
        for n in range(count)
    ]


def whole_lines(folder: Path) -> list[dict[str, object]]:
    segments = sorted((folder / "rewritten").glob("*/shard-*.jsonl"))
    return [json.loads(line) for path in segments for line in path.read_bytes().split(b"\n")[:-1]]


def lines_in(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "rewritten").glob("*/shard-*.jsonl"))


def run_killed(server: FaultServer, folder: Path, count: int, kills: int) -> None:
    documents = some_documents(count)
    texts = [document.text for document in documents]
    source = folder / "documents.jsonl"
    fields = ("id", "text", "domain", "language", "kind", "source")
    source.write_text("".join(json.dumps({f: getattr(d, f) for f in fields}) + "\n" for d in documents))
    chance = random.Random(1)
    finished: list[tuple[int, set[str]]] = []  # (requests until a kill, texts that the journal had then)
    with open(folder / "said.txt", "w") as said:
        for kill in range(kills + 1):
            client = subprocess.Popen([sys.executable, CLIENT, server.url, source, folder], stderr=said)
            if kill == kills:
                assert client.wait(240) == 0, (folder / "said.txt").read_text()
                break
            goal = lines_in(folder) + chance.randrange(1, count // (kills + 1))
            while lines_in(folder) < goal and client.poll() is None:
                time.sleep(0.01)
            assert client.poll() is None, (folder / "said.txt").read_text()
            client.send_signal(signal.SIGKILL)
            client.wait()
            time.sleep(0.1)  # what it had sent has arrived
            finished.append((len(server.log), {str(line["text"]) for line in whole_lines(folder)}))

    lines = whole_lines(folder)
    assert sorted(str(line["text"]) for line in lines) == sorted(map(simple, texts))  # none lost, none twice
    for requests, journaled in finished:
        assert not journaled & set(map(simple, server.log[requests:]))
    assert server.served.total() - count <= kills * CONCURRENCY  # only what was under way when it was killed
    with open_teacher(client_config(server.url), folder) as teacher:
        asked = len(server.log)
        results = teacher(documents)
        assert len(server.log) == asked
    assert [result.text for result in results if result] == list(map(simple, texts))


def test_a_client_killed_twice_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    quick = {name: share / 2 for name, share in EVERY_FAULT.items() if name != "stuck"}  # fewer waits
    with FaultServer(faults=quick).running() as server:
        run_killed(server, tmp_path, count=100, kills=2)


@pytest.mark.slow
def test_a_client_killed_twenty_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    with FaultServer(faults=EVERY_FAULT).running() as server:
        run_killed(server, tmp_path, count=2000, kills=20)
    assert os.path.getsize(tmp_path / "said.txt")
