"""Tiny models, saved by transformers itself: every matrix is known, and as many as the config says."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_shadows.diagnostics.weights.weights import open_weights

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}
DECODER: dict[str, Any] = SIZES | {"intermediate_size": 64, "num_key_value_heads": 2}
ENCODER: dict[str, Any] = SIZES | {"intermediate_size": 64}
TOWER: dict[str, Any] = ENCODER | {"num_hidden_layers": 3, "image_size": 16, "patch_size": 8}
TOWER.pop("vocab_size")
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2]}
QWEN_VISION = {"depth": 3, "hidden_size": 32, "num_heads": 4, "out_hidden_size": 32, "patch_size": 4}
QWEN3_VISION = QWEN_VISION | {
    "intermediate_size": 48,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0, 1],
}
EXPERTS = {"num_experts": 4, "moe_intermediate_size": 12, "num_experts_per_tok": 2}

LLAMA = "Llama, Qwen, Mistral style decoder"
MOE = 2 * (4 + 1 + 4 * 3)  # attention, router, experts

# model, config, its settings, the family, and how many matrices of each component its sizes make
CASES = [
    ("Qwen3ForCausalLM", DECODER | {"head_dim": 8}, LLAMA, {"decoder": 14}),
    ("LlamaForCausalLM", DECODER, LLAMA, {"decoder": 14}),
    ("MistralForCausalLM", DECODER, LLAMA, {"decoder": 14}),
    ("GemmaForCausalLM", DECODER | {"head_dim": 8}, "Gemma", {"decoder": 14}),
    ("Phi3ForCausalLM", DECODER | {"pad_token_id": 0}, LLAMA, {"decoder": 14}),
    ("PhiForCausalLM", DECODER, LLAMA, {"decoder": 12}),
    ("OPTForCausalLM", SIZES | {"ffn_dim": 64, "word_embed_proj_dim": 32}, LLAMA, {"decoder": 12}),
    ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64}, "GPT-2", {"decoder": 12}),
    ("GPTNeoXForCausalLM", ENCODER, "GPT-NeoX", {"decoder": 12}),
    (
        "BloomForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64},
        "BLOOM, Falcon",
        {"decoder": 12},
    ),
    ("BertModel", ENCODER, "BERT style encoder", {"encoder": 13}),
    ("BertForMaskedLM", ENCODER, "BERT style encoder", {"encoder": 12}),
    ("MPNetModel", ENCODER, "BERT style encoder", {"encoder": 13}),
    ("MixtralForCausalLM", DECODER | {"num_local_experts": 4}, LLAMA, {"decoder": MOE}),
    ("Qwen3MoeForCausalLM", DECODER | EXPERTS | {"head_dim": 8}, LLAMA, {"decoder": MOE}),
    ("GptOssForCausalLM", DECODER | {"head_dim": 8, "num_local_experts": 4}, "gpt-oss", {"decoder": MOE}),
    (
        "CLIPModel",
        {"text_config": ENCODER, "vision_config": TOWER, "projection_dim": 16},
        "CLIP, SigLIP",
        {"encoder": 12, "vision": 18, "projector": 2},
    ),
    (
        "SiglipModel",
        {"text_config": ENCODER, "vision_config": TOWER},
        "CLIP, SigLIP",
        {"encoder": 12, "vision": 18 + 6, "projector": 1},
    ),
    (
        "Qwen3VLForConditionalGeneration",
        {"text_config": DECODER | {"head_dim": 8, "rope_scaling": MROPE}, "vision_config": QWEN3_VISION},
        "Qwen-VL",
        {"decoder": 14, "vision": 18, "projector": 6},
    ),
    (
        "Qwen3VLMoeForConditionalGeneration",
        {"text_config": DECODER | EXPERTS | {"head_dim": 8, "rope_scaling": MROPE}, "vision_config": QWEN3_VISION},
        "Qwen-VL",
        {"decoder": MOE, "vision": 18, "projector": 6},
    ),
    (
        "InternVLForConditionalGeneration",
        {
            "text_config": DECODER | {"head_dim": 8, "model_type": "qwen3"},
            "vision_config": TOWER | {"image_size": [16, 16], "patch_size": [8, 8]},
        },
        "InternVL, as transformers saves it",
        {"decoder": 14, "vision": 18, "projector": 2},
    ),
    (
        "LlavaForConditionalGeneration",
        {
            "text_config": DECODER | {"model_type": "llama"},
            "vision_config": TOWER | {"model_type": "clip_vision_model"},
        },
        "LLaVA",
        {"decoder": 14, "vision": 18, "projector": 2},
    ),
]


@pytest.mark.parametrize(("name", "settings", "family", "expected"), CASES, ids=[case[0] for case in CASES])
def test_every_matrix_is_known(
    tmp_path: Path, name: str, settings: dict[str, Any], family: str, expected: dict[str, int]
) -> None:
    kind = getattr(transformers, name)
    torch.manual_seed(0)
    model = kind(kind.config_class(**settings))
    model.save_pretrained(tmp_path)
    opened = open_weights(tmp_path)
    assert (opened.family, opened.notices) == (family, ())
    found: Counter[str] = Counter()
    for stack in opened.stacks:
        found[stack.component] += len(stack.layers)
        assert opened.read(stack).shape == (len(stack.layers), *stack.shape)
    assert found == expected
    two_dimensional = [k for k, leaf in opened.tensors.items() if len(leaf.shape) >= 2 and k in opened.skipped]
    reasons = {opened.skipped[k] for k in two_dimensional}
    allowed = {"embedding", "output head", "patch embedding", "bias"}
    assert {reason for reason in reasons if not reason.startswith("3 dimensions")} <= allowed


def test_cut_queries_keys_and_values_are_the_models_own(tmp_path: Path) -> None:
    """GPT-NeoX's, by what its code computes: the query of head 1 from rows of the fused matrix."""
    model = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**ENCODER))
    model.save_pretrained(tmp_path)
    opened = open_weights(tmp_path)
    layer = model.gpt_neox.layers[1].attention
    states = torch.randn(1, 5, 32)
    fused = torch.nn.functional.linear(states, layer.query_key_value.weight)
    heads = fused.view(1, 5, 4, 3 * 8).transpose(1, 2).chunk(3, dim=-1)  # as its forward pass does
    for name, expected in zip("qkv", heads, strict=True):
        stack = next(s for s in opened.stacks if s.module == f"self_attn.{name}_proj")
        ours = states.numpy()[0] @ opened.read(stack)[stack.layers.index(1)].T
        np.testing.assert_allclose(
            ours, expected[0].transpose(0, 1).reshape(5, 32).detach().numpy(), rtol=1e-4, atol=1e-6
        )
