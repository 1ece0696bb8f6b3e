"""Weights of a Hugging Face folder as the start of a run: whether its network is ours, and its tensors.

Ours are Llama's and what equals it: RMSNorm, RoPE without scaling, grouped queries, SwiGLU, no bias. What differs
is refused by its name, since a network that is nearly the same trains without a word and is another one.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bench_shadows.config import Config, ModelConfig
from bench_shadows.diagnostics.weights.safetensors import open_files, some
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import hash_file, hash_json
from bench_shadows.model.decoder import Parameters
from bench_shadows.model.huggingface import names_of, read_parameter
from bench_shadows.progress import say

SAME = ("llama", "mistral")
"""Values of `model_type` whose networks are ours when nothing below says otherwise."""
_DIFFERENT = {
    "qwen2": "its query, key and value projections have biases",
    "qwen3": "it normalises queries and keys in every head (q_norm, k_norm)",
    "gemma": "its norms add one to their scale, and its feed-forward is GeGLU",
    "phi3": "its projections are fused",
    "mixtral": "its feed-forward is a mixture of experts",
}
_FIELDS = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
    "rope_theta": "rope_theta",
    "norm_eps": "rms_norm_eps",
    "tie_embeddings": "tie_word_embeddings",
}
"""Ours and theirs."""
_FLOATS = ("F64", "F32", "F16", "BF16")


def open_pretrained(folder: Path, config: ModelConfig, seq_len: int) -> Mapping[str, np.ndarray]:
    """Tensors by Llama's names, memory-mapped, in the dtype of the files.

    Raises:
      ConfigError: the folder's network is not `config`'s, or none of ours; all that differs is named.
      RunError: files that are not whole, pickles, tensors in 8 bits, tensors that our network has no place for.
    """
    check_architecture(folder, config, seq_len)
    files = open_files(folder)
    strange = sorted(name for name in files.tensors.keys() - names_of(config) if "rotary_emb" not in name)
    if strange == ["lm_head.weight"]:
        head, embedding = (files.tensors[name].map() for name in ("lm_head.weight", "model.embed_tokens.weight"))
        if not np.array_equal(head, embedding):
            raise RunError(f"{folder}: lm_head.weight differs from the embedding that config.json ties it to")
    elif strange:
        raise RunError(f"{folder}: our network has no place for {some(strange)}")
    odd = [f"{name} ({tensor.stored})" for name, tensor in files.tensors.items() if tensor.stored not in _FLOATS]
    if odd:
        raise RunError(f"{folder}: {some(odd)}; expected float32, float16 or bfloat16. Dequantise the model first")
    return {name: np.asarray(tensor.map()) for name, tensor in files.tensors.items()}


def read_weights(config: Config, shapes: Parameters) -> Parameters:
    """Our parameters, float32, from `config.model.initial`: the start of continued pretraining.

    Each device gets its part of each parameter by itself: no host holds more than that and one parameter's part.

    Args:
      shapes: jax.ShapeDtypeStruct with shardings, as the parameters are to lie.
    Raises:
      As `open_pretrained`, and DataError for a tensor that is missing or of another shape.
    """
    tensors = open_pretrained(Path(config.model.initial), config.model, config.data.seq_len)

    def read(path: tuple[jax.tree_util.DictKey, ...], target: jax.ShapeDtypeStruct) -> jax.Array:
        name = ".".join(key.key for key in path)
        part = functools.partial(read_parameter, tensors, config.model, name)
        return jax.make_array_from_callback(target.shape, target.sharding, part)

    return jax.tree_util.tree_map_with_path(read, shapes)


@functools.lru_cache(maxsize=1)
def digest(folder: Path) -> str:
    """SHA-256 of the folder's weights; read once in a process."""
    return hash_json({file.name: hash_file(file) for file in open_files(folder).files})


def check_architecture(folder: Path, config: ModelConfig, seq_len: int) -> None:
    """Raises ConfigError where the folder's config.json describes another network than `config`."""
    if not (folder / "config.json").is_file():
        raise ConfigError(f"config.model.initial={folder}: expected a folder with config.json and .safetensors")
    theirs = open_files(folder).config
    if reasons := list(_not_ours(theirs, seq_len)):
        raise ConfigError(f"config.model.initial={folder}: not a network of ours: {'; '.join(reasons)}")
    wanted = {ours: _value(theirs, name) for ours, name in _FIELDS.items()}
    wanted["vocab_size"] = max(wanted["vocab_size"], config.vocab_size)  # more rows than it has are added
    differing = {name: value for name, value in wanted.items() if getattr(config, name) != value}
    if differing:
        named = ", ".join(
            f"{name} is {value} there and {getattr(config, name)} here" for name, value in differing.items()
        )
        options = " ".join(f"--config.model.{name}={value}" for name, value in differing.items())
        raise ConfigError(f"config.model.initial={folder}: {named}. Set {options}")
    known = theirs.get("max_position_embeddings", seq_len)
    if seq_len > known:
        say(f"config.model.initial={folder}: trained on up to {known} positions, rows have {seq_len}")


def _not_ours(theirs: Mapping[str, Any], seq_len: int) -> Iterator[str]:
    kind = theirs.get("model_type")
    if kind not in SAME:
        reason = next((why for name, why in _DIFFERENT.items() if str(kind).startswith(name)), "")
        yield f"model_type is {kind!r}{f', and {reason}' if reason else ''}; expected one of {', '.join(SAME)}"
        return
    sizes = ("hidden_size", "num_attention_heads", "vocab_size", "num_hidden_layers", "intermediate_size")
    if missing := [name for name in sizes if type(theirs.get(name)) is not int or theirs[name] <= 0]:
        yield f"config.json has no {', '.join(missing)}"
        return
    for name in ("attention_bias", "mlp_bias", "quantization_config"):
        if theirs.get(name):
            yield f"{name} is {theirs[name]!r}"
    if theirs.get("hidden_act", "silu") != "silu":
        yield f"hidden_act is {theirs['hidden_act']!r}, ours is silu"
    rope = theirs.get("rope_scaling") or theirs.get("rope_parameters") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        yield f"RoPE is scaled ({rope})"
    head_dim = theirs["hidden_size"] // theirs["num_attention_heads"]
    if theirs.get("head_dim") not in (None, head_dim):
        yield f"head_dim is {theirs['head_dim']}, not hidden_size / num_attention_heads = {head_dim}"
    window = theirs.get("sliding_window", 4096 if kind == "mistral" else None)
    if window is not None and seq_len > window:
        yield f"sliding_window is {window}, less than the rows' {seq_len} tokens"


def _value(theirs: Mapping[str, Any], name: str) -> Any:
    """A field of config.json; what older files leave out has the value that it stands for."""
    if name == "rope_theta":
        rope = theirs.get("rope_parameters") or {}
        return float(theirs.get(name) or rope.get(name) or 10_000.0)
    defaults = {
        "num_key_value_heads": 8 if theirs["model_type"] == "mistral" else theirs["num_attention_heads"],
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }
    value = theirs.get(name)
    return defaults[name] if value is None else value
