"""What a study costs before it is run: arithmetic, storage and time, from formulas of the config alone."""

from typing import Any

from bench_shadows.config import Config
from bench_shadows.parameters import count_parameters
from bench_shadows.training.logs.throughput import flops_per_row

STATE_BYTES = 12
"""Of one parameter in a checkpoint: float32 weights and Adam's two moments."""
TEACHER_TOKENS_PER_SECOND = 5_000
"""Assumed of one GPU that serves the paper's teacher (30 B, 3 B active) to many clients; not measured by us."""
TOKEN_BYTES = 4


def run_budget(config: Config) -> dict[str, Any]:
    """One run, in plain JSON values; flops count causal attention once, checkpoint_bytes all that it keeps."""
    rows = config.steps * config.train.batch_size
    kept = len(set(config.analysed_steps)) + 1 + 2  # the initial weights, and two between the analysed steps
    parameters = count_parameters(config)
    return {
        "parameters": parameters,
        "steps": config.steps,
        "tokens": rows * config.data.seq_len,
        "flops": rows * flops_per_row(config),
        "flops_full_attention": rows * flops_per_row(config, causal=False),
        "checkpoints": kept,
        "checkpoint_bytes": kept * parameters * STATE_BYTES,
    }


def sample_budget(config: Config) -> dict[str, Any]:
    """The data of a study of prompts: rows are samples; an image for each, before they are compressed."""
    samples, names = config.prompts.samples, config.kind.row_sets
    row, pixels = config.data.seq_len * TOKEN_BYTES, 3 * config.vision.image_size**2
    return _data(dict.fromkeys(names, samples), samples * (len(names) * row + pixels))


def document_budget(config: Config) -> dict[str, Any]:
    """The data of all runs of a study of documents: rows on disk, and the teacher's work for Condition D."""
    first = config.phase_steps * config.train.batch_size
    second = (config.steps - config.phase_steps) * config.train.batch_size
    rewritten = first if "D" in config.conditions.names else 0
    seq_len = config.data.seq_len
    teacher_tokens = round(first * seq_len * config.conditions.rewriting_share) if rewritten else None
    rows = {"first": first, "second": second, "rewritten": rewritten}
    return _data(rows, seq_len * TOKEN_BYTES * sum(rows.values()), teacher_tokens)


def _data(rows: dict[str, int], size: int, teacher_tokens: int | None = None) -> dict[str, Any]:
    """teacher_gpu_hours counts the tokens that are to be written, at `TEACHER_TOKENS_PER_SECOND`."""
    return {
        "rows": rows,
        "bytes": size,
        "teacher_tokens": teacher_tokens,
        "teacher_gpu_hours": teacher_tokens and teacher_tokens / TEACHER_TOKENS_PER_SECOND / 3600,
        "teacher_tokens_per_second": TEACHER_TOKENS_PER_SECOND,
    }


def hours(flops: float, peak: float, devices: int, utilization: float) -> tuple[float, float]:
    """(hours, device-hours) of that many FLOP on devices of a peak FLOP/s at a model FLOP utilization."""
    device_hours = flops / (peak * utilization) / 3600
    return device_hours / devices, device_hours
