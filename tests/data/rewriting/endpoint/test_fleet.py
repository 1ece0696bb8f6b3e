"""A fleet brings the rewriting of a corpus, the prepare stage finds it, and Condition D reads it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from fault_server import FaultServer, simple

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TeacherConfig,
    TrainConfig,
)
from bench_shadows.data.prepare import prepare
from bench_shadows.data.prepare_documents import rewrite_documents

SENTENCES = "We utilise {n} stones. They endeavour to build a house of {n} rooms, and it stands by the river.\n\n"
JAVASCRIPT = "function f(a) {\n  return a + 1;\n}"


def teacher(text: str) -> str:
    return JAVASCRIPT if text.startswith("def") else text if text.startswith("Question") else simple(text)


def write_corpus(path: Path) -> None:
    records = []
    for n in range(600):
        text = "".join(SENTENCES.format(n=f"{n}-{m}") for m in range(6))
        record = {"id": f"d{n}", "text": text, "domain": "prose", "kind": "text", "language": "en"}
        if n % 6 == 0:
            code = f"def f_{n}(a):\n    # number {n}\n    return a + {n}\n"
            record |= {"text": code, "domain": "code", "kind": "code", "language": "python"}
        elif n % 6 == 1:
            record |= {"text": f"Question: what is {n} + {n}?\nAnswer: {n + n}\n", "kind": "exercise"}
        records.append(record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def config_for(corpus: Path, url: str) -> Config:
    endpoint = TeacherConfig(base_url=url, model="m", concurrency=16, timeout_seconds=5.0)
    return Config(
        data=DataConfig(
            sources=(str(corpus),), seq_len=32, held_out_rows=8, rewriter="endpoint", teacher=endpoint,
            near_duplicate_threshold=1.0,
        ),
        model=ModelConfig(vocab_size=300),
        train=TrainConfig(samples=1200, batch_size=8, micro_batch_size=8, warmup_samples=80),
        conditions=ConditionsConfig(names=("A", "D")),
        evaluation=EvaluationConfig(rows=8),
    )  # fmt: skip


def test_what_a_fleet_brought_is_what_condition_d_reads(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.jsonl")
    data = tmp_path / "run" / "data"
    with FaultServer(teacher).running() as server:
        config = config_for(tmp_path / "corpus.jsonl", server.url)
        for index in range(2):
            rewrite_documents(config, data, index, 2)
        asked = len(server.log)
        assert max(server.served.values()) == 1
    # Nobody answers any more, and nobody is asked: `first_half` reaches further than the first half does.
    prepare(config, data)
    report = json.loads((data / "documents.json").read_text())["rewriting"]
    assert 0 < report["requests"] <= asked
    assert set(report["outcomes"]) == {"rewritten", "exercise"}

    table = pq.read_table(data / "documents.parquet").to_pylist()
    first = [row for row in table if row["split"] == "first"]
    assert report["documents"] == len(first) > 50
    assert all(row["rewritten"] is None for row in table if row["split"] != "first")
    for row in first:
        assert row["rewritten"].strip() == teacher(row["text"]).strip()
    assert any(row["kind"] == "exercise" and row["rewritten"] == row["text"] for row in first)
    assert any(row["kind"] == "code" and row["rewritten"].startswith("function") for row in first)
