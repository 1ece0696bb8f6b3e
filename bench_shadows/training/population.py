"""Several runs of one config side by side: one program computes a step of each of them.

Conditions and seeds differ in plan, rate and initial weights, which are inputs of the step; so the step is mapped
over them, and a small model fills a device that one run alone would leave idle. Each run is the run that `train`
makes, with the same files; only the arithmetic is shared. The runs need not be at the same step, so that a study
that was killed goes on with all of them at once.

A run of a population differs from the run alone by rounding, since the products are batched. It has the same bits
whatever its neighbours do, and however often it is stopped: the width of the program is that of the whole group,
and the place of a run that is finished is computed on and thrown away.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch
from bench_shadows.progress import say
from bench_shadows.training.devices.feeding import Fed
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.devices.stopping import StopRequests
from bench_shadows.training.loop import train
from bench_shadows.training.opening import Run, open_run
from bench_shadows.training.optimizer import learning_rate
from bench_shadows.training.step import Metrics, State, abstract_batch, abstract_state, step_function

Inputs = tuple[Batch, np.float32]  # of one run's step, besides its state
PopulationStep = Callable[[tuple[State, ...], tuple[Inputs, ...]], tuple[tuple[State, Metrics], ...]]


class _NoRoomError(Exception):
    """The program for a group needs more memory than the device has."""


def train_population(
    config: Config, runs: Sequence[tuple[str, int]], data_folder: Path, runs_folder: Path
) -> None:
    """Trains runs (condition, seed) as `train` does, `config.train.population` of them at once.

    One after the other where that is 1, where the mesh has more than one device, or where so many do not fit.

    Args:
      data_folder: as for `train`.
      runs_folder: gets a folder <condition>-seed<seed> for each run, as `train` leaves it. Its time for a step
        (`step_seconds`, `tokens_per_second`, `mfu`) is that of the whole group's.
    Raises:
      As `train`. An error of one run ends the group: the others keep their last checkpoint.
    """
    size, mesh = config.train.population, build_mesh(config)
    for first in range(0, len(runs), size):
        group = runs[first : first + size]
        if len(group) > 1 and mesh.size == 1:
            try:
                _side_by_side(config, group, data_folder, runs_folder, mesh)
                continue
            except _NoRoomError as reason:
                say(f"train: {len(group)} runs side by side do not fit ({reason}); one after the other")
        for condition, seed in group:
            train(config, condition, seed, data_folder, runs_folder / _name(condition, seed))


def _name(condition: str, seed: int) -> str:
    return f"{condition}-seed{seed}"


def _side_by_side(
    config: Config, group: Sequence[tuple[str, int]], data_folder: Path, runs_folder: Path, mesh: Mesh
) -> None:
    """The loop of `train` for a group: each round takes a step of every run that has one left."""
    compiled = functools.partial(compile_population, config, mesh, len(group))
    with StopRequests() as requests, contextlib.ExitStack() as stack:
        closing = [stack.enter_context(contextlib.ExitStack()) for _ in group]
        runs: dict[int, Run] = {}
        for place, (condition, seed) in enumerate(group):
            folder = runs_folder / _name(condition, seed)
            opening = open_run(config, condition, seed, data_folder, folder, mesh, compiled)
            if (run := closing[place].enter_context(opening)) is not None:
                runs[place] = run
        if not runs:
            return
        take_step, states = compiled(), _states(runs, len(group))
        batches: dict[int, Fed] = {}
        rates: dict[int, float] = {}
        for taken in range(1, config.steps - min(run.start for run in runs.values()) + 1):
            steps = {place: run.start + taken for place, run in runs.items() if run.start + taken <= config.steps}
            for place, step in steps.items():
                batches[place] = next(runs[place].batches)
                rates[place] = learning_rate(config, group[place][0], step)
            results = take_step(states, _inputs(batches, rates, len(group)))
            states = tuple(state for state, _ in results)
            leave = requests.signal is not None
            for place, step in steps.items():
                run, (state, metrics) = runs[place], results[place]
                run.monitor(step, state.params)
                run.progress.add(1, run.log.add(step, rates[place], batches[place].rows, metrics))
                if run.is_due(step) or leave:
                    run.save(step, state)
                if leave or step == config.steps:
                    run.wait()
                if step == config.steps:
                    closing[place].close()
            if leave:
                place, step = next(iter(steps.items()))
                raise runs[place].stopped(step, requests.signal)


def _states(runs: Mapping[int, Run], size: int) -> tuple[State, ...]:
    """Of all places. A run that was finished before has one, too (a copy): the program stays what it was."""
    spare = next(iter(runs.values())).state
    return tuple(runs[place].state if place in runs else jax.tree.map(jnp.copy, spare) for place in range(size))


def _inputs(batches: Mapping[int, Fed], rates: Mapping[int, float], size: int) -> tuple[Inputs, ...]:
    """Of all places; of a finished run's, something that was read before."""
    spare = min(batches)
    source = [place if place in batches else spare for place in range(size)]
    return tuple((batches[place].on_devices, np.float32(rates[place])) for place in source)


@functools.lru_cache(maxsize=1)
def compile_population(config: Config, mesh: Mesh, size: int) -> PopulationStep:
    """The step of `size` runs as one compiled program; the states given are consumed."""
    one = step_function(config, mesh)

    def step(states: tuple[State, ...], inputs: tuple[Inputs, ...]) -> tuple[tuple[State, Metrics], ...]:
        state, (batch, rate) = (
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) for trees in (states, inputs)
        )
        results = jax.vmap(one)(state, batch, rate)
        return tuple(jax.tree.map(lambda leaf, place=place: leaf[place], results) for place in range(size))

    states = (abstract_state(config, mesh),) * size
    inputs = ((abstract_batch(config, mesh), np.float32(0)),) * size
    try:
        compiled = jax.jit(step, donate_argnums=0).lower(states, inputs).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise _NoRoomError("the compiler says so") from error
    need, room = _memory(compiled), _room(mesh.devices.flat[0])
    if need > room:
        raise _NoRoomError(f"{need / 2**30:.1f} of {room / 2**30:.1f} GiB")
    return compiled


def _memory(compiled: Any) -> int:
    """Bytes that a program holds besides its arguments, which are there before it is compiled."""
    analysis = compiled.memory_analysis()
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes


def _room(device: jax.Device) -> int:
    """Bytes that are free on a device."""
    statistics = device.memory_stats()
    if statistics is None:  # a CPU
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return statistics["bytes_limit"] - statistics["bytes_in_use"]
