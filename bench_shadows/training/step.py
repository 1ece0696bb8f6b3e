"""One training step: exact accumulation over micro-batches, then one update. All of it is one compiled program.

On a CPU micro-batches are for speed, too: activations that stay in the cache. 4 layers of 128, batch 32 x 128,
vocabulary 1,024, float32, 2 cores, thousands of tokens a second: 10.4 with micro-batches of 32 rows, 13.1 with 16,
14.3 with 8, 15.0 with 4 (11.7 where the 8 are scanned over layers instead of unrolled).

Letters: N micro-batches, M rows of one (over all devices), T positions, S pixels of a side.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch
from bench_shadows.model.decoder import Decoder, Parameters, parameters, with_parameters
from bench_shadows.model.loss import cross_entropy, next_tokens
from bench_shadows.model.network import build_network
from bench_shadows.model.pretrained import read_weights
from bench_shadows.training.devices.sharding import (
    accumulation_steps,
    attention_over,
    batch_sharding,
    cuts_of,
    gather_layer,
    gather_outside,
    replicated,
    state_shardings,
    value_and_grad_over,
)
from bench_shadows.training.noise_scale import noise, weighted_square
from bench_shadows.training.optimizer import build_optimizer
from bench_shadows.training.spikes import Watched, spike_metrics, watch

Metrics = dict[str, jax.Array]


class State(NamedTuple):
    """What a run carries from step to step, besides the step's number; float32."""

    params: Parameters
    optimizer: Watched


Step = Callable[[State, Batch, np.float32], tuple[State, Metrics]]


def compute_dtype(name: str, device: jax.Device) -> jnp.dtype:
    """The dtype of activations and products: `auto` is bfloat16 where the device's matrix units have it."""
    if name != "auto":
        return jnp.dtype(name)
    has_bfloat16 = device.platform == "tpu" or (
        device.platform == "gpu" and float(getattr(device, "compute_capability", 0)) >= 8.0
    )
    return jnp.dtype(jnp.bfloat16 if has_bfloat16 else jnp.float32)


def build_decoder(config: Config, mesh: Mesh) -> Decoder:
    """The network as `config.train` wants it on a mesh, with shapes in the place of weights.

    Over several devices it is called inside `value_and_grad_over`.
    """
    train, dtype = config.train, compute_dtype(config.train.compute_dtype, mesh.devices.flat[0])
    decoder = nnx.eval_shape(
        lambda: build_network(
            config,
            rngs=nnx.Rngs(0),
            scan_layers=train.scan_layers,
            remat=train.remat,
            compute_dtype=dtype,
            attend=attention_over(
                mesh, dtype, config.model.head_dim, config.data.seq_len, config.train.mask_documents
            ),
        )
    )
    decoder.gather = functools.partial(gather_layer, cuts=cuts_of(parameters(decoder), mesh), dtype=dtype)
    return decoder


def _optimizer(config: Config) -> optax.GradientTransformationExtraArgs:
    return watch(build_optimizer(config.train), config)


def initial_state(config: Config, seed: int, mesh: Mesh) -> State:
    """Initial weights, a function of the model's shape and the seed only, and an optimizer that saw nothing.

    With `config.model.initial` the weights are that folder's, whatever the seed.
    """
    if config.model.initial:
        abstract = abstract_state(config, mesh)
        params, shardings = read_weights(config, abstract.params), state_shardings(abstract, mesh)
        return State(params, jax.jit(_optimizer(config).init, out_shardings=shardings.optimizer)(params))
    return _initialiser(config, mesh)(jax.random.key(seed))


@functools.lru_cache(maxsize=1)
def _initialiser(config: Config, mesh: Mesh) -> Callable[[jax.Array], State]:
    def init(key: jax.Array) -> State:
        params = parameters(build_network(config, rngs=nnx.Rngs(key)))
        return State(params, _optimizer(config).init(params))

    return jax.jit(init, out_shardings=state_shardings(jax.eval_shape(init, jax.random.key(0)), mesh))


def abstract_state(config: Config, mesh: Mesh) -> State:
    """Shapes, dtypes and shardings of a run's state: what checkpoints are restored into."""
    params = parameters(build_decoder(config, mesh))
    shapes = State(params, jax.eval_shape(_optimizer(config).init, params))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(shapes, mesh),
    )


def abstract_batch(config: Config, mesh: Mesh) -> Batch:
    """Shapes and dtypes of a step's micro-batches, as `feeding.place` leaves them."""
    micro_batches = accumulation_steps(config.train, mesh)
    rows = micro_batches, config.train.batch_size // micro_batches
    size = config.vision.image_size
    tokens: Any = jax.ShapeDtypeStruct((*rows, config.data.seq_len), jnp.int32)
    images: Any = jax.ShapeDtypeStruct((*rows, size, size, 3), jnp.uint8) if size else None
    return Batch(tokens, images, tokens if config.train.mask_documents else None)


def step_function(config: Config, mesh: Mesh) -> Callable[[State, Batch, jax.Array], tuple[State, Metrics]]:
    """The step, to be jitted: (state, micro-batches, learning rate) -> (state, metrics).

    Micro-batches are token ids [N, M, T] int32 and, where the network sees, images [N, M, S, S, 3] uint8. In rows
    of samples the loss is on the answers alone.

    Metrics are float32 scalars: loss (nats a token, before
    the update), grad_norm (before clipping), update_norm (what was added to the weights), param_norm (after it);
    with two micro-batches or more also grad_square and grad_variance (`noise_scale.Noise`). Those of
    `spike_metrics` say whether the step was a spike, which `config.train.on_spike` may leave out.
    """
    decoder, optimizer = build_decoder(config, mesh), _optimizer(config)
    cuts = cuts_of(parameters(decoder), mesh)

    def loss_sum(params: Parameters, batch_M: Any) -> tuple[jax.Array, jax.Array]:
        model, (tokens_MxT, images, documents_MxT) = with_parameters(decoder, params), batch_M
        targets, _ = next_tokens(tokens_MxT)
        weights = config.kind.loss_weights(tokens_MxT)
        hidden = model(tokens_MxT, images, documents_MxT)
        return cross_entropy(hidden, model.head(), targets, weights, config.train.loss_chunk)

    value_and_grad = value_and_grad_over(mesh, cuts, loss_sum)

    def step(state: State, batch_NxM: Batch, rate: jax.Array) -> tuple[State, Metrics]:
        weights = gather_outside(state.params, cuts, mesh, decoder.compute_dtype)

        def accumulate(sums: Any, batch_M: Batch) -> tuple[Any, None]:
            (loss, weight), gradients = value_and_grad(weights, batch_M)
            total = jax.tree.map(jnp.add, sums[-1], gradients)
            # Read from the sums: a second reader of the gradients makes XLA sum the embedding's in another order.
            square = weighted_square(jax.tree.map(jnp.subtract, total, sums[-1]), weight)
            return (*jax.tree.map(jnp.add, sums[:-1], (loss, weight, square)), total), None

        zeros = *(jnp.zeros(()) for _ in range(3)), jax.tree.map(jnp.zeros_like, state.params)
        (loss, weight, squares, gradients), _ = jax.lax.scan(accumulate, zeros, batch_NxM)
        gradients = jax.tree.map(lambda gradient: gradient / weight, gradients)
        seen = {"loss": loss / weight, "grad_norm": optax.tree.norm(gradients)}
        directions, optimizer_state = optimizer.update(gradients, state.optimizer, state.params, **seen)
        updates = jax.tree.map(lambda direction: -rate * direction, directions)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            **seen,
            "update_norm": optax.tree.norm(updates),
            "param_norm": optax.tree.norm(params),
            **spike_metrics(state.optimizer, optimizer_state),
        }
        micro_batches, rows = batch_NxM.tokens.shape[:2]
        if micro_batches > 1:
            estimates = noise(squares, metrics["grad_norm"], weight, micro_batches, micro_batches * rows)
            metrics |= {"grad_square": estimates.square, "grad_variance": estimates.variance}
        return State(params, optimizer_state), metrics

    return step


def build_step(config: Config, mesh: Mesh) -> Any:
    """`step_function` jitted for a mesh; the state given is consumed (its memory is used again)."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(config, mesh))
    return jax.jit(
        step_function(config, mesh),
        in_shardings=(shardings, batch_sharding(mesh), replicated(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )


@functools.lru_cache(maxsize=1)
def compile_step(config: Config, mesh: Mesh) -> Step:
    """The step compiled for the config's shapes; once in a process, since it is the same for all conditions."""
    inputs = abstract_state(config, mesh), abstract_batch(config, mesh), np.float32(0)
    return build_step(config, mesh).lower(*inputs).compile()
