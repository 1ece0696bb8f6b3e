"""Tiny models that transformers builds and saves: every module, layer and shape that the config makes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_shadows.diagnostics.weights.weights import open_weights

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

D, FF, V, L = 32, 48, 64, 2  # hidden size, inner size, words, layers
Shapes = dict[str, tuple[int, int]]
SIZES: dict[str, Any] = {"hidden_size": D, "num_hidden_layers": L, "num_attention_heads": 4, "vocab_size": V}
DECODER: dict[str, Any] = SIZES | {"intermediate_size": FF, "num_key_value_heads": 2, "pad_token_id": 0}
ENCODER: dict[str, Any] = SIZES | {"intermediate_size": FF, "pad_token_id": 0}
IMAGES: dict[str, Any] = {k: v for k, v in ENCODER.items() if k not in ("vocab_size", "pad_token_id")}
IMAGES |= {"image_size": 16, "patch_size": 8}
BOTH: dict[str, Any] = {f"{part}_{name}": size for part in ("encoder", "decoder")
                        for name, size in (("layers", L), ("attention_heads", 4), ("ffn_dim", FF))}  # fmt: skip
BOTH |= {"d_model": D, "vocab_size": V, "pad_token_id": 0}
T5: dict[str, Any] = {"d_model": D, "d_kv": 8, "d_ff": FF, "num_layers": L, "num_heads": 4, "vocab_size": V}
SPEECH = ENCODER | {"conv_dim": [8, 8], "conv_stride": [2, 2], "conv_kernel": [3, 3], "num_feat_extract_layers": 2}
SPEECH |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
GPT: dict[str, Any] = {"n_embd": D, "n_layer": L, "n_head": 4, "vocab_size": V}
MOE = {"num_experts": 4, "moe_intermediate_size": 12, "num_experts_per_tok": 2, "head_dim": 8}


def attention(kv: int = D, name: str = "self_attn") -> Shapes:
    return {f"{name}.{x}_proj": (kv if x in "kv" else D, D) for x in "qkvo"}


def mlp(inner: int = FF, gated: bool = True, name: str = "mlp") -> Shapes:
    found = {f"{name}.up_proj": (inner, D), f"{name}.down_proj": (D, inner)}
    return found | ({f"{name}.gate_proj": (inner, D)} if gated else {})


def experts(inner: int, count: int = 4, **more: tuple[int, int]) -> Shapes:
    found: Shapes = {"mlp.router": (count, D)} | more
    for expert in range(count):
        found |= mlp(inner, name=f"mlp.experts.{expert}")
    return found


LLAMA = attention(16) | mlp()
GATED, PLAIN = attention() | mlp(), attention() | mlp(gated=False)
WIDE = attention() | mlp(4 * D, gated=False)
CROSSED = PLAIN | attention(name="cross_attn")
STYLE, BERT = "Llama, Qwen, Mistral style decoder", "BERT style encoder"
BART, VIT = "BART, Whisper style encoder and decoder", "ViT, DINOv2 style image encoder"

# class, settings, family, the shapes of each component's layers, and those outside of layers
CASES: list[tuple[str, dict[str, Any], str, dict[str, Shapes], Shapes]] = [
    ("LlamaForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("MistralForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("Qwen2ForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("GraniteForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("OlmoForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("Olmo2ForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("CohereForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("StableLmForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("GlmForCausalLM", DECODER | {"head_dim": 8}, STYLE, {"decoder": LLAMA}, {}),
    ("Glm4ForCausalLM", DECODER | {"head_dim": 8}, STYLE, {"decoder": LLAMA}, {}),
    ("Phi3ForCausalLM", DECODER, STYLE, {"decoder": LLAMA}, {}),
    ("Starcoder2ForCausalLM", DECODER, STYLE, {"decoder": attention(16) | mlp(gated=False)}, {}),
    ("PersimmonForCausalLM", ENCODER, STYLE, {"decoder": PLAIN}, {}),
    ("BioGptForCausalLM", ENCODER, STYLE, {"decoder": PLAIN}, {}),
    (
        "XGLMForCausalLM",
        {"d_model": D, "num_layers": L, "attention_heads": 4, "ffn_dim": FF, "vocab_size": V},
        STYLE,
        {"decoder": PLAIN},
        {},
    ),
    ("MixtralForCausalLM", DECODER | {"num_local_experts": 4}, STYLE,
     {"decoder": attention(16) | experts(FF)}, {}),
    ("Qwen3MoeForCausalLM", DECODER | MOE, STYLE, {"decoder": attention(16) | experts(12)}, {}),
    ("OlmoeForCausalLM", DECODER | {"num_experts": 4}, STYLE, {"decoder": attention(16) | experts(FF)}, {}),
    ("GraniteMoeForCausalLM", DECODER | {"num_local_experts": 4}, STYLE,
     {"decoder": attention(16) | experts(FF)}, {}),
    ("GptOssForCausalLM", DECODER | {"num_local_experts": 4, "head_dim": 8}, "gpt-oss",
     {"decoder": attention(16) | experts(FF)}, {}),
    ("Llama4ForCausalLM", DECODER | {"num_local_experts": 4, "head_dim": 8, "intermediate_size_mlp": 40}, STYLE,
     {"decoder": attention(16) | experts(FF) | mlp(name="mlp.shared")}, {}),
    ("Gemma3ForCausalLM", DECODER | {"head_dim": 8}, "Gemma", {"decoder": LLAMA}, {}),
    ("GPT2LMHeadModel", GPT, "GPT-2", {"decoder": WIDE}, {}),
    ("GPTJForCausalLM", GPT | {"rotary_dim": 4}, "GPT-J, CodeGen", {"decoder": WIDE}, {}),
    ("CodeGenForCausalLM", GPT | {"rotary_dim": 4}, "GPT-J, CodeGen", {"decoder": WIDE}, {}),
    (
        "GPTNeoForCausalLM",
        {"hidden_size": D, "num_layers": L, "num_heads": 4, "vocab_size": V,
         "attention_types": [[["global", "local"], 1]]},
        "GPT-Neo",
        {"decoder": WIDE},
        {},
    ),
    ("GPTNeoXForCausalLM", ENCODER, "GPT-NeoX", {"decoder": PLAIN}, {}),
    ("GPTBigCodeForCausalLM", GPT, "StarCoder", {"decoder": attention(8) | mlp(4 * D, gated=False)}, {}),
    ("GPTBigCodeForCausalLM", GPT | {"multi_query": False}, "StarCoder", {"decoder": WIDE}, {}),
    ("BloomForCausalLM", {"hidden_size": D, "n_layer": L, "n_head": 4, "vocab_size": V}, "BLOOM, Falcon",
     {"decoder": WIDE}, {}),
    ("FalconForCausalLM", SIZES, "BLOOM, Falcon", {"decoder": attention(8) | mlp(4 * D, gated=False)}, {}),
    ("FalconForCausalLM", SIZES | {"multi_query": False}, "BLOOM, Falcon", {"decoder": WIDE}, {}),
    ("FalconForCausalLM", SIZES | {"new_decoder_architecture": True, "num_kv_heads": 2}, "BLOOM, Falcon",
     {"decoder": attention(16) | mlp(4 * D, gated=False)}, {}),
    ("MptForCausalLM", {"d_model": D, "n_layers": L, "n_heads": 4, "vocab_size": V}, "MPT", {"decoder": WIDE}, {}),
    ("MambaForCausalLM", {"hidden_size": D, "num_hidden_layers": L, "vocab_size": V, "state_size": 4}, "Mamba",
     {"decoder": {"mixer.in_proj": (128, D), "mixer.x_proj": (10, 64), "mixer.dt_proj": (64, 2),
                  "mixer.out_proj": (D, 64)}}, {}),
    ("BertModel", ENCODER, BERT, {"encoder": PLAIN}, {"pooler": (D, D)}),
    ("BertLMHeadModel", ENCODER | {"is_decoder": True, "add_cross_attention": True}, BERT,
     {"encoder": CROSSED}, {}),
    ("RobertaModel", ENCODER, BERT, {"encoder": PLAIN}, {"pooler": (D, D)}),
    ("ElectraModel", ENCODER | {"embedding_size": 16}, BERT, {"encoder": PLAIN}, {}),
    ("EsmModel", ENCODER, BERT, {"encoder": PLAIN}, {"pooler": (D, D)}),
    ("DebertaModel", ENCODER, BERT, {"encoder": PLAIN}, {}),
    ("DebertaV2Model", ENCODER, BERT, {"encoder": PLAIN}, {}),
    ("LayoutLMModel", ENCODER, BERT, {"encoder": PLAIN}, {"pooler": (D, D)}),
    ("DistilBertModel", {"dim": D, "n_layers": L, "n_heads": 4, "hidden_dim": FF, "vocab_size": V}, BERT,
     {"encoder": PLAIN}, {}),
    ("ModernBertModel", ENCODER | {f"{kind}_token_id": 1 for kind in ("eos", "bos", "cls", "sep")}, BERT,
     {"encoder": GATED}, {}),
    ("NomicBertModel", ENCODER, BERT, {"encoder": GATED}, {}),
    ("BartModel", BOTH, BART, {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("MBartModel", BOTH, BART, {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("MarianModel", BOTH, BART, {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("M2M100Model", BOTH, BART, {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("PegasusModel", BOTH, BART, {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("WhisperModel", BOTH | {"num_mel_bins": 16, "max_source_positions": 10, "max_target_positions": 10}, BART,
     {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("T5Model", T5, "T5", {"encoder": PLAIN, "decoder": CROSSED}, {}),
    ("T5EncoderModel", T5 | {"feed_forward_proj": "gated-gelu"}, "T5", {"encoder": GATED}, {}),
    ("UMT5Model", T5, "T5", {"encoder": GATED, "decoder": GATED | attention(name="cross_attn")}, {}),
    ("Wav2Vec2Model", SPEECH, "wav2vec 2.0, HuBERT", {"encoder": PLAIN}, {"feature_projection": (D, 8)}),
    ("HubertModel", SPEECH, "wav2vec 2.0, HuBERT", {"encoder": PLAIN}, {"feature_projection": (D, 8)}),
    ("ViTModel", IMAGES, VIT, {"vision": PLAIN}, {"pooler": (D, D)}),
    ("DeiTModel", IMAGES, VIT, {"vision": PLAIN}, {"pooler": (D, D)}),
    ("BeitModel", IMAGES, VIT, {"vision": PLAIN}, {}),
    ("Dinov2Model", IMAGES | {"mlp_ratio": 2}, VIT, {"vision": attention() | mlp(2 * D, gated=False)}, {}),
    ("Dinov2WithRegistersModel", IMAGES | {"mlp_ratio": 2, "use_swiglu_ffn": True}, VIT, {"vision": GATED}, {}),
    ("DINOv3ViTModel", IMAGES, VIT, {"vision": PLAIN}, {}),
]  # fmt: skip


def named(case: tuple[Any, ...]) -> str:
    return f"{case[0]}-{len(case[1])}"


@pytest.mark.parametrize(("name", "settings", "family", "layered", "single"), CASES, ids=map(named, CASES))
def test_every_module_layer_and_shape_is_the_configs(
    tmp_path: Path, name: str, settings: dict[str, Any], family: str, layered: dict[str, Shapes], single: Shapes
) -> None:
    kind = getattr(transformers, name)
    torch.manual_seed(0)
    model = kind(kind.config_class(**settings))
    model.save_pretrained(tmp_path)
    opened = open_weights(tmp_path)
    assert (opened.family, opened.notices) == (family, ())
    (component, *_) = layered
    expected: dict[tuple[str, str, int | None], tuple[int, int]] = {
        (part, word, i): shape
        for part, shapes in layered.items()
        for word, shape in shapes.items()
        for i in range(L)
    }
    expected |= {(component, word, None): shape for word, shape in single.items()}
    found = {}
    values = []
    for stack in opened.stacks:
        assert stack.inputs_first is not None
        for layer in stack.layers:
            key = (stack.component, stack.module, layer)
            assert key not in found, f"{key} stands twice"
            found[key] = stack.shape[::-1] if stack.inputs_first else stack.shape
        values.append(np.asarray(opened.read(stack), np.float64).ravel())
    assert found == expected
    # Nothing read twice, nothing lost: the entries read are those of the tensors that were read.
    parameters = dict(model.state_dict())
    read = {tensor for stack in opened.stacks for tensor in stack.tensors}
    known = [np.asarray(parameters[tensor], np.float64).ravel() for tensor in sorted(read & parameters.keys())]
    if read <= parameters.keys():  # experts are saved under other names than they have in the model
        assert np.concatenate(values).size == np.concatenate(known).size == opened.read_parameters
        np.testing.assert_array_equal(np.sort(np.concatenate(values)), np.sort(np.concatenate(known)))
    everything = sum(int(np.prod(leaf.shape)) for leaf in opened.tensors.values())
    assert opened.read_parameters + sum(one.parameters for one in opened.left_out) == everything


def test_codegens_values_come_before_its_keys(tmp_path: Path) -> None:
    """By what its code computes from the fused matrix."""
    model = transformers.CodeGenForCausalLM(transformers.CodeGenConfig(**(GPT | {"rotary_dim": 4})))
    model.save_pretrained(tmp_path)
    opened = open_weights(tmp_path)
    attention_of = model.transformer.h[1].attn
    states = torch.randn(1, 5, D)
    fused = attention_of.qkv_proj(states).reshape(1, 5, 4, -1)
    query, value, key = (part.reshape(1, 5, D) for part in torch.split(fused, D // 4, dim=-1))
    for short, expected in (("q", query), ("k", key), ("v", value)):
        stack = next(s for s in opened.stacks if s.module == f"self_attn.{short}_proj")
        ours = states.numpy()[0] @ opened.read(stack)[stack.layers.index(1)].T
        np.testing.assert_allclose(ours, expected[0].detach().numpy(), rtol=1e-4, atol=1e-6)
