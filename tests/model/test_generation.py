"""What is generated with a cache is what the decoder says without one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import Config, ModelConfig, VisionConfig
from bench_shadows.data.special_tokens import IMAGE_ID
from bench_shadows.model.decoder import Decoder, parameters, with_parameters
from bench_shadows.model.generation import CHUNK, Sampling, build_generate
from bench_shadows.model.network import build_network

CONFIG = ModelConfig(
    num_layers=2,
    hidden_size=32,
    intermediate_size=48,
    num_heads=4,
    num_kv_heads=2,
    vocab_size=61,
    embedding_std=1.0,
)
NO_STOP = CONFIG.vocab_size  # no token is this one
LENGTHS = (1, 3, 15, 16, 17, 30)
NEW = CHUNK + 5

generate = build_generate(CONFIG)


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    """With a head that says different things at different places."""
    params = parameters(Decoder(CONFIG, rngs=nnx.Rngs(1)))
    return jax.tree.map(lambda leaf: 3 * leaf, params)


@pytest.fixture(scope="module")
def prompts() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, CONFIG.vocab_size, length) for length in LENGTHS]


def likeliest(
    params: Mapping[str, Any], prompt: np.ndarray, count: int, config: ModelConfig = CONFIG
) -> list[int]:
    """By the argmax over whole forward passes, padded on the right to one shape."""
    model = nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(0)))
    logits = jax.jit(lambda params, tokens: with_parameters(model, dict(params)).logits(tokens))
    text = list(prompt)
    for _ in range(count):
        row = np.pad(text, (0, max(LENGTHS) + NEW - len(text)))
        text.append(int(jnp.argmax(logits(params, row[None])[0, len(text) - 1])))
    return text[len(prompt) :]


def test_greedy_tokens_are_the_argmax_of_whole_passes(params: dict[str, Any], prompts: list[np.ndarray]) -> None:
    for prompt, new in zip(prompts, generate(params, prompts, NEW, NO_STOP), strict=True):
        assert new.tolist() == likeliest(params, prompt, NEW)


def test_a_tied_head_is_the_embedding(prompts: list[np.ndarray]) -> None:
    config = dataclasses.replace(CONFIG, tie_embeddings=True)
    params = parameters(Decoder(config, rngs=nnx.Rngs(2)))
    (new,) = build_generate(config)(params, prompts[-1:], 4, NO_STOP)
    assert new.tolist() == likeliest(params, prompts[-1], 4, config)


def test_a_text_ends_before_the_stop_token(params: dict[str, Any], prompts: list[np.ndarray]) -> None:
    whole = generate(params, prompts, NEW, NO_STOP)
    stop = int(whole[0][7])
    for before, after in zip(whole, generate(params, prompts, NEW, stop), strict=True):
        end = before.tolist().index(stop) if stop in before else NEW
        assert after.tolist() == before[:end].tolist()


def test_no_more_than_asked_for(params: dict[str, Any], prompts: list[np.ndarray]) -> None:
    whole = generate(params, prompts, NEW, NO_STOP)
    for count in (0, CHUNK + 1):
        for first, new in zip(whole, generate(params, prompts, count, NO_STOP), strict=True):
            assert new.tolist() == first[:count].tolist()
    assert generate(params, [], NEW, NO_STOP) == []
    with pytest.raises(ValueError, match="a prompt needs a token"):
        generate(params, [prompts[0][:0]], NEW, NO_STOP)


def test_rows_that_are_finished_stop_after_a_chunk(params: dict[str, Any], prompts: list[np.ndarray]) -> None:
    whole = generate(params, prompts, NEW, NO_STOP)
    word = int(whole[1][2])
    enough = generate(params, prompts, NEW, NO_STOP, finished=lambda new: word in new)
    assert len(enough[1]) == CHUNK
    for before, after in zip(whole, enough, strict=True):
        assert after.tolist() == before[: len(after)].tolist()
        assert len(after) == (CHUNK if word in before[:CHUNK] else NEW)


def test_what_is_sampled_does_not_depend_on_the_other_rows(
    params: dict[str, Any], prompts: list[np.ndarray]
) -> None:
    sampling = Sampling(temperature=1.0, seed=3)
    together = generate(params, prompts, NEW, NO_STOP, sampling)
    among_others = generate(params, [prompts[0], *reversed(prompts[1:])], NEW, NO_STOP, sampling)
    assert together[0].tolist() == among_others[0].tolist()
    again = generate(params, prompts, NEW, NO_STOP, sampling._replace(seed=4))
    assert any(one.tolist() != other.tolist() for one, other in zip(together, again, strict=True))


def test_sampled_frequencies_are_those_of_the_likeliest_tokens(params: dict[str, Any]) -> None:
    prompt, count, sampling = np.array([5, 9]), 4000, Sampling(temperature=60.0, top_p=0.6)
    model = with_parameters(nnx.eval_shape(lambda: Decoder(CONFIG, rngs=nnx.Rngs(0))), params)
    logits = np.asarray(model.logits(prompt[None])[0, -1], np.float64)
    expected = np.exp((logits - np.max(logits)) / sampling.temperature)
    expected /= expected.sum()
    ranked = np.argsort(-expected)
    kept = ranked[: int(np.searchsorted(np.cumsum(expected[ranked]), 0.6)) + 1]
    assert 5 < len(kept) < CONFIG.vocab_size / 2
    expected[np.setdiff1d(ranked, kept)] = 0
    expected /= expected.sum()
    drawn = np.concatenate(generate(params, [prompt] * count, 1, NO_STOP, sampling))
    found = np.bincount(drawn, minlength=CONFIG.vocab_size) / count
    assert (np.abs(found - expected) <= 4 * np.sqrt(expected / count)).all()


def test_prompts_of_every_length_see_their_own_image(prompts: list[np.ndarray]) -> None:
    vision = VisionConfig(
        image_size=12, patch_size=4, num_layers=2, hidden_size=16, intermediate_size=24, num_heads=2
    )
    network = build_network(Config(model=CONFIG, vision=vision), rngs=nnx.Rngs(1))
    network = with_parameters(network, jax.tree.map(lambda leaf: 2 * leaf, parameters(network)))
    images = np.random.default_rng(0).integers(0, 256, (len(prompts), 12, 12, 3)).astype(np.uint8)
    places = np.full(vision.image_tokens, IMAGE_ID)
    texts = [np.where(prompt == IMAGE_ID, IMAGE_ID + 1, prompt) for prompt in prompts]
    asked = [np.concatenate([places, text]) if i % 3 else text for i, text in enumerate(texts)]
    own = build_generate(CONFIG, vision)
    said = own(parameters(network), asked, 3, NO_STOP, images=images)
    logits = jax.jit(type(network).logits)
    for prompt, image, new in zip(asked, images, said, strict=True):
        row = np.pad([*prompt, *new], (0, 48 - len(prompt) - len(new)))
        shown = image[None] if prompt[0] == IMAGE_ID else None
        likely = np.argmax(logits(network, row[None], shown)[0], axis=-1)
        assert new.tolist() == likely[len(prompt) - 1 : len(prompt) + 2].tolist()
    darker = own(parameters(network), asked, 3, NO_STOP, images=images // 2)
    unseen = [one.tolist() == other.tolist() for one, other in zip(said, darker, strict=True)]
    assert unseen[::3] == [True, True], "prompts without an image"
    assert not all(unseen)
