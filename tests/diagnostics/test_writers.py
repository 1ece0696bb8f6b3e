"""Looks reach Weights & Biases, trackio, TensorBoard and clu under their own steps, all of them, offline.

The loop here is faster than its looks: ten are delivered at once after the last step, as a flush does.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from bench_shadows.diagnostics.looks import Aggregates, Look, aggregates
from bench_shadows.diagnostics.signatures import Finding
from bench_shadows.diagnostics.writers import to_clu, to_summary_writer, to_trackio, to_wandb

COLLAPSE = Finding("support collapse", "the upper layers' value projections part from the others")
STEPS = range(10, 110, 10)


def row(module: str, layer: int, alpha: float | None, component: str = "decoder") -> dict[str, Any]:
    other = dict.fromkeys(("sigma", "ks_distance", "x_min_over_mean", "spikes", "effective_rank", "stable_rank"))
    return {
        "component": component,
        "module": module,
        "layer": layer,
        "tensor": f"{component}.{module}.{layer}",
    } | {
        **other,
        **{"alpha": alpha, "in_range": None if alpha is None else 2 <= alpha <= 6, "status": "ok"},
        **{"relative_change": 0.1, "change_variance": 1e-6, "since": None, "rows": 8, "columns": 8},
    }


def looks() -> list[Look]:
    found, newest = [], {}
    for i, step in enumerate(STEPS):
        rows = (row("self_attn.v_proj", i % 2, 3.0 + i), row("mlp.up_proj", i % 2, 4.0))
        newest |= {one["tensor"]: one for one in rows}
        warnings = (COLLAPSE,) if step >= 60 else ()
        found.append(Look(step, rows, warnings, aggregates(newest.values())))
    return found


def test_aggregates_are_of_the_newest_reading_of_every_matrix() -> None:
    rows = [row("self_attn.v_proj", 0, 3.0), row("self_attn.v_proj", 1, 9.0), row("mlp.experts.3.up_proj", 0, 5.0)]
    rows += [row("mlp.experts.4.up_proj", 0, 1.0), row("self_attn.q_proj", 0, None), row("fc", 0, 4.0, "vision")]
    assert aggregates(rows) == Aggregates(
        matrices=5,
        share_in_range=0.6,
        median_alpha={"mlp.experts.up_proj": 3.0, "self_attn.v_proj": 6.0, "vision.fc": 4.0},
        worst="self_attn.v_proj.1",
        worst_alpha=9.0,
    )
    assert aggregates([row("m", 0, None)]) is None


def test_a_look_carries_aggregates_and_flags_beside_its_matrices() -> None:
    last = looks()[-1]
    scalars = last.scalars()
    assert scalars["monitor/alpha/self_attn.v_proj.1"] == 12.0
    assert (scalars["monitor/share_in_range"], scalars["monitor/worst_alpha"]) == (0.5, 12.0)
    assert scalars["monitor/median_alpha/self_attn.v_proj"] == 11.5
    assert (scalars["monitor/warning/support_collapse"], scalars["monitor/warning/unsettled_optimizer"]) == (1, 0)
    assert last.texts() == {
        "monitor/warning/support_collapse": COLLAPSE.text,
        "monitor/worst": "self_attn.v_proj.1: alpha 12.00",
    }
    assert Look.from_json(json.loads(json.dumps(last.as_json()))) == last
    old = last.as_json()
    del old["aggregates"]  # a monitor.jsonl of before
    assert Look.from_json(old).matrices == last.matrices


class Recorder:
    """A writer's surface that keeps what it gets."""

    def __init__(self) -> None:
        self.scalars: list[tuple[int, dict[str, float]]] = []
        self.told: list[tuple[int, Any]] = []

    def write_scalars(self, step: int, values: dict[str, float]) -> None:
        self.scalars.append((step, values))

    def write_texts(self, step: int, values: dict[str, str]) -> None:
        self.told.append((step, values))


def test_a_warning_is_told_when_it_appears_and_again_after_it_was_gone() -> None:
    writer = Recorder()
    write = to_clu(writer)
    for step, warnings in ((1, ()), (2, (COLLAPSE,)), (3, (COLLAPSE,)), (4, ()), (5, (COLLAPSE,))):
        write(Look(step, (), warnings))
    assert [step for step, _ in writer.told] == [2, 5]
    assert [values["monitor/warning/support_collapse"] for _, values in writer.scalars] == [0, 1, 1, 0, 1]


def test_tensorboard_has_every_look_under_its_own_step(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    writer = tensorboard.SummaryWriter(str(tmp_path))
    write = to_summary_writer(writer)
    writer.add_scalar("loss", 1.0, 200)  # the loop is ahead
    for look in looks():
        write(look)
    writer.close()
    (path,) = tmp_path.glob("events*")
    data, events = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        assert masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    values = [(value.tag, event.step) for event in events for value in event.summary.value]
    assert [step for tag, step in values if tag == "monitor/share_in_range"] == list(STEPS)
    assert [step for tag, step in values if tag.startswith("monitor/support collapse")] == [60]


@pytest.mark.peers
@pytest.mark.parametrize("by_step", [False, True])
def test_weights_and_biases_keeps_every_look(tmp_path: Path, by_step: bool) -> None:
    """Also where the loop logs with `step=`, if looks come one at a time; and what the loop logs is kept."""
    wandb = pytest.importorskip("wandb")
    settings = wandb.Settings(console="off", silent=True)
    run = wandb.init(project="monitor", mode="offline", dir=str(tmp_path), settings=settings)
    write, late = to_wandb(run), looks()
    for step in range(1, 121):
        if by_step:
            run.log({"loss": 1 / step}, step=step)
            if step % 10 == 5 and step > 15:  # a look that is some steps late
                write(late.pop(0))
        else:
            run.log({"train/step": step, "loss": 1 / step})
    while late:
        write(late.pop(0))
    run.finish()
    wandb.teardown()  # its process has written the file only then
    (path,) = tmp_path.rglob("*.wandb")
    history = read_history(path)
    own = [(line["monitor/step"], line["monitor/alpha/self_attn.v_proj.1"]) for line in history if _has(line)]
    assert [step for step, _ in own] == [step for step in STEPS if (step // 10) % 2 == 0]
    assert [line["monitor/step"] for line in history if "monitor/step" in line] == list(STEPS)
    assert sum("loss" in line for line in history) == 120


def _has(line: dict[str, Any]) -> bool:
    return "monitor/alpha/self_attn.v_proj.1" in line


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's own file, as W&B would send them: LevelDB's log, 32 KiB blocks of records in parts."""
    from wandb.proto import wandb_internal_pb2

    data, lines, whole, at = path.read_bytes(), [], b"", 7
    assert data.startswith(b":W&B")
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too little of a block for a header
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # full, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                lines.append(
                    {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
                )
    return lines


@pytest.mark.peers
def test_trackio_keeps_every_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    run = trackio.init(project="monitor", name="run", embed=False)
    for step in range(1, 121):
        run.log({"loss": 1 / step}, step=step)
    write = to_trackio(run)
    for look in looks():
        write(look)
    run.finish()
    logs = SQLiteStorage.get_logs("monitor", "run")
    assert [line["step"] for line in logs if "monitor/share_in_range" in line] == list(STEPS)
    assert sum("loss" in line for line in logs) == 120
    (alert,) = SQLiteStorage.get_alerts("monitor")
    assert (alert["title"], alert["step"]) == ("monitor: support collapse", 60)


def test_clu_takes_looks_where_tensorflow_is(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    writers = pytest.importorskip("clu.metric_writers")
    writer = writers.SummaryWriter(str(tmp_path))
    write = to_clu(writer)
    for look in looks():
        write(look)
    writer.close()
    from tensorflow.compat.v1.train import summary_iterator

    (path,) = tmp_path.glob("events*")
    tags = [(value.tag, event.step) for event in summary_iterator(str(path)) for value in event.summary.value]
    assert [step for tag, step in tags if tag == "monitor/share_in_range"] == list(STEPS)
    assert [step for tag, step in tags if tag.startswith("monitor/support collapse")] == [60]
