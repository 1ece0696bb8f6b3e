"""A study whose runs train side by side."""

from pathlib import Path

import pytest
from tiny_study import command, write_config

from bench_shadows.files import read_json

TRAIN = [f"train {condition}-seed0" for condition in "ABCD"]


@pytest.mark.slow
def test_runs_side_by_side_are_stages_of_their_own(tmp_path: Path) -> None:
    config, run = write_config(tmp_path), tmp_path / "run"
    words = f"--config={config}", f"--out={run}", "--config.train.population=3"
    assert command("prepare", *words)[0] == 0
    code, output = command("train", *words)
    assert code == 0, output
    stages = read_json(run / "provenance.json")["stages"]
    assert set(TRAIN) < set(stages)
    for name in TRAIN:
        assert len(stages[name]["outputs"]) == 6  # step 0 and the five analysed ones
        assert all(f"runs/{name.removeprefix('train ')}/" in path for path in stages[name]["outputs"])
    code, output = command("train", *words)
    assert code == 0, output
    assert output.count("nothing has changed") == 4
    assert read_json(run / "provenance.json")["stages"] == stages
