"""Bits per byte and deciles are sums over tokens that can be checked by hand."""

import math

import jax
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import Config, ModelConfig, TrainConfig
from bench_shadows.evaluation.likelihood import (
    build_losses,
    likelihood_rows,
    position_ranges,
    sequence_losses,
)
from bench_shadows.model.decoder import Decoder, parameters

TINY = ModelConfig(
    num_layers=2,
    hidden_size=16,
    intermediate_size=32,
    num_heads=2,
    num_kv_heads=1,
    vocab_size=50,
    embedding_std=0.5,
)
CONFIG = Config(model=TINY, train=TrainConfig(loss_chunk=64))


def test_losses_are_the_negative_log_of_the_softmax_of_the_logits() -> None:
    model = Decoder(TINY, rngs=nnx.Rngs(0))
    rows = np.random.default_rng(0).integers(0, 50, (70, 12), dtype=np.uint32)
    losses = build_losses(CONFIG)(parameters(model), rows)
    logits = model.logits(rows.astype(np.int32))[:, :-1]
    expected = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), rows[:, 1:, None].astype(int), axis=-1)[
        ..., 0
    ]
    assert losses.shape == (70, 11)
    np.testing.assert_allclose(losses, expected, atol=1e-5)


def test_a_model_of_one_nat_a_token_has_the_bits_per_byte_of_its_bytes() -> None:
    rows = np.array([[1, 2, 3, 0], [3, 3, 3, 3]])
    losses = np.ones((2, 3))
    lengths = np.array([0, 1, 2, 4])  # bytes of tokens 0 (end of text) to 3
    deciles = np.array([10, 1, 5, 10])
    table = likelihood_rows(losses, rows, np.array(["prose", "code"]), lengths[rows], deciles)
    values = {(row["task"], row["metric"]): (row["value"], row["count"]) for row in table}
    assert values["prose", "bits_per_byte"] == (pytest.approx(2 / math.log(2) / 6), 2)
    assert values["code", "bits_per_byte"] == (pytest.approx(3 / math.log(2) / 12), 3)
    assert values["all", "bits_per_byte"] == (pytest.approx(5 / math.log(2) / 18), 5)
    assert values["decile-10", "loss_nats_per_token"] == (1.0, 4)
    assert values["decile-2", "loss_nats_per_token"] == (None, 0)


def test_sequences_of_any_length_have_the_losses_that_they_have_alone() -> None:
    model = Decoder(TINY, rngs=nnx.Rngs(0))
    generator = np.random.default_rng(0)
    sequences = [generator.integers(0, 50, length) for length in (3, 40, 31, 130, 2)]
    losses, params = build_losses(CONFIG), parameters(model)
    together = sequence_losses(losses, params, sequences, padding=0)
    for sequence, found in zip(sequences, together, strict=True):
        np.testing.assert_allclose(found, losses(params, sequence[None])[0], atol=1e-5)


def test_positions_double_and_cover_the_row_once() -> None:
    assert position_ranges(128) == [(1, 7), (8, 15), (16, 31), (32, 63), (64, 127)]
    for length in (8, 9, 32, 100, 4096):
        covered = [place for first, last in position_ranges(length) for place in range(first, last + 1)]
        assert covered == list(range(1, length))


def test_loss_by_position_is_the_mean_over_the_text_tokens_of_its_range() -> None:
    rows = np.array([[1] * 20, [1] * 19 + [0]])
    losses = np.tile(np.arange(1.0, 20.0), (2, 1))  # a token with p tokens before it costs p nats
    ones, deciles = np.array([0, 1]), np.array([10, 1])
    table = likelihood_rows(losses, rows, np.array(["prose", "prose"]), ones[rows], deciles)
    values = {row["task"]: (row["value"], row["count"]) for row in table if row["suite"] == "position"}
    assert values == {
        "1-7": (pytest.approx(4.0), 14),
        "8-15": (pytest.approx(11.5), 16),
        "16-19": (pytest.approx((2 * (16 + 17 + 18) + 19) / 7), 7),
    }
