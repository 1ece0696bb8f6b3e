"""The monitor of a run: monitor.jsonl, a line for each look, and its scalars among the TensorBoard events."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench_shadows.config import Config
from bench_shadows.diagnostics.monitor import Look, Monitor
from bench_shadows.json_lines import read_objects
from bench_shadows.training.logs.events import Events
from bench_shadows.training.logs.step_lines import StepLines


@contextlib.contextmanager
def open_monitor(config: Config, folder: Path, after: int, events: Events) -> Iterator[Monitor]:
    """The monitor that `config.diagnostics` wants for a run that goes on after step `after`.

    Looks up to there are read again from the run's folder, so that the signatures are those of the whole run.
    """
    every, matrices = config.diagnostics.monitor_every, config.diagnostics.monitor_matrices
    if not every:
        yield Monitor(every=0)
        return
    with StepLines(folder / "monitor.jsonl", after) as lines:

        def write(look: Look) -> None:
            lines.write(look.as_json())
            events.add(look.step, look.scalars())

        history = [Look.from_json(line) for line in read_objects(lines.path, "step")]
        with Monitor(every, matrices, config.steps, write, history) as monitor:
            yield monitor
