"""Training of one run: one condition, one seed. It goes on from its newest sound checkpoint, to the same bits."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from bench_shadows.config import Config, to_dict
from bench_shadows.data.conditions import load_plan, plan_hash, plan_path
from bench_shadows.data.loader import batches
from bench_shadows.data.rows import NAMES
from bench_shadows.errors import RunError
from bench_shadows.files import hash_file
from bench_shadows.progress import Progress, say
from bench_shadows.training.checkpoints import Checkpoints, checkpoint_folder
from bench_shadows.training.compile_cache import use_compile_cache
from bench_shadows.training.distributed import first_host_says, hosts, own_folder, preemption
from bench_shadows.training.events import Events
from bench_shadows.training.feeding import host_rows, place
from bench_shadows.training.metrics import MetricsLog
from bench_shadows.training.monitoring import open_monitor
from bench_shadows.training.optimizer import learning_rate
from bench_shadows.training.sharding import accumulation_steps, build_mesh
from bench_shadows.training.step import abstract_state, compile_step, initial_state

SPEED_FIELDS = (
    *("micro_batch_size", "remat", "scan_layers", "loss_chunk"),
    *("fsdp", "tensor", "checkpoint_minutes", "checkpoints", "stall_minutes"),
)
"""Of config.train: they change memory and time, and results by rounding at most; a run may go on with others."""


def train(config: Config, condition: str, seed: int, data_folder: Path, run_folder: Path) -> None:
    """Trains to the last step, or does nothing where its sound checkpoint is there.

    Args:
      data_folder: with rows/ and plans/, as the prepare stage leaves it.
      run_folder: gets checkpoints/ (step 0, the analysed steps, the last two between), metrics.jsonl and
        monitor.jsonl.
    Raises:
      RunError: a checkpoint of another config or other data, a loss that is not finite, a full disk, SIGTERM
        (after a checkpoint). The same call goes on.
      ConfigError: a batch that the devices cannot share.
    """
    use_compile_cache()
    run_folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(config, plan_path(data_folder, condition, seed))
    mesh = build_mesh(config)
    accumulation, batch_size = accumulation_steps(config.train, mesh), config.train.batch_size
    made_from = _made_from(config, condition, seed, plan, data_folder / "rows")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_stop_requests())
        checkpoints = stack.enter_context(
            Checkpoints(checkpoint_folder(config, run_folder), made_from, config.analysed_steps)
        )
        start = checkpoints.resume_step()
        if 0 not in checkpoints:
            checkpoints.save(0, initial_state(config, seed, mesh), tokens=0)
        if start == config.steps:
            return
        if start > 0:
            say(f"train {condition}-seed{seed}: goes on from step {start}")
            state = checkpoints.restore(start, abstract_state(config, mesh))
        else:
            state = initial_state(config, seed, mesh)
        train_step = compile_step(config, mesh)
        logs = own_folder(run_folder)
        logs.mkdir(parents=True, exist_ok=True)
        events = stack.enter_context(Events(logs / "tensorboard", start))
        log = stack.enter_context(MetricsLog(logs, config, start, plan, events))
        monitor = stack.enter_context(open_monitor(config, logs, start, events))
        stream = batches(data_folder / "rows", plan, batch_size, start, host_rows(batch_size, accumulation, mesh))
        progress = stack.enter_context(
            Progress(f"train {condition}-seed{seed}", config.steps, "steps", done=start)
        )
        saved = time.monotonic()
        monitor(start, state.params)
        for step, rows in enumerate(stream, start + 1):
            rate = learning_rate(config, condition, step)
            state, metrics = train_step(state, place(rows, accumulation, mesh), np.float32(rate))
            monitor(step, state.params)
            progress.add(1, log.add(step, rate, rows, metrics))
            overdue = first_host_says(step, time.monotonic() - saved > 60 * config.train.checkpoint_minutes)
            leave = preemption(step) or stop.is_set()
            if step in config.analysed_steps or overdue or leave:
                log.flush()
                monitor.flush()
                checkpoints.save(step, state, tokens=step * rows.shape[-1] * batch_size)
                saved = time.monotonic()
            if leave and step < config.steps:
                checkpoints.wait()
                raise RunError(
                    f"train {condition}-seed{seed}: stopped by SIGTERM after step {step} of {config.steps}, "
                    "which is saved; the same command goes on"
                )


def _plan(config: Config, path: Path) -> np.ndarray:
    plan, positions = load_plan(path), config.steps * config.train.batch_size
    if len(plan) != positions:
        raise RunError(
            f"{path}: the plan has {len(plan)} positions, {config.steps} steps of {config.train.batch_size} rows "
            f"need {positions}; prepare again"
        )
    return plan


def _made_from(config: Config, condition: str, seed: int, plan: np.ndarray, rows: Path) -> dict[str, Any]:
    """What the run's parameters are a function of."""
    train = {name: value for name, value in to_dict(config.train).items() if name not in SPEED_FIELDS}
    return {
        "condition": condition,
        "seed": seed,
        "plan": plan_hash(plan),
        **{f"rows/{name}": hash_file(rows / name / "rows.json") for name in NAMES},
        **{f"model.{name}": value for name, value in to_dict(config.model).items()},
        **{f"train.{name}": value for name, value in train.items()},
    }


@contextlib.contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; not in a thread that is not the main one, and not with several hosts.

    There SIGTERM is JAX's, which tells the others (`preemption`).
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread() or hosts() > 1:
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = signal.signal(signal.SIGTERM, request)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
