"""Training of one run: one condition, one seed. It goes on from its newest sound checkpoint, to the same bits."""

import contextlib
import functools
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch, batches
from bench_shadows.data.rows.plans import load_plan, plan_path
from bench_shadows.errors import RunError
from bench_shadows.progress import Progress, say
from bench_shadows.training.checkpoints.checkpoints import Checkpoints, checkpoint_folder
from bench_shadows.training.compile.compile_cache import use_compile_cache
from bench_shadows.training.devices.distributed import first_host_says, own_folder, preemption, watched
from bench_shadows.training.devices.feeding import host_rows, place, whole_batch
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh
from bench_shadows.training.devices.stopping import StoppedError, StopRequests
from bench_shadows.training.fingerprint import run_fingerprint
from bench_shadows.training.logs.events import Events
from bench_shadows.training.logs.goodput import WallTime
from bench_shadows.training.logs.metrics import MetricsLog
from bench_shadows.training.logs.monitoring import open_monitor
from bench_shadows.training.optimizer import learning_rate
from bench_shadows.training.step import Metrics, State, abstract_state, compile_step, initial_state

Asked = tuple[State, Batch, np.float32]
"""What a run wants computed: a step from this state, with these micro-batches, at this rate."""
Run = Generator[Asked, tuple[State, Metrics], None]


def train(config: Config, condition: str, seed: int, data_folder: Path, run_folder: Path) -> None:
    """Trains to the last step, or does nothing where its sound checkpoint is there.

    Args:
      data_folder: with rows/ and plans/, as the prepare stage leaves it.
      run_folder: gets checkpoints/ (step 0, the analysed steps, the last two between) and lines in metrics.jsonl,
        monitor.jsonl, spikes.jsonl and goodput.jsonl.
    Raises:
      StoppedError: SIGTERM, a preemption or Ctrl-C, after a checkpoint.
      RunError: a checkpoint of another config or other data, a spike (`train.on_spike`), a full disk.
        After both of them the same call goes on.
      ConfigError: a batch that the devices cannot share.
    """
    mesh = build_mesh(config)
    compiled = functools.partial(compile_step, config, mesh)
    with StopRequests() as requests:
        run = open_run(config, condition, seed, data_folder, run_folder, mesh, compiled, requests)
        with contextlib.closing(run), contextlib.suppress(StopIteration):
            asked = next(run)
            while True:
                asked = run.send(compiled()(*asked))


def open_run(
    config: Config,
    condition: str,
    seed: int,
    data_folder: Path,
    run_folder: Path,
    mesh: Mesh,
    compile_it: Callable[[], object],
    requests: StopRequests,
) -> Run:
    """All of `train` but the arithmetic: yields what a step is computed from and is sent what comes out.

    `compile_it` is called once before the first of them, so that its time is known for what it is. Closed between
    two steps, the run keeps its last checkpoint.
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
            stream = batches(data_folder / "rows", plan, batch_size, start, places, config.kind.row_sets, images)
        progress = stack.enter_context(Progress(name, config.steps, "steps", done=start))
        saved = time.monotonic()
        for step, batch in enumerate(stream, start + 1):
            rate = learning_rate(config, condition, step)
            placed = place(batch, accumulation, mesh)
            rows = whole_batch(batch, placed, mesh)
            state, metrics = yield state, placed, np.float32(rate)
            monitor(step, state.params)
            progress.add(1, log.add(step, rate, rows, metrics))
            overdue = first_host_says(step, time.monotonic() - saved > 60 * config.train.checkpoint_minutes)
            leave = preemption(step) or requests.signal is not None
            if step in config.analysed_steps or overdue or leave:
                log.sync()
                with wall.lost("checkpoint"):
                    monitor.flush()
                    checkpoints.save(step, state, tokens=step * batch.tokens.shape[-1] * batch_size)
                wall.write("checkpoint")
                saved = time.monotonic()
            if leave:
                break
        with wall.lost("checkpoint"):
            checkpoints.wait()
        if leave:
            raise StoppedError(f"{name} after step {step} of {config.steps}, which is saved", requests.signal)


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
