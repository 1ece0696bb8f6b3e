"""The decoder: RMSNorm, RoPE, grouped-query attention, SwiGLU, no bias (paper, section 4.1), in Flax NNX.

All layers' weights are stacked on axis 0, so that one compiled layer is scanned over them; unrolled, the same
stacks are read layer by layer, and a checkpoint does not know the difference.

Letters: B rows, T positions, L layers, D hidden_size, F intermediate_size, H heads, G key-value heads, K head_dim,
V vocabulary.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from bench_shadows.config import ModelConfig
from bench_shadows.model.attention import RESIDUALS, einsum_attention
from bench_shadows.model.attention import Attention as AttentionFunction

Parameters = dict[str, Any]
Remat = Literal["none", "gate_up", "gate", "attention", "full"]
_ATTENTION = ("q", "k", "v", RESIDUALS, "residual")
SAVED: dict[Remat, tuple[str, ...]] = {
    "gate_up": (*_ATTENTION, "gate", "up"),
    "gate": (*_ATTENTION, "gate"),
    "attention": _ATTENTION,
    "full": (),
}
"""What the forward pass keeps of a layer under each policy; the backward pass computes the rest again."""

_xavier_uniform = nnx.initializers.xavier_uniform()


class Linear(nnx.Module):
    """x @ kernel; Xavier uniform, no bias. The float32 kernel is cast to the dtype of x.

    The product is two-dimensional: so XLA on a CPU makes the kernel's gradient without a slow transposed copy of
    the larger operand (4 layers of 128, batch 32 x 128: 11.3 k instead of 7.2 k tokens/s on 2 cores).
    """

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_xavier_uniform(rngs.params(), (inputs, outputs), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        product = x.reshape(-1, x.shape[-1]) @ self.kernel[...].astype(x.dtype)
        return product.reshape(*x.shape[:-1], -1)


class RMSNorm(nnx.Module):
    """x / rms(x) * scale over the last axis, in float32, returned in the dtype of x (arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float):
        self.scale = nnx.Param(jnp.ones(size, jnp.float32))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        normal = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        return (normal * self.scale[...]).astype(x.dtype)


class Embedding(nnx.Module):
    """Rows of a table [V, D], normal with the given standard deviation."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.embedding_std)
        self.embedding = nnx.Param(init(rngs.params(), (config.vocab_size, config.hidden_size), jnp.float32))

    def __call__(self, tokens_BxT: jax.Array, dtype: Any) -> jax.Array:
        return self.embedding[...].astype(dtype)[tokens_BxT]


def rope_tables(length: int, head_dim: int, theta: float) -> tuple[jax.Array, jax.Array]:
    """cos and sin, [T, 1, K] float32, of position * theta^(-2i/K): RoPE (arXiv 2104.09864), halves form."""
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * frequencies
    angles = jnp.concatenate([angles, angles], axis=-1)[:, None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x_BxTxHxK: jax.Array, tables: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates the pairs (i, i + K/2) of every head by the position's angles, in float32."""
    first, second = jnp.split(x_BxTxHxK.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([-second, first], axis=-1)
    return (x_BxTxHxK * tables[0] + turned * tables[1]).astype(x_BxTxHxK.dtype)


class Attention(nnx.Module):
    """Causal self-attention with H query heads and G key-value heads."""

    def __init__(self, config: ModelConfig, attend: AttentionFunction, rngs: nnx.Rngs):
        D, K = config.hidden_size, config.head_dim
        self.q_proj = Linear(D, config.num_heads * K, rngs)
        self.k_proj = Linear(D, config.num_kv_heads * K, rngs)
        self.v_proj = Linear(D, config.num_kv_heads * K, rngs)
        self.o_proj = Linear(config.num_heads * K, D, rngs)
        self.head_dim, self.attend = K, attend

    def __call__(
        self, x_BxTxD: jax.Array, tables: tuple[jax.Array, jax.Array], documents_BxT: jax.Array | None = None
    ) -> jax.Array:
        B, T, _ = x_BxTxD.shape
        q_BxTxHxK, k_BxTxGxK, v_BxTxGxK = (
            project(x_BxTxD).reshape(B, T, -1, self.head_dim)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q_BxTxHxK = checkpoint_name(rotate(q_BxTxHxK, tables), "q")
        k_BxTxGxK = checkpoint_name(rotate(k_BxTxGxK, tables), "k")
        v_BxTxGxK = checkpoint_name(v_BxTxGxK, "v")
        own = () if documents_BxT is None else (documents_BxT,)
        attended = checkpoint_name(self.attend(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, *own), RESIDUALS)
        return self.o_proj(attended.reshape(B, T, -1))


class FeedForward(nnx.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        D, F = config.hidden_size, config.intermediate_size
        self.gate_proj = Linear(D, F, rngs)
        self.up_proj = Linear(D, F, rngs)
        self.down_proj = Linear(F, D, rngs)

    def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
        gate = checkpoint_name(self.gate_proj(x_BxTxD), "gate")
        return self.down_proj(jax.nn.silu(gate) * checkpoint_name(self.up_proj(x_BxTxD), "up"))


class Layer(nnx.Module):
    """One pre-norm block."""

    def __init__(self, config: ModelConfig, attend: AttentionFunction, rngs: nnx.Rngs):
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config, attend, rngs)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config, rngs)

    def __call__(
        self, x_BxTxD: jax.Array, tables: tuple[jax.Array, jax.Array], documents_BxT: jax.Array | None = None
    ) -> jax.Array:
        attended = self.self_attn(self.input_layernorm(x_BxTxD), tables, documents_BxT)
        x_BxTxD = checkpoint_name(x_BxTxD + attended, "residual")
        return x_BxTxD + self.mlp(self.post_attention_layernorm(x_BxTxD))


def stacked(make: Callable[[nnx.Rngs], Any], count: int, rngs: nnx.Rngs) -> Any:
    """Layers with their weights stacked on axis 0, each of them born with keys of its own."""
    return nnx.split_rngs(splits=count)(nnx.vmap(make))(rngs)


def _as_it_is(layer: Any, stack: str) -> Any:
    return layer


class Decoder(nnx.Module):
    """Token ids [B, T] to final hidden states [B, T, D] in `compute_dtype`; parameters are float32.

    What follows changes speed and memory, never the parameters or (beyond rounding) the result.

    Args:
      scan_layers: one compiled layer, scanned; else unrolled.
      remat: what the backward pass computes again (`SAVED`).
      attend: attention, as `model.attention` has it.
      gather: called with one layer and the path of the layers that it is one of; returns the layer with weights
        that its products can read, where they lie on several devices.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        rngs: nnx.Rngs,
        scan_layers: bool = True,
        remat: Remat = "none",
        compute_dtype: Any = jnp.float32,
        attend: AttentionFunction = einsum_attention,
        gather: Callable[[Any, str], Any] = _as_it_is,
    ):
        self.config, self.scan_layers, self.remat, self.gather = config, scan_layers, remat, gather
        self.compute_dtype = jnp.dtype(compute_dtype)
        self.embed_tokens = Embedding(config, rngs)
        self.layers = stacked(lambda rngs: Layer(config, attend, rngs), config.num_layers, rngs)
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        if not config.tie_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size, rngs)

    def embed(self, tokens_BxT: jax.Array, images: jax.Array | None = None) -> jax.Array:
        """What the first layer reads, [B, T, D] in the compute dtype; `images` are for networks that see them."""
        if images is not None:
            raise ValueError("a decoder alone sees no images; config.vision.image_size is 0")
        return self.embed_tokens(tokens_BxT, self.compute_dtype)

    def __call__(
        self,
        tokens_BxT: jax.Array,
        images: jax.Array | None = None,
        documents_BxT: jax.Array | None = None,
    ) -> jax.Array:
        """Hidden states [B, T, D]. With the documents' numbers no position sees another one than its own.

        Positions count from the row's beginning all the same: RoPE turns by their differences alone.
        """
        tables = rope_tables(tokens_BxT.shape[1], self.config.head_dim, self.config.rope_theta)
        return self.norm(self.through("layers", self.embed(tokens_BxT, images), tables, documents_BxT))

    def through(self, stack: str, x_BxTxD: jax.Array, *arguments: Any) -> jax.Array:
        """x after the stacked layers at a path, each of them called as layer(x, *arguments)."""
        layers = functools.reduce(getattr, stack.split("."), self)

        def layer_of(layer: Any, x_BxTxD: jax.Array) -> jax.Array:
            return self.gather(layer, stack)(x_BxTxD, *arguments)

        apply = _rematerialised(layer_of, self.remat, self.scan_layers)
        if self.scan_layers:
            return jax.lax.scan(lambda x, layer: (apply(layer, x), None), x_BxTxD, layers)[0]
        leaves, tree = jax.tree.flatten(layers)
        for weights in zip(*map(jnp.unstack, leaves), strict=True):
            x_BxTxD = apply(jax.tree.unflatten(tree, weights), x_BxTxD)
        return x_BxTxD

    def head(self) -> jax.Array:
        """The output matrix [D, V] in the compute dtype: the transposed embedding where the two are tied."""
        matrix = self.embed_tokens.embedding[...].T if self.config.tie_embeddings else self.lm_head.kernel[...]
        return matrix.astype(self.compute_dtype)

    def logits(self, tokens_BxT: jax.Array, images: jax.Array | None = None) -> jax.Array:
        """Next-token logits [B, T, V] float32, all at once: for short texts. Training never holds them."""
        return jnp.matmul(self(tokens_BxT, images), self.head(), preferred_element_type=jnp.float32)


def _rematerialised(apply: Callable[..., jax.Array], remat: Remat, scanned: bool) -> Callable[..., jax.Array]:
    if remat == "none":
        return apply
    policy = jax.checkpoint_policies.save_only_these_names(*SAVED[remat])
    return jax.checkpoint(apply, policy=policy, prevent_cse=not scanned)


def parameters(model: Decoder) -> Parameters:
    """The model's weights as nested dicts of arrays: what is trained, saved and diagnosed."""
    return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def with_parameters(model: Decoder, params: Parameters) -> Decoder:
    """The same network around other weights (arrays, tracers or shapes) of the same structure."""
    graph, state = nnx.split(model, nnx.Param)
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state)
