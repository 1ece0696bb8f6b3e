"""Sources become parts on disk: whole, numbered, read alone, the same for any number of processes."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from reading import read_documents

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus import ingest as module
from bench_shadows.data.corpus import workers
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.corpus.ingest import ingest
from bench_shadows.data.corpus.store import Store, write_part
from bench_shadows.errors import DataError, RunError
from bench_shadows.files import hash_file


def write_files(folder: Path, files: int = 4, documents: int = 50) -> DataConfig:
    source = random.Random(0)
    for number in range(files):
        records = [
            {"id": f"{number}-{i}", "text": " ".join(f"w{source.randrange(5000)}" for _ in range(200))}
            for i in range(documents)
        ]
        records[0]["text"] = "the same first words of every file " * 20
        lines = [json.dumps({**record, "language": "en", "kind": "text"}) for record in records]
        (folder / f"{number}.jsonl").write_text("\n".join([*lines, "not a record"]) + "\n")
    return DataConfig(sources=(str(folder / "*.jsonl"),))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return write_files(tmp_path_factory.mktemp("sources"))


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hash_file(path) for path in folder.rglob("*") if path.is_file()}


def test_the_corpus_has_every_document_in_source_order(config: DataConfig, tmp_path: Path) -> None:
    corpus = ingest(config, tmp_path)
    counts = Counts(config.bad_records_limit)
    documents = list(read_documents(config, counts))
    assert corpus.store.read(range(len(corpus.store))) == documents
    assert {name: corpus.report[name] for name in counts.as_json()} == counts.as_json()
    shuffled = np.random.default_rng(0).permutation(len(documents))
    assert corpus.store.read(shuffled) == [documents[i] for i in shuffled]
    columns = corpus.store.columns("domain", "bytes", "characters").to_pylist()
    assert columns == [
        {"domain": one.domain, "bytes": len(one.text.encode()), "characters": len(one.text)} for one in documents
    ]
    with pytest.raises(IndexError, match="of 200"):
        corpus.store.read([200])


def test_of_texts_in_several_files_the_first_stays(config: DataConfig, tmp_path: Path) -> None:
    corpus = ingest(config, tmp_path)
    assert sorted(set(range(200)) - set(corpus.kept.tolist())) == [50, 100, 150]
    duplicates = corpus.report["duplicates"]
    assert {name: duplicates[name] for name in ("documents", "exact", "near", "threshold")} == {
        "documents": 200,
        "exact": 3,
        "near": 0,
        "threshold": 0.8,
    }
    example = duplicates["examples"][0]
    assert (example["kept"], example["removed"], example["kind"]) == ("0-0", "1-0", "exact")
    assert example["kept_text"] == example["removed_text"]
    assert len(example["kept_text"]) == module.GLIMPSE
    assert duplicates["characters_removed"] == 3 * len("the same first words of every file " * 20)


def test_processes_side_by_side_make_the_same_files(
    config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(config, tmp_path / "one")
    monkeypatch.setattr(workers, "SMALL", 0.0)
    ingest(config, tmp_path / "many")
    one, many = (files_of(tmp_path / name / "parts") for name in ("one", "many"))
    assert one == many
    assert len(one) == 16


def test_too_many_bad_records_in_all_parts_together_stop(config: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3.jsonl:51.* there are 4 bad records"):
        ingest(dataclasses.replace(config, bad_records_limit=3), tmp_path)


def test_sources_without_a_document_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(DataError, match=r"hold no usable document; 1 bad records were left out"):
        ingest(DataConfig(sources=(str(tmp_path / "x.jsonl"),)), tmp_path / "corpus")


def test_a_part_that_is_whole_is_not_read_again(
    config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(config, tmp_path)
    made = files_of(tmp_path)
    (tmp_path / "corpus.json").unlink()
    monkeypatch.setattr(module, "read_part", None)
    ingest(config, tmp_path)
    assert files_of(tmp_path) == made


def test_a_damaged_part_is_named(config: DataConfig, tmp_path: Path) -> None:
    corpus = ingest(config, tmp_path)
    broken = corpus.store.folders[2]
    path = broken / "documents.array_record"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=str(broken)):
        Store(corpus.store.folders).read([120])
    (broken / "part.json").unlink()
    with pytest.raises(RunError, match=str(broken)):
        Store(corpus.store.folders)


def test_a_part_of_no_documents_is_a_part(tmp_path: Path) -> None:
    document = Document("a", "some text", "d", "en", "text", "s")
    write_part(tmp_path / "none", [], dict, lambda _: None)
    write_part(tmp_path / "one", [document], dict, lambda _: None)
    store = Store([tmp_path / "none", tmp_path / "one", tmp_path / "none"])
    assert store.read([0, 0]) == [document, document]
    assert store.digests().shape == (1, 2)
    assert store.sketches(np.array([0])).shape == (1, 128)


INGEST = """
import json, sys
from pathlib import Path
from bench_shadows.config import DataConfig
from bench_shadows.data.corpus import workers
from bench_shadows.data.corpus.ingest import ingest
workers.SMALL = 0.0
if __name__ == "__main__":
    ingest(DataConfig(sources=(sys.argv[1],)), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_at_random_moments_with_its_workers_it_ends_with_the_same_files(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    config = write_files(sources, files=12, documents=1500)
    ingest(config, tmp_path / "undisturbed")
    (tmp_path / "ingest.py").write_text(INGEST)
    command = [sys.executable, str(tmp_path / "ingest.py"), config.sources[0], str(tmp_path / "killed")]
    source, kills, parts = random.Random(1), 0, []
    for _ in range(12):
        running = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.getcwd()}
        )
        time.sleep(source.uniform(1.5, 4))
        if running.poll() is not None:
            break
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
        parts.append(len(list((tmp_path / "killed" / "parts").glob("?????"))))
    assert kills
    assert parts == sorted(parts), "no whole part is lost"
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    names = ("parts", "duplicates-*")
    mine, theirs = (
        {k: v for name in names for sub in (tmp_path / which).glob(name) for k, v in files_of(sub).items()}
        for which in ("undisturbed", "killed")
    )
    assert mine == theirs
    time.sleep(0.5)
    assert not list((tmp_path / "killed").rglob("*.partial"))
