"""Our decoder and transformers' Llama are the same function of the same weights."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import ModelConfig
from bench_shadows.errors import DataError
from bench_shadows.model.decoder import Decoder, parameters, with_parameters
from bench_shadows.model.huggingface import names_of, read_parameter, to_hugging_face

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


def read(config: ModelConfig, tensors: dict[str, np.ndarray], params: Any) -> Any:
    """Our whole parameters from their tensors."""

    def whole(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        index = (slice(None),) * leaf.ndim
        return read_parameter(tensors, config, ".".join(key.key for key in path), index)

    return jax.tree_util.tree_map_with_path(whole, params)


@pytest.mark.parametrize("tied", [True, False])
def test_there_and_back_gives_the_same_weights(tied: bool) -> None:
    config = dataclasses.replace(CONFIG, tie_embeddings=tied)
    params = parameters(decoder(config))
    tensors = to_hugging_face(params)
    assert tensors.keys() == names_of(config)
    jax.tree.map(np.testing.assert_array_equal, params, read(config, tensors, params))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("layers.self_attn.k_proj.kernel", (slice(1, 3), slice(8, 16), slice(None))),
        ("layers.mlp.down_proj.kernel", (slice(None), slice(0, 5), slice(3, None))),
        ("layers.input_layernorm.scale", (slice(2, 3), slice(None))),
        ("embed_tokens.embedding", (slice(90, 97), slice(0, 16))),
        ("lm_head.kernel", (slice(0, 16), slice(90, None))),
        ("norm.scale", (slice(4, 9),)),
    ],
)
def test_a_part_of_a_parameter_is_that_part(name: str, index: tuple[slice, ...]) -> None:
    config = dataclasses.replace(CONFIG, tie_embeddings=False)
    params = parameters(decoder(config))
    whole = functools.reduce(lambda tree, key: tree[key], name.split("."), params)
    part = read_parameter(to_hugging_face(params), config, name, index)
    np.testing.assert_array_equal(part, whole[index])


def test_rows_of_the_vocabulary_that_are_not_there_are_the_mean_and_take_little() -> None:
    small = dataclasses.replace(CONFIG, tie_embeddings=False)
    large = dataclasses.replace(small, vocab_size=112)
    model, bigger = decoder(small), decoder(large)
    params = read(large, to_hugging_face(parameters(model)), parameters(bigger))
    tokens = np.random.default_rng(0).integers(0, 97, (2, 20))
    before, after = model.logits(tokens), with_parameters(bigger, params).logits(tokens)
    np.testing.assert_allclose(after[..., :97], before, atol=1e-5)
    np.testing.assert_allclose(after[..., 97:], np.repeat(before.mean(-1, keepdims=True), 15, -1), atol=1e-5)
    assert (jax.nn.softmax(after)[..., 97:].sum(-1) <= 15 / 112 + 1e-6).all()
    part = read_parameter(
        to_hugging_face(parameters(model)), large, "embed_tokens.embedding", (slice(100, 104), slice(None))
    )
    np.testing.assert_array_equal(part, params["embed_tokens"]["embedding"][100:104])


def test_a_missing_tensor_and_a_wrong_shape_are_named() -> None:
    params = parameters(decoder(CONFIG))
    tensors = to_hugging_face(params)
    wider = dataclasses.replace(CONFIG, intermediate_size=64)
    with pytest.raises(DataError, match=r"mlp\.down_proj\.weight has the shape \[32, 48\] .*\[32, 64\]"):
        read(wider, tensors, params)
    del tensors["model.layers.2.mlp.up_proj.weight"]
    with pytest.raises(DataError, match=r"model\.layers\.2\.mlp\.up_proj\.weight is missing"):
        read(CONFIG, tensors, params)
