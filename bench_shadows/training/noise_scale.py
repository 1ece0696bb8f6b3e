"""The gradient noise scale, from gradients that a step accumulates anyway.

Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.1.

A micro-batch's mean gradient is the true gradient G plus noise that falls with the micro-batch's weight. So the
mean square of n micro-batches' gradients against the square of the whole batch's tells |G|^2 and the noise apart
(there for two batch sizes, here with a weight for each micro-batch, which comes to the same where all are equal).
"""

from typing import Any, NamedTuple

import jax
import optax


class Noise(NamedTuple):
    """Unbiased estimates from one step, float32 scalars. Smoothed apart, `variance / square` is the noise scale.

    square: of the true gradient's length, |G|^2; below zero by chance where noise hides the gradient.
    variance: trace of the covariance of one row's gradient.
    """

    square: jax.Array
    variance: jax.Array


def weighted_square(gradient_sum: Any, weight: jax.Array) -> jax.Array:
    """|g|^2 / w of one micro-batch's gradient g, a tree summed over tokens of weight w: what a step adds up."""
    return optax.tree.norm(gradient_sum, squared=True) / weight


def noise(
    weighted_squares: jax.Array, whole_norm: jax.Array, weight: jax.Array, micro_batches: int, rows: int
) -> Noise:
    """What a step's micro-batches say about the gradient and its noise.

    With g_i and w_i of micro-batch i, W = sum w_i and S the variance of a gradient of weight 1:
    E[sum |g_i|^2 / w_i] = W |G|^2 + n S and E[|sum g_i|^2 / W] = W |G|^2 + S. Rows count alike: one has W / rows.

    Args:
      weighted_squares: sum of `weighted_square` over the micro-batches.
      whole_norm: of the batch's mean gradient (sum g_i) / W, before clipping.
      weight: W.
      micro_batches: n, 2 or more.
      rows: of all micro-batches together.
    """
    whole = whole_norm**2
    of_weight_one = (weighted_squares - weight * whole) / (micro_batches - 1)
    return Noise(whole - of_weight_one / weight, of_weight_one * rows / weight)
