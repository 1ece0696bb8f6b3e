"""Does the step fit a pod, before anybody pays for it: the real step, compiled for a TPU topology on a CPU.

Needs the `libtpu` wheel (extra `tpu`) and no TPU. Memory is the compiler's own figure. Time is not:
`roofline_seconds` has the arithmetic at the chips' peak and the bytes that travel at the links' speed, and hours
are stated for a utilization that is assumed.
"""

import dataclasses
import functools
import math
import os
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bench_shadows.config import Config
from bench_shadows.diagnostics import spectrum
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.model.decoder import SAVED
from bench_shadows.progress import say
from bench_shadows.training.compile.budget import hours, run_budget
from bench_shadows.training.compile.hlo import collectives
from bench_shadows.training.compile.topology_text import describe_fit
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh
from bench_shadows.training.logs.throughput import flops_per_row, peak_flops, recomputed_flops_per_row
from bench_shadows.training.step import State, abstract_batch, abstract_state, build_step

ASSUMED_UTILIZATION = 0.4
"""Share of peak that hours are stated for where nobody says another; not a measurement."""
QUICK: dict[str, Any] = {"exec_time_optimization_effort": -1.0}
"""The compiler tries less: a quarter of the time, and a peak of memory some tenths of a GiB above (paper.py on
v5e:16x16: 17 s and 5.23 GiB against 108 s and 4.71 GiB)."""


class Chip(NamedTuple):
    """A generation of TPUs."""

    dimensions: int
    """Of a slice's torus."""
    largest: int
    """Chips of the largest slice."""
    memory: float
    """GiB that a program may use, as the compiler states it where one does not fit."""
    links: float
    """Bytes a second that a chip sends over all its links, from Google Cloud's data sheets."""
    config: str | None = None
    """What libtpu calls the chip's set-up, where the default is not what a Cloud TPU has."""


CHIPS = {
    "v4": Chip(3, 4096, 30.75, 300e9, "megacore"),  # a chip's two cores are one device
    "v5e": Chip(2, 256, 15.75, 200e9),
    "v5p": Chip(3, 6144, 95.74, 600e9),
    "v6e": Chip(2, 256, 31.25, 448e9),
}
_EXAMPLES = "v5e:16x16, v5p:4x4x4, v6e:8x8 or v4:2x2x2"
_REMAT = ("none", *SAVED)  # from the most memory to the least
_GIB = 2**30
_NO_TPU_HERE = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # What libtpu would ask Google's metadata server for, and complain about where there is none.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def chip_of(topology: str) -> Chip:
    """The chips of a topology such as `v5e:16x16`; ConfigError for one that no slice has."""
    name, _, bounds = topology.partition(":")
    if name not in CHIPS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", bounds):
        raise ConfigError(f"--topology={topology}: no such TPU slice; expected a name such as {_EXAMPLES}")
    chip, sides = CHIPS[name], [int(side) for side in bounds.split("x")]
    if len(sides) != chip.dimensions or np.prod(sides) > chip.largest:
        raise ConfigError(
            f"--topology={topology}: a {name} slice has {chip.dimensions} dimensions and at most {chip.largest:,} "
            f"chips; expected a name such as {_EXAMPLES}"
        )
    return chip


def devices_of(topology: str) -> list[jax.Device]:
    """The devices of a topology such as `v5e:16x16`, `v5p:4x4x4`, `v6e:16x16`, `v4:2x2x2`; one for each chip.

    Raises RunError without libtpu, ConfigError for a name that it does not know.
    """
    from jax.experimental import topologies

    chip = chip_of(topology)
    options: dict[str, Any] = {"chip_config_name": chip.config} if chip.config else {}
    if not re.search(r"[^1x]", topology.partition(":")[2]):
        options["chips_per_host_bounds"] = (1, 1, 1)  # a slice of one chip
    for name, value in _NO_TPU_HERE.items():
        os.environ.setdefault(name, value)
    try:
        import libtpu  # noqa: F401
    except ImportError as error:
        raise RunError(
            "compiling for a TPU needs the libtpu wheel: install the extra `tpu` (uv run --extra tpu ...)"
        ) from error
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices
    except Exception as error:  # whatever libtpu makes of a wrong name
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"--topology={topology}: {reason}; expected a name such as {_EXAMPLES}") from error
    return list(found)


def compile_report(config: Config, topology: str, utilization: float = ASSUMED_UTILIZATION) -> dict[str, Any]:
    """Compiles the training step for a topology and says what it takes, in plain JSON values.

    Returns topology, chip, devices, mesh {axis: size}, micro_batches, micro_batch_size, remat, fits, problem (the
    compiler's words where it does not fit), compile_seconds; memory of one device in bytes: available, state (of
    weights and optimizer, arithmetic from shapes and shardings), peak (the compiler's figure, None where it does
    not fit); collectives [{kind, dtype, count, bytes, sent}] of one device's step; step {flops, recomputed_flops,
    tokens, roofline_seconds}; run and data (budget.py); time {utilization, hours, device_hours} of a run.
    Raises as `devices_of`, and ConfigError where the batch does not divide over the devices.
    """
    chip, devices = chip_of(topology), devices_of(topology)
    mesh = build_mesh(config, devices)
    micro_batches = accumulation_steps(config.train, mesh)
    kind, count = devices[0].device_kind, len(devices)
    report: dict[str, Any] = {
        "topology": topology,
        "chip": kind,
        "devices": count,
        "mesh": dict(mesh.shape),
        "micro_batches": micro_batches,
        "micro_batch_size": config.train.micro_batch_size,
        "remat": config.train.remat,
    }
    report |= _compiled(config, mesh)
    report["memory"]["available"] = round(chip.memory * _GIB)
    tokens = config.train.batch_size * config.data.seq_len
    flops = config.train.batch_size * flops_per_row(config)
    again = config.train.batch_size * recomputed_flops_per_row(config)
    peak = peak_flops(kind)
    assert peak is not None, f"no peak FLOP/s for {kind}"  # all of CHIPS have one
    run = run_budget(config)
    one_run, chip_hours = hours(run["flops"], peak, count, utilization)
    return report | {
        "run": run,
        "data": config.kind.data_budget(config),
        "step": {
            "flops": flops,
            "recomputed_flops": again,
            "tokens": tokens,
            "roofline_seconds": {
                "compute": flops / (peak * count),
                "recomputed": again / (peak * count),
                "links": sum(moved["sent"] for moved in report["collectives"]) / chip.links,
            },
        },
        "time": {"utilization": utilization, "hours": one_run, "device_hours": chip_hours},
    }


def _compiled(config: Config, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """The part of a report that the compiler says."""
    state = abstract_state(config, mesh)
    lowered = build_step(config, mesh).lower(state, abstract_batch(config, mesh), np.float32(0))
    began = time.monotonic()
    try:
        compiled = lowered.compile(compiler_options=QUICK)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        compiled, problem = None, " ".join(str(error).split())
    seconds = round(time.monotonic() - began, 1)
    memory = {"state": state_bytes(state), "peak": None}
    found: dict[str, Any] = {"memory": memory, "collectives": [], "compile_seconds": seconds}
    if compiled is None:
        return found | {"fits": False, "problem": problem}
    memory["peak"] = compiled.memory_analysis().peak_memory_in_bytes
    moved = [dataclasses.asdict(collective) for collective in collectives(compiled.as_text())]
    return found | {"fits": True, "problem": None, "collectives": moved}


def state_bytes(state: State) -> dict[str, int]:
    """Bytes of one device's weights and optimizer, by arithmetic from their shapes and shardings."""

    def of(tree: object) -> int:
        leaves = jax.tree.leaves(tree)
        return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)

    return {"weights": of(state.params), "optimizer": of(state.optimizer)}


def diagnostics_report(config: Config, topology: str) -> list[dict[str, Any]]:
    """The spectra of the model's matrices, compiled for one device of a topology, a dict for each shape.

    {rows, columns, matrices, peak, compile_seconds}: `matrices` of a shape are in work at once, float32, as
    `spectrum.eigenvalues` takes them on a TPU, and `peak` is in bytes.
    """
    sharding = jax.sharding.SingleDeviceSharding(devices_of(topology)[0])
    model = config.model
    width, heads, kv = model.hidden_size, model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    shapes = dict.fromkeys([(width, heads), (width, kv), (width, model.intermediate_size)])
    count = min(model.num_layers, spectrum.BATCH)
    found = []
    for rows, columns in shapes:
        stack = jax.ShapeDtypeStruct((count, rows, columns), jnp.float32)
        program = jax.jit(
            functools.partial(spectrum.spectra, algorithm=spectrum.choose_algorithm("tpu")),
            in_shardings=sharding,
            out_shardings=sharding,
        )
        began = time.monotonic()
        memory: Any = program.lower(stack).compile().memory_analysis()
        seconds = round(time.monotonic() - began, 1)
        found.append(
            {
                "rows": rows,
                "columns": columns,
                "matrices": count,
                "peak": memory.peak_memory_in_bytes,
                "compile_seconds": seconds,
            }
        )
    return found


def suggest(config: Config, topology: str, utilization: float = ASSUMED_UTILIZATION) -> dict[str, Any] | None:
    """The report of the fastest setting that fits: the least recomputation, then the largest micro-batch.

    Memory grows with the micro-batch and with what is kept, so each policy is tried from the smallest micro-batch
    up, and a policy that fits none ends there. None where nothing fits.
    """
    for remat in _REMAT:
        best = None
        for size in _micro_batch_sizes(config, topology):
            train = dataclasses.replace(config.train, remat=remat, micro_batch_size=size)
            report = compile_report(dataclasses.replace(config, train=train), topology, utilization)
            say(f"remat {remat}, micro-batches of {size}: {describe_fit(report)}")
            if not report["fits"]:
                break
            best = report
        if best is not None:
            return best
    return None


def _micro_batch_sizes(config: Config, topology: str) -> Iterator[int]:
    """1, 2, 4, ... rows of a device, as far as they divide its share of the batch."""
    mesh = build_mesh(config, devices_of(topology))
    share, size = config.train.batch_size // (mesh.size // mesh.shape["tensor"]), 1
    while size <= share and share % size == 0:
        yield size
        size *= 2
