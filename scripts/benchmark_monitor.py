"""What the monitor costs a training, as a share of the step's time.

    python scripts/benchmark_monitor.py --config=configs/laptop.py                       seven minutes
    python scripts/benchmark_monitor.py --config=configs/colab.py --steps=2 --blocks=0   on a CPU: a few long steps

The config's own compiled step on random tokens. Two measurements: looks alone, their processor time (and what a
call of the monitor takes from the loop's thread) over that of the steps between two looks; and, with `--blocks`,
stretches of training with and without the monitor in turn, by the clock. The second includes everything, and needs
a quiet machine: look at the load that is printed with it. Compilation is told apart: it happens once, in the
monitor's thread.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bench_shadows import config_file
from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch
from bench_shadows.diagnostics.monitor import Monitor
from bench_shadows.training.compile.compile_cache import use_compile_cache
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh
from bench_shadows.training.step import State, compile_step, initial_state


@dataclasses.dataclass
class Training:
    """The config's step, on random tokens."""

    config: Config

    def __post_init__(self) -> None:
        mesh, train = build_mesh(self.config), self.config.train
        shape = train.batch_size, self.config.data.seq_len
        rows = np.random.default_rng(0).integers(0, self.config.model.vocab_size, shape, dtype=np.int32)
        self.batch = place(Batch(rows), accumulation_steps(train, mesh), mesh)
        self.step = compile_step(self.config, mesh)
        self.state: State = initial_state(self.config, 0, mesh)
        self.done = 0

    def run(self, steps: int, monitor: Monitor) -> None:
        """Steps as the loop takes them: a step's loss is fetched when the next one is under way."""
        pending = None
        for _ in range(steps):
            self.state, metrics = self.step(self.state, self.batch, np.float32(1e-3))
            self.done += 1
            monitor(self.done, self.state.params)
            if pending is not None:
                float(pending)
            pending = metrics["loss"]
        jax.block_until_ready(self.state)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(wall, processor) seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def looks_alone(training: Training, matrices: int, count: int) -> dict[str, float]:
    """Looks with nothing beside them, after one round over all matrices has compiled what there is to compile."""
    params, step = training.state.params, 0
    calls = []
    with Monitor(every=1, matrices=matrices) as monitor:

        def look() -> None:
            nonlocal step
            step += 1
            calls.append(timed(lambda: monitor(step, params))[0])
            monitor.flush()

        def warm() -> None:
            seen: set[Any] = set()
            for _ in range(1000):
                look()
                now = {(row["module"], row["layer"]) for row in monitor.history[-1].matrices}
                if now <= seen:
                    return
                seen |= now

        first = timed(warm)[0]
        calls.clear()
        spent = [timed(look) for _ in range(count)]
    return {
        "first round, compilation included, s": first,
        "look, wall ms": 1e3 * statistics.median(wall for wall, _ in spent),
        "look, processor ms": 1e3 * statistics.fmean(cpu for _, cpu in spent),
        "call in the loop's thread, ms": 1e3 * statistics.median(calls),
    }


def in_turn(training: Training, every: int, matrices: int, blocks: int) -> dict[str, Any]:
    """Seconds a step of stretches with and without the monitor, which alternate."""
    found: dict[str, list[float]] = {"with": [], "without": []}
    for block in range(2 * blocks + 2):
        name = ("with", "without")[block % 2]
        with Monitor(every if name == "with" else 0, matrices) as monitor:
            began = time.perf_counter()
            training.run(2 * every, monitor)
            monitor.flush()
            wall = time.perf_counter() - began
        if block >= 2:
            found[name].append(wall / (2 * every))
    shares = [a / b - 1 for a, b in zip(found["with"], found["without"], strict=True)]
    spread = statistics.stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else float("nan")
    return found | {"median share of the step's time": statistics.median(shares), "standard error": spread}


def main() -> None:
    """Parses, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/laptop.py"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/benchmark_monitor.json"))
    args = parser.parse_args()
    use_compile_cache()
    config = config_file.load(args.config)
    every, matrices = config.diagnostics.monitor_every, config.diagnostics.monitor_matrices
    print(f"{args.config}: a look at {matrices} matrices every {every} steps; load {os.getloadavg()}")
    training, off = Training(config), Monitor(every=0)
    training.run(1, off)
    wall, cpu = timed(lambda: training.run(args.steps, off))
    result: dict[str, Any] = {"config": str(args.config), "every": every, "matrices": matrices}
    result |= {"step, wall ms": 1e3 * wall / args.steps, "step, processor ms": 1e3 * cpu / args.steps}
    result |= looks_alone(training, matrices, args.looks)
    result["share by processor time"] = result["look, processor ms"] / (every * result["step, processor ms"])
    if args.blocks:
        result |= in_turn(training, every, matrices, args.blocks)
    print(json.dumps(result, indent=2))
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
