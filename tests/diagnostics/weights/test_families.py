"""Names of released checkpoints become components, modules and layers; fused matrices are cut as the models do."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import save_model

from bench_shadows.diagnostics.weights.weights import Weights, open_weights

RNG = np.random.default_rng(0)
DECODER = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"} | {
    f"mlp.{name}_proj" for name in ("gate", "up", "down")
}
VISION = {
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
}
CONFIG = {"model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 3}  # fmt: skip


def values(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def llama_layers(prefix: str, layers: int = 2) -> dict[str, np.ndarray]:
    """A decoder with a head width of its own, as Qwen3's: 4 heads of 3 over 8 channels."""
    shapes = {"self_attn.q_proj": (12, 8), "self_attn.k_proj": (6, 8), "self_attn.v_proj": (6, 8)}
    shapes |= {
        "self_attn.o_proj": (8, 12),
        "mlp.gate_proj": (20, 8),
        "mlp.up_proj": (20, 8),
        "mlp.down_proj": (8, 20),
    }
    return {
        f"{prefix}layers.{i}.{name}.weight": values(*shape)
        for i in range(layers)
        for name, shape in shapes.items()
    }


def counts(opened: Weights) -> dict[str, int]:
    found: Counter[str] = Counter()
    for stack in opened.stacks:
        found[stack.component] += len(stack.layers)
    return dict(found)


def modules(opened: Weights, component: str) -> set[str]:
    return {stack.module for stack in opened.stacks if stack.component == component}


def matrix(opened: Weights, component: str, module: str, layer: int | None = 0) -> np.ndarray:
    stack = next(s for s in opened.stacks if s.key == (component, module) and layer in s.layers)
    return np.asarray(opened.read(stack)[stack.layers.index(layer)])


def test_andesvl(tmp_path: Path) -> None:
    tensors = llama_layers("language_model.model.")
    tensors |= {"language_model.model.embed_tokens.weight": values(50, 8), "mlp.1.weight": values(8, 16)}
    tensors |= {"mlp.3.weight": values(8, 8), "vision_encoder.trunk.post_trunk_norm.weight": values(16)}
    tensors["vision_encoder.preprocessor.patchifier.proj.weight"] = values(16, 3, 4, 4)
    for i in range(3):
        block = f"vision_encoder.trunk.blocks.{i}."
        tensors |= {f"{block}attn.qkv.weight": values(48, 16), f"{block}attn.proj.weight": values(16, 16)}
        tensors |= {f"{block}mlp.fc1.weight": values(30, 16), f"{block}mlp.fc2.weight": values(16, 30)}
        tensors |= {f"{block}mlp.fc3.weight": values(30, 16), f"{block}norm_1.weight": values(16)}
    config = {"model_type": "andesvl", "text_config": CONFIG, "vision_config": {"num_hidden_layers": 3}}
    opened = open_weights(save_model(tmp_path, tensors, config))
    assert (opened.family, opened.notices) == ("AndesVL", ())
    assert counts(opened) == {"decoder": 2 * 7, "vision": 3 * 7, "projector": 2}
    assert modules(opened, "decoder") == DECODER
    assert modules(opened, "vision") == VISION | {"mlp.gate_proj"}
    np.testing.assert_array_equal(
        matrix(opened, "vision", "self_attn.k_proj", 2),
        tensors["vision_encoder.trunk.blocks.2.attn.qkv.weight"][16:32],
    )
    assert Counter(opened.skipped.values()) == {"embedding": 1, "norm": 4, "convolution": 1}


@pytest.mark.parametrize("decoder", ["qwen3", "internlm2"])
def test_internvl_in_opengvlabs_layout(tmp_path: Path, decoder: str) -> None:
    if decoder == "qwen3":
        tensors = llama_layers("language_model.model.")
    else:
        tensors = {}
        for i in range(2):
            layer = f"language_model.model.layers.{i}."
            tensors |= {
                f"{layer}attention.wqkv.weight": values(24, 8),
                f"{layer}attention.wo.weight": values(8, 12),
            }
            tensors |= {
                f"{layer}feed_forward.w{n}.weight": values(*((8, 20) if n == 2 else (20, 8))) for n in (1, 2, 3)
            }
    tensors["language_model.output.weight"] = values(50, 8)
    tensors |= {"mlp1.1.weight": values(8, 64), "mlp1.3.weight": values(8, 8)}
    tensors["vision_model.embeddings.class_embedding"] = values(1, 1, 16)
    for i in range(3):
        layer = f"vision_model.encoder.layers.{i}."
        tensors |= {f"{layer}attn.qkv.weight": values(48, 16), f"{layer}attn.proj.weight": values(16, 16)}
        tensors |= {f"{layer}mlp.fc1.weight": values(64, 16), f"{layer}mlp.fc2.weight": values(16, 64)}
        tensors |= {f"{layer}ls1": values(16), f"{layer}norm1.weight": values(16)}
    config = {"model_type": "internvl_chat", "llm_config": CONFIG, "vision_config": {"num_hidden_layers": 3}}
    opened = open_weights(save_model(tmp_path, tensors, config, shards=3))
    assert (opened.family, opened.notices) == ("InternVL, in OpenGVLab's layout", ())
    assert counts(opened) == {"decoder": 2 * 7, "vision": 3 * 6, "projector": 2}
    assert modules(opened, "decoder") == DECODER
    assert modules(opened, "vision") == VISION
    assert opened.skipped["language_model.output.weight"] == "output head"
    if decoder == "internlm2":  # of 2 groups: two queries, one key, one value, of 3 rows each
        fused = tensors["language_model.model.layers.1.attention.wqkv.weight"].reshape(2, 4, 3, 8)
        for name, part in {"q_proj": fused[:, :2], "k_proj": fused[:, 2], "v_proj": fused[:, 3]}.items():
            np.testing.assert_array_equal(matrix(opened, "decoder", f"self_attn.{name}", 1), part.reshape(-1, 8))


def test_neox_interleaves_by_head_and_phi3_does_not(tmp_path: Path) -> None:
    fused = values(3 * 4 * 5, 20)
    neox = {"gpt_neox.layers.0.attention.query_key_value.weight": fused}
    opened = open_weights(save_model(tmp_path / "a", neox, {"model_type": "gpt_neox", "num_attention_heads": 4}))
    by_head = fused.reshape(4, 3, 5, 20)
    for i, name in enumerate("qkv"):
        np.testing.assert_array_equal(
            matrix(opened, "decoder", f"self_attn.{name}_proj"), by_head[:, i].reshape(20, 20)
        )
    phi = {
        "model.layers.0.self_attn.qkv_proj.weight": values(24, 8),
        "model.layers.0.mlp.gate_up_proj.weight": values(40, 8),
    }
    opened = open_weights(
        save_model(tmp_path / "b", phi, {**CONFIG, "model_type": "phi3", "num_hidden_layers": 1})
    )
    assert [stack.shape for stack in opened.stacks] == [(12, 8), (6, 8), (6, 8), (20, 8), (20, 8)]
    np.testing.assert_array_equal(
        matrix(opened, "decoder", "self_attn.v_proj"), phi["model.layers.0.self_attn.qkv_proj.weight"][18:]
    )
    np.testing.assert_array_equal(
        matrix(opened, "decoder", "mlp.up_proj"), phi["model.layers.0.mlp.gate_up_proj.weight"][20:]
    )


def test_gpt2_is_cut_along_its_columns(tmp_path: Path) -> None:
    fused = values(8, 24)
    tensors = {"h.0.attn.c_attn.weight": fused, "h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32)}
    opened = open_weights(save_model(tmp_path, tensors, {"model_type": "gpt2", "n_head": 2, "n_layer": 1}))
    assert all(stack.inputs_first for stack in opened.stacks)
    np.testing.assert_array_equal(matrix(opened, "decoder", "self_attn.k_proj"), fused[:, 8:16])
    assert opened.skipped == {"h.0.attn.bias": "bias"}


@pytest.mark.parametrize("inputs_first", [True, False])
def test_stacked_experts_are_matrices_of_their_own_either_way_round(tmp_path: Path, inputs_first: bool) -> None:
    up, down = values(3, 8, 12), values(3, 6, 8)
    if not inputs_first:
        up, down = up.swapaxes(1, 2).copy(), down.swapaxes(1, 2).copy()
    tensors = {"model.layers.0.mlp.experts.gate_up_proj": up, "model.layers.0.mlp.experts.down_proj": down}
    tensors["model.layers.0.mlp.gate.weight"] = values(3, 8)
    opened = open_weights(save_model(tmp_path, tensors, {"model_type": "qwen3_moe", "hidden_size": 8}))
    expected = {f"mlp.experts.{e}.{name}_proj" for e in range(3) for name in ("gate", "up", "down")}
    assert modules(opened, "decoder") == expected | {"mlp.router"}
    got = matrix(opened, "decoder", "mlp.experts.1.up_proj")
    np.testing.assert_array_equal(got, up[1][:, 6:] if inputs_first else up[1][6:])
    np.testing.assert_array_equal(matrix(opened, "decoder", "mlp.experts.2.down_proj"), down[2])


def test_gpt_oss_alternates_gate_and_up(tmp_path: Path) -> None:
    fused = values(2, 8, 12)
    tensors = {"model.layers.0.mlp.experts.gate_up_proj": fused, "model.layers.0.self_attn.sinks": values(4)}
    opened = open_weights(save_model(tmp_path, tensors, {"model_type": "gpt_oss", "hidden_size": 8}))
    np.testing.assert_array_equal(matrix(opened, "decoder", "mlp.experts.1.gate_proj"), fused[1][:, ::2])
    np.testing.assert_array_equal(matrix(opened, "decoder", "mlp.experts.1.up_proj"), fused[1][:, 1::2])


def test_one_tensor_for_each_expert(tmp_path: Path) -> None:
    tensors = {
        f"model.layers.{i}.mlp.experts.{e}.up_proj.weight": values(6, 8) for i in range(2) for e in range(12)
    }
    opened = open_weights(save_model(tmp_path, tensors))
    assert {stack.layers for stack in opened.stacks} == {(0, 1)}
    np.testing.assert_array_equal(
        matrix(opened, "decoder", "mlp.experts.11.up_proj", 1),
        tensors["model.layers.1.mlp.experts.11.up_proj.weight"],
    )


def test_what_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    integers = np.ones((4, 8), np.int32)
    tensors = llama_layers("model.")
    for name, array in {
        "self_attn.q_proj.qweight": integers,
        "self_attn.q_proj.qzeros": integers,
        "self_attn.q_proj.scales": values(4, 8),
        "mlp.experts.gate_up_proj_blocks": np.ones((2, 3, 4, 16), np.uint8),
        "mlp.experts.gate_up_proj_scales": np.ones((2, 3, 4), np.uint8),
        "mlp.up_proj.bias": values(20),
        "conv.weight": values(4, 4, 3, 3),
        "sinks": values(4),
    }.items():
        tensors[f"model.layers.7.{name}"] = array
    tensors |= {"lm_head.weight": values(50, 8), "model.embed_tokens.weight": values(50, 8)}
    tensors |= {"model.norm.weight": values(8), "logit_scale": values(), "position_ids": np.arange(5)[None]}
    folder = save_model(tmp_path, tensors)
    opened = open_weights(folder)
    assert Counter(opened.skipped.values()) == {
        "quantised (int32), cannot be read": 1, "quantised (uint8), cannot be read": 1,
        "scale of a quantised tensor": 3, "bias": 1, "convolution": 1, "a vector": 1, "output head": 1,
        "embedding": 1, "norm": 1, "a number": 1, "int64 is not a floating dtype": 1,
    }  # fmt: skip
    with_embeddings = open_weights(folder, embeddings=True)
    assert opened.skipped.keys() - with_embeddings.skipped.keys() == {
        "lm_head.weight",
        "model.embed_tokens.weight",
    }
    assert sum(counts(with_embeddings).values()) == sum(counts(opened).values()) + 2


def test_an_unknown_family_keeps_its_names_and_says_so(tmp_path: Path) -> None:
    tensors = {f"stages.{i}.{j}.mixer.weight": values(8, 8) for i in range(2) for j in range(3)}
    opened = open_weights(save_model(tmp_path, tensors, {"model_type": "new"}))
    assert opened.family == "own names"
    assert opened.notices == (
        "no family that is known here: 6 matrices stand under their own names, and figures over depth may mix or "
        "miss modules",
    )
    found = {(stack.module, layer) for stack in opened.stacks for layer in stack.layers}
    assert len(found) == 6, "no two matrices share a module and a layer"


@pytest.mark.parametrize(
    ("config", "notice"),
    [
        ({}, "2 fused matrices stand whole"),
        ({"num_attention_heads": 5, "num_key_value_heads": 2}, "2 fused matrices stand whole"),
        ({"num_attention_heads": "4", "num_key_value_heads": True}, "2 fused matrices stand whole"),
        ({**CONFIG, "num_hidden_layers": 9}, "the config says 9 layers of the decoder, the files have 2"),
    ],
)
def test_a_config_that_does_not_fit_is_a_notice(tmp_path: Path, config: Any, notice: str) -> None:
    tensors = {f"model.layers.{i}.self_attn.qkv_proj.weight": values(24, 8) for i in range(2)}
    opened = open_weights(save_model(tmp_path, tensors, config))
    assert opened.notices[0].startswith(notice)
    if "whole" in notice:
        assert modules(opened, "decoder") == {"self_attn.q_proj+k_proj+v_proj"}
