"""metrics.jsonl: one line a step, fetched from the device a step late so that the device never waits."""

import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np

from bench_shadows.config import Config
from bench_shadows.data.statistics import batch_statistics
from bench_shadows.errors import RunError
from bench_shadows.training.events import Events
from bench_shadows.training.step_lines import StepLines
from bench_shadows.training.throughput import model_flops_utilization

_ROWS_NAMED = 64  # row ids that a message about a bad batch spells out


class _Pending(NamedTuple):
    step: int
    rate: float
    rows: np.ndarray
    on_device: dict[str, jax.Array]


class MetricsLog:
    """Writes metrics.jsonl of one run, and its scalars to the events.

    Args:
      folder: the run's.
      after: the step that training goes on from; lines of later steps, and a half-written last one, are cut.
      row_ids: the plan, to name a batch's rows.
    """

    def __init__(self, folder: Path, config: Config, after: int, row_ids: np.ndarray, events: Events):
        self._config, self._row_ids, self._events = config, row_ids, events
        self._pending: _Pending | None = None
        self._lines = StepLines(folder / "metrics.jsonl", after)
        self._last = time.monotonic()

    def add(self, step: int, rate: float, rows: np.ndarray, on_device: dict[str, jax.Array]) -> str:
        """Takes a step's metrics and writes those of the step before; returns a note about that one."""
        note = self.flush()
        self._pending = _Pending(step, rate, rows, on_device)
        return note

    def flush(self) -> str:
        """Writes what is pending, waiting for the device. Raises RunError where a metric is not finite."""
        if self._pending is None:
            return ""
        (step, rate, rows, on_device), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(on_device).items()}
        self._check_finite(step, values)
        line = self._line(step, rate, rows, values)
        self._lines.write(line)
        self._events.add(step, {name: value for name, value in line.items() if name != "step"})
        return f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"

    def _line(self, step: int, rate: float, rows: np.ndarray, values: dict[str, float]) -> dict[str, Any]:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        config, seq_len = self._config, rows.shape[-1]
        batch_tokens = config.train.batch_size * seq_len
        tokens_per_second = batch_tokens / seconds
        kind, devices = jax.devices()[0].device_kind, jax.device_count()
        statistics = batch_statistics(rows, config.model.vocab_size)
        return {
            "step": step,
            "loss": values["loss"],
            "learning_rate": rate,
            "grad_norm": values["grad_norm"],
            "update_norm": values["update_norm"],
            "param_norm": values["param_norm"],
            "tokens": step * batch_tokens,
            "tokens_per_second": tokens_per_second,
            "step_seconds": seconds,
            "mfu": model_flops_utilization(tokens_per_second, config.model, seq_len, kind, devices),
            **{f"batch_{name}": value for name, value in statistics.items()},
        }

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        bad = [f"{name}={value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            size = self._config.train.batch_size
            first = (step - 1) * size
            ids = self._row_ids[first : first + size]
            more = f" and {len(ids) - _ROWS_NAMED} more" if len(ids) > _ROWS_NAMED else ""
            raise RunError(
                f"step {step}: {', '.join(bad)}. Its batch is plan positions {first} to {first + size - 1}, "
                f"rows {', '.join(map(str, ids[:_ROWS_NAMED]))}{more}. The last checkpoint before it is kept; "
                "lower train.peak_learning_rate or look at these rows"
            )

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, trace)
