"""A fleet makes the same rows: the prepare stage in Beam pipelines, beside the one of this machine."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest

from bench_shadows.config import Config
from bench_shadows.data.corpus.store import Store
from bench_shadows.data.corpus.workers import LOCAL
from bench_shadows.data.prepare import prepare
from bench_shadows.errors import BenchShadowsError

pytest.importorskip("apache_beam")

from data.test_prepare import config_for, write_corpus

from bench_shadows.data.corpus.beam import BeamEngine

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files with exact and near copies in them and across them."""
    folder = tmp_path_factory.mktemp("sources")
    write_corpus(folder / "one.jsonl")
    records = [json.loads(line) for line in (folder / "one.jsonl").read_text().splitlines()]
    source = random.Random(0)
    copies = []
    for record in source.sample(records, 60):
        words = record["text"].split(" ")
        for _ in range(source.randrange(1 + len(words) // 25)):
            words[source.randrange(len(words))] = "changed"
        copies.append({**record, "id": f"{record['id']} again", "text": " ".join(words)})
    (folder / "two.jsonl").write_text("".join(json.dumps(record) + "\n" for record in copies))
    return folder


@pytest.fixture(scope="module")
def config(sources: Path) -> Config:
    config = config_for(sources / "*.jsonl", samples=640)
    return dataclasses.replace(config, conditions=dataclasses.replace(config.conditions, seeds=(0,)))


def test_a_fleet_makes_the_same_files(config: Config, tmp_path: Path) -> None:
    here = prepare(config, tmp_path / "here")
    assert prepare(config, tmp_path / "fleet", BeamEngine(tmp_path / "fleet")) == here
    made = json.loads((tmp_path / "fleet" / "documents.json").read_text())["corpus"]["duplicates"]
    assert made["exact"] > 5
    assert made["near"] > 5


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_a_fleet_finds_the_same_duplicates(config: Config, tmp_path: Path, threshold: float) -> None:
    prepare(config, tmp_path)
    store = Store(sorted((tmp_path / "corpus" / "parts").iterdir()))
    here, there = (engine.duplicates(store, threshold) for engine in (LOCAL, BeamEngine(tmp_path)))
    assert len(here.removed) > 10
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(here, there, strict=True))


def test_what_fails_in_a_worker_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("nonsense\n" * 200)
    with pytest.raises(BenchShadowsError, match=r"bad.jsonl.*bad records"):
        prepare(config_for(tmp_path / "bad.jsonl"), tmp_path / "data", BeamEngine(tmp_path / "data"))
