"""Cross-entropy of next tokens without ever holding all logits.

At the paper's size the logits of one micro-batch (4 x 4096 x 151,936, float32) are 10 GB. They exist for a chunk
of positions at a time, and the chunk's gradients are taken while its logits are there, in the forward pass, so
that the backward pass does not compute them again.

Letters: B rows, T positions, D hidden_size, V vocabulary, N chunks, C positions of a chunk.
"""

import functools

import jax
import jax.numpy as jnp

from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID, IMAGE_ID, USER_ID


def next_tokens(tokens_BxT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Targets [B, T] (each row shifted left by one) and their weights [B, T] float32: 0 at the last position."""
    targets = jnp.roll(tokens_BxT, -1, axis=1)
    weights = jnp.ones(tokens_BxT.shape, jnp.float32).at[:, -1].set(0.0)
    return targets, weights


def answer_weights(tokens_BxT: jax.Array) -> jax.Array:
    """Weights [B, T] float32 of `next_tokens`' targets in rows of samples: 1 in an answer and for its end, else 0.

    A target counts where of all markers before it (image, user, assistant, end of text) the assistant's is the
    last: so neither prompt nor image counts, nor the ends of text that fill a row.
    """
    positions = jnp.arange(1, tokens_BxT.shape[1] + 1)

    def last(*markers: int) -> jax.Array:
        found = functools.reduce(jnp.logical_or, [tokens_BxT == marker for marker in markers])
        return jax.lax.cummax(jnp.where(found, positions, 0), axis=1)

    answers = last(ASSISTANT_ID) > last(IMAGE_ID, USER_ID, END_ID)
    return answers.astype(jnp.float32).at[:, -1].set(0.0)


def token_losses(
    hidden_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array, chunk_tokens: int
) -> jax.Array:
    """-log p(target) in nats, [B, T] float32, with the logits of about `chunk_tokens` tokens at once."""
    T = targets_BxT.shape[1]
    chunks = _split(hidden_BxTxD, chunk_tokens), _split(targets_BxT, chunk_tokens)
    losses_NxBxC = jax.lax.map(lambda chunk: _losses(chunk[0], head_DxV, chunk[1]), chunks)
    return jnp.moveaxis(losses_NxBxC, 0, 1).reshape(targets_BxT.shape[0], -1)[:, :T]


def cross_entropy(
    hidden_BxTxD: jax.Array,
    head_DxV: jax.Array,
    targets_BxT: jax.Array,
    weights_BxT: jax.Array,
    chunk_tokens: int,
) -> tuple[jax.Array, jax.Array]:
    """(sum of weight * -log p(target), sum of weights), both float32 scalars, the loss in nats.

    Differentiable in `hidden` and `head`. About `chunk_tokens` tokens have logits at once: the positions of all
    rows are cut together, so a batch sharded over devices stays where it is.
    """
    return _weighted_sum(hidden_BxTxD, head_DxV, targets_BxT, weights_BxT, chunk_tokens), weights_BxT.sum()


def _losses(hidden_BxCxD: jax.Array, head_DxV: jax.Array, targets_BxC: jax.Array) -> jax.Array:
    B, C, D = hidden_BxCxD.shape
    logits = jnp.matmul(hidden_BxCxD.reshape(B * C, D), head_DxV, preferred_element_type=jnp.float32)
    logits_BxCxV = logits.reshape(B, C, -1)
    # A comparison instead of a gather: it fuses, its gradient is no scatter, and a sharded vocabulary stays so.
    is_target = jnp.arange(logits_BxCxV.shape[-1]) == targets_BxC[..., None]
    return jax.nn.logsumexp(logits_BxCxV, axis=-1) - jnp.where(is_target, logits_BxCxV, 0.0).sum(axis=-1)


def _split(array_BxT: jax.Array, chunk_tokens: int) -> jax.Array:
    """[B, T, ...] -> [N, B, C, ...], zeros behind the end."""
    B, T = array_BxT.shape[:2]
    count = -(-T // max(1, chunk_tokens // B))
    length = -(-T // count)
    padding = [(0, 0), (0, count * length - T)] + [(0, 0)] * (array_BxT.ndim - 2)
    padded = jnp.pad(array_BxT, padding)
    return jnp.moveaxis(padded.reshape(B, count, length, *array_BxT.shape[2:]), 1, 0)


def _chunk_sum(hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    return (_losses(hidden, head, targets) * weights).sum()


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _weighted_sum(
    hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array, chunk_tokens: int
) -> jax.Array:
    return (token_losses(hidden, head, targets, chunk_tokens) * weights).sum()


def _forward(
    hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array, chunk_tokens: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    def chunk(
        carry: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        total, head_gradient = carry
        loss, (hidden_gradient, gradient) = jax.value_and_grad(_chunk_sum, argnums=(0, 1))(
            inputs[0], head, *inputs[1:]
        )
        return (total + loss, head_gradient + gradient), hidden_gradient

    chunks = tuple(_split(array, chunk_tokens) for array in (hidden, targets, weights))
    start = jnp.zeros((), jnp.float32), jnp.zeros(head.shape, jnp.float32)
    (total, head_gradient), hidden_gradients = jax.lax.scan(chunk, start, chunks)
    hidden_gradient = jnp.moveaxis(hidden_gradients, 0, 1).reshape(hidden.shape[0], -1, hidden.shape[-1])
    return total, (hidden_gradient[:, : hidden.shape[1]], head_gradient.astype(head.dtype))


def _backward(
    chunk_tokens: int, gradients: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, None, None]:
    hidden_gradient, head_gradient = gradients
    return (
        (hidden_gradient * cotangent).astype(hidden_gradient.dtype),
        (head_gradient * cotangent).astype(head_gradient.dtype),
        None,
        None,
    )


_weighted_sum.defvjp(_forward, _backward)
