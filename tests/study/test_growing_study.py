"""A folder grows by seeds and conditions; other changes, and folders of other versions, are refused."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_study import command, write_config

from bench_shadows.config_file import load
from bench_shadows.errors import RunError
from bench_shadows.files import hash_file, read_json
from bench_shadows.study import Study

GROWN = {"conditions.names": "A,B,C", "conditions.seeds": "0,1"}


def prepared(folder: Path, **conditions: str) -> Study:
    config = load(write_config(folder), {f"conditions.{name}": text for name, text in conditions.items()})
    study = Study(config, folder / "run", [])
    study.prepare()
    return study


def again(folder: Path, **fields: str) -> Study:
    """The same study with other fields."""
    return Study(
        load(folder / "tiny.py", {name.replace("__", "."): text for name, text in fields.items()}),
        folder / "run",
        [],
    )


def hashes(folder: Path, pattern: str) -> dict[str, str]:
    return {str(path.relative_to(folder)): hash_file(path) for path in folder.glob(pattern) if path.is_file()}


def test_only_the_plans_of_new_runs_are_made(tmp_path: Path) -> None:
    prepared(tmp_path, names="A,C", seeds="0")
    run = tmp_path / "run"
    before = {path: path.stat().st_mtime_ns for path in [*run.glob("data/rows/**/*"), *run.glob("data/plans/*")]}
    counts = hash_file(run / "data" / "token_counts.npy")
    study = again(tmp_path, conditions__names="A,B,C", conditions__seeds="0,2,1")
    study.prepare()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path.name for path in run.glob("data/plans/*")} == {f"{c}-seed{n}.npy" for c in "AC" for n in range(3)}
    described = read_json(run / "data" / "statistics.json")["conditions"]
    assert set(described) == {f"{c}-seed{n}" for c in "ABC" for n in range(3)}
    assert hash_file(run / "data" / "token_counts.npy") == counts
    assert read_json(run / "config.json")["conditions"]["seeds"] == [0, 2, 1]


def test_a_grown_folder_is_the_one_that_was_made_at_once(tmp_path: Path) -> None:
    for name in ("grown", "at_once"):
        (tmp_path / name).mkdir()
    prepared(tmp_path / "grown", names="A", seeds="0")
    again(tmp_path / "grown", **{name.replace(".", "__"): text for name, text in GROWN.items()}).prepare()
    prepared(tmp_path / "at_once", names="A,B,C", seeds="0,1")
    grown, at_once = (hashes(tmp_path / name / "run" / "data", "**/*.npy") for name in ("grown", "at_once"))
    assert grown == at_once
    assert len(grown) >= 5
    statistics = [read_json(tmp_path / name / "run" / "data" / "statistics.json") for name in ("grown", "at_once")]
    assert statistics[0] == statistics[1]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"conditions__seeds": "1,0"}, "conditions.seeds"),
        ({"conditions__seeds": "1"}, "conditions.seeds"),
        ({"conditions__names": "A"}, "conditions.names"),
        ({"conditions__names": "A,C,D"}, "conditions.names"),
        ({"conditions__seeds": "0,1", "conditions__phase": "0.25"}, "conditions.phase was 0.5, is 0.25"),
    ],
    ids=["another first seed", "a seed less", "a condition less", "D, whose text was not drawn", "more besides"],
)
def test_other_changes_stay_refused(tmp_path: Path, fields: dict[str, str], named: str) -> None:
    prepared(tmp_path, names="A,C", seeds="0")
    before = hashes(tmp_path / "run", "**/*")
    with pytest.raises(RunError, match=f"made from another config: .*{named}"):
        again(tmp_path, **{"conditions__names": "A,C", **fields})
    assert hashes(tmp_path / "run", "**/*") == before


def test_a_folder_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    prepared(tmp_path, names="A", seeds="0")
    path, inputs = tmp_path / "run" / "config.json", tmp_path / "run" / "data" / "inputs.json"
    recorded = read_json(inputs)
    inputs.write_text(json.dumps(recorded | {"version": recorded["version"] - 1}))
    with pytest.raises(RunError, match=r"data was prepared by another version of bench_shadows: delete it"):
        again(tmp_path, conditions__names="A").prepare()
    inputs.write_text(json.dumps(recorded))
    old = read_json(path)
    del old["train"]["stall_minutes"]
    path.write_text(json.dumps(old))
    with pytest.raises(RunError, match=r"another version of .* \(config\.train\.stall_minutes: not there\)"):
        again(tmp_path, conditions__names="A")


@pytest.mark.slow
def test_a_finished_study_trains_only_what_is_new(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    words = ["study", f"--config={config}", f"--out={tmp_path / 'run'}", "--config.conditions.names=A,C"]
    code, output = command(*words)
    assert code == 0, output
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    code, output = command(*words, "--config.conditions.seeds=0,1")
    assert code == 0, output
    assert "train A-seed0: nothing has changed" in output
    for pattern in ("runs/*-seed0/**/*", "data/rows/**/*", "data/plans/*-seed0.npy"):
        before = hashes(tmp_path / "before", pattern)
        assert before == {
            name: digest for name, digest in hashes(tmp_path / "run", pattern).items() if name in before
        }
        assert before
    rows = pq.read_table(tmp_path / "run" / "diagnostics.parquet").to_pylist()
    assert {(row["condition"], row["seed"]) for row in rows} == {(c, s) for c in "AC" for s in (0, 1)}
    old = [row for row in rows if row["seed"] == 0]
    assert old == pq.read_table(tmp_path / "before" / "diagnostics.parquet").to_pylist()
