"""What cannot be: every combination of config values that no run could honour, said before anything starts."""

import math
from collections.abc import Iterator

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    DiagnosticsConfig,
    EvaluationConfig,
    ModelConfig,
    PromptsConfig,
    TeacherConfig,
    TrainConfig,
    VisionConfig,
)
from bench_shadows.kinds import kind_of, kinds


def problems(config: Config) -> Iterator[str]:
    """Yields one line for each problem: the fields, their values, and why they cannot be together."""
    yield from _data(config.data, config.model)
    yield from _model(config.model)
    yield from _train(config.train)
    yield from _conditions(config.conditions)
    yield from _diagnostics(config.diagnostics)
    yield from _evaluation(config.evaluation)
    yield from _vision(config.vision)
    yield from _prompts(config.prompts)
    yield from _run(config)


def _not_positive(part: object, prefix: str, *names: str) -> Iterator[str]:
    for name in names:
        if getattr(part, name) <= 0:
            yield f"config.{prefix}.{name}: expected more than 0, got {getattr(part, name)}"


def _data(data: DataConfig, model: ModelConfig) -> Iterator[str]:
    yield from _not_positive(data, "data", "held_out_rows")
    if data.seq_len < 8:
        yield f"config.data.seq_len: expected at least 8 tokens, got {data.seq_len}"
    if data.bad_records_limit < 0:
        yield f"config.data.bad_records_limit: expected 0 or more, got {data.bad_records_limit}"
    if not data.sources:
        yield "config.data.sources: empty; name `builtin` or files"
    if not 0 < data.near_duplicate_threshold <= 1:
        threshold = data.near_duplicate_threshold
        yield f"config.data.near_duplicate_threshold: expected in (0, 1], got {threshold}"
    for entry in data.mixture:
        name, equals, weight = entry.rpartition("=")
        if not (name and equals and _is_positive(weight)):
            yield f"config.data.mixture: expected DOMAIN=WEIGHT with a weight above 0, got {entry!r}"
    yield from _teacher(data.teacher)
    if data.seed < 0:
        yield f"config.data.seed: expected 0 or more, got {data.seed}"
    if data.tokenizer == "bpe" and model.vocab_size < 260:
        yield (
            "config.model.vocab_size: a byte-level BPE needs at least 260 (256 bytes and special tokens), "
            f"got {model.vocab_size}"
        )


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _teacher(teacher: TeacherConfig) -> Iterator[str]:
    names = ("context_tokens", "concurrency", "timeout_seconds", "attempts")
    yield from _not_positive(teacher, "data.teacher", *names)
    for name in ("temperature", "input_price", "output_price"):
        if getattr(teacher, name) < 0:
            yield f"config.data.teacher.{name}: expected 0 or more, got {getattr(teacher, name)}"
    if not teacher.base_url.startswith(("http://", "https://")):
        yield f"config.data.teacher.base_url: expected http:// or https://, got {teacher.base_url!r}"
    elif "@" in teacher.base_url.split("/")[2]:
        yield "config.data.teacher.base_url: a name or a key in it would be written to the run; set OPENAI_API_KEY"
    if 0 < teacher.context_tokens < 1024:
        yield (
            "config.data.teacher.context_tokens: expected at least 1024, half of it is the prompt; "
            f"got {teacher.context_tokens}"
        )


def _model(model: ModelConfig) -> Iterator[str]:
    sizes = ("num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "vocab_size")
    yield from _not_positive(model, "model", *sizes, "rope_theta", "norm_eps", "embedding_std")
    if model.hidden_size % model.num_heads:
        yield f"config.model: hidden_size={model.hidden_size} is not a multiple of num_heads={model.num_heads}"
    if model.head_dim % 2:
        yield f"config.model: hidden_size / num_heads = {model.head_dim} is odd; RoPE rotates pairs"
    if model.num_heads % model.num_kv_heads:
        yield f"config.model: num_heads={model.num_heads} is not a multiple of num_kv_heads={model.num_kv_heads}"


def _train(train: TrainConfig) -> Iterator[str]:
    yield from _not_positive(train, "train", "samples", "batch_size", "micro_batch_size", "peak_learning_rate")
    yield from _not_positive(train, "train", "epsilon", "clip_norm", "loss_chunk", "tensor", "checkpoint_minutes")
    yield from _not_positive(train, "train", "stall_minutes", "population")
    if "://" in train.checkpoints and not train.checkpoints.startswith("gs://"):
        yield (
            f"config.train.checkpoints: expected a folder or gs://BUCKET/FOLDER, got {train.checkpoints!r}; Orbax "
            "writes to no other store, so mount it as a folder"
        )
    if train.fsdp < 0:
        yield f"config.train.fsdp: expected 0 (chosen) or more, got {train.fsdp}"
    if train.batch_size % train.micro_batch_size:
        yield (
            f"config.train: batch_size={train.batch_size} is not a multiple of "
            f"micro_batch_size={train.micro_batch_size}"
        )
    if train.samples < train.batch_size:
        yield f"config.train: samples={train.samples} is less than one batch of {train.batch_size}"
    for name in ("warmup_samples", "weight_decay"):
        if getattr(train, name) < 0:
            yield f"config.train.{name}: expected 0 or more, got {getattr(train, name)}"
    if not 0 <= train.min_learning_rate <= train.peak_learning_rate:
        yield (
            f"config.train: min_learning_rate={train.min_learning_rate} is not in "
            f"[0, peak_learning_rate={train.peak_learning_rate}]"
        )
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(train, name) < 1:
            yield f"config.train.{name}: expected in [0, 1), got {getattr(train, name)}"


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
    if not 0 < conditions.phase < 1:
        yield f"config.conditions.phase: expected in (0, 1), got {conditions.phase}"
    if not 0 < conditions.rewriting_share <= 1:
        yield f"config.conditions.rewriting_share: expected in (0, 1], got {conditions.rewriting_share}"
    factor, share = conditions.repetition_factor, conditions.repetition_share
    if factor < 1:
        yield f"config.conditions.repetition_factor: expected 1 or more, got {factor}"
    if not 0 < share <= 1:
        yield f"config.conditions.repetition_share: expected in (0, 1], got {share}"
    if factor * share > 1 + 1e-9:
        yield (
            f"config.conditions: repetition_share={share} times repetition_factor={factor} is "
            f"{factor * share:g}, more than 1: the repeated rows do not fit into the first phase"
        )


def _diagnostics(diagnostics: DiagnosticsConfig) -> Iterator[str]:
    if diagnostics.monitor_every < 0:
        yield f"config.diagnostics.monitor_every: expected 0 or more, got {diagnostics.monitor_every}"
    yield from _not_positive(diagnostics, "diagnostics", "monitor_matrices")


def _evaluation(evaluation: EvaluationConfig) -> Iterator[str]:
    yield from _not_positive(evaluation, "evaluation", "rows", "rare_word_pairs", "passages")
    if not 0 <= evaluation.exercises <= 1000:
        yield f"config.evaluation.exercises: expected 0 to 1000 of each generator, got {evaluation.exercises}"
    if bool(evaluation.narrow) != bool(evaluation.broad):
        yield "config.evaluation: name generators in both narrow and broad, or in neither"
    if both := sorted(set(evaluation.narrow) & set(evaluation.broad)):
        yield f"config.evaluation: {both[0]!r} is in narrow and in broad; what training has seen is narrow"


def _vision(vision: VisionConfig) -> Iterator[str]:
    if vision.image_size < 0:
        yield f"config.vision.image_size: expected 0 (no images) or more, got {vision.image_size}"
    sizes = ("patch_size", "num_layers", "hidden_size", "intermediate_size", "num_heads", "norm_eps")
    yield from _not_positive(vision, "vision", *sizes)
    if vision.image_size % vision.patch_size:
        yield (
            f"config.vision: image_size={vision.image_size} is not a multiple of patch_size={vision.patch_size}"
        )
    if vision.hidden_size % vision.num_heads:
        yield f"config.vision: hidden_size={vision.hidden_size} is not a multiple of num_heads={vision.num_heads}"


def _prompts(prompts: PromptsConfig) -> Iterator[str]:
    yield from _not_positive(prompts, "prompts", "samples", "minimum")
    if not 0 <= prompts.duplication <= 1:
        yield f"config.prompts.duplication: expected in [0, 1], got {prompts.duplication}"
    for entry in prompts.tasks:
        name, equals, weight = entry.rpartition("=")
        if not (name and equals and _is_positive(weight)):
            yield f"config.prompts.tasks: expected TASK=WEIGHT with a weight above 0, got {entry!r}"


def _run(config: Config) -> Iterator[str]:
    conditions, fractions = config.conditions, config.diagnostics.fractions
    yield from config.kind.problems(config)
    if config.warmup_steps >= config.steps:
        yield f"config.train: warmup of {config.warmup_steps} steps does not end within the run of {config.steps}"
    if not 0 < config.phase_steps < config.steps:
        yield f"config: phase={conditions.phase} of {config.steps} steps leaves a phase empty; train longer"
    if not fractions or not all(0 < f <= 1 for f in fractions) or list(fractions) != sorted(set(fractions)):
        yield f"config.diagnostics.fractions: expected ascending points in (0, 1], got {fractions}"
    elif fractions[-1] != 1:
        yield f"config.diagnostics.fractions: the last must be 1, the end of the run; got {fractions[-1]}"
    elif len(set(config.analysed_steps)) < len(fractions):
        yield (
            f"config: {config.steps} steps are too few for {len(fractions)} different fractions; they fall on "
            f"steps {config.analysed_steps}"
        )
    if config.evaluation.rows > config.data.held_out_rows:
        yield (
            f"config.evaluation.rows={config.evaluation.rows} is more than "
            f"config.data.held_out_rows={config.data.held_out_rows}"
        )
