"""Training of one run: one condition, one seed. It goes on from its newest sound checkpoint, to the same bits."""

import functools
from pathlib import Path

import numpy as np

from bench_shadows.config import Config
from bench_shadows.training.devices.distributed import preemption
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.devices.stopping import StopRequests
from bench_shadows.training.opening import open_run
from bench_shadows.training.optimizer import learning_rate
from bench_shadows.training.step import compile_step


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
    with (
        StopRequests() as requests,
        open_run(config, condition, seed, data_folder, run_folder, mesh, compiled) as run,
    ):
        if run is None:
            return
        take_step, state = compiled(), run.state
        for step, batch in enumerate(run.batches, run.start + 1):
            rate = learning_rate(config, condition, step)
            state, metrics = take_step(state, batch.on_devices, np.float32(rate))
            run.monitor(step, state.params)
            run.progress.add(1, run.log.add(step, rate, batch.rows, metrics))
            due = run.is_due(step)
            leave = preemption(step) or requests.signal is not None
            if due or leave:
                run.save(step, state)
            if leave:
                run.wait()
                raise run.stopped(step, requests.signal)
        run.wait()
