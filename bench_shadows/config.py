"""Configuration: one frozen, typed tree. Its defaults are the paper's; `config_file` reads it from a file."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

from bench_shadows.files import hash_json

CONDITIONS = ("A", "B", "C", "D")
"""Of the main study (paper, section 4.1)."""
PROMPT_CONDITIONS = ("baseline", "deduplicated")
"""Of the study of prompt repetition (paper, section 6): a pipeline's samples as they are, and cleaned."""
OPERATIONAL = (
    *(
        f"data.teacher.{name}"
        for name in ("base_url", "concurrency", "timeout_seconds", "input_price", "output_price")
    ),
    *(
        f"train.{name}"
        for name in (
            *("micro_batch_size", "remat", "scan_layers", "loss_chunk", "population"),
            *("fsdp", "tensor", "checkpoint_minutes", "stall_minutes", "on_spike"),
        )
    ),
)
"""Fields that say where and how fast work is done, or what follows where a run would end. What has come out
already is the same with any value, by rounding at most, so they may change while a study goes on."""


@dataclasses.dataclass(frozen=True)
class FieldsConfig:
    """Names of the fields in the user's records, `meta.lang` for nested ones; only `text` must be there."""

    text: str = "text"
    id: str = "id"
    domain: str = "domain"
    language: str = "language"
    kind: str = "kind"


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Condition D's teacher behind an OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY."""

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = "Qwen/Qwen3-30B-A3B-Instruct-2507"
    """The paper's teacher is a Qwen3-30B (appendix A.1)."""
    temperature: float = 0.0
    context_tokens: int = 32_768
    """Of the teacher: prompt and reply together. Longer documents are split and joined again."""
    concurrency: int = 64
    """Requests in flight at most; fewer where the server asks for it."""
    timeout_seconds: float = 300.0
    """For one reply."""
    attempts: int = 4
    """Replies that are asked for until one is valid."""
    invalid: Literal["keep", "leave_out"] = "keep"
    """A document without a valid reply keeps its text, or leaves the rewritten half."""
    input_price: float = 0.0
    """Of a million tokens, in whatever currency: for the estimate and the account."""
    output_price: float = 0.0


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Documents, tokenizer and rows."""

    sources: tuple[str, ...] = ("builtin",)
    """`builtin`; paths, folders, globs or URIs (gs://, s3://) of .jsonl (.gz, .zst), .parquet, text and code;
    `tfds:NAME[/CONFIG][:VERSION][@SPLIT]` or `tfds:/path/to/builder/dir`; `hf:NAME[:CONFIG][@SPLIT]`."""
    fields: FieldsConfig = FieldsConfig()
    bad_records_limit: int = 100
    """Malformed records are counted and left out; one more than this stops the stage."""
    near_duplicate_threshold: float = 0.8
    """Jaccard similarity from which the later document goes; 1 removes exact duplicates only."""
    mixture: tuple[str, ...] = ()
    """Weights of domains, such as `("docs=2", "code=0.5")`: a domain is drawn so many times as often as its share
    of the text. Domains that are not named weigh 1."""
    tokenizer: str = "bpe"
    """`bpe` trains one of `model.vocab_size` on the corpus; else a path to a tokenizer.json or .tiktoken file."""
    seq_len: int = 4096
    """Token ids in a row."""
    held_out_rows: int = 256
    """Rows kept out of training for evaluation, for each domain that has the text."""
    rewriter: Literal["builtin", "endpoint"] = "builtin"
    """Teacher of Condition D: rules, offline and deterministic; or a language model behind an endpoint."""
    teacher: TeacherConfig = TeacherConfig()
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
    initial: str = ""
    """A Hugging Face folder (Llama, safetensors) to start from instead of random weights: continued pretraining
    under a condition. The fields above must be its own, `data.tokenizer` its tokenizer.json. All seeds then begin
    with the same weights: intervals over seeds are those of the row order alone."""

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """The image encoder, a ViT as SigLIP has it (arXiv 2010.11929, 2303.15343), before the decoder."""

    image_size: int = 0
    """Pixels of a side; images are made square. 0: no images, a language model."""
    patch_size: int = 8
    num_layers: int = 4
    hidden_size: int = 128
    intermediate_size: int = 512
    num_heads: int = 4
    norm_eps: float = 1e-6

    @property
    def image_tokens(self) -> int:
        """Places that an image takes in a row: one for each patch."""
        return (self.image_size // self.patch_size) ** 2


@dataclasses.dataclass(frozen=True)
class PromptsConfig:
    """Samples with prompts, for the conditions `baseline` and `deduplicated`; other conditions do not read it."""

    samples: int = 20_000
    """Training samples that the built-in corpus makes."""
    tasks: tuple[str, ...] = ()
    """Weights of the built-in corpus's tasks, such as `("ocr=2", "counting=1")`; the others are left out. Empty:
    all of them, evenly."""
    duplication: float = 0.75
    """Share of the built-in samples whose prompt stands in several fields (paper, section 6.2)."""
    fields: tuple[str, ...] = ()
    """Fields in which repeated prompts are looked for, `conversations.*.value`; empty: every text that is no
    answer and no identifier."""
    protected: tuple[str, ...] = ()
    """Fields that are left alone."""
    minimum: int = 16
    """Characters of the shortest fragment that counts as a repeated prompt."""
    ignore_case: bool = True
    image_field: str = "image"
    """Of the user's samples: a path below `image_folder`."""
    image_folder: str = ""
    """Empty: the folder of the file that names the image."""


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
    on_spike: Literal["stop", "skip"] = "stop"
    """At a loss that is not finite or far above the last ones (the rule: training/spikes.py): end the run with a
    message; or leave weights and optimizer as they are and go on. A run that stopped may go on with `skip`."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the device computes in it, float32 on a CPU. Parameters stay float32."""
    remat: Literal["none", "gate_up", "gate", "attention", "full"] = "full"
    """What the forward pass keeps of a layer: everything; what attention needs and the gate's and up's products,
    or only the gate's, or neither; its input alone. `compile` says which fits."""
    scan_layers: bool = True
    """One compiled layer, scanned. False unrolls: faster on a CPU at small size, slow to compile when deep."""
    loss_chunk: int = 2048
    """Tokens whose logits exist at once."""
    population: int = 1
    """Runs that train side by side as one program, on one device: for models that are too small to fill it. One
    after the other where so many do not fit. Results differ by rounding."""
    fsdp: int = 0
    """Devices that share one copy of the weights; 0: as many as still hold 64 rows of every matrix each."""
    tensor: int = 1
    """Devices that split heads and feed-forward features."""
    checkpoint_minutes: float = 15.0
    """A crash loses at most this much; the analysed fractions are saved besides."""
    checkpoints: str = ""
    """A folder or `gs://BUCKET/FOLDER` for the checkpoints: STUDY/RUN in it. Empty: beside each run's metrics."""
    stall_minutes: float = 30.0
    """Several hosts end with a message after so long without a step: about twice what compiling (5 minutes) and
    restoring 8 GB at 100 Mbit/s (11 minutes) take together."""


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
    rewriting_share: float = 1.0
    """Condition D: share of the first phase's documents that is rewritten."""


@dataclasses.dataclass(frozen=True)
class DiagnosticsConfig:
    """When and how the weights are read."""

    fractions: tuple[float, ...] = (1 / 36, 10 / 36, 20 / 36, 30 / 36, 1.0)
    """Points of the run whose checkpoints are analysed: the paper's 2k, 20k, 40k, 60k, 72k of 72k steps."""
    precision: Literal["auto", "float32", "float64"] = "auto"
    """Of the spectra: `auto` is float64 on a CPU, float32 elsewhere."""
    monitor_every: int = 20
    """Steps between two looks of the monitor at the weights in training; 0 turns it off."""
    monitor_matrices: int = 4
    """Matrices that one look analyses, in turn."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What every analysed checkpoint is asked, all of it made from held-out text."""

    rows: int = 64
    """Held-out rows of each domain that are read (at most `data.held_out_rows`). In a study of prompts: samples of
    each task whose losses are measured; replies are asked to all held-out ones, at the end of a run."""
    rare_word_pairs: int = 2000
    """Pairs of sentences whose rare words change places."""
    passages: int = 64
    """Passages of each domain that are read as they are and as condition D's rules rewrite them."""
    exercises: int = 100
    """Exercises of each generator that are asked; 0 leaves them out."""
    narrow: tuple[str, ...] = ()
    """reasoning-gym's generators (extra `exercises`) that the training text has exercises of, such as
    scripts/make_exercises.py writes ..."""
    broad: tuple[str, ...] = ()
    """... and some that it has none of. Both empty: those of the built-in corpus, where that is a source."""
    tasks: tuple[str, ...] = ()
    """lm-evaluation-harness's tasks (extra `harness`) that the last checkpoint of every run is asked: names, or
    paths (with a /) of folders with YAML tasks."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All of a study. The hash of a part says whether what was made from it can be used again."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    vision: VisionConfig = VisionConfig()
    prompts: PromptsConfig = PromptsConfig()

    @property
    def studies_prompts(self) -> bool:
        """Whether this is the study of prompt repetition, whose rows are samples and not packed documents."""
        return set(self.conditions.names) <= set(PROMPT_CONDITIONS)

    @property
    def reference_condition(self) -> str:
        """The condition that the others are measured from."""
        return PROMPT_CONDITIONS[0] if self.studies_prompts else CONDITIONS[0]

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


def default(name: str) -> Any:
    """The default of a field by its dotted name, `train.samples`; None where there is no such field."""
    value: Any = to_dict(Config())
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def grows(name: str, old: Any, new: Any) -> bool:
    """Whether a change of `conditions.seeds` or `.names` adds runs and leaves those that are there as they are.

    The first seed stays the first: frequencies are counted in its condition A. Condition D cannot be added: the
    text that both halves of it need was not drawn.
    """
    if name == "conditions.seeds":
        return old[:1] == new[:1] and set(old) <= set(new)
    return name == "conditions.names" and set(old) <= set(new) and ("D" in old or "D" not in new)


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of everything that differs between two nested dicts; None: not there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new
