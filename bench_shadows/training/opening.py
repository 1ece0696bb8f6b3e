"""What a run needs while it trains, opened where it stopped: state, batches, logs, monitor, checkpoints, clock.

The loops of `train` (one run) and of `train_population` (several at once) are made of these pieces.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import batches
from bench_shadows.data.rows.plans import load_plan, plan_path
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.diagnostics.monitor import Look, Monitor
from bench_shadows.errors import RunError
from bench_shadows.json_lines import read_objects
from bench_shadows.progress import Progress, say
from bench_shadows.training.checkpoints.checkpoints import Checkpoints, checkpoint_folder
from bench_shadows.training.compile.compile_cache import use_compile_cache
from bench_shadows.training.devices.distributed import first_host_says, own_folder, watched
from bench_shadows.training.devices.feeding import Fed, feed, host_rows
from bench_shadows.training.devices.sharding import accumulation_steps
from bench_shadows.training.devices.stopping import StoppedError
from bench_shadows.training.fingerprint import run_fingerprint
from bench_shadows.training.logs.events import Events
from bench_shadows.training.logs.goodput import WallTime
from bench_shadows.training.logs.metrics import MetricsLog
from bench_shadows.training.logs.step_lines import StepLines
from bench_shadows.training.step import State, abstract_state, initial_state


@dataclasses.dataclass
class Run:
    """A run that is open. What it does besides the arithmetic of a step, a loop finds here."""

    name: str
    """As messages call it."""
    config: Config
    start: int
    """The step that it resumes from."""
    state: State
    """At `start`; a step consumes it."""
    batches: Iterator[Fed]
    """From step `start + 1` to the last."""
    monitor: Monitor
    log: MetricsLog
    progress: Progress
    checkpoints: Checkpoints
    wall: WallTime
    _saved: float = dataclasses.field(default_factory=time.monotonic)

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is due after a step. To be asked at every step: all hosts decide together."""
        minutes = self.config.train.checkpoint_minutes
        overdue = first_host_says(step, time.monotonic() - self._saved > 60 * minutes)
        return overdue or step in self.config.analysed_steps

    def save(self, step: int, state: State) -> None:
        """Writes what the logs and the monitor hold, copies the state and returns; files are written meanwhile."""
        self.log.sync()
        with self.wall.lost("checkpoint"):
            self.monitor.flush()
            self.checkpoints.save(step, state, step * self.config.train.batch_size * self.config.data.seq_len)
        self.wall.write("checkpoint")
        self._saved = time.monotonic()

    def wait(self) -> None:
        """Until the last checkpoint is whole."""
        with self.wall.lost("checkpoint"):
            self.checkpoints.wait()

    def stopped(self, step: int, number: int | None) -> StoppedError:
        """What to raise where the run leaves after a step, when its checkpoint is whole.

        Args:
          number: the signal; None where it came to another host.
        """
        return StoppedError(f"{self.name} after step {step} of {self.config.steps}, which is saved", number)


@contextlib.contextmanager
def open_run(
    config: Config,
    condition: str,
    seed: int,
    data_folder: Path,
    run_folder: Path,
    mesh: Mesh,
    compile_it: Callable[[], object],
) -> Iterator[Run | None]:
    """Opens a run where its newest sound checkpoint is; None where nothing is left to do. Closes all of it.

    Args:
      data_folder, run_folder: as for `loop.train`.
      compile_it: compiles the step, or has done so before; called here, so that its time is known for what it is.
    Raises:
      RunError, ConfigError: as `loop.train`.
    """
    use_compile_cache()
    name, logs = f"train {condition}-seed{seed}", own_folder(run_folder)
    logs.mkdir(parents=True, exist_ok=True)
    plan = _plan(config, plan_path(data_folder, condition, seed))
    accumulation, batch_size = accumulation_steps(config.train, mesh), config.train.batch_size
    made_from = run_fingerprint(config, condition, seed, data_folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(watched(name, config.train.stall_minutes))
        wall = stack.enter_context(WallTime(logs))
        with wall.lost("restore"):
            folder = checkpoint_folder(config, run_folder)
            checkpoints = stack.enter_context(Checkpoints(folder, made_from, config.analysed_steps))
            start, state = _first_state(config, seed, mesh, checkpoints)
        if state is None:
            stack.close()
            yield None
            return
        if start > 0:
            say(f"{name}: goes on from step {start}")
        wall.begin(start)
        with wall.lost("compile"):
            compile_it()
        with wall.lost("open"):
            events = stack.enter_context(Events(logs / "tensorboard", start))
            log = stack.enter_context(MetricsLog(logs, config, start, plan, events, wall))
            monitor = stack.enter_context(open_monitor(config, logs, start, events))
            monitor(start, state.params)
            places = host_rows(batch_size, accumulation, mesh)
            images = config.kind.images(config, data_folder)
            begins = load_run_tokenizer(config, data_folder).start if config.train.mask_documents else None
            wanted = start, places, config.kind.row_sets, images, begins
            stream = batches(data_folder / "rows", plan, batch_size, *wanted)
            fed = feed(stream, accumulation, mesh)
        progress = stack.enter_context(Progress(name, config.steps, "steps", done=start))
        yield Run(name, config, start, state, fed, monitor, log, progress, checkpoints, wall)


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


def _first_state(config: Config, seed: int, mesh: Mesh, checkpoints: Checkpoints) -> tuple[int, State | None]:
    """The step that training goes on from, and the state there; no state where nothing is left to do."""
    start = checkpoints.resume_step()
    if 0 not in checkpoints:
        checkpoints.save(0, initial_state(config, seed, mesh), tokens=0)
    if start == config.steps:
        return start, None
    if start == 0:
        return start, initial_state(config, seed, mesh)
    state = checkpoints.restore(start, abstract_state(config, mesh))
    if config.train.on_spike == "stop" and state.optimizer.spikes > 0:
        raise RunError(
            f"config.train.on_spike is stop, and {int(state.optimizer.spikes)} steps before step {start} were "
            "skipped: a run that has begun to skip goes on so. Undo the change or name another folder"
        )
    return start, state


def _plan(config: Config, path: Path) -> np.ndarray:
    plan, positions = load_plan(path), config.steps * config.train.batch_size
    if len(plan) != positions:
        raise RunError(
            f"{path}: the plan has {len(plan)} positions, {config.steps} steps of {config.train.batch_size} rows "
            f"need {positions}; prepare again"
        )
    return plan
