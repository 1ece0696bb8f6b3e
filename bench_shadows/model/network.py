"""The networks of a study: the decoder alone, or an image encoder and a projector before it (LLaVA's shape).

Letters: B rows, T positions, N patches of an image, D hidden_size of the decoder, S pixels of an image's side.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from bench_shadows.config import Config, ModelConfig, VisionConfig
from bench_shadows.data.special_tokens import IMAGE_ID
from bench_shadows.model.decoder import Decoder
from bench_shadows.model.vision import Projector, VisionEncoder, patches


class VisionLanguageModel(Decoder):
    """The decoder, with what an image encoder sees at the places of `<|image|>`.

    Its decoder has the weights at birth of a decoder alone with the same `rngs`. Without images it is the decoder.
    Arguments are the decoder's; those that change speed and memory only hold for the encoder, too.
    """

    def __init__(self, config: ModelConfig, vision: VisionConfig, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(config, rngs=rngs, **options)
        self.patch_size = vision.patch_size
        self.vision = VisionEncoder(vision, rngs=rngs)
        self.projector = Projector(vision, config.hidden_size, rngs=rngs)

    def embed(self, tokens_BxT: jax.Array, images: jax.Array | None = None) -> jax.Array:
        """What the first layer reads, [B, T, D] in the compute dtype.

        Args:
          tokens_BxT: ids; an image's places are the first N times `<|image|>` in its row, wherever they stand.
          images: uint8 [B, S, S, 3], one for each row; read only in rows with such places. None: none has.
        """
        x_BxTxD = super().embed(tokens_BxT)
        if images is None:
            return x_BxTxD
        features_BxNxD = self.see(images)
        is_image_BxTx1 = (tokens_BxT == IMAGE_ID)[..., None]
        patch_BxTx1 = jnp.cumsum(is_image_BxTx1, axis=1) - 1
        chosen_BxTxN = is_image_BxTx1 & (patch_BxTx1 == jnp.arange(features_BxNxD.shape[1]))
        # A product instead of a gather: its gradient is no scatter.
        placed_BxTxD = jnp.einsum("btn,bnd->btd", chosen_BxTxN.astype(x_BxTxD.dtype), features_BxNxD)
        return jnp.where(chosen_BxTxN.any(axis=-1, keepdims=True), placed_BxTxD, x_BxTxD)

    def see(self, images: jax.Array) -> jax.Array:
        """Features [B, N, D] of images uint8 [B, S, S, 3], in the compute dtype."""
        vision = self.vision
        x_BxNxC = vision.patch_embedding(patches(images, self.patch_size, self.compute_dtype))
        x_BxNxC = x_BxNxC + vision.position_embedding[...].astype(x_BxNxC.dtype)
        return self.projector(self.through("vision.layers", x_BxNxC))


def build_network(config: Config, **options: Any) -> Decoder:
    """The network that a config describes: with an image encoder where `config.vision.image_size` is not 0.

    Args:
      options: of `Decoder`: rngs, scan_layers, remat, compute_dtype, attend, gather.
    """
    if config.vision.image_size:
        return VisionLanguageModel(config.model, config.vision, **options)
    return Decoder(config.model, **options)
