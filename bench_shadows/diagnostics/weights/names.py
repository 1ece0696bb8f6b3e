"""What a tensor's name says besides a family's table: wrappers around it, and why it is no matrix here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from bench_shadows.errors import RunError


class Shaped(Protocol):
    """Anything with a shape and a dtype (a string where NumPy has none)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


BY_NAME = ("embedding", "output head", "norm")  # reasons that a family's table may overrule
OPTIMIZER = "optimizer state"

_UNSAID = {"params"}  # what every Linen tree has around it
# Parts of names that a compiler, a trainer or an adapter puts around a model, wherever they stand ...
_INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "base_layer")
# ... and in front of all names.
_IN_FRONT = ("params", "base_model.model", "state_dict", "module", "model_state_dict", "ema_model")

# A layer's number: a part of its own, or behind a word for layers (`layers_3`, `encoderblock_11`).
_NUMBER = re.compile(
    r"(?<![^.])[0-9]+(?![^.])|(?:(?<=layers_|blocks_)|(?<=layer_|block_)|(?<=\.h_))[0-9]+(?![^.])"
)
_DIGITS = 18  # of a number that somebody's file gives; more are no layer

# Why a tensor is no matrix of the analysis, by its name, the first that fits. With `embeddings` the first two are.
_EMBEDDING = re.compile(
    r"embed(?!_out)|(^|\.)(wte|wpe|shared)(\.|$)|position_ids|relative_(attention_bias|pos\w*)|relpos|cls_token|_tokens?$",
    re.IGNORECASE,
)
_HEAD = re.compile(
    r"(^|\.)(lm_head|embed_out|score|classifier|cls|vocab_projector|logits_dense|generator_lm_head|contact_head)(\.|$)"
    r"|(^|_model\.|^model\.)output\.(weight|kernel)$|(^|\.)head\.(weight|kernel)$|^(model\.)?transformer\.ff_out\.weight$"
)
_NORM = re.compile(
    r"(^|[._])norm|norm($|[._\d])|layernorm|(^|\.)ln_\w+\.|(^|\.)LayerNorm_?\d*(\.|$)", re.IGNORECASE
)
_OF_HEADS = re.compile(r"(^|[._])(q|k|v|query|key|value|kv|q_a|kv_a)_?(layer)?norm|optimizer", re.IGNORECASE)
_SCALE = re.compile(
    r"((weight|input|output|proj)_scale|_scale_inv|[._]scales|qzeros|absmax|SCB|quant_map|zero_point)$"
)
_PATCH = re.compile(r"patch_embed|patch_conv", re.IGNORECASE)
_BIAS = re.compile(r"(^|[._])bias(es)?$|_attention_bias|_proj_bias$", re.IGNORECASE)
_CONVOLUTION = re.compile(r"conv(?!ert)", re.IGNORECASE)
_DECAYS = re.compile(r"(^|\.)A_log$")  # of state-space models: a number for each channel and state
_ADAPTER = re.compile(r"(^|\.)lora_(A|B|embedding_A|embedding_B|magnitude_vector)(\.|$)|(^|\.)lora_[ab](\.|$)")
_OPTIMIZER = re.compile(
    r"(^|\.)(opt_states?|optimizer|optimizer_states?|optim|opt|param_states|exp_avg|exp_avg_sq|max_exp_avg_sq|"
    r"momentum_buffer)(\.|$)"
)


def stripped(names: Iterable[str]) -> tuple[dict[str, str], str | None]:
    """Names without what wraps a model, by the names as they are, and what was taken off, for a notice."""
    plain = {name: name for name in names}
    found: list[str] = []
    for word in _INSIDE:
        without = {
            name: ".".join(part for part in text.split(".") if part != word) for name, text in plain.items()
        }
        if without != plain and len(set(without.values())) == len(plain):
            plain = without
            found.append(f"{word}.")
    again = True
    while again and plain:
        again = False
        for word in _IN_FRONT:
            if all(text.startswith(f"{word}.") for text in plain.values()):
                plain = {name: text[len(word) + 1 :] for name, text in plain.items()}
                found.append(f"{word}.")
                again = True
    said = [f"`{word}`" for word in found if word.removesuffix(".") not in _UNSAID]
    return plain, " and ".join(said) or None


def without_first_part(plain: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, str], str] | None:
    """All names without the first part that the matrices' names share (Lightning's `model.`), or None."""
    parts = {plain[name].split(".")[0] for name in names}
    if len(parts) != 1 or not (word := parts.pop()) or not all("." in plain[name] for name in names):
        return None
    shorter = {name: text.removeprefix(f"{word}.") for name, text in plain.items()}
    return (shorter, f"{word}.") if len(set(shorter.values())) == len(shorter) else None


def generalised(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with # for its numbers and without `.weight` or `.kernel` at its end, and the numbers."""
    name = name.removesuffix(".weight").removesuffix(".kernel")
    return _NUMBER.sub("#", name), tuple(int(number[:_DIGITS]) for number in _NUMBER.findall(name))


def no_two_alike(names: Iterable[str], where: str) -> None:
    """Raises RunError for a name that stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RunError(
                f"{where}: two tensors are called {name}; rename one, or give the part of the tree that is meant"
            )
        seen.add(name)


def of_optimizer(name: str) -> bool:
    """Whether a name is of an optimizer's state."""
    return _OPTIMIZER.search(name) is not None


def floating(leaf: Shaped) -> bool:
    """Whether a tensor holds floating numbers that NumPy knows."""
    return not isinstance(leaf.dtype, str) and bool(jax.dtypes.issubdtype(leaf.dtype, np.floating))


def reason_left_out(name: str, leaf: Shaped, embeddings: bool) -> str | None:
    """Why a tensor is no matrix of the analysis; None if it may be one."""
    dimensions = len(leaf.shape)
    if 0 in leaf.shape:
        return "empty"
    if of_optimizer(name):
        return OPTIMIZER
    if _SCALE.search(name):
        return "scale of a quantised tensor"
    if _BIAS.search(name):
        return "bias"
    if _ADAPTER.search(name):
        return "factor of an adapter (LoRA)"
    if _DECAYS.search(name):
        return "decays of a state-space model"
    if not floating(leaf):
        kind = str(leaf.dtype)
        packed = dimensions >= 2 and kind not in ("bool", "int64")
        return f"quantised ({kind}), cannot be read" if packed else f"{kind} is not a floating dtype"
    if _PATCH.search(name):
        return "patch embedding"
    if dimensions >= 3 and _CONVOLUTION.search(name):
        return "convolution"
    if _NORM.search(name):
        return "norm"
    if _EMBEDDING.search(name):
        return None if embeddings and dimensions == 2 else "embedding"
    if _HEAD.search(name):
        return None if embeddings and dimensions == 2 else "output head"
    return "a vector" if dimensions == 1 else "a number" if dimensions == 0 else None


def inferred_hidden(plain: Mapping[str, str], tensors: Mapping[str, Shaped]) -> int | None:
    """The length that all norms of a checkpoint share (but those of heads), which is that of its hidden states."""
    lengths = {
        int(leaf.shape[0])
        for name, leaf in tensors.items()
        if len(leaf.shape) == 1 and _NORM.search(plain[name]) and not _OF_HEADS.search(plain[name])
    }
    return lengths.pop() if len(lengths) == 1 else None
