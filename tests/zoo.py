"""One model in the layouts of many libraries: matrices [out, in] by module and layer, written as each would."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HIDDEN, HEADS, WIDTH, INNER, LAYERS, WORDS = 24, 4, 8, 40, 3, 50
Matrices = dict[tuple[str, int], np.ndarray]
Tensors = dict[str, np.ndarray]


def matrices(kv_heads: int = 2, gated: bool = True, seed: int = 0) -> Matrices:
    """Every matrix of a decoder, [out, in]; heads times width is not the hidden size."""
    rng = np.random.default_rng(seed)
    sides = {
        "self_attn.q_proj": (HEADS * WIDTH, HIDDEN),
        "self_attn.k_proj": (kv_heads * WIDTH, HIDDEN),
        "self_attn.v_proj": (kv_heads * WIDTH, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * WIDTH),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    if not gated:
        del sides["mlp.gate_proj"]
    return {
        (module, layer): rng.normal(0, 0.1, shape).astype(np.float32)
        for layer in range(LAYERS)
        for module, shape in sides.items()
    }


def config(kv_heads: int = 2, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_key_value_heads": kv_heads}
    return sizes | {"head_dim": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS} | more


@dataclass(frozen=True)
class Layout:
    """How a library writes a model, and what it is then known as."""

    family: str
    write: Callable[[Matrices], Tensors]
    config: dict[str, Any] = field(default_factory=dict)
    kv_heads: int = 2
    gated: bool = True
    component: str = "decoder"


def nested(tensors: Tensors) -> dict[str, Any]:
    """A tree of dicts from dotted names."""
    tree: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *above, last = name.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[last] = tensor
    return tree


def _layers(
    names: dict[str, str],
    fused: Callable[[Matrices, int], Tensors] | None = None,
    transposed: bool = False,
    around: Tensors | None = None,
) -> Callable[[Matrices], Tensors]:
    """A tensor for each matrix, `{i}` in its name for the layer, and `fused` ones besides."""

    def write(model: Matrices) -> Tensors:
        found = dict(around or {})
        for (module, layer), matrix in model.items():
            if module in names:
                found[names[module].format(i=layer)] = np.ascontiguousarray(matrix.T if transposed else matrix)
        for layer in range(LAYERS) if fused else ():
            found |= {name.format(i=layer): x for name, x in fused(model, layer).items()}  # type: ignore[misc]
        return found

    return write


LLAMA = {f"self_attn.{x}_proj": f"model.layers.{{i}}.self_attn.{x}_proj.weight" for x in "qkvo"}
LLAMA |= {f"mlp.{x}_proj": f"model.layers.{{i}}.mlp.{x}_proj.weight" for x in ("gate", "up", "down")}
AROUND = {
    "model.embed_tokens.weight": np.ones((WORDS, HIDDEN), np.float32),
    "model.norm.weight": np.ones(HIDDEN, np.float32),
    "lm_head.weight": np.ones((WORDS, HIDDEN), np.float32),
}


def llama(model: Matrices, prefix: str = "", transposed: bool = False) -> Tensors:
    """As transformers saves it."""
    written = _layers(LLAMA, transposed=transposed, around=AROUND)(model)
    return {prefix + name: tensor for name, tensor in written.items()}


def qkv(model: Matrices, layer: int) -> list[np.ndarray]:
    return [model[f"self_attn.{x}_proj", layer] for x in "qkv"]


def by_head(model: Matrices, layer: int) -> np.ndarray:
    """q, k, v of each group of heads in turn."""
    groups = model["self_attn.k_proj", 0].shape[0] // WIDTH
    parts = [part.reshape(groups, -1, HIDDEN) for part in qkv(model, layer)]
    return np.concatenate(parts, axis=1).reshape(-1, HIDDEN)


def _phi3(model: Matrices, layer: int) -> Tensors:
    return {
        "model.layers.{i}.self_attn.qkv_proj.weight": np.concatenate(qkv(model, layer)),
        "model.layers.{i}.mlp.gate_up_proj.weight": np.concatenate(
            [model["mlp.gate_proj", layer], model["mlp.up_proj", layer]]
        ),
    }


def _olmo(model: Matrices, layer: int) -> Tensors:
    return {
        "model.transformer.blocks.{i}.att_proj.weight": np.concatenate(qkv(model, layer)),
        "model.transformer.blocks.{i}.ff_proj.weight": np.concatenate(
            [model["mlp.up_proj", layer], model["mlp.gate_proj", layer]]
        ),
    }


def _interleaved(name: str) -> Callable[[Matrices, int], Tensors]:
    return lambda model, layer: {name: by_head(model, layer)}


def _renamed(names: dict[str, str], **more: str) -> dict[str, str]:
    return names | more


GPT2 = {
    "self_attn.o_proj": "transformer.h.{i}.attn.c_proj.weight",
    "mlp.up_proj": "transformer.h.{i}.mlp.c_fc.weight",
    "mlp.down_proj": "transformer.h.{i}.mlp.c_proj.weight",
}


def gpt2(model: Matrices, transposed: bool = True) -> Tensors:
    """GPT-2's Conv1D [in, out], or nanoGPT's linear layers."""
    found = _layers(GPT2, transposed=transposed)(model)
    for layer in range(LAYERS):
        fused = np.concatenate(qkv(model, layer))
        found[f"transformer.h.{layer}.attn.c_attn.weight"] = fused.T.copy() if transposed else fused
        found[f"transformer.h.{layer}.ln_1.weight"] = np.ones(HIDDEN, np.float32)
    return found


def heads(matrix: np.ndarray, output: bool = False) -> np.ndarray:
    """Flax's kernel of an attention: [in, heads, width], or [heads, width, out] of the output projection."""
    kernel = matrix.T
    return kernel.reshape(-1, WIDTH, HIDDEN) if output else kernel.reshape(HIDDEN, -1, WIDTH)


MAXTEXT = {
    "self_attn.q_proj": "self_attention.query.kernel",
    "self_attn.k_proj": "self_attention.key.kernel",
    "self_attn.v_proj": "self_attention.value.kernel",
    "self_attn.o_proj": "self_attention.out.kernel",
    "mlp.gate_proj": "mlp.wi_0.kernel",
    "mlp.up_proj": "mlp.wi_1.kernel",
    "mlp.down_proj": "mlp.wo.kernel",
}


def flax_kernel(module: str, matrix: np.ndarray) -> np.ndarray:
    if module.startswith("self_attn"):
        return heads(matrix, output=module.endswith("o_proj"))
    return matrix.T


def maxtext(model: Matrices, axis: int | None = 1) -> Tensors:
    """Scanned on an axis, or a module for each layer."""
    found = {
        "params.params.token_embedder.embedding": np.ones((WORDS, HIDDEN), np.float32),
        "params.params.decoder.decoder_norm.scale": np.ones(HIDDEN, np.float32),
        "params.params.decoder.logits_dense.kernel": np.ones((HIDDEN, WORDS), np.float32),
    }
    norm = np.ones(HIDDEN, np.float32)
    for module, name in MAXTEXT.items():
        kernels = [flax_kernel(module, model[module, layer]) for layer in range(LAYERS) if (module, 0) in model]
        if axis is None:
            for layer, kernel in enumerate(kernels):
                found[f"params.params.decoder.layers_{layer}.{name}"] = kernel
                found[f"params.params.decoder.layers_{layer}.pre_self_attention_layer_norm.scale"] = norm
        else:
            found[f"params.params.decoder.layers.{name}"] = np.stack(kernels, axis)
            scale = "params.params.decoder.layers.pre_self_attention_layer_norm.scale"
            found[scale] = np.stack([norm] * LAYERS, axis)
    return found


def levanter(model: Matrices) -> Tensors:
    """haliax: outputs first, key-value heads and queries of each apart, all layers stacked."""

    def stacked(module: str, *shape: int) -> np.ndarray:
        return np.stack([model[module, layer].reshape(*shape) for layer in range(LAYERS)])

    stem = "transformer.layers.stacked"
    return {
        f"{stem}.self_attn.q_proj.weight": stacked("self_attn.q_proj", 2, 2, WIDTH, HIDDEN),
        f"{stem}.self_attn.k_proj.weight": stacked("self_attn.k_proj", 2, WIDTH, HIDDEN),
        f"{stem}.self_attn.v_proj.weight": stacked("self_attn.v_proj", 2, WIDTH, HIDDEN),
        f"{stem}.self_attn.o_proj.weight": stacked("self_attn.o_proj", HIDDEN, HEADS, WIDTH),
        f"{stem}.mlp.gate_proj.weight": stacked("mlp.gate_proj", INNER, HIDDEN),
        f"{stem}.mlp.up_proj.weight": stacked("mlp.up_proj", INNER, HIDDEN),
        f"{stem}.mlp.down_proj.weight": stacked("mlp.down_proj", HIDDEN, INNER),
        f"{stem}.input_layernorm.weight": np.ones((LAYERS, HIDDEN), np.float32),
        "transformer.norm.weight": np.ones(HIDDEN, np.float32),
        "embeddings.token_embeddings.weight": np.ones((WORDS, HIDDEN), np.float32),
        "lm_head.weight": np.ones((WORDS, HIDDEN), np.float32),
    }


def levanter_inputs_first(model: Matrices) -> Tensors:
    """haliax's own default: inputs first."""

    def turned(name: str, tensor: np.ndarray) -> np.ndarray:
        if not name.startswith("transformer.layers"):
            return tensor
        outputs = 1 if name.endswith(("o_proj.weight", "down_proj.weight")) else tensor.ndim - 2
        return np.moveaxis(tensor, range(1, 1 + outputs), range(tensor.ndim - outputs, tensor.ndim))

    return {
        name: tensor if "norm" in name else turned(name, tensor).copy() for name, tensor in levanter(model).items()
    }


def big_vision(model: Matrices, scanned: bool = False) -> Tensors:
    """A ViT: Linen's attention and numbered modules, its blocks numbered or scanned."""
    names = {
        f"self_attn.{short}_proj": f"MultiHeadDotProductAttention_0.{name}.kernel"
        for short, name in zip("qkvo", ("query", "key", "value", "out"), strict=True)
    }
    names |= {"mlp.up_proj": "MlpBlock_0.Dense_0.kernel", "mlp.down_proj": "MlpBlock_0.Dense_1.kernel"}
    found = {
        "params.Transformer.encoder_norm.scale": np.ones(HIDDEN, np.float32),
        "params.embedding.kernel": np.ones((4, 4, 3, HIDDEN), np.float32),
        "params.pos_embedding": np.ones((1, 9, HIDDEN), np.float32),
        "params.head.kernel": np.ones((HIDDEN, 8), np.float32),
    }
    stem = "params.Transformer.encoderblock"
    for module, name in names.items():
        kernels = [flax_kernel(module, model[module, layer]) for layer in range(LAYERS)]
        if scanned:
            found[f"{stem}.{name}"] = np.stack(kernels)
            found[f"{stem}.LayerNorm_0.scale"] = np.ones((LAYERS, HIDDEN), np.float32)
        else:
            found |= {f"{stem}_{layer}.{name}": kernel for layer, kernel in enumerate(kernels)}
    return found


def gemma(model: Matrices, scanned: bool = False) -> Tensors:
    """Gemma's einsums: heads before the inputs, keys and values together, gate and up together."""
    parts: list[Tensors] = []
    for layer in range(LAYERS):
        q, k, v = (part.reshape(-1, WIDTH, HIDDEN).swapaxes(1, 2) for part in qkv(model, layer))
        gate, up = model["mlp.gate_proj", layer].T, model["mlp.up_proj", layer].T
        parts.append(
            {
                "attn.q_einsum.w": q,
                "attn.kv_einsum.w": np.stack([k, v]),
                "attn.attn_vec_einsum.w": model["self_attn.o_proj", layer].T.reshape(HEADS, WIDTH, HIDDEN),
                "mlp.gating_einsum": np.stack([gate, up]),
                "mlp.linear": model["mlp.down_proj", layer].T,
                "pre_attention_norm.scale": np.ones(HIDDEN, np.float32),
            }
        )
    found = {"transformer.final_norm.scale": np.ones(HIDDEN, np.float32)}
    if scanned:
        return found | {
            f"transformer.layers.{name}": np.stack([part[name] for part in parts]) for name in parts[0]
        }
    return found | {
        f"transformer.layer_{layer}.{name}": tensor
        for layer, part in enumerate(parts)
        for name, tensor in part.items()
    }


def ours(model: Matrices) -> Tensors:
    """A run of this package: kernels of all layers stacked."""
    modules = dict.fromkeys(module for module, _ in model)
    found = {f"layers.{name}.kernel": np.stack([model[name, i].T for i in range(LAYERS)]) for name in modules}
    return found | {"layers.input_layernorm.scale": np.ones((LAYERS, HIDDEN), np.float32)}


def linen(model: Matrices) -> Tensors:
    """Flax's MultiHeadDotProductAttention in blocks of somebody's own: no family knows them."""
    names = {
        f"self_attn.{short}_proj": f"self_attn.{name}.kernel"
        for short, name in zip("qkvo", ("query", "key", "value", "out"), strict=True)
    }
    found: Tensors = {}
    for (module, layer), matrix in model.items():
        name = names.get(module, f"{module}.kernel")
        found[f"params.MyBlock_{layer}.{name}"] = flax_kernel(module, matrix)
        found[f"params.MyBlock_{layer}.self_attn.query.bias"] = np.ones((HEADS, WIDTH), np.float32)
    return found


def linen_scanned(model: Matrices) -> Tensors:
    """The same under nn.scan, layers on the first axis; norms and biases beside them have two and three."""
    parts = linen(model)
    names = {name.replace("MyBlock_0", "blocks") for name in parts if "MyBlock_0" in name}
    found = {
        name: np.stack([parts[name.replace("blocks", f"MyBlock_{i}")] for i in range(LAYERS)]) for name in names
    }
    return found | {"params.blocks.norm.scale": np.ones((LAYERS, HIDDEN), np.float32)}


NATIVE = {
    "self_attn.q_proj": "layers.{i}.attention.wq.weight",
    "self_attn.k_proj": "layers.{i}.attention.wk.weight",
    "self_attn.v_proj": "layers.{i}.attention.wv.weight",
    "self_attn.o_proj": "layers.{i}.attention.wo.weight",
    "mlp.gate_proj": "layers.{i}.feed_forward.w1.weight",
    "mlp.up_proj": "layers.{i}.feed_forward.w3.weight",
    "mlp.down_proj": "layers.{i}.feed_forward.w2.weight",
}
EASYLM = {module: f"params.transformer.h.{name[7:-7]}.kernel" for module, name in NATIVE.items()}
T5X = {module: f"target.decoder.layers_{{i}}.{name}" for module, name in MAXTEXT.items()}
OLMO = {
    "self_attn.o_proj": "model.transformer.blocks.{i}.attn_out.weight",
    "mlp.down_proj": "model.transformer.blocks.{i}.ff_out.weight",
}
PHI3 = {module: name for module, name in LLAMA.items() if module.endswith(("o_proj", "down_proj"))}
NEOX = {
    "self_attn.o_proj": "gpt_neox.layers.{i}.attention.dense.weight",
    "mlp.up_proj": "gpt_neox.layers.{i}.mlp.dense_h_to_4h.weight",
    "mlp.down_proj": "gpt_neox.layers.{i}.mlp.dense_4h_to_h.weight",
}
FALCON = {
    "self_attn.o_proj": "transformer.h.{i}.self_attention.dense.weight",
    "mlp.up_proj": "transformer.h.{i}.mlp.dense_h_to_4h.weight",
    "mlp.down_proj": "transformer.h.{i}.mlp.dense_4h_to_h.weight",
}
HF_FLAX = {module: name.removesuffix(".weight") + ".kernel" for module, name in LLAMA.items()}

STYLE = "Llama, Qwen, Mistral style decoder"
ARROW = "transformer.h.{i}.self_attention.query_key_value.weight"
GPT = {"model_type": "gpt2", "n_head": HEADS, "n_embd": HIDDEN, "n_layer": LAYERS, "head_dim": WIDTH}
LAYOUTS: dict[str, Layout] = {
    "transformers": Layout(STYLE, llama, config()),
    "without a config": Layout(STYLE, llama),
    "transposed": Layout(STYLE, lambda model: llama(model, transposed=True), config()),
    "compiled": Layout(STYLE, lambda model: llama(model, "_orig_mod."), config()),
    "in DDP": Layout(STYLE, lambda model: llama(model, "module."), config()),
    "compiled in DDP": Layout(STYLE, lambda model: llama(model, "module._orig_mod."), config()),
    "in peft": Layout(STYLE, lambda model: llama(model, "base_model.model."), config()),
    "in Lightning": Layout(STYLE, lambda model: llama(model, "model."), config()),
    "in Lightning's file": Layout(STYLE, lambda model: llama(model, "state_dict.model."), config()),
    "transformers' Flax": Layout(STYLE, _layers(HF_FLAX, transposed=True), config()),
    "Phi-3": Layout(STYLE, _layers(PHI3, _phi3), config(model_type="phi3")),
    "native": Layout("Llama, Mistral, InternLM2 in their makers' names", _layers(NATIVE), config()),
    "hf_olmo": Layout(
        "OLMo, in its maker's names (hf_olmo, DataDecide)",
        _layers(OLMO, _olmo),
        {"model_type": "hf_olmo", "d_model": HIDDEN, "n_heads": HEADS, "n_kv_heads": 2, "head_dim": WIDTH},
    ),
    "GPT-NeoX": Layout(
        "GPT-NeoX",
        _layers(NEOX, _interleaved("gpt_neox.layers.{i}.attention.query_key_value.weight")),
        config(4, model_type="gpt_neox"),
        4,
        False,
    ),
    "Falcon, grouped": Layout(
        "BLOOM, Falcon",
        _layers(FALCON, _interleaved(ARROW)),
        config(model_type="falcon", num_kv_heads=2, new_decoder_architecture=True, num_key_value_heads=None),
        2,
        False,
    ),
    "Falcon, one key": Layout(
        "BLOOM, Falcon",
        _layers(FALCON, lambda model, i: {ARROW: np.concatenate(qkv(model, i))}),
        config(model_type="falcon", num_kv_heads=HEADS, multi_query=True, num_key_value_heads=None),
        1,
        False,
    ),
    "GPT-2": Layout("GPT-2", gpt2, GPT, 4, False),
    "nanoGPT": Layout("GPT-2", lambda model: gpt2(model, transposed=False), GPT, 4, False),
    "StarCoder": Layout(
        "StarCoder",
        lambda model: gpt2(model, transposed=False),
        GPT | {"model_type": "gpt_bigcode", "multi_query": True},
        1,
        False,
    ),
    "MaxText": Layout("MaxText", maxtext),
    "MaxText, scanned on axis 0": Layout("MaxText", lambda model: maxtext(model, 0)),
    "MaxText, not scanned": Layout("MaxText", lambda model: maxtext(model, None)),
    "T5X": Layout("MaxText", _layers(T5X, transposed=True)),
    "levanter": Layout("levanter (haliax)", levanter),
    "levanter, inputs first": Layout("levanter (haliax)", levanter_inputs_first),
    "EasyLM": Layout("EasyLM", _layers(EASYLM, transposed=True)),
    "big_vision": Layout("big_vision", big_vision, {}, 4, False, "vision"),
    "big_vision, scanned": Layout("big_vision", lambda model: big_vision(model, True), {}, 4, False, "vision"),
    "Gemma": Layout("Gemma, in its maker's names", gemma),
    "Gemma, scanned": Layout("Gemma, in its maker's names", lambda model: gemma(model, True)),
    "bench_shadows": Layout("a run of bench_shadows", ours),
    "Linen": Layout("own names", linen),
    "Linen, scanned": Layout("own names", linen_scanned),
}
