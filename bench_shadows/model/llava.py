"""Our parameters under the names and in the layout of transformers' LLaVA: a SigLIP tower, a projector, a Llama.

Names are those of released LLaVA checkpoints, which transformers reads in all its versions. The numbers are the
same: what the tower's last layer gives, before its norm (`vision_feature_layer` -1), goes to the projector whole.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_shadows.config import VisionConfig
from bench_shadows.model.huggingface import flatten, to_hugging_face, turned

TOWER, PROJECTOR, DECODER = "vision_tower.vision_model", "multi_modal_projector", "language_model"


def to_llava(params: Mapping[str, Any], config: VisionConfig) -> dict[str, np.ndarray]:
    """LLaVA's state dict from our parameter tree, linear layers [out, in], one tensor a layer."""
    vision, patch = params["vision"], params["vision"]["patch_embedding"]
    decoder = {name: part for name, part in params.items() if name not in ("vision", "projector")}
    tensors = {f"{DECODER}.{name}": array for name, array in to_hugging_face(decoder).items()}
    for name, array in flatten(params["projector"]).items():
        tensors[f"{PROJECTOR}.{_theirs(name)}"] = turned(name, array)
    for name, stack in flatten(vision["layers"]).items():
        for layer, array in enumerate(stack):
            tensors[f"{TOWER}.encoder.layers.{layer}.{_theirs(name)}"] = turned(name, array)
    P, C = config.patch_size, config.hidden_size
    convolution = np.asarray(patch["kernel"]).reshape(P, P, 3, C).transpose(3, 2, 0, 1)  # rows, columns, channels
    return tensors | {
        f"{TOWER}.embeddings.patch_embedding.weight": np.ascontiguousarray(convolution),
        f"{TOWER}.embeddings.patch_embedding.bias": np.asarray(patch["bias"]),
        f"{TOWER}.embeddings.position_embedding.weight": np.asarray(vision["position_embedding"]),
        # SigLIP's last norm, which LLaVA computes and does not read.
        f"{TOWER}.post_layernorm.weight": np.ones(C, np.float32),
        f"{TOWER}.post_layernorm.bias": np.zeros(C, np.float32),
    }


def _theirs(name: str) -> str:
    """The last word of a name: kernels and scales are weights there."""
    module, _, kind = name.rpartition(".")
    return name if kind == "bias" else f"{module}.weight"
