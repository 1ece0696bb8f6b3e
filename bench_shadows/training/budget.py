"""What a study costs before it is run: arithmetic, storage and time, from formulas of the config alone."""

from typing import Any

from bench_shadows.config import Config, ModelConfig
from bench_shadows.training.throughput import flops_per_token

STATE_BYTES = 12
"""Of one parameter in a checkpoint: float32 weights and Adam's two moments."""
TEACHER_TOKENS_PER_SECOND = 5_000
"""Assumed of one GPU that serves the paper's teacher (30 B, 3 B active) to many clients; not measured by us."""
TOKEN_BYTES = 4


def parameter_count(model: ModelConfig) -> int:
    """Weights of the decoder: 659 M for the paper's, of them 155.6 M in the embedding."""
    width, heads = model.hidden_size, model.num_heads * model.head_dim
    attention = 2 * width * heads + 2 * width * model.num_kv_heads * model.head_dim
    layer = attention + 3 * width * model.intermediate_size + 2 * width
    embeddings = (1 if model.tie_embeddings else 2) * model.vocab_size * width
    return model.num_layers * layer + embeddings + width


def run_budget(config: Config) -> dict[str, Any]:
    """One run, in plain JSON values; flops count causal attention once, checkpoint_bytes all that it keeps."""
    tokens = config.steps * config.train.batch_size * config.data.seq_len
    kept = len(set(config.analysed_steps)) + 1 + 2  # the initial weights, and two between the analysed steps
    parameters = parameter_count(config.model)
    return {
        "parameters": parameters,
        "steps": config.steps,
        "tokens": tokens,
        "flops": tokens * flops_per_token(config.model, config.data.seq_len),
        "flops_full_attention": tokens * flops_per_token(config.model, config.data.seq_len, causal=False),
        "checkpoints": kept,
        "checkpoint_bytes": kept * parameters * STATE_BYTES,
    }


def data_budget(config: Config) -> dict[str, Any]:
    """The data of all runs: rows on disk, and the teacher's work for Condition D (None without D).

    teacher_gpu_hours counts the tokens that are to be written, at `TEACHER_TOKENS_PER_SECOND`.
    """
    row = config.data.seq_len * TOKEN_BYTES
    first = config.phase_steps * config.train.batch_size
    second = (config.steps - config.phase_steps) * config.train.batch_size
    has_teacher = "D" in config.conditions.names
    teacher_tokens = (
        round(first * config.data.seq_len * config.conditions.rewriting_share) if has_teacher else None
    )
    return {
        "rows": {"first": first, "second": second, "rewritten": first if has_teacher else 0},
        "bytes": row * (first * (1 + has_teacher) + second),
        "teacher_tokens": teacher_tokens,
        "teacher_gpu_hours": teacher_tokens and teacher_tokens / TEACHER_TOKENS_PER_SECOND / 3600,
        "teacher_tokens_per_second": TEACHER_TOKENS_PER_SECOND,
    }


def hours(flops: float, peak: float, devices: int, utilization: float) -> tuple[float, float]:
    """(hours, device-hours) of that many FLOP on devices of a peak FLOP/s at a model FLOP utilization."""
    device_hours = flops / (peak * utilization) / 3600
    return device_hours / devices, device_hours
