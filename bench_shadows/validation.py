"""What cannot be: every combination of config values that no run could honour, said before anything starts."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence

from bench_shadows.config import ConditionsConfig, Config
from bench_shadows.kinds import kind_of, kinds

_POSITIVE = {
    "data": ("held_out_rows",),
    "data.teacher": ("concurrency", "timeout_seconds", "attempts"),
    "model": (
        *("num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "vocab_size"),
        *("rope_theta", "norm_eps", "embedding_std"),
    ),
    "train": (
        *("samples", "batch_size", "micro_batch_size", "peak_learning_rate", "epsilon", "clip_norm", "loss_chunk"),
        *("tensor", "checkpoint_minutes", "stall_minutes", "population"),
    ),
    "diagnostics": ("monitor_matrices",),
    "evaluation": ("rows", "rare_word_pairs", "passages"),
    "vision": ("patch_size", "num_layers", "hidden_size", "intermediate_size", "num_heads", "norm_eps"),
    "prompts": ("samples", "minimum"),
}
_NOT_NEGATIVE = {
    "data": ("bad_records_limit", "seed"),
    "data.teacher": ("temperature", "input_price", "output_price"),
    "train": ("warmup_samples", "weight_decay"),
    "diagnostics": ("monitor_every",),
}
_RANGES: tuple[tuple[str, Callable[[float], bool], dict[str, tuple[str, ...]]], ...] = (
    ("more than 0", lambda value: value > 0, _POSITIVE),
    ("0 or more", lambda value: value >= 0, _NOT_NEGATIVE),
    ("0 (chosen) or more", lambda value: value >= 0, {"train": ("fsdp",)}),
    ("0 (no images) or more", lambda value: value >= 0, {"vision": ("image_size",)}),
    ("1 or more", lambda value: value >= 1, {"conditions": ("repetition_factor",)}),
    ("at least 8 tokens", lambda value: value >= 8, {"data": ("seq_len",)}),
    ("at least 1024 (half of it is the prompt)", lambda n: n >= 1024, {"data.teacher": ("context_tokens",)}),
    ("0 to 1000 of each generator", lambda value: 0 <= value <= 1000, {"evaluation": ("exercises",)}),
    (
        "in (0, 1]",
        lambda value: 0 < value <= 1,
        {"data": ("near_duplicate_threshold",), "conditions": ("rewriting_share", "repetition_share")},
    ),
    ("in (0, 1)", lambda value: 0 < value < 1, {"conditions": ("phase",)}),
    ("in [0, 1)", lambda value: 0 <= value < 1, {"train": ("beta1", "beta2")}),
    (
        "in [0, 1]",
        lambda value: 0 <= value <= 1,
        {"prompts": ("duplication",), "conditions": ("rewriting_minimum",)},
    ),
)
"""What is expected of a number, whether it is so, and the fields by their groups."""
_MULTIPLES = (
    ("model", "hidden_size", "num_heads"),
    ("model", "num_heads", "num_kv_heads"),
    ("train", "batch_size", "micro_batch_size"),
    ("vision", "image_size", "patch_size"),
    ("vision", "hidden_size", "num_heads"),
)
"""A group, its field that is a multiple, and what it is a multiple of."""


def problems(config: Config) -> Iterator[str]:
    """Yields one line for each problem: the fields, their values, and why they cannot be together.

    Whoever goes on behind the first one may meet a division by a size that is 0.
    """
    for expected, holds, groups in _RANGES:
        for name in (f"{group}.{field}" for group, fields in groups.items() for field in fields):
            if not holds(value := operator.attrgetter(name)(config)):
                yield f"config.{name}: expected {expected}, got {value}"
    for group, name, divisor in _MULTIPLES:
        part = getattr(config, group)
        whole, size = getattr(part, name), getattr(part, divisor)
        if whole % size:
            yield f"config.{group}: {name}={whole} is not a multiple of {divisor}={size}"
    if config.model.head_dim % 2:
        yield f"config.model: hidden_size / num_heads = {config.model.head_dim} is odd; RoPE rotates pairs"
    yield from _data(config)
    yield from _train(config)
    yield from _conditions(config.conditions)
    yield from _evaluation(config)
    yield from _run(config)


def _data(config: Config) -> Iterator[str]:
    if not config.data.sources:
        yield "config.data.sources: empty; name `builtin` or files"
    yield from _not_weights("data.mixture", "DOMAIN", config.data.mixture)
    yield from _not_weights("prompts.tasks", "TASK", config.prompts.tasks)
    base_url = config.data.teacher.base_url
    if not base_url.startswith(("http://", "https://")):
        yield f"config.data.teacher.base_url: expected http:// or https://, got {base_url!r}"
    elif "@" in base_url.split("/")[2]:
        yield "config.data.teacher.base_url: a name or a key in it would be written to the run; set OPENAI_API_KEY"
    if config.data.tokenizer == "bpe" and (name := config.data.end_of_text):
        yield f"config.data.end_of_text={name}: `bpe` trains a tokenizer with its own; leave it empty"
    if config.data.tokenizer == "bpe" and config.model.vocab_size < 260:
        yield (
            "config.model.vocab_size: a byte-level BPE needs at least 260 (256 bytes and special tokens), "
            f"got {config.model.vocab_size}"
        )


def _not_weights(field: str, what: str, entries: Sequence[str]) -> Iterator[str]:
    for entry in entries:
        name, _, weight = entry.rpartition("=")
        try:
            good = bool(name) and 0 < float(weight) < math.inf
        except ValueError:
            good = False
        if not good:
            yield f"config.{field}: expected {what}=WEIGHT with a weight above 0, got {entry!r}"


def _train(config: Config) -> Iterator[str]:
    train = config.train
    if "://" in train.checkpoints and not train.checkpoints.startswith("gs://"):
        yield (
            f"config.train.checkpoints: expected a folder or gs://BUCKET/FOLDER, got {train.checkpoints!r}; Orbax "
            "writes to no other store, so mount it as a folder"
        )
    if train.samples < train.batch_size:
        yield f"config.train: samples={train.samples} is less than one batch of {train.batch_size}"
    if not 0 <= train.min_learning_rate <= train.peak_learning_rate:
        yield (
            f"config.train: min_learning_rate={train.min_learning_rate} is not in "
            f"[0, peak_learning_rate={train.peak_learning_rate}]"
        )


def _conditions(conditions: ConditionsConfig) -> Iterator[str]:
    for field in ("names", "seeds"):
        values = getattr(conditions, field)
        if not values:
            yield f"config.conditions.{field}: empty; name at least one"
        if len(set(values)) < len(values):
            yield f"config.conditions.{field}: {values} names one twice"
    known = [name for kind in kinds() for name in kind.conditions]
    unknown = [name for name in conditions.names if name not in known]
    if unknown:
        yield f"config.conditions.names: no condition {unknown[0]!r}; there are: {', '.join(known)}"
    elif set(conditions.names) - set(kind_of(conditions.names).conditions):
        groups = "; ".join(f"{kind.name}: {', '.join(kind.conditions)}" for kind in kinds())
        yield f"config.conditions.names: {', '.join(conditions.names)} belong to two kinds of study ({groups})"
    if min(conditions.seeds, default=0) < 0:
        yield f"config.conditions.seeds: expected 0 or more, got {conditions.seeds}"
    factor, share = conditions.repetition_factor, conditions.repetition_share
    if factor * share > 1 + 1e-9:
        yield (
            f"config.conditions: repetition_share={share} times repetition_factor={factor} is "
            f"{factor * share:g}, more than 1: the repeated rows do not fit into the first phase"
        )


def _evaluation(config: Config) -> Iterator[str]:
    evaluation = config.evaluation
    if bool(evaluation.narrow) != bool(evaluation.broad):
        yield "config.evaluation: name generators in both narrow and broad, or in neither"
    if both := sorted(set(evaluation.narrow) & set(evaluation.broad)):
        yield f"config.evaluation: {both[0]!r} is in narrow and in broad; what training has seen is narrow"
    if evaluation.rows > config.data.held_out_rows:
        yield (
            f"config.evaluation.rows={evaluation.rows} is more than "
            f"config.data.held_out_rows={config.data.held_out_rows}"
        )


def _run(config: Config) -> Iterator[str]:
    fractions = config.diagnostics.fractions
    yield from config.kind.problems(config)
    if config.warmup_steps >= config.steps:
        yield f"config.train: warmup of {config.warmup_steps} steps does not end within the run of {config.steps}"
    if not 0 < config.phase_steps < config.steps:
        phase = config.conditions.phase
        yield f"config: phase={phase} of {config.steps} steps leaves a phase empty; train longer"
    if not fractions or not all(0 < f <= 1 for f in fractions) or list(fractions) != sorted(set(fractions)):
        yield f"config.diagnostics.fractions: expected ascending points in (0, 1], got {fractions}"
    elif fractions[-1] != 1:
        yield f"config.diagnostics.fractions: the last must be 1, the end of the run; got {fractions[-1]}"
    elif len(set(config.analysed_steps)) < len(fractions):
        yield (
            f"config: {config.steps} steps are too few for {len(fractions)} different fractions; they fall on "
            f"steps {config.analysed_steps}"
        )
