"""The image encoder, a ViT as SigLIP has it, and LLaVA's projector into the decoder, in Flax NNX.

A patch is one token: its pixels times a matrix, plus a learned position; no class token (arXiv 2010.11929,
2303.15343). Layers are pre-norm with LayerNorm, biases and the tanh form of GELU, and every patch sees every other
one. What the last layer gives goes to the projector without another norm, as LLaVA reads it (arXiv 2310.03744).

Letters: B images, S pixels of a side, P pixels of a patch's side, N patches, C hidden_size of the encoder, F its
intermediate_size, H heads, K width of a head, D hidden_size of the decoder.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from bench_shadows.config import VisionConfig
from bench_shadows.model.attention import RESIDUALS, einsum_attention
from bench_shadows.model.decoder import Linear, stacked

PIXEL_MEAN, PIXEL_STD = 1.0, 0.25
"""Of pixels between 0 and 1: white becomes 0, what is on it -4 to 0 (our choice).

With SigLIP's 0.5 and 0.5 white is the strongest input, and most of every page and drawing is white. After 700 of
1,400 steps of 8 samples (OCR, counting, digits, shapes; rate 1e-3, one seed) held-out answers cost 1.38 nats a
token with those and 26 % of the counts were right; 1.05 nats and 86 % with these.
"""
_CHANNELS = 3


class Affine(Linear):
    """x @ kernel + bias, the bias zero at birth."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) + self.bias[...].astype(x.dtype)


class LayerNorm(nnx.Module):
    """(x - mean) / deviation * scale + bias over the last axis, in float32, returned in the dtype of x."""

    def __init__(self, size: int, eps: float):
        self.scale = nnx.Param(jnp.ones(size, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(size, jnp.float32))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        centred = x32 - jnp.mean(x32, axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + self.eps)
        return (normal * self.scale[...] + self.bias[...]).astype(x.dtype)


class VisionAttention(nnx.Module):
    """Self-attention in which every patch sees every other one."""

    def __init__(self, config: VisionConfig, rngs: nnx.Rngs):
        C = config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (Affine(C, C, rngs) for _ in range(4))
        self.num_heads = config.num_heads

    def __call__(self, x_BxNxC: jax.Array) -> jax.Array:
        B, N, _ = x_BxNxC.shape
        q, k, v = (
            checkpoint_name(project(x_BxNxC).reshape(B, N, self.num_heads, -1), name)
            for project, name in ((self.q_proj, "q"), (self.k_proj, "k"), (self.v_proj, "v"))
        )
        attended_BxNxHxK = einsum_attention(q, k, v, seen_BxTxS=jnp.ones((1, N, N), bool))
        return self.out_proj(checkpoint_name(attended_BxNxHxK, RESIDUALS).reshape(B, N, -1))


class VisionFeedForward(nnx.Module):
    """fc2(gelu(fc1(x)))."""

    def __init__(self, config: VisionConfig, rngs: nnx.Rngs):
        self.fc1 = Affine(config.hidden_size, config.intermediate_size, rngs)
        self.fc2 = Affine(config.intermediate_size, config.hidden_size, rngs)

    def __call__(self, x_BxNxC: jax.Array) -> jax.Array:
        return self.fc2(jax.nn.gelu(checkpoint_name(self.fc1(x_BxNxC), "up"), approximate=True))


class VisionLayer(nnx.Module):
    """One pre-norm block. What rematerialisation keeps has the decoder's names (`decoder.SAVED`)."""

    def __init__(self, config: VisionConfig, rngs: nnx.Rngs):
        self.layer_norm1 = LayerNorm(config.hidden_size, config.norm_eps)
        self.self_attn = VisionAttention(config, rngs)
        self.layer_norm2 = LayerNorm(config.hidden_size, config.norm_eps)
        self.mlp = VisionFeedForward(config, rngs)

    def __call__(self, x_BxNxC: jax.Array) -> jax.Array:
        x_BxNxC = checkpoint_name(x_BxNxC + self.self_attn(self.layer_norm1(x_BxNxC)), "residual")
        return x_BxNxC + self.mlp(self.layer_norm2(x_BxNxC))


class VisionEncoder(nnx.Module):
    """The encoder's weights; `network.VisionLanguageModel` runs its layers as it runs the decoder's."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        self.patch_embedding = Affine(config.patch_size**2 * _CHANNELS, config.hidden_size, rngs)
        # As strong as the patches (our choice; SigLIP has hidden_size^-0.5). One seed of one task learned sooner
        # with it; it was not told apart from the pixels' scale (`PIXEL_MEAN`), which was changed after it.
        init = nnx.initializers.normal(0.5)
        shape = config.image_tokens, config.hidden_size
        self.position_embedding = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.layers = stacked(lambda rngs: VisionLayer(config, rngs), config.num_layers, rngs)


class Projector(nnx.Module):
    """linear_2(gelu(linear_1(x))): the encoder's patches [B, N, C] as tokens [B, N, D] of the decoder."""

    def __init__(self, config: VisionConfig, hidden_size: int, *, rngs: nnx.Rngs):
        self.linear_1 = Affine(config.hidden_size, hidden_size, rngs)
        self.linear_2 = Affine(hidden_size, hidden_size, rngs)

    def __call__(self, x_BxNxC: jax.Array) -> jax.Array:
        return self.linear_2(jax.nn.gelu(self.linear_1(x_BxNxC), approximate=False))


def patches(images: jax.Array, patch_size: int, dtype: Any) -> jax.Array:
    """uint8 [B, S, S, 3] as patches [B, N, P * P * 3] from the upper left, row by row, normalised (`PIXEL_MEAN`).

    Times a matrix, that is a convolution of stride P.
    """
    B, S, P = images.shape[0], images.shape[1], patch_size
    pixels = ((images.astype(jnp.float32) / 255 - PIXEL_MEAN) / PIXEL_STD).astype(dtype)
    grid = pixels.reshape(B, S // P, P, S // P, P, _CHANNELS)
    return jnp.swapaxes(grid, 2, 3).reshape(B, (S // P) ** 2, P * P * _CHANNELS)
