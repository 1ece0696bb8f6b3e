"""What a study would do, said before it starts: stages, runs, tokens, room on disk, an estimate of the time."""

import os
import shutil
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench_shadows.config import Config
from bench_shadows.config_text import WIDTH
from bench_shadows.paper import TOKENS_A_PARAMETER
from bench_shadows.progress import duration
from bench_shadows.training.compile.budget import run_budget
from bench_shadows.training.logs.throughput import recomputed_flops_per_row

STAGES = ("prepare", "train", "diagnose", "evaluate", "report")
UTILISATION = {"cpu": 0.3, "accelerator": 0.4}
"""Share of the speed of matrix products that training reaches. On a CPU measured: two cores that multiply matrices
at 350 GFLOP/s train a run of `laptop` in 62 to 85 s. On an accelerator assumed."""
_SIDE = {"cpu": 1024, "accelerator": 8192}
_SECONDS = 1.0


class Rate(NamedTuple):
    """How fast this machine multiplies matrices."""

    device: str
    """`2 cores`, `4 x NVIDIA L4`."""
    dtype: str
    flops: float
    """FLOP/s, of all cores or devices together."""
    utilisation: float
    """Share of it that training is expected to reach."""


def measure_rate(config: Config) -> Rate:
    """Multiplies matrices for a second on this machine's first device, in the dtype that training would use.

    On a CPU it is the processor time that counts, all cores together: what else runs does not change it.
    """
    import jax
    import jax.numpy as jnp

    from bench_shadows.training.step import compute_dtype

    device, count = jax.local_devices()[0], jax.local_device_count()
    is_cpu = device.platform == "cpu"
    kind = "cpu" if is_cpu else "accelerator"
    dtype, side = compute_dtype(config.train.compute_dtype, device), _SIDE[kind]
    if is_cpu:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    matrix = jax.device_put(jnp.full((side, side), 1 / side, dtype), device)
    multiply = jax.jit(jnp.matmul)
    multiply(matrix, matrix).block_until_ready()  # compiled
    clock = time.process_time if is_cpu else time.monotonic
    products, began, end = 0, clock(), time.monotonic() + _SECONDS
    while time.monotonic() < end:
        product = matrix
        for _ in range(8):
            product = multiply(product, matrix)
        product.block_until_ready()
        products += 8
    flops = count * 2 * side**3 * products / (clock() - began)
    name = f"{count} cores" if is_cpu else f"{count} x {device.device_kind}"
    return Rate(name, dtype.name, flops, UTILISATION[kind])


def describe(config: Config, name: str, out: Path, rate: Rate) -> list[str]:
    """What `study` would do with a config in a folder, in lines; touches nothing.

    Args:
      config: all of the study.
      name: what the config is called.
      out: the folder that would be written.
      rate: of this machine.
    """
    lines = [f"study of {name}: nothing is started"]
    for label, text in _facts(config, out, rate):
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {label:12}", subsequent_indent=" " * 14)
    return lines


def _facts(config: Config, out: Path, rate: Rate) -> Iterator[tuple[str, str]]:
    run, data, conditions = run_budget(config), config.kind.data_budget(config), config.conditions
    runs, parameters, rows = len(conditions.names) * len(conditions.seeds), run["parameters"], config.data.seq_len
    seeds = f"seed{'s' if len(conditions.seeds) > 1 else ''} {', '.join(map(str, conditions.seeds))}"
    is_there = " is there: what is finished in it is not done again" if (out / "config.json").exists() else ""
    yield "folder", f"{out}{is_there}"
    yield "stages", ", ".join(STAGES)
    yield "runs", f"{runs}: {', '.join(conditions.names)}; {seeds}"
    yield "steps", f"{run['steps']:,} a run, each of {config.train.batch_size:,} rows of {rows:,} tokens"
    yield "tokens", f"{_count(run['tokens'])} a run, {_count(runs * run['tokens'])} in total"
    ratio = run["tokens"] / parameters
    shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
    yield (
        "parameters",
        f"{_count(parameters)}: {shown} tokens a parameter (the paper: {TOKENS_A_PARAMETER:,})",
    )
    if config.data.rewriter == "endpoint" and data["teacher_tokens"]:
        yield "teacher", f"{_count(data['teacher_tokens'])} tokens to be written by {config.data.teacher.model}"
    yield (
        "disk",
        f"checkpoints at most {_size(runs * run['checkpoint_bytes'])}, rows {_size(data['bytes'])}, and the "
        f"documents as they are read; {_size(_free(out))} are free",
    )
    yield "time", _time(config, rate, run["flops"], runs)


def _time(config: Config, rate: Rate, flops: float, runs: int) -> str:
    flops += config.steps * config.train.batch_size * recomputed_flops_per_row(config)
    seconds = flops / (rate.flops * rate.utilisation)
    arithmetic = f"{flops:.3g} FLOP a run".replace("e+", "e")
    speed = f"{rate.utilisation:.0%} of the {rate.flops / 1e9:,.0f} GFLOP/s"
    return (
        f"training about {_long(seconds)} a run, {_long(runs * seconds)} in total. This is an estimate, "
        f"on a quiet CPU good to about a factor of two: {arithmetic} at {speed} at which {rate.device} multiplied "
        f"{rate.dtype} matrices just now. Small models do not fill many cores or an accelerator. The other stages "
        "come on top: a minute and a half for `laptop` on two cores."
    )


def _count(number: int) -> str:
    for size, unit in ((1e12, "trillion"), (1e9, "billion")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,}"


def _size(size: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1e3:.3g} kB"


def _long(seconds: float) -> str:
    """As `duration` has it; days and years to two digits."""
    days = float(f"{seconds / 86_400:.2g}")
    if days < 2:
        return duration(seconds)
    return f"{days:,.0f} days" if days < 730 else f"{float(f'{days / 365:.2g}'):,.0f} years"


def _free(out: Path) -> int:
    """Bytes that are free where a folder would be made."""
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free
