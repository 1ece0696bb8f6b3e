"""Configuration: one frozen, typed tree, validated before anything heavy is imported.

A config file is Python with `get_config()`, as elsewhere in the field: it takes `defaults()`, a locked
`ml_collections.ConfigDict`, changes fields and returns it. `load` reads the file, applies the command
line's overrides (`train.samples=3600`), checks types and combinations and returns a frozen `Config`.
"""

import dataclasses
import difflib
import importlib.util
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ml_collections

from bench_shadows.errors import ConfigError
from bench_shadows.files import hash_json

CONDITIONS = ("A", "B", "C", "D")


@dataclasses.dataclass(frozen=True)
class FieldsConfig:
    """Names of the fields in the user's JSONL or Parquet records; only `text` must be there."""

    text: str = "text"
    id: str = "id"
    domain: str = "domain"
    language: str = "language"
    kind: str = "kind"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Documents, tokenizer and rows."""

    sources: tuple[str, ...] = ("builtin",)
    """`builtin`, or paths and globs of .jsonl, .jsonl.gz and .parquet files."""
    fields: FieldsConfig = FieldsConfig()
    bad_records_limit: int = 100
    """Malformed records are counted and left out; one more than this stops the stage."""
    near_duplicate_threshold: float = 0.8
    """Jaccard similarity from which the later document goes; 1 removes exact duplicates only."""
    tokenizer: str = "bpe"
    """`bpe` trains one of `model.vocab_size` on the corpus; else a path to a tokenizer.json or .tiktoken file."""
    seq_len: int = 4096
    """Token ids in a row."""
    held_out_rows: int = 256
    """Rows kept out of training for evaluation, for each domain that has the text."""
    rewriter: Literal["builtin"] = "builtin"
    """Teacher of Condition D."""
    seed: int = 0
    """Which documents are held out, and which belong to the first and the second half."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The decoder: RMSNorm, RoPE, grouped-query attention, SwiGLU, no bias (paper, section 4.1)."""

    num_layers: int = 32
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_heads: int = 8
    num_kv_heads: int = 4
    vocab_size: int = 151_936
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tie_embeddings: bool = True
    embedding_std: float = 0.02

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation. A sample is one row; a step takes `batch_size` rows."""

    samples: int = 300_000_000
    batch_size: int = 4096
    micro_batch_size: int = 4
    """Rows that one device holds at once; the rest of its share is accumulated exactly."""
    warmup_samples: int = 1_638_400
    peak_learning_rate: float = 3e-4
    min_learning_rate: float = 3e-5
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the device computes in it, float32 on a CPU. Parameters stay float32."""
    remat: Literal["none", "dots", "full"] = "full"
    """What the backward pass recomputes: nothing, all but matrix products, or whole layers."""
    scan_layers: bool = True
    """One compiled layer, scanned. False unrolls: faster on a CPU at small size, slow to compile when deep."""
    loss_chunk: int = 2048
    """Tokens whose logits exist at once."""
    checkpoint_minutes: float = 15.0
    """A crash loses at most this much; the analysed fractions are saved besides."""


@dataclasses.dataclass(frozen=True)
class ConditionsConfig:
    """What differs between the conditions (paper, section 4.1)."""

    names: tuple[str, ...] = CONDITIONS
    seeds: tuple[int, ...] = (0,)
    """One run of every condition for each seed: initial weights, row order and the repeated rows follow it."""
    phase: float = 0.5
    """Share of the steps before the phase shift."""
    repetition_share: float = 0.1
    """Condition C: share of the first phase's rows that is kept ..."""
    repetition_factor: int = 10
    """... and how often each of them is shown."""


@dataclasses.dataclass(frozen=True)
class DiagnosticsConfig:
    """When and how the weights are read."""

    fractions: tuple[float, ...] = (1 / 36, 10 / 36, 20 / 36, 30 / 36, 1.0)
    """Points of the run whose checkpoints are analysed: the paper's 2k, 20k, 40k, 60k, 72k of 72k steps."""
    precision: Literal["auto", "float32", "float64"] = "auto"
    """Of the spectra: `auto` is float64 on a CPU, float32 elsewhere."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Held-out likelihood at every analysed checkpoint."""

    rows: int = 64
    """Held-out rows of each domain that are read (at most `data.held_out_rows`)."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All of a study. The hash of a part says whether what was made from it can be used again."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def steps(self) -> int:
        """Optimizer steps of one run: 300 M samples in batches of 4,096 are 73,242."""
        return self.train.samples // self.train.batch_size

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warmup."""
        return self.train.warmup_samples // self.train.batch_size

    @property
    def phase_steps(self) -> int:
        """Steps before the phase shift."""
        return round(self.steps * self.conditions.phase)

    @property
    def analysed_steps(self) -> tuple[int, ...]:
        """Steps whose checkpoints are analysed, ascending, one for each fraction."""
        return tuple(max(1, round(fraction * self.steps)) for fraction in self.diagnostics.fractions)


def to_dict(config: Any) -> dict[str, Any]:
    """A config (or a part of it) as plain JSON values."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(dataclasses.asdict(config))


def config_hash(*parts: Any) -> str:
    """SHA-256 of some parts of a config."""
    return hash_json([to_dict(part) for part in parts])


def defaults() -> ml_collections.ConfigDict:
    """Every field with its default (the paper's), to be changed by a config file; unknown names are refused."""
    return ml_collections.ConfigDict(dataclasses.asdict(Config())).lock()


def nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean "x"?` for a misspelt name, or the names there are."""
    close = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; there are: {', '.join(names)}"


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Reads a config file, applies overrides (dotted name -> text) and validates.

    Raises ConfigError, in one line, for a file that cannot be read or run, an unknown name, a wrong type or
    values that cannot be together.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"--config={path}: no such file")
    spec = importlib.util.spec_from_file_location(f"bench_shadows_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--config={path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        values = module.get_config().to_dict()
    except ConfigError:
        raise
    except Exception as error:  # the file is the user's program: whatever it raises is its fault, in one line
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: {type(error).__name__}: {reason}") from error
    for name, text in (overrides or {}).items():
        _override(values, name, text)
    config = from_dict(values)
    validate(config)
    return config


def from_dict(values: Mapping[str, Any]) -> Config:
    """A Config from plain values; raises ConfigError for unknown names and wrong types."""
    return _build(Config, values, "config")


def _build(kind: type, values: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ConfigError(f"{where}.{name}: no such field{nearest(name, list(hints))}")
    built = {}
    for name, value in values.items():
        hint, place = hints[name], f"{where}.{name}"
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}: expected fields, got {value!r}")
            built[name] = _build(typing.cast(type, hint), value, place)
        else:
            built[name] = _check(hint, value, place)
    return kind(**built)


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"a list of {typing.get_args(hint)[0].__name__}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]


def _check(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal and value in typing.get_args(hint):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_check(typing.get_args(hint)[0], item, where) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise ConfigError(f"{where}: expected {_describe(hint)}, got {value!r}")


def _override(values: dict[str, Any], dotted: str, text: str) -> None:
    """Sets `values[a][b]` from the text of `a.b=text`, read as the type of the field."""
    *parents, last = dotted.split(".")
    kind: Any = Config
    target, where = values, "config"
    for name in parents:
        hints = typing.get_type_hints(kind)
        if name not in hints or not dataclasses.is_dataclass(hints[name]):
            raise ConfigError(f"--{where}.{name}: no such group of fields{nearest(name, list(hints))}")
        kind, target, where = hints[name], target[name], f"{where}.{name}"
    hints = typing.get_type_hints(kind)
    if last not in hints:
        raise ConfigError(f"--{where}.{last}: no such field{nearest(last, list(hints))}")
    if dataclasses.is_dataclass(hints[last]):
        inside = ", ".join(typing.get_type_hints(hints[last]))
        raise ConfigError(f"--{where}.{last} is a group; set one of its fields: {inside}")
    target[last] = _parse(hints[last], text, f"--{where}.{last}")


def _parse(hint: Any, text: str, where: str) -> Any:
    if typing.get_origin(hint) is tuple:
        items = [item.strip() for item in text.strip("()[]").split(",") if item.strip()]
        return tuple(_parse(typing.get_args(hint)[0], item, where) for item in items)
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if hint is int:
            return int(text)
        if hint is float:
            return float(text)
    except ValueError:
        pass
    if hint is str or typing.get_origin(hint) is Literal:
        return _check(hint, text, where)
    raise ConfigError(f"{where}: expected {_describe(hint)}, got {text!r}")


def validate(config: Config) -> None:
    """Raises ConfigError, naming the fields, for the first combination that cannot be."""
    data, model, train = config.data, config.model, config.train
    conditions, diagnostics = config.conditions, config.diagnostics

    def need(holds: bool, message: str) -> None:
        if not holds:
            raise ConfigError(message)

    def positive(part: Any, prefix: str, *names: str) -> None:
        for name in names:
            value = getattr(part, name)
            need(value > 0, f"config.{prefix}.{name}: expected more than 0, got {value}")

    positive(data, "data", "seq_len", "held_out_rows")
    need(data.seq_len >= 8, f"config.data.seq_len: expected at least 8 tokens, got {data.seq_len}")
    need(
        data.bad_records_limit >= 0,
        f"config.data.bad_records_limit: expected 0 or more, got {data.bad_records_limit}",
    )
    need(bool(data.sources), "config.data.sources: empty; name `builtin` or files")
    need(
        0 < data.near_duplicate_threshold <= 1,
        f"config.data.near_duplicate_threshold: expected in (0, 1], got {data.near_duplicate_threshold}",
    )
    sizes = ("num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "vocab_size")
    positive(model, "model", *sizes, "rope_theta", "norm_eps", "embedding_std")
    need(
        model.hidden_size % model.num_heads == 0,
        f"config.model: hidden_size={model.hidden_size} is not a multiple of num_heads={model.num_heads}",
    )
    need(
        model.head_dim % 2 == 0,
        f"config.model: hidden_size / num_heads = {model.head_dim} is odd; RoPE rotates pairs",
    )
    need(
        model.num_heads % model.num_kv_heads == 0,
        f"config.model: num_heads={model.num_heads} is not a multiple of num_kv_heads={model.num_kv_heads}",
    )
    need(
        data.tokenizer != "bpe" or model.vocab_size >= 260,
        f"config.model.vocab_size: a byte-level BPE needs at least 260 (256 bytes and special tokens), got {model.vocab_size}",
    )
    positive(train, "train", "samples", "batch_size", "micro_batch_size", "peak_learning_rate", "epsilon")
    positive(train, "train", "clip_norm", "loss_chunk", "checkpoint_minutes")
    need(
        train.batch_size % train.micro_batch_size == 0,
        f"config.train: batch_size={train.batch_size} is not a multiple of micro_batch_size={train.micro_batch_size}",
    )
    need(
        train.samples >= train.batch_size,
        f"config.train: samples={train.samples} is less than one batch of {train.batch_size}",
    )
    need(
        train.warmup_samples >= 0,
        f"config.train.warmup_samples: expected 0 or more, got {train.warmup_samples}",
    )
    need(
        config.warmup_steps < config.steps,
        f"config.train: warmup of {config.warmup_steps} steps does not end within the run of {config.steps}",
    )
    need(
        0 <= train.min_learning_rate <= train.peak_learning_rate,
        f"config.train: min_learning_rate={train.min_learning_rate} is not in [0, peak_learning_rate={train.peak_learning_rate}]",
    )
    for name in ("beta1", "beta2"):
        need(
            0 <= getattr(train, name) < 1,
            f"config.train.{name}: expected in [0, 1), got {getattr(train, name)}",
        )
    need(train.weight_decay >= 0, f"config.train.weight_decay: expected 0 or more, got {train.weight_decay}")
    for name in conditions.names:
        need(name in CONDITIONS, f"config.conditions.names: no condition {name!r}{nearest(name, CONDITIONS)}")
    need(bool(conditions.names), "config.conditions.names: empty; there are: " + ", ".join(CONDITIONS))
    for field in ("names", "seeds"):
        values = getattr(conditions, field)
        need(len(set(values)) == len(values), f"config.conditions.{field}: {values} names one twice")
    need(bool(conditions.seeds), "config.conditions.seeds: empty; name at least one, such as 0")
    need(
        min(conditions.seeds, default=0) >= 0,
        f"config.conditions.seeds: expected 0 or more, got {conditions.seeds}",
    )
    need(0 < conditions.phase < 1, f"config.conditions.phase: expected in (0, 1), got {conditions.phase}")
    need(
        0 < config.phase_steps < config.steps,
        f"config: phase={conditions.phase} of {config.steps} steps leaves one half of the run empty; train longer",
    )
    factor, share = conditions.repetition_factor, conditions.repetition_share
    need(factor >= 1, f"config.conditions.repetition_factor: expected 1 or more, got {factor}")
    need(
        math.isclose(factor * share, 1.0, rel_tol=1e-9),
        f"config.conditions: repetition_share={share} times repetition_factor={factor} is {factor * share:g}, not 1: "
        "the number of samples would change",
    )
    need(
        "C" not in conditions.names or config.phase_steps * train.batch_size >= factor,
        f"config.conditions: the first phase has {config.phase_steps * train.batch_size} rows, "
        f"too few to show one of them {factor} times",
    )
    fractions = diagnostics.fractions
    need(bool(fractions), "config.diagnostics.fractions: empty; name points of the run in (0, 1]")
    need(
        all(0 < fraction <= 1 for fraction in fractions) and list(fractions) == sorted(set(fractions)),
        f"config.diagnostics.fractions: expected ascending points in (0, 1], got {fractions}",
    )
    need(
        len(set(config.analysed_steps)) == len(fractions),
        f"config: {config.steps} steps are too few for {len(fractions)} different fractions; "
        f"they fall on steps {config.analysed_steps}",
    )
    need(
        fractions[-1] == 1,
        f"config.diagnostics.fractions: the last must be 1, the end of the run; got {fractions[-1]}",
    )
    positive(config.evaluation, "evaluation", "rows")
    need(
        config.evaluation.rows <= data.held_out_rows,
        f"config.evaluation.rows={config.evaluation.rows} is more than config.data.held_out_rows={data.held_out_rows}",
    )
