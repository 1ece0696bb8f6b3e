"""metrics.jsonl: one line a step, fetched from the device a step late so that the device never waits."""

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bench_shadows.config import Config
from bench_shadows.errors import RunError
from bench_shadows.progress import say
from bench_shadows.training.logs.events import Events
from bench_shadows.training.logs.goodput import WallTime
from bench_shadows.training.logs.step_lines import StepLines
from bench_shadows.training.logs.throughput import model_flops_utilization
from bench_shadows.training.spikes import MAX_IN_ROW

_ROWS_NAMED = 64  # row ids that a message about a bad batch spells out; spikes.jsonl has all of them
_ADVICE = (
    "Checkpoints before it are kept, but the same command comes to the same step: look at these rows, lower "
    "train.peak_learning_rate (a run of its own, with another --out)"
)


class MetricsLog(contextlib.AbstractContextManager["MetricsLog"]):
    """Writes metrics.jsonl and spikes.jsonl of one run, and its scalars to the events.

    A line has the step's metrics as they are (null where one of a skipped step is not finite), `time` (seconds
    since 1970), `step_seconds`, `tokens` read so far, `tokens_per_second`, `mfu`, `goodput`, and `batch_*`, the
    statistics of its rows, those of all hosts. `spikes` counts those so far: with `train.on_spike="skip"` they are
    the skipped steps.

    Args:
      folder: the run's.
      after: the step that training goes on from; lines of later steps, and a half-written last one, are cut.
      row_ids: the plan, to name a batch's rows.
      wall: counts the steps.
    """

    def __init__(
        self, folder: Path, config: Config, after: int, row_ids: np.ndarray, events: Events, wall: WallTime
    ):
        self._config, self._row_ids, self._events, self._wall = config, row_ids, events, wall
        self._pending: tuple[int, float, np.ndarray | jax.Array, dict[str, jax.Array]] | None = None
        self._lines = StepLines(folder / "metrics.jsonl", after)
        self._spikes = StepLines(folder / "spikes.jsonl", after)

    def add(self, step: int, rate: float, rows: np.ndarray | jax.Array, on_device: dict[str, jax.Array]) -> str:
        """Takes a step's metrics and writes those of the step before; returns a note about that one."""
        note = self.flush()
        self._pending = step, rate, rows, on_device
        return note

    def flush(self) -> str:
        """Writes what is pending, waiting for the device.

        Raises RunError for a spike where `train.on_spike` says stop, for too many in a row, and for any other
        metric that is not finite.
        """
        if self._pending is None:
            return ""
        (step, rate, rows, on_device), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(on_device).items()}
        spikes, in_row = (int(values.pop(name)) for name in ("spikes", "spikes_in_row"))
        bound = values.pop("loss_bound")
        if in_row:
            self._spike(step, values, bound, in_row)
        elif bad := [f"{name}={value}" for name, value in values.items() if not math.isfinite(value)]:
            raise RunError(f"step {step}: {', '.join(bad)}. {self._batch(step)}. {_ADVICE}")
        line = self._line(step, rate, np.asarray(rows), {**values, "loss_bound": bound, "spikes": spikes})
        self._lines.write(line)
        self._events.add(step, {name: value for name, value in line.items() if name not in ("step", "time")})
        loss = "skipped" if in_row else f"loss {values['loss']:.3f}"
        return f"{loss}, {line['tokens_per_second']:,.0f} tokens/s"

    def sync(self) -> None:
        """Flushes, and returns when the lines would survive a crash of the machine."""
        self.flush()
        self._lines.sync()
        self._spikes.sync()

    def _line(self, step: int, rate: float, rows: np.ndarray, values: dict[str, float]) -> dict[str, Any]:
        seconds = self._wall.count(step)
        config, seq_len = self._config, rows.shape[-1]
        batch_tokens = config.train.batch_size * seq_len
        tokens_per_second = batch_tokens / seconds
        kind, devices = jax.devices()[0].device_kind, jax.device_count()
        statistics = config.kind.batch_statistics(rows, config.model.vocab_size)
        return {
            "step": step,
            "time": time.time(),
            **_as_json(values),
            "learning_rate": rate,
            "tokens": step * batch_tokens,
            "tokens_per_second": tokens_per_second,
            "step_seconds": seconds,
            "mfu": model_flops_utilization(config.train.batch_size / seconds, config, kind, devices),
            "goodput": self._wall.goodput,
            **{f"batch_{name}": value for name, value in statistics.items()},
        }

    def _spike(self, step: int, values: dict[str, float], bound: float, in_row: int) -> None:
        """Writes a spike down with all its rows; raises RunError where the run ends with it."""
        loss, grad_norm = values["loss"], values["grad_norm"]
        what = f"loss={loss:.4g}, grad_norm={grad_norm:.4g}"
        if math.isfinite(loss) and math.isfinite(grad_norm):
            what = f"loss={loss:.4g} is above {bound:.4g}, far from the last ones"
        first, ids = self._positions(step)
        numbers = _as_json({"loss": loss, "loss_bound": bound, "grad_norm": grad_norm})
        self._spikes.write({"step": step, **numbers, "first_position": first, "rows": ids.tolist()})
        if self._config.train.on_spike == "stop":
            raise RunError(
                f"step {step}: {what}. {self._batch(step)}. {_ADVICE}, or leave such steps out and go on: "
                "--config.train.on_spike=skip"
            )
        if in_row == MAX_IN_ROW:
            raise RunError(
                f"step {step}: {what}, and the {MAX_IN_ROW - 1} steps before it were skipped as spikes, too: no "
                f"bad batch, the run diverges. {self._batch(step)}. {_ADVICE}"
            )
        say(f"step {step}: skipped, {what}; its rows are in {self._spikes.path}")

    def _positions(self, step: int) -> tuple[int, np.ndarray]:
        """The first plan position of a step's batch, and the batch's row ids."""
        size = self._config.train.batch_size
        first = (step - 1) * size
        return first, self._row_ids[first : first + size]

    def _batch(self, step: int) -> str:
        first, ids = self._positions(step)
        more = f" and {len(ids) - _ROWS_NAMED} more" if len(ids) > _ROWS_NAMED else ""
        named = ", ".join(map(str, ids[:_ROWS_NAMED]))
        return f"Its batch is plan positions {first} to {first + len(ids) - 1}, rows {named}{more}"

    def __exit__(self, *_: object) -> None:
        with self._lines, self._spikes:
            pass


def _as_json(values: dict[str, float]) -> dict[str, float | None]:
    """None for what JSON has no number for."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
