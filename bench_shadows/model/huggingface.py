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
_IN_LAYERS = {
    "input_layernorm.scale",
    "post_attention_layernorm.scale",
    *(f"self_attn.{name}_proj.kernel" for name in "qkvo"),
    *(f"mlp.{name}_proj.kernel" for name in ("gate", "up", "down")),
}


def to_hugging_face(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Llama's state dict from our parameter tree; a tied head has no entry of its own."""
    tensors = {}
    for name, array in _flatten({key: part for key, part in params.items() if key != "layers"}).items():
        tensors[_OUTSIDE_LAYERS[name]] = _turned(name, array)
    for name, stack in _flatten(params["layers"]).items():
        for layer, array in enumerate(stack):
            tensors[_layer_name(layer, name)] = _turned(name, array)
    return tensors


def from_hugging_face(tensors: Mapping[str, np.ndarray], config: ModelConfig) -> dict[str, Any]:
    """Our parameter tree, float32, from Llama's state dict.

    Raises DataError naming a tensor that is missing.
    """

    def read(ours: str, theirs: str) -> np.ndarray:
        if theirs not in tensors:
            raise DataError(f"tensor {theirs} is missing; there are {len(tensors)}, such as {sorted(tensors)[:3]}")
        return _turned(ours, np.asarray(tensors[theirs], np.float32))

    flat = {
        name: read(name, theirs)
        for name, theirs in _OUTSIDE_LAYERS.items()
        if not (config.tie_embeddings and name == "lm_head.kernel")
    }
    for name in sorted(_IN_LAYERS):
        layers = [read(name, _layer_name(layer, name)) for layer in range(config.num_layers)]
        flat[f"layers.{name}"] = np.stack(layers)
    return _nest(flat)


def _layer_name(layer: int, name: str) -> str:
    return f"model.layers.{layer}.{name.rsplit('.', 1)[0]}.weight"


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    """Kernels are transposed between the two layouts, in either direction; scales and the embedding are not."""
    return np.ascontiguousarray(array.T) if name.endswith("kernel") else np.asarray(array)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        inner = isinstance(value, Mapping)
        flat |= _flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": np.asarray(value)}
    return flat


def _nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        *parents, last = name.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = array
    return tree
