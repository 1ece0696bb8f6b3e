"""Configuration: one frozen, typed tree. Its defaults are the paper's; `config_file` reads it from a file.

Each field declares what it determines (`declared.Determines`): from that alone follows what may be used again.
"""

import dataclasses
import functools
import json
import operator
from collections.abc import Iterator
from typing import Any, Literal

from bench_shadows.declared import Determines, field, fields
from bench_shadows.files import hash_json
from bench_shadows.kinds import Kind, kind_of

DOCUMENTS, ROWS, PLANS, RUN = Determines.DOCUMENTS, Determines.ROWS, Determines.PLANS, Determines.RUN
SPEED, PLACE = Determines.SPEED, Determines.PLACE


@dataclasses.dataclass(frozen=True)
class FieldsConfig:
    """Names of the fields in the user's records, `meta.lang` for nested ones; only `text` must be there."""

    text: str = field(DOCUMENTS, "text")
    """The text itself."""
    id: str = field(DOCUMENTS, "id")
    """What names a document in messages and records; where it is missing, file and position do."""
    domain: str = field(DOCUMENTS, "domain")
    """What mixture and evaluation go by; where it is missing, the name of folder or file is."""
    language: str = field(DOCUMENTS, "language")
    """Such as `en`, `zh`, `python`; detected where it is missing."""
    kind: str = field(DOCUMENTS, "kind")
    """`text`, `exercise` or `code`; detected where it is missing."""
    work: str = field(DOCUMENTS, "work")
    """What a document is a part of, such as a book: documents of one work are held out together."""


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Condition D's teacher behind an OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY."""

    base_url: str = field(SPEED, "http://127.0.0.1:8000/v1")
    """Of the endpoint, with its `/v1`."""
    model: str = field(ROWS, "Qwen/Qwen3-30B-A3B-Instruct-2507")
    """The paper's teacher is a Qwen3-30B (appendix A.1)."""
    temperature: float = field(ROWS, 0.0)
    """Of the sampling; 0 asks for the likeliest reply."""
    context_tokens: int = field(ROWS, 32_768)
    """Of the teacher: prompt and reply together. Longer documents are split and joined again."""
    concurrency: int = field(SPEED, 64)
    """Requests in flight at most; fewer where the server asks for it."""
    timeout_seconds: float = field(SPEED, 300.0)
    """For one reply."""
    attempts: int = field(ROWS, 4)
    """Replies that are asked for until one is valid."""
    invalid: Literal["keep", "leave_out"] = field(ROWS, "keep")
    """A document without a valid reply keeps its text, or leaves the rewritten half."""
    input_price: float = field(SPEED, 0.0)
    """Of a million tokens, in whatever currency: for the estimate and the account."""
    output_price: float = field(SPEED, 0.0)
    """The same for tokens of the replies."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Documents, tokenizer and rows."""

    sources: tuple[str, ...] = field(DOCUMENTS, ("builtin",))
    """`builtin`; paths, folders, globs or URIs (gs://, s3://) of .jsonl (.gz, .zst), .parquet, text and code;
    `tfds:NAME[/CONFIG][:VERSION][@SPLIT]` or `tfds:/path/to/builder/dir`; `hf:NAME[:CONFIG][@SPLIT]`."""
    fields: FieldsConfig = FieldsConfig()
    bad_records_limit: int = field(DOCUMENTS, 100)
    """Malformed records are counted and left out; one more than this stops the stage."""
    near_duplicate_threshold: float = field(ROWS, 0.8)
    """Jaccard similarity from which the later document goes; 1 removes exact duplicates only."""
    mixture: tuple[str, ...] = field(ROWS, ())
    """Weights of domains, such as `("docs=2", "code=0.5")`: a domain is drawn so many times as often as its share
    of the text. Domains that are not named weigh 1."""
    tokenizer: str = field(ROWS, "bpe")
    """`bpe` trains one of `model.vocab_size` on the corpus; else a path to a tokenizer.json or .tiktoken file."""
    end_of_text: str = field(ROWS, "")
    """The token of that file that ends a document, `</s>`; empty: the first usual name that it has."""
    seq_len: int = field(ROWS | RUN, 4096)
    """Token ids in a row."""
    held_out_rows: int = field(ROWS, 256)
    """Rows kept out of training for evaluation, for each domain that has the text."""
    rewriter: Literal["builtin", "endpoint"] = field(ROWS, "builtin")
    """Teacher of Condition D: rules, offline and deterministic; or a language model behind an endpoint."""
    teacher: TeacherConfig = TeacherConfig()
    seed: int = field(ROWS | Determines.EVALUATION, 0)
    """Which documents are held out, and which belong to the first and the second half."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The decoder: RMSNorm, RoPE, grouped-query attention, SwiGLU, no bias (paper, section 4.1)."""

    num_layers: int = field(RUN, 32)
    """Layers of the decoder; each has seven matrices that are analysed."""
    hidden_size: int = field(RUN, 1024)
    """Width of the decoder: of an embedding, and of what passes from layer to layer."""
    intermediate_size: int = field(RUN, 4096)
    """Width inside a layer's feed-forward part."""
    num_heads: int = field(RUN, 8)
    """Query heads of a layer; `hidden_size` is a multiple of it."""
    num_kv_heads: int = field(RUN, 4)
    """Key and value heads of a layer; `num_heads` is a multiple of it."""
    vocab_size: int = field(ROWS | RUN, 151_936)
    """Token ids, special ones included."""
    rope_theta: float = field(RUN, 10_000.0)
    """Base of the rotary position encoding."""
    norm_eps: float = field(RUN, 1e-6)
    """What RMSNorm adds to the mean square."""
    tie_embeddings: bool = field(RUN, True)
    """Whether the embedding is the output matrix, too."""
    embedding_std: float = field(RUN, 0.02)
    """Standard deviation of the embedding's initial weights."""
    initial: str = field(RUN, "")
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

    image_size: int = field(ROWS | RUN, 0)
    """Pixels of a side; images are made square. 0: no images, a language model."""
    patch_size: int = field(ROWS | RUN, 8)
    """Pixels of a patch's side; a patch takes one place in a row."""
    num_layers: int = field(RUN, 4)
    """Layers of the encoder."""
    hidden_size: int = field(RUN, 128)
    """Width of the encoder."""
    intermediate_size: int = field(RUN, 512)
    """Width inside a layer's feed-forward part."""
    num_heads: int = field(RUN, 4)
    """Attention heads of a layer; `hidden_size` is a multiple of it."""
    norm_eps: float = field(RUN, 1e-6)
    """What LayerNorm adds to the variance."""

    @property
    def image_tokens(self) -> int:
        """Places that an image takes in a row: one for each patch."""
        return (self.image_size // self.patch_size) ** 2


@dataclasses.dataclass(frozen=True)
class PromptsConfig:
    """Samples with prompts, for the conditions `baseline` and `deduplicated`; other conditions do not read it."""

    samples: int = field(ROWS, 20_000)
    """Training samples that the built-in corpus makes."""
    tasks: tuple[str, ...] = field(ROWS, ())
    """Weights of the built-in corpus's tasks, such as `("ocr=2", "counting=1")`; the others are left out. Empty:
    all of them, evenly."""
    duplication: float = field(ROWS, 0.75)
    """Share of the built-in samples whose prompt stands in several fields (paper, section 6.2)."""
    fields: tuple[str, ...] = field(ROWS, ())
    """Fields in which repeated prompts are looked for, `conversations.*.value`; empty: every text that is no
    answer and no identifier."""
    protected: tuple[str, ...] = field(ROWS, ())
    """Fields that are left alone."""
    minimum: int = field(ROWS, 16)
    """Characters of the shortest fragment that counts as a repeated prompt."""
    ignore_case: bool = field(ROWS, True)
    """Whether fragments that differ in upper and lower case alone are the same."""
    image_field: str = field(ROWS, "image")
    """Of the user's samples: a path below `image_folder`."""
    image_folder: str = field(ROWS, "")
    """Empty: the folder of the file that names the image."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation. A sample is one row; a step takes `batch_size` rows."""

    samples: int = field(ROWS | PLANS | RUN, 300_000_000)
    """Rows that a run reads, repeated ones included."""
    batch_size: int = field(ROWS | PLANS | RUN, 4096)
    """Rows of one step of the optimizer."""
    micro_batch_size: int = field(SPEED, 4)
    """Rows that one device holds at once; the rest of its share is accumulated exactly."""
    warmup_samples: int = field(RUN, 1_638_400)
    """Rows over which the learning rate rises from 0 to its peak."""
    peak_learning_rate: float = field(RUN, 3e-4)
    """The rate after the warmup; Condition B stays there."""
    min_learning_rate: float = field(RUN, 3e-5)
    """Where the cosine that follows ends with the last step."""
    beta1: float = field(RUN, 0.9)
    """Adam's decay of the mean gradient."""
    beta2: float = field(RUN, 0.95)
    """Adam's decay of the mean squared gradient."""
    epsilon: float = field(RUN, 1e-8)
    """What Adam adds to the root of the mean squared gradient."""
    weight_decay: float = field(RUN, 0.1)
    """Of the matrices, the embedding among them; decoupled, as in AdamW."""
    clip_norm: float = field(RUN, 1.0)
    """A gradient whose norm over all weights is larger is scaled down to it."""
    on_spike: Literal["stop", "skip"] = field(SPEED, "stop")
    """At a loss that is not finite or far above the last ones (the rule: training/spikes.py): end the run with a
    message; or leave weights and optimizer as they are and go on. A run that stopped may go on with `skip`."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = field(RUN, "auto")
    """`auto` is bfloat16 where the device computes in it, float32 on a CPU. Parameters stay float32."""
    remat: Literal["none", "gate_up", "gate", "attention", "full"] = field(SPEED, "full")
    """What the forward pass keeps of a layer: everything; what attention needs and the gate's and up's products,
    or only the gate's, or neither; its input alone. `compile` says which fits."""
    mask_documents: bool = field(RUN | Determines.EVALUATION, False)
    """A token attends only to its own document; if false, to everything before it in its row."""
    scan_layers: bool = field(SPEED, True)
    """One compiled layer, scanned. False unrolls: faster on a CPU at small size, slow to compile when deep."""
    loss_chunk: int = field(SPEED, 2048)
    """Tokens whose logits exist at once."""
    population: int = field(SPEED, 1)
    """Runs that train side by side as one program, on one device: for models that are too small to fill it. One
    after the other where so many do not fit. Results differ by rounding."""
    fsdp: int = field(SPEED, 0)
    """Devices that share one copy of the weights; 0: as many as still hold 64 rows of every matrix each."""
    tensor: int = field(SPEED, 1)
    """Devices that split heads and feed-forward features."""
    checkpoint_minutes: float = field(SPEED, 15.0)
    """A crash loses at most this much; the analysed fractions are saved besides."""
    checkpoints: str = field(PLACE, "")
    """A folder or `gs://BUCKET/FOLDER` for the checkpoints: STUDY/RUN in it. Empty: beside each run's metrics."""
    stall_minutes: float = field(SPEED, 30.0)
    """Several hosts end with a message after so long without a step: about twice what compiling (5 minutes) and
    restoring 8 GB at 100 Mbit/s (11 minutes) take together."""


@dataclasses.dataclass(frozen=True)
class ConditionsConfig:
    """What differs between the conditions (paper, section 4.1)."""

    names: tuple[str, ...] = field(ROWS | PLANS, ("A", "B", "C", "D"))
    """What is trained: some of A, B, C, D; or `baseline`, `deduplicated`, the study of prompts."""
    seeds: tuple[int, ...] = field(PLANS, (0,))
    """One run of every condition for each seed: initial weights, row order and the repeated rows follow it."""
    phase: float = field(ROWS | PLANS, 0.5)
    """Share of the steps before the phase shift."""
    repetition_share: float = field(PLANS, 0.1)
    """Condition C: share of the first phase's rows that is kept ..."""
    repetition_factor: int = field(PLANS, 10)
    """... and how often each of them is shown."""
    rewriting_share: float = field(ROWS, 1.0)
    """Condition D: share of the first phase's documents that is rewritten."""
    rewriting_minimum: float = field(ROWS, 0.02)
    """A smaller share of their words that rewriting changed leaves D next to A: its claims are withheld."""


@dataclasses.dataclass(frozen=True)
class DiagnosticsConfig:
    """When and how the weights are read."""

    fractions: tuple[float, ...] = field(RUN, (1 / 36, 10 / 36, 20 / 36, 30 / 36, 1.0))
    """Points of the run whose checkpoints are analysed: the paper's 2k, 20k, 40k, 60k, 72k of 72k steps."""
    precision: Literal["auto", "float32", "float64"] = field(Determines.DIAGNOSTICS, "auto")
    """Of the spectra: `auto` is float64 on a CPU, float32 elsewhere."""
    monitor_every: int = field(RUN, 20)
    """Steps between two looks of the monitor at the weights in training; 0 turns it off."""
    monitor_matrices: int = field(RUN, 4)
    """Matrices that one look analyses, in turn."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What every analysed checkpoint is asked, all of it made from held-out text."""

    rows: int = field(Determines.EVALUATION, 64)
    """Held-out rows of each domain that are read (at most `data.held_out_rows`). In a study of prompts: samples of
    each task whose losses are measured; replies are asked to all held-out ones, at the end of a run."""
    rare_word_pairs: int = field(Determines.EVALUATION, 2000)
    """Pairs of sentences whose rare words change places."""
    passages: int = field(Determines.EVALUATION, 64)
    """Passages of each domain that are read as they are and as condition D's rules rewrite them."""
    exercises: int = field(Determines.EVALUATION, 100)
    """Exercises of each generator that are asked; 0 leaves them out."""
    narrow: tuple[str, ...] = field(Determines.EVALUATION, ())
    """reasoning-gym's generators (extra `exercises`) that the training text has exercises of, such as
    scripts/make_exercises.py writes ..."""
    broad: tuple[str, ...] = field(Determines.EVALUATION, ())
    """... and some that it has none of. Both empty: those of the built-in corpus, where that is a source."""
    tasks: tuple[str, ...] = field(Determines.EVALUATION, ())
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

    @functools.cached_property
    def kind(self) -> Kind:
        """The kind of study whose conditions are named: of documents, of prompts."""
        return kind_of(self.conditions.names)

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
    return json.loads(json.dumps(dataclasses.asdict(config)))


def config_hash(*parts: Any) -> str:
    """SHA-256 of some parts of a config."""
    return hash_json([to_dict(part) for part in parts])


def determined(config: Config, what: Determines) -> dict[str, Any]:
    """Dotted name -> plain value of the fields that determine any of `what`, as far as this kind reads them.

    This is what a fingerprint is derived from, beside the content of files.
    """
    plain = to_dict(config)
    return {
        name: functools.reduce(operator.getitem, name.split("."), plain)
        for name, determines in fields(Config)
        if determines & what and not _is_unread(config, name)
    }


def _is_unread(config: Config, name: str) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in config.kind.unread)


def may_change(config: Config, name: str, old: Any, new: Any) -> bool:
    """Whether what was made with a field's old value stays valid; seeds and conditions may be added."""
    if name == "conditions.seeds":
        return old[:1] == new[:1] and set(old) <= set(new)  # frequencies are counted in the first seed's reference
    if name == "conditions.names":
        return set(old) <= set(new) and config.kind.may_add(tuple(old), tuple(new))
    return dict(fields(Config))[name] is Determines.SPEED or _is_unread(config, name)


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of everything that differs between two nested dicts; None: not there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new
