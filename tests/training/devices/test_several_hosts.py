"""Real processes that train together: the same bits as one, and none of them outlives another for long."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from several_hosts import Hosts
from tiny_study import command, write_config

from bench_shadows.training.checkpoints.checkpoints import restore_params, saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STEPS, ANALYSED = 72, (0, 2, 20, 40, 60, 72)
BOUND = 300
"""Seconds in which a host must end that lost another one: heartbeats of 10 s, on a machine that has other work."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(config file, folder of a prepared study); tests train in copies."""
    folder = tmp_path_factory.mktemp("prepared")
    config = write_config(folder)
    code, output = command("prepare", f"--config={config}", f"--out={folder / 'run'}")
    assert code == 0, output
    return config, folder / "run"


def copy(prepared: tuple[Path, Path], folder: Path) -> list[str]:
    """A copy of the prepared study and the command that trains its condition A."""
    shutil.copytree(prepared[1], folder)
    return ["train", f"--config={prepared[0]}", f"--out={folder}", "--condition=A"]


@pytest.fixture(scope="module")
def undisturbed(prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder after two hosts of one device trained A."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with Hosts(copy(prepared, folder / "run"), 2, folder) as hosts:
        assert hosts.wait() == [0, 0], hosts.said(0) + hosts.said(1)
    return folder / "run"


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "runs" / "A-seed0" / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in lines(folder)]


def statistics(folder: Path) -> list[dict[str, Any]]:
    """Those of the batches that were trained on."""
    return [{name: line[name] for name in line if name.startswith("batch_")} for line in lines(folder)]


def parameters(folder: Path, step: int) -> list[np.ndarray]:
    return jax.tree.leaves(restore_params(folder / "runs" / "A-seed0" / "checkpoints", step))


def assert_same_bits(one: Path, two: Path) -> None:
    assert losses(one) == losses(two)
    assert len(losses(one)) == STEPS
    assert statistics(one) == statistics(two)
    assert statistics(one)[0]["batch_types"] > 0
    for step in ANALYSED:
        for left, right in zip(parameters(one, step), parameters(two, step), strict=True):
            np.testing.assert_array_equal(left, right)


def wait_for_step(folder: Path, step: int, hosts: Hosts) -> None:
    deadline = time.monotonic() + 900
    while not lines_at_least(folder, step):
        assert time.monotonic() < deadline, hosts.said(0) + hosts.said(1)
        assert all(process.poll() is None for process in hosts.processes), hosts.said(0) + hosts.said(1)
        time.sleep(0.02)


def lines_at_least(folder: Path, count: int) -> bool:
    path = folder / "runs" / "A-seed0" / "metrics.jsonl"
    return path.exists() and path.read_bytes().count(b"\n") >= count


def test_two_hosts_train_the_bits_of_one_with_two_devices(
    prepared: tuple[Path, Path], undisturbed: Path, tmp_path: Path
) -> None:
    with Hosts(copy(prepared, tmp_path / "run"), 1, tmp_path, devices=2) as one:
        assert one.wait() == [0], one.said(0)
    assert_same_bits(undisturbed, tmp_path / "run")


def test_hosts_that_need_the_same_rows_and_accumulate_train_the_bits_of_one(
    prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    """Feed-forward features split over the hosts, two micro-batches."""
    fields = ["--config.train.tensor=2", "--config.train.micro_batch_size=4"]
    for count in (1, 2):
        folder = tmp_path / str(count)
        with Hosts([*copy(prepared, folder / "run"), *fields], count, folder, devices=2 // count) as hosts:
            assert hosts.wait() == [0] * count, hosts.said(0)
    assert_same_bits(tmp_path / "1" / "run", tmp_path / "2" / "run")


def test_two_hosts_train_the_losses_of_one_with_one_device(
    prepared: tuple[Path, Path], undisturbed: Path, tmp_path: Path
) -> None:
    """Sums over rows in another order: 72 steps of this run stay within 1e-4 nats of each other."""
    with Hosts(copy(prepared, tmp_path / "run"), 1, tmp_path) as one:
        assert one.wait() == [0], one.said(0)
    np.testing.assert_allclose(losses(undisturbed), losses(tmp_path / "run"), rtol=0, atol=1e-4)


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_lost_host_ends_the_other_and_both_together_go_on_bitwise(
    prepared: tuple[Path, Path], undisturbed: Path, tmp_path: Path, how: signal.Signals, lost: int
) -> None:
    words, left = copy(prepared, tmp_path / "run"), 1 - lost
    with Hosts(words, 2, tmp_path / "first") as hosts:
        wait_for_step(tmp_path / "run", 25, hosts)
        hosts.send(lost, how)
        assert hosts.wait_for(left, BOUND) == 1, hosts.said(left)
        assert f"bench-shadows: host {left} of 2" in hosts.said(left)
        assert "The same command on all hosts goes on from the last checkpoint" in hosts.said(left)
    assert len(losses(tmp_path / "run")) < STEPS
    with Hosts(words, 2, tmp_path / "second") as hosts:
        assert hosts.wait() == [0, 0], hosts.said(0) + hosts.said(1)
        assert "goes on from step 2" in hosts.said(0)
    assert_same_bits(undisturbed, tmp_path / "run")


def test_sigterm_to_one_host_saves_once_and_both_leave(
    prepared: tuple[Path, Path], undisturbed: Path, tmp_path: Path
) -> None:
    words = copy(prepared, tmp_path / "run")
    with Hosts(words, 2, tmp_path / "first") as hosts:
        wait_for_step(tmp_path / "run", 5, hosts)
        hosts.send(1, signal.SIGTERM)
        codes = hosts.wait(BOUND)
        said = [next(line for line in hosts.said(n).splitlines() if "stopped by" in line) for n in (0, 1)]
    assert codes[0] == codes[1] != 0
    step = len(losses(tmp_path / "run"))
    assert 5 < step < STEPS
    assert all(f"after step {step} of {STEPS}" in line for line in said), said
    assert step in saved_steps(tmp_path / "run" / "runs" / "A-seed0" / "checkpoints")
    with Hosts(words, 2, tmp_path / "second") as hosts:
        assert hosts.wait() == [0, 0], hosts.said(0) + hosts.said(1)
        assert f"goes on from step {step}" in hosts.said(0)
    assert_same_bits(undisturbed, tmp_path / "run")


HANGS_AT_30 = """
import threading
from bench_shadows.data.rows import loader
read = loader._Batches.__getitem__
loader._Batches.__getitem__ = lambda batches, step: read(batches, step) if step < 30 else threading.Event().wait()
"""
FAILS_AT_30 = """
from bench_shadows.data.rows import loader
read = loader._Batches.__getitem__
def broken(batches, step):
    if step < 30:
        return read(batches, step)
    raise OSError(5, "Input/output error", "rows-00000.array_record")
loader._Batches.__getitem__ = broken
"""


def test_a_host_that_lives_and_gets_nowhere_ends_all_of_them(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    words = [*copy(prepared, tmp_path / "run"), "--config.train.stall_minutes=0.5"]
    with Hosts(words, 2, tmp_path, before={1: HANGS_AT_30}) as hosts:
        assert hosts.wait() == [1, 1], hosts.said(0) + hosts.said(1)
        said = hosts.said(0) + hosts.said(1)
    assert "no step was finished for 30 s (config.train.stall_minutes)" in said
    assert "Steps that the hosts finished: host 0: " in said


def test_hosts_that_wait_for_the_first_end_with_its_words(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["study", f"--config={prepared[0]}", f"--out={tmp_path / 'run'}", "--config.train.samples=80000"]
    with Hosts(words, 2, tmp_path) as hosts:
        assert hosts.wait() == [1, 1], hosts.said(0) + hosts.said(1)
        assert "host 1: waits for host 0: prepare" in hosts.said(1)
        assert "host 1 of 2 ends: host 0 ended: too little text for the budget" in hosts.said(1)


def test_a_host_that_fails_ends_the_others_with_its_words(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    with Hosts(copy(prepared, tmp_path / "run"), 2, tmp_path, before={1: FAILS_AT_30}) as hosts:
        assert hosts.wait() == [1, 1], hosts.said(0) + hosts.said(1)
        assert "rows-00000.array_record" in hosts.said(0)
        assert "host 1 ended" in hosts.said(0)


@pytest.mark.parametrize("devices", [2, 1])
def test_a_run_of_eight_devices_goes_on_with_fewer(
    prepared: tuple[Path, Path], tmp_path: Path, devices: int, eight: tuple[Path, Path]
) -> None:
    """The state is the same bits on another mesh; the losses from there on differ by rounding alone."""
    before, whole = eight
    folder = tmp_path / "run"
    shutil.copytree(before, folder)
    words = ["train", f"--config={prepared[0]}", f"--out={folder}", "--condition=A"]
    with Hosts(words, 1, tmp_path, devices=devices) as hosts:
        assert hosts.wait() == [0], hosts.said(0)
        assert "goes on from step 20" in hosts.said(0)
    assert losses(folder)[:20] == losses(whole)[:20]
    np.testing.assert_allclose(losses(folder), losses(whole), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def eight(prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on eight devices, up to step 20 and whole."""
    folder = tmp_path_factory.mktemp("eight")
    with Hosts(copy(prepared, folder / "whole"), 1, folder, devices=8) as hosts:
        assert hosts.wait() == [0], hosts.said(0)
    shutil.copytree(folder / "whole", folder / "part")
    for step in (40, 60, 72):
        shutil.rmtree(folder / "part" / "runs" / "A-seed0" / "checkpoints" / str(step))
    return folder / "part", folder / "whole"
