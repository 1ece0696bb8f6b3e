"""A run ends with the same bits however often it is stopped, and says what it did."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import CONFIG, files_no_larger_than, with_train, write_data

from bench_shadows.data.rows.plans import load_plan, plan_path, save_plan
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.training import opening
from bench_shadows.training.checkpoints.checkpoints import restore_params, saved_steps
from bench_shadows.training.logs.events import Events
from bench_shadows.training.logs.goodput import WallTime
from bench_shadows.training.logs.metrics import MetricsLog
from bench_shadows.training.loop import train

STEPS = CONFIG.steps


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "A-seed0"
    train(CONFIG, "A", 0, data, run)
    return run


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(one: Path, two: Path) -> None:
    """The same bits in every analysed checkpoint, the same losses in every line."""
    for step in (0, *CONFIG.analysed_steps):
        params = restore_params(one / "checkpoints", step), restore_params(two / "checkpoints", step)
        jax.tree.map(np.testing.assert_array_equal, *params)
    lines = [[(line["step"], line["loss"], line["grad_norm"]) for line in metrics(run)] for run in (one, two)]
    assert lines[0] == lines[1]


def train_until(
    monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None], data: Path, run: Path
) -> None:
    """Trains, and does something when the batch of a step (1-based) is asked for."""
    real = opening.batches

    def batches(rows: Path, plan: np.ndarray, size: int, start: int, *host: int) -> Iterator[np.ndarray]:
        for number, batch in enumerate(real(rows, plan, size, start, *host), start + 1):
            if number == step:
                act()
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(opening, "batches", batches)
        train(CONFIG, "A", 0, data, run)


class CrashError(Exception):
    pass


def crash() -> None:
    raise CrashError


def test_a_run_leaves_its_checkpoints_and_a_line_for_each_step(undisturbed: Path, data: Path) -> None:
    assert saved_steps(undisturbed / "checkpoints") == [0, 4, 8, 12]
    lines = metrics(undisturbed)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert set(lines[0]) == {
        "step", "loss", "learning_rate", "grad_norm", "update_norm", "param_norm", "tokens", "tokens_per_second",
        "step_seconds", "mfu", "goodput", "time", "spikes", "loss_bound", "batch_types", "batch_entropy_bits",
        "batch_top_100_share", "batch_distinct_rows_share",
    }  # fmt: skip
    assert lines[-1]["tokens"] == STEPS * 8 * 16
    assert lines[-1]["learning_rate"] == pytest.approx(CONFIG.train.min_learning_rate)
    assert lines[-1]["mfu"] is None
    assert lines[-1]["loss_bound"] is None, "twelve losses are too few"
    assert {line["spikes"] for line in lines} == {0}
    assert (undisturbed / "spikes.jsonl").read_text() == ""
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_a_finished_run_is_left_alone(undisturbed: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    train(CONFIG, "A", 0, data, undisturbed)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("step", [1, 4, 5, 9, 12])
def test_a_crash_at_any_step_costs_nothing_but_time(
    step: int, undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrashError):
        train_until(monkeypatch, step, crash, data, tmp_path)
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_sigterm_saves_and_leaves(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError, match=r"SIGTERM.*after step 6 of 12.*same command") as caught:
        train_until(monkeypatch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM), data, tmp_path)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == handler
    assert saved_steps(tmp_path / "checkpoints") == [0, 4, 6]
    assert metrics(tmp_path)[-1]["step"] == 6
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_saves_and_leaves(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RunError, match=r"SIGINT.*after step 12 of 12.*same command") as caught:
        train_until(monkeypatch, 12, interrupt, data, tmp_path)
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) == handler
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_the_second_interrupt_leaves_at_once(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_until(monkeypatch, 6, lambda: (interrupt(), interrupt()), data, tmp_path)
    assert saved_steps(tmp_path / "checkpoints") == [0, 4]
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_goodput_counts_every_step_once_over_all_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (7, 11):
        with pytest.raises(CrashError):
            train_until(monkeypatch, step, crash, data, tmp_path)
    train(CONFIG, "A", 0, data, tmp_path)
    lines = metrics(tmp_path)
    records = [json.loads(line) for line in (tmp_path / "goodput.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["event"] == "start"] == [0, 4, 8]
    last, lost = records[-1], records[-1]["lost_seconds"]
    assert last["productive_seconds"] == pytest.approx(sum(line["step_seconds"] for line in lines))
    assert last["wall_seconds"] == pytest.approx(sum(lost.values()) + last["productive_seconds"])
    assert last["wall_seconds"] == pytest.approx(last["time"] - records[0]["time"], abs=5)
    assert min(lost["again"], lost["restore"], lost["stopped"], lost["checkpoint"]) > 0
    assert 0 < lines[-1]["goodput"] <= 1


def test_a_damaged_newest_checkpoint_is_trained_again(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrashError):
        train_until(monkeypatch, 10, crash, data, tmp_path)
    files = [path for path in (tmp_path / "checkpoints" / "8").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content)
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_lost_initial_weights_are_made_again(undisturbed: Path, data: Path, tmp_path: Path) -> None:
    train(CONFIG, "A", 0, data, tmp_path)
    (tmp_path / "checkpoints" / "0" / "digests.json").unlink()
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_a_half_written_last_line_is_cut(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrashError):
        train_until(monkeypatch, 7, crash, data, tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    train(CONFIG, "A", 0, data, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_conditions_begin_with_the_same_weights_and_only_b_has_another_rate(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    runs = {"A": undisturbed}
    for condition in "BCD":
        runs[condition] = tmp_path / condition
        train(CONFIG, condition, 0, data, runs[condition])
    for condition in "BCD":
        jax.tree.map(
            np.testing.assert_array_equal,
            restore_params(runs["A"] / "checkpoints", 0),
            restore_params(runs[condition] / "checkpoints", 0),
        )
    rates = {name: [line["learning_rate"] for line in metrics(run)] for name, run in runs.items()}
    assert rates["A"] == rates["C"] == rates["D"]
    assert rates["B"][:2] == rates["A"][:2]
    assert set(rates["B"][1:]) == {CONFIG.train.peak_learning_rate}
    losses = {name: [line["loss"] for line in metrics(run)] for name, run in runs.items()}
    assert losses["B"][:2] == losses["A"][:2], "the same data until the rates part"
    assert len({losses[name][0] for name in "ACD"}) == 3
    assert {line["batch_distinct_rows_share"] for line in metrics(runs["A"])} == {1.0}
    assert min(line["batch_distinct_rows_share"] for line in metrics(runs["C"])) < 1.0


def test_a_loss_that_is_not_finite_names_its_step_and_rows(data: Path, tmp_path: Path) -> None:
    config = with_train(peak_learning_rate=1e30, min_learning_rate=1e30)
    with pytest.raises(RunError, match=r"step \d+: .*(nan|inf).*plan positions \d+ to \d+, rows \d+") as caught:
        train(config, "A", 0, data, tmp_path)
    step = int(str(caught.value).split(":")[0].split()[-1])
    ids = load_plan(plan_path(data, "A", 0))[(step - 1) * 8 : step * 8]
    assert f"rows {', '.join(map(str, ids))}." in str(caught.value)
    assert max(saved_steps(tmp_path / "checkpoints")) < step
    assert len(metrics(tmp_path)) == step - 1


def test_another_config_or_other_data_is_refused(undisturbed: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"train\.peak_learning_rate is 0\.01 there and 0\.02 now"):
        train(with_train(peak_learning_rate=0.02), "A", 0, data, undisturbed)
    with pytest.raises(RunError, match="condition is 'A' there and 'C' now"):
        train(CONFIG, "C", 0, data, undisturbed)
    other = write_data(tmp_path / "data", seed=1)
    save_plan(plan_path(other, "A", 0), load_plan(plan_path(other, "A", 1)))
    with pytest.raises(RunError, match="plan is"):
        train(CONFIG, "A", 0, other, undisturbed)


def test_what_only_changes_speed_may_change(undisturbed: Path, data: Path) -> None:
    train(with_train(micro_batch_size=2, checkpoint_minutes=1.0), "A", 0, data, undisturbed)


def test_a_plan_of_another_length_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"96 positions, 10 steps of 8 rows need 80"):
        train(with_train(samples=80), "A", 0, data, tmp_path)


def test_micro_batches_that_do_not_fit_are_refused_before_anything_is_opened(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="micro_batch_size=3 does not divide"):
        train(with_train(micro_batch_size=3), "A", 0, data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metrics_that_cannot_be_written_are_an_error_that_says_what_is_kept(tmp_path: Path) -> None:
    rows = np.zeros((8, 16), np.int32)
    with (
        Events(tmp_path, 0) as events,
        MetricsLog(tmp_path, CONFIG, 0, np.arange(96), events, WallTime(tmp_path)) as log,
    ):
        names = ("loss", "grad_norm", "update_norm", "param_norm", "loss_bound")
        counts = dict.fromkeys(("spikes", "spikes_in_row"), jnp.zeros(()))
        log.add(1, 0.1, rows, dict.fromkeys(names, jnp.ones(())) | counts)
        with files_no_larger_than(10), pytest.raises(RunError, match=r"metrics\.jsonl.*Checkpoints are kept"):
            log.flush()


def test_tensorboard_gets_the_same_numbers(undisturbed: Path) -> None:
    pytest.importorskip("tensorboardX")
    assert list((undisturbed / "tensorboard").glob("events.*"))
