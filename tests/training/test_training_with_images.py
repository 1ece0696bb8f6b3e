"""Runs of a network that sees are runs like all others: stopped, side by side, over several devices."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from tiny_run import SEEING, some_samples, with_train, write_samples

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch
from bench_shadows.data.samples.images import write_images
from bench_shadows.errors import RunError
from bench_shadows.training import opening
from bench_shadows.training.checkpoints.checkpoints import restore_params
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh, state_shardings
from bench_shadows.training.loop import train
from bench_shadows.training.population import train_population
from bench_shadows.training.step import abstract_state, build_step, initial_state

RUNS = [("baseline", 0), ("deduplicated", 0)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for condition, seed in RUNS:
        train(SEEING, condition, seed, data, folder / f"{condition}-seed{seed}")
    return folder


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def parameters_at(run: Path, step: int) -> Any:
    return restore_params(run / "checkpoints", step)


def test_both_conditions_begin_with_the_same_weights_and_the_encoder_learns(runs: Path) -> None:
    baseline, deduplicated = (runs / f"{condition}-seed0" for condition, _ in RUNS)
    jax.tree.map(np.testing.assert_array_equal, parameters_at(baseline, 0), parameters_at(deduplicated, 0))
    before, after = (parameters_at(baseline, step) for step in (0, SEEING.steps))
    same = jax.tree_util.tree_leaves_with_path(jax.tree.map(np.array_equal, before, after))
    assert not [path for path, is_same in same if is_same]
    assert lines(baseline)[0]["loss"] != lines(deduplicated)[0]["loss"]
    answers = [[line["batch_answer_tokens"] for line in lines(run)] for run in (baseline, deduplicated)]
    assert answers[0] == answers[1]


def test_a_run_that_stops_at_any_moment_ends_with_the_same_bits(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = opening.batches

    def batches(*arguments: Any) -> Iterator[Batch]:
        for number, batch in enumerate(real(*arguments), arguments[3] + 1):
            if number == 7:
                raise InterruptedError
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(opening, "batches", batches)
        with pytest.raises(InterruptedError):
            train(SEEING, "deduplicated", 0, data, tmp_path / "run")
    train(SEEING, "deduplicated", 0, data, tmp_path / "run")
    undisturbed = runs / "deduplicated-seed0"
    for step in (0, *SEEING.analysed_steps):
        pair = parameters_at(undisturbed, step), parameters_at(tmp_path / "run", step)
        jax.tree.map(np.testing.assert_array_equal, *pair)
    assert [line["loss"] for line in lines(tmp_path / "run")] == [line["loss"] for line in lines(undisturbed)]


def test_runs_side_by_side_are_the_runs_alone(runs: Path, data: Path, tmp_path: Path) -> None:
    train_population(with_train(SEEING, population=2), RUNS, data, tmp_path)
    for condition, seed in RUNS:
        name = f"{condition}-seed{seed}"
        alone, among = (lines(folder / name) for folder in (runs, tmp_path))
        np.testing.assert_allclose([one["loss"] for one in among], [one["loss"] for one in alone], rtol=1e-4)
        pair = parameters_at(runs / name, SEEING.steps), parameters_at(tmp_path / name, SEEING.steps)
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-3), *pair)


def test_a_run_does_not_go_on_with_other_images_or_another_encoder(runs: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "baseline-seed0", tmp_path / "run")
    shutil.copytree(data, tmp_path / "data")
    rows = SEEING.steps * SEEING.train.batch_size
    black = np.zeros((8, 8, 3), np.uint8)
    write_images(tmp_path / "data" / "images" / "train", [black], np.zeros(rows, np.int32), 8)
    with pytest.raises(RunError, match="images"):
        train(SEEING, "baseline", 0, tmp_path / "data", tmp_path / "run")
    wider = dataclasses.replace(SEEING, vision=dataclasses.replace(SEEING.vision, intermediate_size=64))
    with pytest.raises(RunError, match=r"vision\.intermediate_size"):
        train(wider, "baseline", 0, data, tmp_path / "run")


def losses(config: Config) -> list[float]:
    """A few steps on all devices of this process."""
    mesh = build_mesh(config)
    step, state = build_step(config, mesh), initial_state(config, 0, mesh)
    found = []
    for number in range(3):
        batch = place(some_samples(8, seed=number), accumulation_steps(config.train, mesh), mesh)
        state, metrics = step(state, batch, np.float32(1e-2))
        found.append(float(metrics["loss"]))
    return found


@pytest.mark.slow
def test_eight_devices_give_the_losses_of_one() -> None:
    here = Path(__file__)
    settings = {"micro_batch_size=1": {"micro_batch_size": 1}}
    settings["fsdp and tensor"] = {"micro_batch_size": 2, "fsdp": 2, "tensor": 2}
    code = (
        f"import json; from {here.stem} import *; assert jax.device_count() == 8; "
        f"print(json.dumps([losses(with_train(SEEING, **train)) for train in {list(settings.values())}]))"
    )
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone = losses(SEEING)
    for name, found in zip(settings, json.loads(done.stdout.splitlines()[-1]), strict=True):
        np.testing.assert_allclose(found, alone, rtol=1e-4, err_msg=name)


def test_every_matrix_of_the_encoder_is_sharded() -> None:
    axes = ("replica", "fsdp", "tensor")
    mesh = AbstractMesh((1, 2, 2), axes, axis_types=(AxisType.Auto,) * len(axes))
    params = state_shardings(abstract_state(SEEING, build_mesh(SEEING)), mesh).params
    whole = {
        jax.tree_util.keystr(path, simple=True, separator=".").split(".")[-1]
        for path, sharding in jax.tree_util.tree_leaves_with_path(params)
        if not any(sharding.spec)
    }
    assert whole == {"bias", "scale", "position_embedding"}
