"""Our decoder and transformers' Llama are the same function of the same weights."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import ModelConfig
from bench_shadows.errors import DataError
from bench_shadows.model.decoder import Decoder, parameters
from bench_shadows.model.huggingface import from_hugging_face, to_hugging_face

CONFIG = ModelConfig(
    num_layers=3, hidden_size=32, intermediate_size=48, num_heads=4, num_kv_heads=2, vocab_size=97, norm_eps=1e-5
)


def decoder(config: ModelConfig) -> Decoder:
    """A decoder whose norms' scales are not all one, so that a misplaced scale shows."""
    model = Decoder(config, rngs=nnx.Rngs(1))
    for scale in (model.norm.scale, model.layers.input_layernorm.scale):
        scale[...] = scale[...] + jax.random.normal(jax.random.key(2), scale[...].shape) * 0.2
    return model


@pytest.mark.peers
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_logits_equal_transformers_llama(tied: bool, kv_heads: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = dataclasses.replace(CONFIG, tie_embeddings=tied, num_kv_heads=kv_heads)
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=tied,
        )
    ).eval()
    model = decoder(config)
    tensors = {name: torch.tensor(array) for name, array in to_hugging_face(parameters(model)).items()}
    missing = llama.load_state_dict(tensors, strict=False)
    assert missing.unexpected_keys == []
    assert missing.missing_keys == (["lm_head.weight"] if tied else [])
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (2, 40))
    with torch.no_grad():
        expected = llama(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(model.logits(tokens), expected, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_there_and_back_gives_the_same_weights(tied: bool) -> None:
    config = dataclasses.replace(CONFIG, tie_embeddings=tied)
    params = parameters(decoder(config))
    back = from_hugging_face(to_hugging_face(params), config)
    jax.tree.map(np.testing.assert_array_equal, params, back)


def test_a_missing_tensor_is_named() -> None:
    tensors = to_hugging_face(parameters(decoder(CONFIG)))
    del tensors["model.layers.2.mlp.up_proj.weight"]
    with pytest.raises(DataError, match=r"model\.layers\.2\.mlp\.up_proj\.weight is missing"):
        from_hugging_face(tensors, CONFIG)
