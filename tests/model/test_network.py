"""The network with an image encoder: what it sees, where it puts it, and the decoder that is left as it was."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import Config, ModelConfig, VisionConfig
from bench_shadows.data.special_tokens import IMAGE_ID
from bench_shadows.model.decoder import Decoder, parameters, with_parameters
from bench_shadows.model.loss import cross_entropy, next_tokens
from bench_shadows.model.network import VisionLanguageModel, build_network
from bench_shadows.model.vision import patches

CONFIG = Config(
    model=ModelConfig(
        num_layers=2, hidden_size=16, intermediate_size=24, num_heads=4, num_kv_heads=2, vocab_size=50
    ),
    vision=VisionConfig(
        image_size=12, patch_size=4, num_layers=3, hidden_size=8, intermediate_size=20, num_heads=2
    ),
)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 12, 12, 3)).astype(np.uint8)
TOKENS = RANDOM.integers(4, 50, (3, 16))
TOKENS[:2, :9] = IMAGE_ID  # the third row has no image


def network(**options: Any) -> Decoder:
    return build_network(CONFIG, rngs=nnx.Rngs(0), **options)


@functools.cache
def loss_and_gradients(**options: Any) -> tuple[jax.Array, Any]:
    model = network(**options)

    def loss(params: Any) -> jax.Array:
        own = with_parameters(model, params)
        return cross_entropy(own(TOKENS, IMAGES), own.head(), *next_tokens(jnp.asarray(TOKENS)), 8)[0]

    return jax.jit(jax.value_and_grad(loss))(parameters(model))


def test_without_an_image_size_it_is_the_decoder() -> None:
    text_only = dataclasses.replace(CONFIG, vision=VisionConfig())
    assert type(build_network(text_only, rngs=nnx.Rngs(0))) is Decoder
    with pytest.raises(ValueError, match="sees no images"):
        build_network(text_only, rngs=nnx.Rngs(0))(TOKENS, IMAGES)


def test_parameters_are_the_decoders_and_those_of_the_encoder_and_projector() -> None:
    shapes = jax.tree.map(lambda leaf: leaf.shape, parameters(network()))
    affine = {name: {"kernel": (3, 8, 8), "bias": (3, 8)} for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    assert shapes.pop("vision") == {
        "patch_embedding": {"kernel": (48, 8), "bias": (8,)},
        "position_embedding": (9, 8),
        "layers": {
            "layer_norm1": {"scale": (3, 8), "bias": (3, 8)},
            "self_attn": affine,
            "layer_norm2": {"scale": (3, 8), "bias": (3, 8)},
            "mlp": {
                "fc1": {"kernel": (3, 8, 20), "bias": (3, 20)},
                "fc2": {"kernel": (3, 20, 8), "bias": (3, 8)},
            },
        },
    }
    assert shapes.pop("projector") == {
        "linear_1": {"kernel": (8, 16), "bias": (16,)},
        "linear_2": {"kernel": (16, 16), "bias": (16,)},
    }
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, parameters(Decoder(CONFIG.model, rngs=nnx.Rngs(0))))


def test_its_decoder_is_born_as_a_decoder_alone_and_without_images_is_one() -> None:
    alone, model = Decoder(CONFIG.model, rngs=nnx.Rngs(0)), network()
    own, expected = parameters(model), parameters(alone)
    jax.tree.map(np.testing.assert_array_equal, {name: own[name] for name in expected}, expected)
    np.testing.assert_array_equal(model.logits(TOKENS), alone.logits(TOKENS))


def test_a_patch_is_a_square_of_pixels_from_the_upper_left_row_by_row() -> None:
    seen = patches(jnp.asarray(IMAGES), 4, jnp.float32)
    assert seen.shape == (3, 9, 48)
    pixels = IMAGES[1, 4:8, 8:12].reshape(-1)  # the second row's third
    np.testing.assert_allclose(seen[1, 5], pixels / 63.75 - 4, atol=1e-6)
    assert seen.min() >= -4
    assert seen.max() <= 0, "white is 0"


def test_the_places_of_an_image_get_its_patches_in_order_wherever_they_stand() -> None:
    model = network()
    assert isinstance(model, VisionLanguageModel)
    features = model.see(jnp.asarray(IMAGES))
    text = Decoder.embed(model, jnp.asarray(TOKENS))
    for shift in (0, 3):
        moved = model.embed(jnp.roll(jnp.asarray(TOKENS), shift, axis=1), jnp.asarray(IMAGES))
        embedded = np.roll(moved, -shift, axis=1)
        np.testing.assert_allclose(embedded[:2, :9], features[:2], atol=1e-6)
        np.testing.assert_array_equal(embedded[:, 9:], text[:, 9:])
        np.testing.assert_array_equal(embedded[2], text[2])


def test_what_stands_in_the_image_of_a_row_without_one_changes_nothing() -> None:
    model = network()
    other = np.where(np.arange(3)[:, None, None, None] == 2, 255 - IMAGES, IMAGES)
    np.testing.assert_array_equal(model.logits(TOKENS, IMAGES), model.logits(TOKENS, other))
    assert not np.array_equal(model.logits(TOKENS, IMAGES), model.logits(TOKENS, IMAGES[::-1]))


def test_every_patch_sees_every_other_one() -> None:
    model = network()
    assert isinstance(model, VisionLanguageModel)
    darker = IMAGES.copy()
    darker[:, -4:, -4:] //= 2  # of the last patch
    assert (np.abs(model.see(jnp.asarray(darker)) - model.see(jnp.asarray(IMAGES))).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize(("scan_layers", "remat"), [(True, "gate"), (False, "full")])
def test_scanning_and_rematerialising_change_nothing(scan_layers: bool, remat: str) -> None:
    expected = loss_and_gradients(scan_layers=False)
    actual = loss_and_gradients(scan_layers=scan_layers, remat=remat)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-5), actual, expected)


def test_every_weight_of_encoder_and_projector_is_trained() -> None:
    _, gradients = loss_and_gradients(scan_layers=False)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        # Softmax does not see what is added to all scores of a query.
        if "k_proj" not in jax.tree_util.keystr(path) or "bias" not in jax.tree_util.keystr(path):
            assert np.abs(gradient).max() > 1e-7, jax.tree_util.keystr(path)


def test_bfloat16_computes_in_bfloat16_on_float32_parameters() -> None:
    exact, rounded = network(), network(compute_dtype="bfloat16")
    assert rounded.embed(jnp.asarray(TOKENS), jnp.asarray(IMAGES)).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(parameters(rounded))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(rounded.logits(TOKENS, IMAGES), exact.logits(TOKENS, IMAGES), atol=0.05)
