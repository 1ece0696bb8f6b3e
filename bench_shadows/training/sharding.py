"""The mesh, and one table that says how every array lies on it.

Axes: `replica` repeats the weights (between pods), `fsdp` shards them and the batch (ZeRO-3), `tensor` splits
heads and feed-forward features.

Axes are Auto: XLA places the collectives from the shardings of the inputs. The compiled step pins its outputs,
since otherwise jitted initialisation leaves Adam's moments replicated.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bench_shadows.config import Config, TrainConfig
from bench_shadows.errors import ConfigError
from bench_shadows.model.attention import IMPLEMENTATIONS, KERNELS, Attention, choose
from bench_shadows.model.loss import cross_entropy

BATCH_AXES = ("replica", "fsdp")
SHARD_ROWS = 64  # of a matrix on one device: below it a shard no longer fills the tiles of a TPU's memory

_IN = PartitionSpec(None, "fsdp", "tensor")  # stacked kernels [layer, in, out] whose outputs are split
_OUT = PartitionSpec(None, "tensor", "fsdp")  # ... and those that read such a split
SPECS = {
    "embed_tokens.embedding": PartitionSpec("tensor", "fsdp"),
    "lm_head.kernel": PartitionSpec("fsdp", "tensor"),
    "q_proj.kernel": _IN,
    "k_proj.kernel": _IN,
    "v_proj.kernel": _IN,
    "o_proj.kernel": _OUT,
    "gate_proj.kernel": _IN,
    "up_proj.kernel": _IN,
    "down_proj.kernel": _OUT,
    "out_proj.kernel": _OUT,  # the image encoder's, and its projector's
    "fc1.kernel": _IN,
    "fc2.kernel": _OUT,
    "patch_embedding.kernel": PartitionSpec("fsdp", None),
    "linear_1.kernel": PartitionSpec("fsdp", "tensor"),
    "linear_2.kernel": PartitionSpec("tensor", "fsdp"),
}
"""By the last two names of a parameter's path. Adam's moments lie as their parameters, the rest is replicated."""


def build_mesh(config: Config, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh (replica, fsdp, tensor) over all devices; `config.train.fsdp` and `.tensor` say how they are split.

    Left open, `fsdp` is the largest number that leaves every device `SHARD_ROWS` rows of the narrowest dimension
    that is sharded, and the rest repeats the weights. Compiled for v5e:16x16, the paper's model over 256 shards (4
    rows each) moved its weights by all-reduces of whole matrices; over 16, by all-gathers.
    """
    devices = jax.devices() if devices is None else list(devices)
    train = config.train
    ways, left = divmod(len(devices), max(1, train.fsdp) * train.tensor)
    if left:
        raise ConfigError(
            f"config.train: {len(devices)} devices do not divide into "
            f"fsdp={train.fsdp or 1} x tensor={train.tensor}"
        )
    room = max(1, config.model.hidden_size // SHARD_ROWS)
    fsdp = train.fsdp or max(size for size in range(1, ways + 1) if ways % size == 0 and size <= room)
    shape = len(devices) // (fsdp * train.tensor), fsdp, train.tensor
    try:
        placed = mesh_utils.create_device_mesh(shape, devices)
    except NotImplementedError:  # no set of the torus's axes has this size (16 of 8 x 8): an axis is cut
        placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(placed, (*BATCH_AXES, "tensor"), axis_types=(AxisType.Auto,) * 3)


def state_shardings(state: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a tree (of arrays or shapes) whose paths end with names of `SPECS`.

    A dimension that its axis does not divide stays whole: a small model on many devices.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, _spec(path, leaf.shape, mesh)), state
    )


def _spec(path: tuple[Any, ...], shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """From `SPECS`, by a parameter's path; without the layers' axis for one layer's own matrix."""
    names = [str(getattr(key, "key", getattr(key, "name", key))) for key in path]
    names = [name for name in names if name not in ("value", "raw_value")]  # the boxes of NNX
    axes = SPECS.get(".".join(names[-2:]), PartitionSpec())
    axes = axes[max(0, len(axes) - len(shape)) :]
    return PartitionSpec(
        *(axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(axes, shape, strict=False))
    )


def gather_weights(tree: Any, mesh: Mesh, dtype: Any) -> Any:
    """A layer's (or the embedding's) matrices in `dtype`, whole over `fsdp`, still split over `tensor`.

    They are cast first, so that half the bytes travel; their gradients are scattered before they are cast back.
    Vectors stay as they are.
    """

    def of(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2 or mesh.size == 1:
            return leaf
        kept = _spec(path, leaf.shape, mesh)
        whole = PartitionSpec(*(axis if axis == "tensor" else None for axis in kept))
        return _gather(leaf, NamedSharding(mesh, kept), NamedSharding(mesh, whole), dtype)

    return jax.tree_util.tree_map_with_path(of, tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _gather(weights: jax.Array, kept: NamedSharding, whole: NamedSharding, dtype: Any) -> jax.Array:
    cast = jax.lax.with_sharding_constraint(weights.astype(dtype), kept)
    return jax.lax.with_sharding_constraint(cast, whole)


def _gather_forward(
    weights: jax.Array, kept: NamedSharding, whole: NamedSharding, dtype: Any
) -> tuple[jax.Array, None]:
    return _gather(weights, kept, whole, dtype), None


def _gather_backward(
    kept: NamedSharding, whole: NamedSharding, dtype: Any, _: None, gradient: jax.Array
) -> tuple[jax.Array]:
    return (jax.lax.with_sharding_constraint(gradient, kept).astype(jnp.float32),)


_gather.defvjp(_gather_forward, _gather_backward)


def spread_rows(x_BxTxD: jax.Array, mesh: Mesh) -> jax.Array:
    """Activations whose rows stay on their devices: without this XLA may follow the weights instead."""
    if mesh.size == 1:
        return x_BxTxD
    return jax.lax.with_sharding_constraint(x_BxTxD, NamedSharding(mesh, PartitionSpec(BATCH_AXES)))


def attention_over(mesh: Mesh, dtype: jnp.dtype, head_dim: int, seq_len: int) -> Attention:
    """The attention of the mesh's devices; a kernel that XLA cannot split runs on each device's rows and heads."""
    name = choose(mesh.devices.flat[0], dtype, head_dim, seq_len)
    if name not in KERNELS or mesh.size == 1:
        return IMPLEMENTATIONS[name]
    spec = PartitionSpec(BATCH_AXES, None, "tensor")  # rows, positions, heads
    return jax.shard_map(IMPLEMENTATIONS[name], mesh=mesh, in_specs=(spec,) * 3, out_specs=spec, check_vma=False)


Loss = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def cross_entropy_over(mesh: Mesh, chunk_tokens: int) -> Loss:
    """`loss.cross_entropy` on each device's own rows, `chunk_tokens` of them at once.

    The output matrix's gradient is summed over the chunks first and over the devices once; left to XLA, it travels
    with every chunk.
    """
    if mesh.size == 1:
        return lambda hidden, head, targets, weights: cross_entropy(hidden, head, targets, weights, chunk_tokens)
    rows = PartitionSpec(BATCH_AXES)

    def of_one_device(
        hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        loss, weight = cross_entropy(hidden, head, targets, weights, chunk_tokens)
        return loss[None], weight[None]

    losses = jax.shard_map(
        of_one_device,
        mesh=mesh,
        in_specs=(rows, PartitionSpec(), rows, rows),
        out_specs=(rows, rows),
        axis_names=set(BATCH_AXES),  # a vocabulary that is split over `tensor` is left to XLA
        check_vma=False,
    )
    return lambda *arrays: jax.tree.map(jnp.sum, losses(*arrays))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Micro-batches [N, rows, positions]: rows are spread, so that every device has its part of each of them."""
    return NamedSharding(mesh, PartitionSpec(None, BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def data_ways(mesh: Mesh) -> int:
    """Into how many parts the mesh cuts a batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def accumulation_steps(train: TrainConfig, mesh: Mesh) -> int:
    """Micro-batches of one step: each device holds at most `micro_batch_size` rows at once.

    Raises ConfigError where the batch does not divide over the devices, or a device's share into micro-batches.
    """
    ways = data_ways(mesh)
    share, left = divmod(train.batch_size, ways)
    if left:
        near = max(1, round(train.batch_size / ways)) * ways
        raise ConfigError(
            f"config.train.batch_size={train.batch_size} does not divide over {ways} devices; {near} would"
        )
    micro = min(train.micro_batch_size, share)
    if share % micro:
        fitting = [size for size in range(1, share + 1) if share % size == 0]
        raise ConfigError(
            f"config.train.micro_batch_size={micro} does not divide a device's share of {share} rows "
            f"(batch_size={train.batch_size} over {ways} devices); one of {fitting} would"
        )
    return share // micro
