"""Does the step fit a pod, before anybody pays for it: the real step, compiled for a TPU topology on a CPU.

Needs the `libtpu` wheel (extra `tpu`) and no TPU. Memory is the compiler's own figure. Time is not:
`roofline_seconds` has the arithmetic at the chips' peak and the bytes that travel at the links' speed, and hours
are stated for a utilization that is assumed.
"""

import dataclasses
import functools
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench_shadows.config import Config
from bench_shadows.diagnostics import spectrum
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.model.decoder import SAVED
from bench_shadows.progress import say
from bench_shadows.training.budget import data_budget, hours, run_budget
from bench_shadows.training.hlo import collectives
from bench_shadows.training.sharding import accumulation_steps, build_mesh
from bench_shadows.training.step import abstract_state, build_step
from bench_shadows.training.throughput import flops_per_token, peak_flops

ASSUMED_UTILIZATION = 0.4
"""Share of peak that hours are stated for; not a measurement."""
QUICK = {"exec_time_optimization_effort": -1.0}
"""The compiler tries less: a quarter of the time, and a peak of memory some tenths of a GiB above (paper.py on
v5e:16x16: 17 s and 5.23 GiB against 108 s and 4.71 GiB)."""
LINKS = {"TPU v4": 300e9, "TPU v5 lite": 200e9, "TPU v5": 600e9, "TPU v6 lite": 448e9}
"""Bytes a second of all links of one chip, by `device_kind`: interchip bandwidth of Google Cloud's data sheets."""
MEMORY = {"TPU v4": 15.25, "TPU v5 lite": 15.75, "TPU v5": 95.74, "TPU v6 lite": 31.25}
"""GiB of one device that a program may use, as the compiler states it where one does not fit."""
_REMAT = ("none", *SAVED)  # from the most memory to the least
_GIB = 2**30
_NO_TPU_HERE = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # What libtpu would ask Google's metadata server for, and complain about where there is none.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def devices_of(topology: str) -> list[jax.Device]:
    """The devices of a topology such as `v5e:16x16`, `v5p:4x4x4`, `v6e:16x16`, `v4:2x2x2`.

    Raises RunError without libtpu, ConfigError for a name that it does not know.
    """
    from jax.experimental import topologies

    for name, value in _NO_TPU_HERE.items():
        os.environ.setdefault(name, value)
    try:
        import libtpu  # noqa: F401
    except ImportError as error:
        raise RunError(
            "compiling for a TPU needs the libtpu wheel: install the extra `tpu` (uv run --extra tpu ...)"
        ) from error
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:  # whatever libtpu makes of a wrong name
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"--topology={topology}: {reason}; expected a name such as v5e:16x16, v5p:4x4x4, v6e:8x8 or v4:2x2x2"
        ) from error
    return list(found)


def compile_report(config: Config, topology: str) -> dict[str, Any]:
    """Compiles the training step for a topology and says what it takes, in plain JSON values.

    Returns topology, chip, devices, mesh {axis: size}, micro_batches, micro_batch_size, remat, fits,
    compile_seconds; memory {arguments, temporaries, peak, available} in bytes of one device and collectives
    [{kind, dtype, count, bytes}] of one device's step where it fits, else `problem` in the compiler's words; step
    {flops, tokens, roofline_seconds}; run and data (budget.py); time {utilization, hours, device_hours} of a run.
    Raises as `devices_of`, and ConfigError where the batch does not divide over the devices.
    """
    devices = devices_of(topology)
    mesh = build_mesh(config, devices)
    micro_batches = accumulation_steps(config.train, mesh)
    kind, count = devices[0].device_kind, len(devices)
    tokens = config.train.batch_size * config.data.seq_len
    report: dict[str, Any] = {
        "topology": topology,
        "chip": kind,
        "devices": count,
        "mesh": dict(mesh.shape),
        "micro_batches": micro_batches,
        "micro_batch_size": config.train.micro_batch_size,
        "remat": config.train.remat,
    }
    began = time.monotonic()
    try:
        compiled = _lower(config, mesh, micro_batches).compile(compiler_options=QUICK)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        report |= {"fits": False, "problem": " ".join(str(error).split()), "memory": None, "collectives": []}
    else:
        analysis = compiled.memory_analysis()
        moved = collectives(compiled.as_text())
        report |= {
            "fits": True,
            "problem": None,
            "memory": {
                "arguments": analysis.argument_size_in_bytes,
                "temporaries": analysis.temp_size_in_bytes,
                "peak": analysis.peak_memory_in_bytes,
                "available": round(MEMORY[kind] * _GIB) if kind in MEMORY else None,
            },
            "collectives": [dataclasses.asdict(collective) for collective in moved],
        }
    report["compile_seconds"] = round(time.monotonic() - began, 1)
    flops, peak = tokens * flops_per_token(config.model, config.data.seq_len), peak_flops(kind)
    run = run_budget(config)
    report |= {"run": run, "data": data_budget(config), "step": {"flops": flops, "tokens": tokens}}
    if peak is not None:
        moved_bytes = sum(collective["bytes"] for collective in report["collectives"])
        report["step"]["roofline_seconds"] = {
            "compute": flops / (peak * count),
            "links": moved_bytes / LINKS[kind] if kind in LINKS else None,
        }
        one_run, chip_hours = hours(run["flops"], peak, count, ASSUMED_UTILIZATION)
        report["time"] = {"utilization": ASSUMED_UTILIZATION, "hours": one_run, "device_hours": chip_hours}
    return report


def _lower(config: Config, mesh: jax.sharding.Mesh, micro_batches: int) -> Any:
    shape = micro_batches, config.train.batch_size // micro_batches, config.data.seq_len
    tokens = jax.ShapeDtypeStruct(shape, jnp.int32)
    return build_step(config, mesh).lower(abstract_state(config, mesh), tokens, np.float32(0))


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


def suggest(config: Config, topology: str) -> dict[str, Any] | None:
    """The report of the fastest setting that fits: the least recomputation, then the largest micro-batch.

    Memory grows with the micro-batch and with what is kept, so each policy is tried from the smallest micro-batch
    up, and a policy that fits none ends there. None where nothing fits.
    """
    for remat in _REMAT:
        best = None
        for size in _micro_batch_sizes(config, topology):
            train = dataclasses.replace(config.train, remat=remat, micro_batch_size=size)
            report = compile_report(dataclasses.replace(config, train=train), topology)
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


def describe_fit(report: dict[str, Any]) -> str:
    """`fits: 4.7 of 15.8 GiB` or why not."""
    if not report["fits"]:
        found = re.search(r"\(([\d.]+[KMGT])\) exceeds available HBM \(([\d.]+[KMGT])\)", report["problem"])
        return f"does not fit: {found[1]} of {found[2]}" if found else f"does not fit: {report['problem'][:200]}"
    memory = report["memory"]
    available = f" of {memory['available'] / _GIB:.1f}" if memory["available"] else ""
    return f"fits: {memory['peak'] / _GIB:.1f}{available} GiB"


def describe(report: dict[str, Any]) -> list[str]:
    """The report in lines for a terminal."""
    mesh = " x ".join(f"{axis} {size}" for axis, size in report["mesh"].items() if size > 1) or "one device"
    lines = [
        f"{report['topology']}: {report['devices']} x {report['chip']}, {mesh}",
        f"step: {describe_fit(report)}; {report['micro_batches']} micro-batches of {report['micro_batch_size']} "
        f"rows a device, remat {report['remat']}; compiled in {report['compile_seconds']} s",
    ]
    if report["memory"]:
        memory = {name: value / _GIB for name, value in report["memory"].items() if value}
        lines.append(
            f"memory of a device, GiB: weights and optimizer {memory['arguments']:.2f}, temporaries "
            f"{memory['temporaries']:.2f}, peak {memory['peak']:.2f}"
        )
    lines += [
        f"  {moved['kind']} {moved['dtype']}: {moved['count']:,} times, {moved['bytes'] / _GIB:.2f} GiB a step"
        for moved in report["collectives"]
    ]
    lines += [
        f"spectra of {program['matrices']} x {program['rows']} x {program['columns']} on one device: "
        f"{program['peak'] / _GIB:.2f} GiB, compiled in {program['compile_seconds']} s"
        for program in report.get("diagnostics", [])
    ]
    return [*lines, *_describe_cost(report)]


def _describe_cost(report: dict[str, Any]) -> Iterator[str]:
    run, data, step = report["run"], report["data"], report["step"]
    yield f"a step: {step['tokens']:,} tokens, {step['flops']:.3g} FLOP (causal attention counted once)"
    if "roofline_seconds" in step:
        roofline, spent = step["roofline_seconds"], report["time"]
        links = f", links {roofline['links']:.2f} s" if roofline["links"] is not None else ""
        yield f"  at the chips' peak: arithmetic {roofline['compute']:.2f} s{links}"
        yield (
            f"a run: {run['steps']:,} steps, {run['tokens']:.3g} tokens, {run['flops']:.3g} FLOP: "
            f"{spent['hours']:,.1f} h, {spent['device_hours']:,.0f} chip-hours at {spent['utilization']:.0%} of "
            "peak (assumed, not measured)"
        )
    yield (
        f"storage: {run['checkpoints']} checkpoints of a run {run['checkpoint_bytes'] / 1e9:,.1f} GB, rows of the "
        f"study {data['bytes'] / 1e9:,.1f} GB"
    )
    if data["teacher_tokens"]:
        yield (
            f"the teacher of D: {data['teacher_tokens']:.3g} tokens, {data['teacher_gpu_hours']:,.0f} GPU-hours "
            f"at {data['teacher_tokens_per_second']:,} tokens/s of one GPU (assumed)"
        )
