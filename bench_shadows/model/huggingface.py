"""Our parameters under the names and in the layout of Hugging Face's Llama, and back, as NumPy arrays.

Theirs are one tensor a layer, [out, in]; ours are stacked over layers, [layer, in, out]. The numbers are the same:
both use the half-rotation form of RoPE.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_shadows.config import ModelConfig
from bench_shadows.errors import DataError

_OUTSIDE_LAYERS = {
    "embed_tokens.embedding": "model.embed_tokens.weight",
    "norm.scale": "model.norm.weight",
    "lm_head.kernel": "lm_head.weight",
}


def to_hugging_face(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Llama's state dict from our parameter tree; a tied head has no entry of its own."""
    tensors = {}
    for name, array in flatten({key: part for key, part in params.items() if key != "layers"}).items():
        tensors[_OUTSIDE_LAYERS[name]] = turned(name, array)
    for name, stack in flatten(params["layers"]).items():
        for layer, array in enumerate(stack):
            tensors[_layer_name(layer, name)] = turned(name, array)
    return tensors


def read_parameter(
    tensors: Mapping[str, np.ndarray], config: ModelConfig, name: str, index: tuple[slice, ...]
) -> np.ndarray:
    """A part of one of our parameters (`layers.mlp.up_proj.kernel`), float32, from Llama's state dict.

    Only that part of each tensor is looked at, so that memory-mapped ones need not fit into memory. Rows of the
    vocabulary that the tensor does not have are the mean of those it has: m rows more than V take at most
    m / (V + m) of the probability (Jensen's inequality). Raises DataError naming a tensor that is missing or of
    another shape.
    """
    if not name.startswith("layers."):
        return _read(tensors, config, _OUTSIDE_LAYERS[name], name, index)
    own = name.removeprefix("layers.")
    layers = range(*index[0].indices(config.num_layers))
    return np.stack([_read(tensors, config, _layer_name(layer, own), own, index[1:]) for layer in layers])


def _read(
    tensors: Mapping[str, np.ndarray], config: ModelConfig, theirs: str, name: str, index: tuple[slice, ...]
) -> np.ndarray:
    if theirs not in tensors:
        raise DataError(f"tensor {theirs} is missing; there are {len(tensors)}, such as {sorted(tensors)[:3]}")
    tensor, expected = tensors[theirs], _shapes(config)[name]
    if name.endswith("kernel"):
        index = index[::-1]
    in_vocabulary = name in ("embed_tokens.embedding", "lm_head.kernel") and len(tensor) <= expected[0]
    if tensor.shape != expected and not (in_vocabulary and tensor.shape[1:] == expected[1:]):
        raise DataError(
            f"tensor {theirs} has the shape {list(tensor.shape)} where config.model has {list(expected)}"
        )
    part = np.asarray(tensor[index], np.float32)
    if in_vocabulary:
        first, stop, _ = index[0].indices(expected[0])
        missing = stop - max(first, len(tensor))
        if missing > 0:
            mean = np.asarray(np.mean(tensor[:, index[1]], axis=0, dtype=np.float32))
            part = np.concatenate([part, np.repeat(mean[None], missing, axis=0)])
    return np.ascontiguousarray(part.T) if name.endswith("kernel") else part


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Each of our parameters, those of a layer once -> its tensor's shape in their layout, [out, in]."""
    V, D, F, K = config.vocab_size, config.hidden_size, config.intermediate_size, config.head_dim
    return {
        **dict.fromkeys(("embed_tokens.embedding", "lm_head.kernel"), (V, D)),
        **dict.fromkeys(("norm.scale", "input_layernorm.scale", "post_attention_layernorm.scale"), (D,)),
        "self_attn.q_proj.kernel": (config.num_heads * K, D),
        **{f"self_attn.{name}_proj.kernel": (config.num_kv_heads * K, D) for name in "kv"},
        "self_attn.o_proj.kernel": (D, config.num_heads * K),
        **{f"mlp.{name}_proj.kernel": (F, D) for name in ("gate", "up")},
        "mlp.down_proj.kernel": (D, F),
    }


def names_of(config: ModelConfig) -> set[str]:
    """Every tensor of a network that is ours, by its name there."""
    own = _shapes(config).keys() - _OUTSIDE_LAYERS.keys()
    inside = {_layer_name(layer, name) for layer in range(config.num_layers) for name in own}
    tied = {"lm_head.weight"} if config.tie_embeddings else set()
    return inside | set(_OUTSIDE_LAYERS.values()) - tied


def _layer_name(layer: int, name: str) -> str:
    return f"model.layers.{layer}.{name.rsplit('.', 1)[0]}.weight"


def turned(name: str, array: np.ndarray) -> np.ndarray:
    """Kernels are transposed between the two layouts, in either direction; scales and the embedding are not."""
    return np.ascontiguousarray(array.T) if name.endswith("kernel") else np.asarray(array)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """A parameter tree's arrays by their dotted names, `self_attn.q_proj.kernel`."""
    flat: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        inner = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": np.asarray(value)}
    return flat
