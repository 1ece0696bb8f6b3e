"""Bits per byte and deciles are sums over tokens that can be checked by hand."""

import math

import jax
import numpy as np
import pytest
from flax import nnx

from bench_shadows.config import ModelConfig
from bench_shadows.evaluation.likelihood import build_losses, likelihood_rows
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


def test_losses_are_the_negative_log_of_the_softmax_of_the_logits() -> None:
    model = Decoder(TINY, rngs=nnx.Rngs(0))
    rows = np.random.default_rng(0).integers(0, 50, (70, 12), dtype=np.uint32)
    losses = build_losses(TINY, loss_chunk=64)(parameters(model), rows)
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
    table = likelihood_rows(losses, rows, np.array(["prose", "code"]), lengths, deciles, end_of_text=0)
    values = {(row["task"], row["metric"]): (row["value"], row["count"]) for row in table}
    assert values["prose", "bits_per_byte"] == (pytest.approx(2 / math.log(2) / 6), 2)
    assert values["code", "bits_per_byte"] == (pytest.approx(3 / math.log(2) / 12), 3)
    assert values["all", "bits_per_byte"] == (pytest.approx(5 / math.log(2) / 18), 5)
    assert values["decile-10", "loss_nats_per_token"] == (1.0, 4)
    assert values["decile-2", "loss_nats_per_token"] == (None, 0)
