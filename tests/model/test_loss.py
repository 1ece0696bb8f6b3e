"""The chunked cross-entropy is the dense one, with its gradients; in samples only answers count."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID, IMAGE_ID, USER_ID
from bench_shadows.model.loss import answer_weights, cross_entropy, next_tokens, token_losses

ROWS, LENGTH, WIDTH, VOCABULARY = 3, 10, 8, 29


def example() -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (ROWS, LENGTH, WIDTH))
    head = jax.random.normal(keys[1], (WIDTH, VOCABULARY))
    targets = jax.random.randint(keys[2], (ROWS, LENGTH), 0, VOCABULARY)
    return hidden, head, targets, jax.random.uniform(keys[3], (ROWS, LENGTH))


def dense(hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(hidden @ head, targets)
    return (losses * weights).sum()


@pytest.mark.parametrize("chunk_tokens", [1, 3, 7, 12, 30, 10_000])
def test_chunks_give_the_dense_loss_and_gradients(chunk_tokens: int) -> None:
    hidden, head, targets, weights = example()

    def chunked(hidden: jax.Array, head: jax.Array) -> jax.Array:
        return 2.5 * cross_entropy(hidden, head, targets, weights, chunk_tokens)[0]

    expected, expected_gradients = jax.value_and_grad(
        lambda hidden, head: 2.5 * dense(hidden, head, targets, weights), argnums=(0, 1)
    )(hidden, head)
    loss, gradients = jax.jit(jax.value_and_grad(chunked, argnums=(0, 1)))(hidden, head)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(chunked(hidden, head), expected, rtol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk_tokens", [4, 9, 10_000])
def test_losses_of_single_tokens_are_minus_log_probabilities(chunk_tokens: int) -> None:
    hidden, head, targets, _ = example()
    expected = optax.softmax_cross_entropy_with_integer_labels(hidden @ head, targets)
    np.testing.assert_allclose(token_losses(hidden, head, targets, chunk_tokens), expected, rtol=1e-5)


def test_the_sum_of_weights_comes_along() -> None:
    hidden, head, targets, weights = example()
    np.testing.assert_allclose(cross_entropy(hidden, head, targets, weights, 6)[1], weights.sum(), rtol=1e-6)


def test_targets_are_the_next_tokens_and_the_last_position_has_none() -> None:
    targets, weights = next_tokens(jnp.array([[5, 6, 7], [1, 2, 3]]))
    np.testing.assert_array_equal(targets[:, :-1], [[6, 7], [2, 3]])
    np.testing.assert_array_equal(weights, [[1, 1, 0], [1, 1, 0]])


def test_half_precision_hidden_states_keep_a_float32_loss() -> None:
    hidden, head, targets, weights = example()
    loss, _ = cross_entropy(hidden.astype(jnp.bfloat16), head.astype(jnp.bfloat16), targets, weights, 6)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, dense(hidden, head, targets, weights), rtol=2e-2)


MARKERS = st.lists(st.integers(END_ID, ASSISTANT_ID + 4), min_size=1, max_size=24)


@given(MARKERS)
@settings(max_examples=50, deadline=None)
def test_what_counts_is_what_the_assistant_says_and_that_it_ends(row: list[int]) -> None:
    """Read one token after the other: who speaks when the next one comes?"""
    speaks, expected = False, []
    for token in row[:-1]:
        if token in (IMAGE_ID, USER_ID, ASSISTANT_ID, END_ID):
            speaks = token == ASSISTANT_ID
        expected.append(speaks)
    padded = jnp.array([row + [END_ID] * (24 - len(row))])  # one shape, one program
    weights = answer_weights(padded)[0]
    assert weights[: len(row) - 1].tolist() == expected
    assert not weights[len(row) :].any()


def test_an_answer_counts_with_its_end_and_nothing_else_of_a_row() -> None:
    row = [IMAGE_ID, IMAGE_ID, USER_ID, 9, ASSISTANT_ID, 8, 7, END_ID, USER_ID, 6, ASSISTANT_ID, 5, END_ID, END_ID]
    tokens = jnp.array([row])
    targets, _ = next_tokens(tokens)
    counted = np.asarray(targets)[np.asarray(answer_weights(tokens)) > 0]
    assert counted.tolist() == [8, 7, END_ID, 5, END_ID]
