"""A batch of nonsense in the middle of a run: it stops, or goes on as if the batch had not been there."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_run import CONFIG, some_rows, with_train, write_data

from bench_shadows.data.rows.plans import load_plan, plan_path, save_plan
from bench_shadows.data.rows.row_store import NAMES, write_rows
from bench_shadows.errors import RunError
from bench_shadows.training import opening
from bench_shadows.training.checkpoints.checkpoints import restore_params
from bench_shadows.training.loop import train

SPIKE = 165
QUIET = dataclasses.replace(CONFIG, diagnostics=dataclasses.replace(CONFIG.diagnostics, monitor_every=0))
STOP, SKIP = (with_train(QUIET, samples=340 * 8, on_spike=rule) for rule in ("stop", "skip"))
"""340 steps, analysed at 113, 227, 340; the phase shift comes after 170."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As always, but the first eight rows are noise, and all of them are the batch of step 165."""
    folder = write_data(tmp_path_factory.mktemp("data"), STOP)
    texts = some_rows(STOP.steps * 4 + 4)
    texts[:10] = np.random.default_rng(1).integers(0, STOP.model.vocab_size, (10, 16))
    rows = [text.astype(np.uint32) for text in texts]
    write_rows(folder / "rows" / NAMES[0], [("prose", rows)], STOP.data.seq_len, end_of_text=0)
    plan = load_plan(plan_path(folder, "A", 0)).copy()
    for row, position in enumerate(range(8 * (SPIKE - 1), 8 * SPIKE)):
        other = np.flatnonzero(plan == row)[0]
        plan[[position, other]] = plan[[other, position]]
    save_plan(plan_path(folder, "A", 0), plan)
    return folder


@pytest.fixture(scope="module")
def skipped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train(SKIP, "A", 0, data, run)
    return run


def lines(run: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def test_a_skipped_step_is_written_down_with_its_rows(skipped: Path) -> None:
    steps = lines(skipped)
    assert [line["spikes"] for line in steps] == [int(line["step"] >= SPIKE) for line in steps]
    (spike,) = lines(skipped, "spikes.jsonl")
    assert spike["step"] == SPIKE
    assert (spike["first_position"], spike["rows"]) == (8 * (SPIKE - 1), list(range(8)))
    line = steps[SPIKE - 1]
    assert (line["loss"], line["update_norm"]) == (spike["loss"], 0)
    assert spike["loss"] > spike["loss_bound"] == line["loss_bound"]
    assert line["param_norm"] == steps[SPIKE - 2]["param_norm"]


def test_a_run_that_stopped_goes_on_with_skip_to_the_bits_of_one_that_skipped(
    skipped: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        message = r"step 165: loss=.* is above .*positions 1312 to 1319, rows 0, 1, .*on_spike=skip"
        with pytest.raises(RunError, match=message):
            train(STOP, "A", 0, data, tmp_path)
        assert len(lines(tmp_path)) == SPIKE - 1
    with monkeypatch.context() as patch:
        patch.setattr(opening, "batches", ends_at(240, opening.batches))
        with pytest.raises(EOFError):
            train(SKIP, "A", 0, data, tmp_path)
    with pytest.raises(RunError, match="on_spike is stop, and 1 steps before step 227 were skipped"):
        train(STOP, "A", 0, data, tmp_path)
    train(SKIP, "A", 0, data, tmp_path)
    for step in SKIP.analysed_steps:
        both = (restore_params(run / "checkpoints", step) for run in (skipped, tmp_path))
        jax.tree.map(np.testing.assert_array_equal, *both)
    names = ("step", "loss", "grad_norm", "update_norm", "loss_bound", "spikes")
    one, two = ([[line[name] for name in names] for line in lines(run)] for run in (skipped, tmp_path))
    assert one == two
    assert lines(skipped, "spikes.jsonl") == lines(tmp_path, "spikes.jsonl")


def ends_at(step: int, real: Any) -> Any:
    """`batches` of a process that dies when it reads the batch of a step."""

    def batches(rows: Path, plan: np.ndarray, size: int, start: int, *host: Any) -> Iterator[np.ndarray]:
        for number, batch in enumerate(real(rows, plan, size, start, *host), start + 1):
            if number == step:
                raise EOFError
            yield batch

    return batches


def test_a_run_that_diverges_does_not_skip_for_ever(data: Path, tmp_path: Path) -> None:
    config = with_train(SKIP, peak_learning_rate=1e12, min_learning_rate=1e12)
    with pytest.raises(RunError, match=r"loss=nan.*9 steps before it were skipped.*the run diverges"):
        train(config, "A", 0, data, tmp_path)
    assert [line["loss"] for line in lines(tmp_path)[-9:]] == [None] * 9
