"""A report of `topology.compile_report` in lines for a terminal."""

import re
from collections.abc import Iterator
from typing import Any

_GIB = 2**30


def describe(report: dict[str, Any]) -> list[str]:
    """All of a report."""
    mesh = " x ".join(f"{axis} {size}" for axis, size in report["mesh"].items() if size > 1) or "one device"
    return [
        f"{report['topology']}: {report['devices']} x {report['chip']}, {mesh}",
        f"step: {describe_fit(report)}; {report['micro_batches']} micro-batches of {report['micro_batch_size']} "
        f"rows a device, remat {report['remat']}; compiled in {report['compile_seconds']} s",
        _memory(report["memory"]),
        *(
            f"  {moved['kind']} {moved['dtype']}: {moved['count']:,} times a step, results of "
            f"{moved['bytes'] / _GIB:.2f} GiB, {moved['sent'] / _GIB:.2f} GiB sent"
            for moved in report["collectives"]
        ),
        *(
            f"spectra of {program['matrices']} x {program['rows']} x {program['columns']} on one device: "
            f"{program['peak'] / _GIB:.2f} GiB, compiled in {program['compile_seconds']} s"
            for program in report.get("diagnostics", [])
        ),
        *_cost(report),
    ]


def describe_fit(report: dict[str, Any]) -> str:
    """`fits: 4.7 of 15.8 GiB` or why not."""
    memory = report["memory"]
    if report["fits"]:
        return f"fits: {memory['peak'] / _GIB:.1f} of {memory['available'] / _GIB:.2f} GiB"
    found = re.search(r"\(([\d.]+[KMGT])\) exceeds available HBM \(([\d.]+[KMGT])\)", report["problem"])
    return f"does not fit: {found[1]} of {found[2]}" if found else f"does not fit: {report['problem'][:200]}"


def _memory(memory: dict[str, Any]) -> str:
    """What the state takes, and beside it gradients, activations and logits where the device is fullest."""
    state, peak = memory["state"], memory["peak"]
    line = (
        f"memory of a device, GiB: float32 weights {state['weights'] / _GIB:.2f} + Adam's moments "
        f"{state['optimizer'] / _GIB:.2f} (from shapes and shardings)"
    )
    return line if peak is None else f"{line} + {(peak - sum(state.values())) / _GIB:.2f} at the peak"


def _cost(report: dict[str, Any]) -> Iterator[str]:
    run, data, step, spent = report["run"], report["data"], report["step"], report["time"]
    yield f"a step: {step['tokens']:,} tokens, {step['flops']:.3g} FLOP (causal attention counted once)"
    roofline = step["roofline_seconds"]
    arithmetic = roofline["compute"] + roofline["recomputed"]
    bound = max(arithmetic, roofline["links"])
    yield (
        f"  at the chips' peak: arithmetic {roofline['compute']:.2f} s and {roofline['recomputed']:.2f} s of "
        f"recomputation, links {roofline['links']:.2f} s: {bound:.2f} s at best, "
        f"{roofline['compute'] / bound:.0%} of peak"
    )
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
