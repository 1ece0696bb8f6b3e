"""The prepare stage: one folder from one set of inputs, the same bytes however often it was killed."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainConfig,
    to_dict,
)
from bench_shadows.config_file import from_dict
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.loader import batches
from bench_shadows.data.rows.plans import load_plan, plan_path
from bench_shadows.data.rows.row_store import RowSet, RowStore
from bench_shadows.data.rows.tokenizer import load_tokenizer
from bench_shadows.errors import DataError, RunError


def write_corpus(path: Path, share: int = 1) -> None:
    """English documentation, Python code and exercises, about 1 MB / share, all real but the exercises."""
    records = [{"id": f"topic/{name}", "text": text, "domain": "docs"} for name, text in sorted(topics.items())]
    for file in sorted(Path(json.__file__).parents[1].glob("*.py"))[:60]:
        text = file.read_text(encoding="utf-8", errors="ignore")
        record = {"id": f"code/{file.name}", "text": text[:4_000], "domain": "code"}
        records.append(record | {"language": "python", "kind": "code"})
    for i in range(0, 4000, 10):
        lines = (f"{n} * {n + 3} = {n * (n + 3)}; what is {n} - 7? {n - 7}" for n in range(i, i + 10))
        records.append({"id": f"sum/{i}", "text": "\n".join(lines), "domain": "sums", "kind": "exercise"})
    path.write_text("".join(json.dumps(record) + "\n" for record in records[::share] if record["text"].strip()))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    write_corpus(path)
    return path


def config_for(corpus: Path, **train: int) -> Config:
    return Config(
        data=DataConfig(sources=(str(corpus),), seq_len=32, held_out_rows=20),
        model=ModelConfig(vocab_size=500),
        train=TrainConfig(
            **{"samples": 1600, "batch_size": 16, "micro_batch_size": 16, "warmup_samples": 160, **train}
        ),
        conditions=ConditionsConfig(seeds=(0, 7)),
        evaluation=EvaluationConfig(rows=10),
    )


@pytest.fixture(scope="module")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, Mapping[str, str]]:
    config, folder = config_for(corpus), tmp_path_factory.mktemp("run") / "data"
    return config, folder, prepare(config, folder)


Prepared = tuple[Config, Path, Mapping[str, str]]


def test_everything_that_a_run_needs_is_there(prepared: Prepared) -> None:
    config, folder, hashes = prepared
    store = RowStore.open(folder / "rows")
    for name in config.conditions.names:
        for seed in config.conditions.seeds:
            plan = load_plan(plan_path(folder, name, seed))
            stream = batches(folder / "rows", plan, 16, config.steps - 1)
            [last] = stream
            assert last.images is None
            assert last.tokens.shape == (16, 32)
            assert np.array_equal(last.tokens, store.read(plan[-16:]))
    expected = {"tokenizer.json", "documents.parquet", "documents.json", "statistics.json", "token_counts.npy"}
    expected |= {f"rows/{name}/rows.json" for name in ("first", "second", "rewritten", "held_out")}
    expected |= {f"plans/{name}-seed{seed}.npy" for name in "ACD" for seed in (0, 7)}
    assert set(hashes) == expected


def test_the_splits_share_no_document_and_the_rows_are_theirs(prepared: Prepared) -> None:
    config, folder, _ = prepared
    table = pq.read_table(folder / "documents.parquet").to_pydict()
    assert len(set(table["id"])) == len(table["id"])
    assert set(table["split"]) == {"first", "second", "held_out"}
    tokenizer = load_tokenizer(folder / "tokenizer.json", config.model.vocab_size)
    for name in ("first", "second", "held_out"):
        rows = RowSet(folder / "rows" / name)
        for domain, (start, stop) in rows.domains.items():
            texts = [
                text
                for text, split, of in zip(table["text"], table["split"], table["domain"], strict=True)
                if (split, of) == (name, domain)
            ]
            stream = np.concatenate([[*ids, tokenizer.end_of_text] for ids in tokenizer.encode_batch(texts)])
            assert np.array_equal(rows.read(range(start, stop)).ravel(), stream[: (stop - start) * 32])


def test_the_first_half_rewritten_is_the_first_half_document_by_document(prepared: Prepared) -> None:
    _, folder, _ = prepared
    table = pq.read_table(folder / "documents.parquet").to_pylist()
    for document in table:
        if document["split"] != "first":
            assert document["rewritten"] is None
        elif document["kind"] == "exercise":
            assert document["rewritten"] == document["text"]
    changed = [one["id"] for one in table if one["split"] == "first" and one["rewritten"] != one["text"]]
    assert {name.partition("/")[0] for name in changed} == {"topic", "code"}


def test_held_out_rows_are_kept_by_domain_and_no_more_than_asked_for(prepared: Prepared) -> None:
    rows = RowSet(prepared[1] / "rows" / "held_out")
    assert set(rows.domains) == {"code", "docs", "sums"}
    assert all(0 < stop - start <= 20 for start, stop in rows.domains.values())


def test_what_was_done_is_counted(prepared: Prepared) -> None:
    _, folder, _ = prepared
    documents = json.loads((folder / "documents.json").read_text())
    rewriting = documents["rewriting"]
    first = [one for one in documents["mixture"] if one["split"] == "first"]
    assert rewriting["documents"] == sum(one["documents"] for one in first) == sum(rewriting["outcomes"].values())
    assert rewriting["characters_before"] == sum(one["characters"] for one in first)
    assert rewriting["outcomes"]["exercise"] == sum(one["documents"] for one in first if one["kind"] == "exercise")
    assert 0 < rewriting["words_changed"] < rewriting["words"]


def test_statistics_say_what_each_condition_did(prepared: Prepared) -> None:
    config, folder, _ = prepared
    statistics = json.loads((folder / "statistics.json").read_text())
    counts = np.load(folder / "token_counts.npy")
    assert counts.sum() == config.steps * 16 * 32
    assert 3 < statistics["unigram_entropy_nats"] < np.log(500)
    for seed in (0, 7):
        runs = {name: statistics["conditions"][f"{name}-seed{seed}"]["phases"] for name in "ABCD"}
        assert len({run["second"]["plan_sha256"] for run in runs.values()}) == 1
        assert runs["A"] == runs["B"]
        assert runs["C"]["first"]["distinct_rows"] == 80
        assert runs["D"]["first"]["unigram_entropy_bits"] < runs["A"]["first"]["unigram_entropy_bits"]


def test_run_again_it_makes_nothing(prepared: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    config, folder, hashes = prepared
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert prepare(config, folder) == hashes
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    assert capfd.readouterr().err == ""


def test_elsewhere_it_makes_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    config, _, hashes = prepared
    assert prepare(config, tmp_path) == hashes


def changed(config: Config, part: str, **values: Any) -> Config:
    return dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **values)})


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("data", {"seq_len": 64}, "config.data.seq_len was 32, is 64"),
        ("model", {"vocab_size": 501}, "config.model.vocab_size was 500, is 501"),
        ("train", {"samples": 3200}, "config.train.samples was 1600, is 3200"),
        ("conditions", {"seeds": (0,)}, r"config.conditions.seeds was \[0, 7\], is \[0\]"),
    ],
)
def test_a_folder_made_from_another_config_is_refused(
    prepared: Prepared, part: str, values: dict[str, Any], message: str
) -> None:
    config, folder, hashes = prepared
    with pytest.raises(RunError, match=message):
        prepare(changed(config, part, **values), folder)
    assert prepare(config, folder) == hashes


def test_what_does_not_change_the_data_is_not_asked_for(prepared: Prepared) -> None:
    config, folder, hashes = prepared
    other = changed(changed(config, "train", peak_learning_rate=1.0), "model", num_layers=1)
    assert prepare(other, folder) == hashes


def test_a_source_with_another_content_is_refused_and_a_touched_one_is_not(corpus: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(corpus.read_bytes())
    config = config_for(mine, samples=320)
    hashes = prepare(config, tmp_path / "data")
    os.utime(mine, ns=(0, 0))
    assert prepare(config, tmp_path / "data") == hashes
    mine.write_bytes(corpus.read_bytes() + b'{"text": "one more"}\n')
    with pytest.raises(RunError, match=r"mine.jsonl has another content"):
        prepare(config, tmp_path / "data")
    mine.unlink()
    with pytest.raises(DataError, match=r"mine.jsonl.* matches no file"):
        prepare(config, tmp_path / "data")


def test_damaged_rows_are_found(corpus: Path, tmp_path: Path) -> None:
    config = config_for(corpus, samples=320)
    prepare(config, tmp_path)
    shard = tmp_path / "rows" / "first" / "rows-00000.array_record"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RunError, match=r"rows-00000.array_record: its SHA-256"):
        prepare(config, tmp_path)


def test_a_broken_list_of_inputs_is_named(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "inputs.json").write_text("{}")
    with pytest.raises(RunError, match=r"inputs.json: not a list of inputs"):
        prepare(config_for(corpus), tmp_path)


def test_far_too_little_text_is_said_before_the_work(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"make about [\d,]+ rows of 32 tokens, the two phases need 160,000"):
        prepare(config_for(corpus, samples=160_000), tmp_path)
    assert not (tmp_path / "rows").exists()


def test_too_little_text_is_said_with_the_numbers_of_each_phase(tmp_path: Path) -> None:
    write_corpus(tmp_path / "small.jsonl", share=10)
    with pytest.raises(DataError) as estimate:
        prepare(config_for(tmp_path / "small.jsonl", samples=160_000), tmp_path / "data")
    have = int(str(estimate.value).partition("about ")[2].partition(" rows")[0].replace(",", ""))
    config = config_for(tmp_path / "small.jsonl", samples=have // 16 * 16)
    with pytest.raises(DataError) as caught:
        prepare(config, tmp_path / "other")
    message = str(caught.value)
    assert re.search(rf"second has \d+ rows of the {(config.steps - config.phase_steps) * 16:,} it needs", message)
    assert "A row has 32 tokens" in message
    assert "tokens went to held_out" in message


def test_deleted_rows_are_made_again(prepared: Prepared, tmp_path: Path) -> None:
    config, _, hashes = prepared
    prepare(config, tmp_path)
    (tmp_path / "rows" / "second" / "rows.json").unlink()
    (tmp_path / "plans" / "C-seed7.npy").unlink()
    assert prepare(config, tmp_path) == hashes


def test_without_d_nothing_is_rewritten(corpus: Path, tmp_path: Path) -> None:
    config = changed(config_for(corpus, samples=320), "conditions", names=("B", "C"), seeds=(0,))
    hashes = prepare(config, tmp_path)
    assert {name for name in hashes if name.startswith("plans")} == {"plans/A-seed0.npy", "plans/C-seed0.npy"}
    assert len(RowSet(tmp_path / "rows" / "rewritten")) == 0
    assert json.loads((tmp_path / "documents.json").read_text())["rewriting"] is None


KILLED = """
import json, os, signal, sys
from bench_shadows.config_file import from_dict
from bench_shadows.data.prepare import prepare
left, replace = int(sys.argv[3]), os.replace
def deadly(*names):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    replace(*names)
os.replace = deadly
prepare(from_dict(json.loads(sys.argv[1])), sys.argv[2])
"""


def kill_at(config: Config, folder: Path, renames: int) -> int:
    """Prepares in a process that is killed before its next rename after so many; returns how it ended."""
    command = [sys.executable, "-c", KILLED, json.dumps(to_dict(config)), str(folder), str(renames)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def test_killed_once_it_ends_with_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    config, _, hashes = prepared
    assert kill_at(config, tmp_path, 6) == -signal.SIGKILL
    assert prepare(config, tmp_path) == hashes
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_killed_again_and_again_at_every_rename_it_ends_with_the_same_bytes(
    prepared: Prepared, tmp_path: Path
) -> None:
    config, _, hashes = prepared
    kills = 0
    while kill_at(config, tmp_path, kills) == -signal.SIGKILL:
        kills += 1
    assert kills >= 8  # each life comes at least one rename further than the one before
    assert prepare(config, tmp_path) == hashes


def test_the_config_of_the_tests_can_be() -> None:
    assert from_dict(to_dict(config_for(Path("x")))) == config_for(Path("x"))
