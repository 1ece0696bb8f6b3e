"""Runs side by side are the runs that they are alone, with the same bits however often they are stopped."""

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_run import CONFIG, with_train, write_data

from bench_shadows.training import population
from bench_shadows.training.checkpoints.checkpoints import restore_params, saved_steps
from bench_shadows.training.devices.stopping import StoppedError
from bench_shadows.training.loop import train
from bench_shadows.training.population import train_population

TOGETHER = with_train(population=3, micro_batch_size=4)
RUNS = [("A", 0), ("B", 0), ("C", 0)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """B reads A's plan at another rate."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def side_by_side(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("side by side")
    train_population(TOGETHER, RUNS, data, runs)
    return runs


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_bits(one: Path, two: Path) -> None:
    for condition, seed in RUNS:
        name = f"{condition}-seed{seed}"
        for step in (0, *CONFIG.analysed_steps):
            params = (restore_params(runs / name / "checkpoints", step) for runs in (one, two))
            jax.tree.map(np.testing.assert_array_equal, *params)
        losses = [[(line["step"], line["loss"]) for line in lines(runs / name)] for runs in (one, two)]
        assert losses[0] == losses[1]


@pytest.mark.parametrize(("condition", "seed"), RUNS)
def test_a_run_among_others_is_the_run_alone(
    condition: str, seed: int, side_by_side: Path, data: Path, tmp_path: Path
) -> None:
    """Metrics to 1e-4, weights after 12 steps to 1e-4: products are batched, the rest is the same."""
    name = f"{condition}-seed{seed}"
    train(TOGETHER, condition, seed, data, tmp_path / name)
    among, alone = lines(side_by_side / name), lines(tmp_path / name)
    assert [line["step"] for line in among] == list(range(1, CONFIG.steps + 1))
    assert among[0].keys() == alone[0].keys()
    for key in ("loss", "grad_norm", "param_norm", "grad_variance", "learning_rate", "tokens"):
        np.testing.assert_allclose([a[key] for a in among], [a[key] for a in alone], rtol=1e-4, err_msg=key)
    folders = [runs / name / "checkpoints" for runs in (side_by_side, tmp_path)]
    assert saved_steps(folders[0]) == saved_steps(folders[1])
    for step in (0, *CONFIG.analysed_steps):
        params = (restore_params(folder, step) for folder in folders)
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-4), *params)


def test_files_are_those_that_train_leaves(side_by_side: Path, data: Path, tmp_path: Path) -> None:
    train(TOGETHER, "A", 0, data, tmp_path / "A-seed0")
    names = [{path.name for path in (runs / "A-seed0").iterdir()} for runs in (side_by_side, tmp_path)]
    assert names[0] == names[1]


def test_runs_at_different_steps_go_on_together_to_the_same_bits(
    side_by_side: Path, data: Path, tmp_path: Path
) -> None:
    """One finished, one in the middle, one that never began; each closes its files when it is done."""
    shutil.copytree(side_by_side / "A-seed0", tmp_path / "A-seed0")
    shutil.copytree(side_by_side / "B-seed0", tmp_path / "B-seed0")
    for step in CONFIG.analysed_steps[1:]:
        shutil.rmtree(tmp_path / "B-seed0" / "checkpoints" / str(step))
    train_population(TOGETHER, RUNS, data, tmp_path)
    assert_same_bits(side_by_side, tmp_path)
    ended = json.loads((tmp_path / "B-seed0" / "goodput.jsonl").read_text().splitlines()[-1])
    assert (ended["event"], ended["step"]) == ("end", CONFIG.steps)
    assert ended["time"] < lines(tmp_path / "C-seed0")[-1]["time"]


def test_sigterm_saves_every_run_and_the_same_call_goes_on(
    side_by_side: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = population.learning_rate

    def stopping(config: object, condition: str, step: int) -> float:
        if step == 6:
            signal.raise_signal(signal.SIGTERM)
        return real(config, condition, step)  # type: ignore[arg-type]

    monkeypatch.setattr(population, "learning_rate", stopping)
    with pytest.raises(StoppedError, match="SIGTERM"):
        train_population(TOGETHER, RUNS, data, tmp_path)
    monkeypatch.undo()
    stopped = [max(saved_steps(tmp_path / f"{name}-seed{seed}" / "checkpoints")) for name, seed in RUNS]
    assert all(step in (5, 6) for step in stopped)
    train_population(TOGETHER, RUNS, data, tmp_path)
    assert_same_bits(side_by_side, tmp_path)


def test_runs_that_do_not_fit_train_one_after_the_other(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(population, "_room", lambda device: 1000)
    short = dataclasses.replace(TOGETHER, train=dataclasses.replace(TOGETHER.train, population=2, loss_chunk=64))
    train_population(short, RUNS[:2], data, tmp_path)
    assert "2 runs side by side do not fit" in capsys.readouterr().err
    for name in ("A-seed0", "B-seed0"):
        assert lines(tmp_path / name)[-1]["step"] == CONFIG.steps
