"""The decoder: its weights at birth, and the ways of computing it that must not differ."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import ModelConfig
from bench_shadows.model.decoder import Decoder, parameters, with_parameters
from bench_shadows.model.loss import cross_entropy, next_tokens

CONFIG = ModelConfig(
    num_layers=3, hidden_size=16, intermediate_size=24, num_heads=4, num_kv_heads=2, vocab_size=50
)
TOKENS = np.random.default_rng(0).integers(0, 50, (2, 12))


@functools.cache
def loss_and_gradients(**options: Any) -> tuple[jax.Array, Any]:
    model = Decoder(CONFIG, rngs=nnx.Rngs(0), **options)

    def loss(params: Any) -> jax.Array:
        network = with_parameters(model, params)
        return cross_entropy(network(TOKENS), network.head(), *next_tokens(jnp.asarray(TOKENS)), 8)[0]

    return jax.jit(jax.value_and_grad(loss))(parameters(model))


@pytest.mark.parametrize(
    ("scan_layers", "remat"),
    [(True, "none"), *itertools.product((True, False), ("gate_up", "gate", "attention", "full"))],
)
def test_scanning_and_rematerialising_change_nothing(scan_layers: bool, remat: str) -> None:
    expected = loss_and_gradients(scan_layers=False, remat="none")
    actual = loss_and_gradients(scan_layers=scan_layers, remat=remat)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-5), actual, expected)


def test_parameters_are_the_tree_on_disk() -> None:
    shapes = jax.tree.map(lambda leaf: leaf.shape, parameters(Decoder(CONFIG, rngs=nnx.Rngs(0))))
    assert shapes == {
        "embed_tokens": {"embedding": (50, 16)},
        "layers": {
            "input_layernorm": {"scale": (3, 16)},
            "post_attention_layernorm": {"scale": (3, 16)},
            "self_attn": {
                "q_proj": {"kernel": (3, 16, 16)},
                "k_proj": {"kernel": (3, 16, 8)},
                "v_proj": {"kernel": (3, 16, 8)},
                "o_proj": {"kernel": (3, 16, 16)},
            },
            "mlp": {
                "gate_proj": {"kernel": (3, 16, 24)},
                "up_proj": {"kernel": (3, 16, 24)},
                "down_proj": {"kernel": (3, 24, 16)},
            },
        },
        "norm": {"scale": (16,)},
    }


def test_an_untied_head_is_a_matrix_of_its_own() -> None:
    params = parameters(Decoder(dataclasses.replace(CONFIG, tie_embeddings=False), rngs=nnx.Rngs(0)))
    assert params["lm_head"]["kernel"].shape == (16, 50)


def test_linear_layers_are_xavier_uniform_by_the_shape_of_one_layer() -> None:
    config = dataclasses.replace(CONFIG, num_layers=20, hidden_size=64, intermediate_size=96)
    layers = parameters(Decoder(config, rngs=nnx.Rngs(0)))["layers"]
    for kernel in (layers["mlp"]["up_proj"]["kernel"], layers["self_attn"]["v_proj"]["kernel"]):
        bound = math.sqrt(6 / (kernel.shape[1] + kernel.shape[2]))
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(kernel.std(axis=(1, 2)), bound / math.sqrt(3), rtol=0.05)
        assert len(np.unique(kernel[:, 0, 0])) == 20, "layers are drawn apart"


def test_the_embedding_is_normal_with_the_given_deviation() -> None:
    config = dataclasses.replace(CONFIG, vocab_size=4000, embedding_std=0.02)
    np.testing.assert_allclose(
        parameters(Decoder(config, rngs=nnx.Rngs(0)))["embed_tokens"]["embedding"].std(), 0.02, rtol=0.02
    )


def test_weights_follow_the_seed() -> None:
    one, same, other = (parameters(Decoder(CONFIG, rngs=nnx.Rngs(seed))) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one["embed_tokens"]["embedding"], other["embed_tokens"]["embedding"])


def test_a_prefix_has_the_same_logits() -> None:
    model = Decoder(CONFIG, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(model.logits(TOKENS)[:, :5], model.logits(TOKENS[:, :5]), atol=1e-5)


def test_bfloat16_computes_in_bfloat16_on_float32_parameters() -> None:
    exact, rounded = (Decoder(CONFIG, rngs=nnx.Rngs(0), compute_dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert rounded(TOKENS).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(parameters(rounded))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(rounded.logits(TOKENS), exact.logits(TOKENS), atol=0.05)
