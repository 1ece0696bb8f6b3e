"""Causal grouped-query attention behind one function, with an implementation for each kind of device.

With the documents' numbers (`data.rows.row_store.documents_of`) no position sees another document than its own.
The einsums and XLA's attention mask the scores, cuDNN's kernel gets the mask as a bias of [B, 1, T, T], and splash
attention gets the numbers themselves.

Letters: B rows, T positions, H query heads, G key-value heads (H / G queries share one), K head width.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from bench_shadows.progress import say

Implementation = Literal["einsum", "xla", "cudnn", "splash"]
Attention = Callable[..., jax.Array]
"""Queries [B, T, H, K], keys and values [B, T, G, K], and the documents' numbers int32 [B, T] where they are told
apart -> [B, T, H, K]."""

RESIDUALS = "attention"
"""The name under which rematerialisation policies know what splash attention's backward pass needs."""
_SPLASH_BLOCKS = (1024, 512, 256, 128)  # positions of a tile, the largest that divides the length


def einsum_attention(
    q_BxTxHxK: jax.Array,
    k_BxSxGxK: jax.Array,
    v_BxSxGxK: jax.Array,
    documents_BxT: jax.Array | None = None,
    seen_BxTxS: jax.Array | None = None,
) -> jax.Array:
    """The reference, written out: softmax(q k^T / sqrt(K)) v over positions not after the query's.

    With `documents` a query sees those of its own number alone. `seen` (bool) says otherwise which of S positions,
    those of a cache, each query sees. Scores and softmax are float32 whatever the inputs are. Returns [B, T, H, K]
    in the inputs' dtype.
    """
    B, T, H, K = q_BxTxHxK.shape
    G = k_BxSxGxK.shape[2]
    q = q_BxTxHxK.reshape(B, T, G, H // G, K)
    scores = jnp.einsum("btgrk,bsgk->bgrts", q, k_BxSxGxK, preferred_element_type=jnp.float32) * K**-0.5
    seen = jnp.tril(jnp.ones((T, T), bool)) if seen_BxTxS is None else seen_BxTxS[:, None, None]
    if documents_BxT is not None:
        seen = seen & same_document(documents_BxT)[:, None]
    scores = jnp.where(seen, scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v_BxSxGxK.dtype)
    return jnp.einsum("bgrts,bsgk->btgrk", weights, v_BxSxGxK).reshape(B, T, H, K)


def same_document(documents_BxT: jax.Array) -> jax.Array:
    """Whether two positions are of one document, bool [B, 1, T, T]."""
    return (documents_BxT[:, :, None] == documents_BxT[:, None, :])[:, None]


def library_attention(
    q_BxTxHxK: jax.Array,
    k_BxTxGxK: jax.Array,
    v_BxTxGxK: jax.Array,
    documents_BxT: jax.Array | None = None,
    *,
    implementation: Literal["xla", "cudnn"],
) -> jax.Array:
    """JAX's own, by XLA or cuDNN."""
    mask = None if documents_BxT is None else same_document(documents_BxT)
    return jax.nn.dot_product_attention(
        q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, mask=mask, is_causal=True, implementation=implementation
    )


def splash_attention(
    q_BxTxHxK: jax.Array,
    k_BxTxGxK: jax.Array,
    v_BxTxGxK: jax.Array,
    documents_BxT: jax.Array | None = None,
    interpret: bool = False,
) -> jax.Array:
    """JAX's Pallas kernel for TPUs, which leaves out the masked half; T must be a multiple of 128.

    Shapes and dtypes as in `einsum_attention`. `interpret` runs the kernel's steps on any device, for tests.
    """
    T, H, K = q_BxTxHxK.shape[1:]
    kernel = _splash_kernel(T, H, interpret)
    heads_first = (jnp.moveaxis(array, 2, 1) for array in (q_BxTxHxK * K**-0.5, k_BxTxGxK, v_BxTxGxK))
    segments = None if documents_BxT is None else _segments(documents_BxT)
    return jnp.moveaxis(jax.vmap(kernel)(*heads_first, segments), 1, 2)


def _segments(documents_BxT: jax.Array) -> Any:
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    return SegmentIds(q=documents_BxT, kv=documents_BxT)


def _splash_kernel(length: int, heads: int, interpret: bool) -> Attention:
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        BlockSizes,
        CausalMask,
        MultiHeadMask,
        make_splash_mha,
    )

    block = next(size for size in _SPLASH_BLOCKS if length % size == 0)
    sizes = BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=min(block, 512),
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=min(block, 512),
        use_fused_bwd_kernel=True,  # one pass over the scores for the gradients of q, k and v
    )
    return make_splash_mha(
        MultiHeadMask([CausalMask((length, length))] * heads),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=sizes,
        residual_checkpoint_name=RESIDUALS,
        interpret=interpret,
    )


IMPLEMENTATIONS: dict[Implementation, Attention] = {
    "einsum": einsum_attention,
    "xla": functools.partial(library_attention, implementation="xla"),
    "cudnn": functools.partial(library_attention, implementation="cudnn"),
    "splash": splash_attention,
}

KERNELS = ("cudnn", "splash")
"""Opaque to XLA's partitioner: over several devices they run inside `jax.shard_map`."""


@functools.cache
def choose(device: jax.Device, dtype: jnp.dtype, head_dim: int, seq_len: int) -> Implementation:
    """The implementation that is fastest on a device; where that one cannot run, the next, and it is said.

    CPU: `einsum` (a step of 4 layers of 128 at 128 positions is 1.7 times faster than with `xla`).
    GPU: `cudnn` (flash attention) for 16-bit inputs on Ampere or later and heads of up to 128, else `xla`.
    TPU: `splash` for heads and lengths that are multiples of 128, its tiles' width, else `xla`.
    """
    if device.platform == "cpu":
        return "einsum"
    if device.platform == "gpu":
        best: Implementation = "cudnn"
        reasons = [
            f"it needs 16-bit inputs, not {dtype}" * (dtype.itemsize != 2),
            f"it needs compute capability 8.0, not {device.compute_capability}"
            * (float(device.compute_capability) < 8.0),
            f"it needs heads of up to 128 and a multiple of 8, not {head_dim}"
            * (head_dim > 128 or head_dim % 8 != 0),
        ]
    else:
        best = "splash"
        reasons = [
            f"it needs {what} that are multiples of 128, not {size}" * (size % 128 != 0)
            for what, size in (("heads", head_dim), ("rows of a length", seq_len))
        ]
    reason = next(filter(None, reasons), None)
    if reason is None:
        return best
    say(f"attention: XLA's instead of {best}, {reason}")
    return "xla"
