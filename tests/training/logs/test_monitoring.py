"""The monitor of a run writes what it sees, survives what the run survives, and changes nothing in it."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_run import CONFIG, files_no_larger_than, write_data

from bench_shadows.config import Config
from bench_shadows.errors import RunError
from bench_shadows.training import opening
from bench_shadows.training.checkpoints.checkpoints import restore_params
from bench_shadows.training.logs.events import Events
from bench_shadows.training.loop import train
from bench_shadows.training.opening import open_monitor


def watched(every: int, matrices: int = 3) -> Config:
    diagnostics = dataclasses.replace(CONFIG.diagnostics, monitor_every=every, monitor_matrices=matrices)
    return dataclasses.replace(CONFIG, diagnostics=diagnostics)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train(watched(2), "A", 0, data, run)
    return run


def looks(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "monitor.jsonl").read_text().splitlines()]


def train_until(patch: pytest.MonkeyPatch, step: int, act: Callable[[], None], data: Path, run: Path) -> None:
    """Trains, and does something when the batch of a step is asked for."""
    real = opening.batches

    def batches(rows: Path, plan: np.ndarray, size: int, start: int, *host: int) -> Iterator[np.ndarray]:
        for number, batch in enumerate(real(rows, plan, size, start, *host), start + 1):
            if number == step:
                act()
            yield batch

    with patch.context() as inside:
        inside.setattr(opening, "batches", batches)
        train(watched(2), "A", 0, data, run)


def test_a_line_for_each_look_from_the_initial_weights_on(undisturbed: Path) -> None:
    found = looks(undisturbed)
    assert [look["step"] for look in found] == [0, 2, 4, 6, 8, 10, 12]
    rows = [row for look in found for row in look["matrices"]]
    assert len(rows) == 7 * 3
    assert len({(row["module"], row["layer"]) for row in rows}) == 14, "two layers of seven modules, all in turn"
    assert {row["status"] for row in rows if row["module"].startswith("mlp")} == {"ok"}
    assert all(row["since"] == look["step"] - 2 for look in found[1:] for row in look["matrices"])
    assert all(row["relative_change"] > 0 for look in found[1:] for row in look["matrices"])
    assert {row["since"] for row in found[0]["matrices"]} == {None}


def test_the_run_has_the_same_bits_without_a_monitor(undisturbed: Path, data: Path, tmp_path: Path) -> None:
    train(watched(0), "A", 0, data, tmp_path)
    assert not (tmp_path / "monitor.jsonl").exists()
    for step in (0, *CONFIG.analysed_steps):
        both = (restore_params(run / "checkpoints", step) for run in (tmp_path, undisturbed))
        jax.tree.map(np.testing.assert_array_equal, *both)
    losses = [
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (tmp_path, undisturbed)
    ]
    assert losses[0] == losses[1]


class CrashError(Exception):
    pass


def crash() -> None:
    raise CrashError


def test_after_a_crash_the_looks_are_those_of_an_undisturbed_run(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrashError):
        train_until(monkeypatch, 8, crash, data, tmp_path)
    with open(tmp_path / "monitor.jsonl", "a") as file:
        file.write('{"step": 6, "mat')
    train(watched(2), "A", 0, data, tmp_path)
    assert looks(tmp_path) == looks(undisturbed)


def test_a_stop_between_two_looks_costs_the_changes_of_one(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="after step 5"):
        train_until(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM), data, tmp_path)
    assert looks(tmp_path)[-1]["step"] == 4
    train(watched(2), "A", 0, data, tmp_path)
    lost = ("since", "relative_change", "change_variance")
    for one, two in zip(looks(tmp_path), looks(undisturbed), strict=True):
        if one["step"] == 6:
            assert all(row[name] is None for row in one["matrices"] for name in lost)
            two["matrices"] = [row | dict.fromkeys(lost) for row in two["matrices"]]
        assert one == two


def test_looks_that_cannot_be_written_are_an_error_that_says_what_is_kept(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)
    with Events(tmp_path, 0) as events, open_monitor(watched(2), tmp_path, 0, events) as monitor:
        monitor(2, {"layers": {"mlp": {"up_proj": {"kernel": kernel}}}})
        with files_no_larger_than(10), pytest.raises(RunError, match=r"monitor\.jsonl.*Checkpoints are kept"):
            monitor.flush()


def tags(file: Path) -> Iterator[str]:
    """Names of the scalars in an event file: records of length, checksum, message, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    content = file.read_bytes()
    while content:
        length = int.from_bytes(content[:8], "little")
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        yield from (value.tag for value in event.summary.value)
        content = content[16 + length :]


def test_tensorboard_gets_the_matrices_beside_the_metrics(undisturbed: Path) -> None:
    (file,) = (undisturbed / "tensorboard").glob("events.*")
    assert {"loss", "monitor/alpha/mlp.up_proj.0", "monitor/relative_change/self_attn.v_proj.1"} <= set(tags(file))
