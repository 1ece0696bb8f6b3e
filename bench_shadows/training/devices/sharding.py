"""The mesh, and one table that says how every array lies on it.

Axes: `replica` repeats the weights (between pods), `fsdp` shards them and the batch (ZeRO-3), `tensor` splits
heads and feed-forward features.

Axes are Auto: XLA places the collectives from the shardings of the inputs. The compiled step pins its outputs,
since otherwise jitted initialisation leaves Adam's moments replicated.
"""

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

BATCH_AXES = ("replica", "fsdp")
SHARD_ROWS = 64  # of a matrix on one device: below it a shard no longer fills the tiles of a TPU's memory

_IN = PartitionSpec(None, "fsdp", "tensor")  # stacked kernels [layer, in, out] whose outputs are split
_OUT = PartitionSpec(None, "tensor", "fsdp")  # ... and those that read such a split
SPECS = {
    "embed_tokens.embedding": PartitionSpec("tensor", "fsdp"),
    "lm_head.kernel": PartitionSpec("fsdp", "tensor"),
    **{f"{name}.kernel": _IN for name in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "fc1")},
    **{f"{name}.kernel": _OUT for name in ("o_proj", "down_proj", "out_proj", "fc2")},
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
    """From `SPECS`, by the last two names of a parameter's path."""
    axes = SPECS.get(".".join(_names(path)[-2:]), PartitionSpec())
    return PartitionSpec(
        *(axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(axes, shape, strict=False))
    )


def _names(path: tuple[Any, ...]) -> list[str]:
    names = [str(getattr(key, "key", getattr(key, "name", key))) for key in path]
    return [name for name in names if name not in ("value", "raw_value")]  # the boxes of NNX


Cuts = dict[str, int]
"""Path of a parameter, joined by points -> the dimension that `fsdp` cuts, from the end (-1 is the last)."""
_STACK = "layers"  # in the path of what is stacked over layers, the decoder's and the encoder's


def cuts_of(params: Any, mesh: Mesh) -> Cuts:
    """The parameters (arrays or shapes, with the layers stacked) that `fsdp` cuts."""
    leaves = jax.tree_util.tree_leaves_with_path(params) if mesh.shape["fsdp"] > 1 else []
    specs = {".".join(_names(path)): (tuple(_spec(path, leaf.shape, mesh)), leaf.ndim) for path, leaf in leaves}
    return {name: spec.index("fsdp") - ndim for name, (spec, ndim) in specs.items() if "fsdp" in spec}


def gather_layer(layer: Any, stack: str, cuts: Cuts, dtype: Any) -> Any:
    """Inside `value_and_grad_over`: one layer's weights, whole over `fsdp` and in `dtype`.

    They are cast before they travel, and their gradients travel before they are cast back: half the bytes. What is
    not cut stays as it is.

    Args:
      stack: the path of the layers that it is one of.
    """

    def of(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        dimension = cuts.get(".".join([stack, *_names(path)]))
        if dimension is None:
            return leaf
        return jax.lax.all_gather(leaf.astype(dtype), "fsdp", axis=leaf.ndim + dimension, tiled=True)

    return jax.tree_util.tree_map_with_path(of, layer)


def gather_outside(params: Any, cuts: Cuts, mesh: Mesh, dtype: Any) -> Any:
    """Parameters with those outside the layers whole over `fsdp` and in `dtype`: once for all micro-batches."""

    def of(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        names = _names(path)
        if _STACK in names or ".".join(names) not in cuts:
            return leaf
        kept = _spec(path, leaf.shape, mesh)
        whole = PartitionSpec(*(axis if axis == "tensor" else None for axis in kept))
        cast = jax.lax.with_sharding_constraint(leaf.astype(dtype), NamedSharding(mesh, kept))
        return jax.lax.with_sharding_constraint(cast, NamedSharding(mesh, whole))

    return jax.tree_util.tree_map_with_path(of, params)


Sums = tuple[jax.Array, jax.Array]


def value_and_grad_over(
    mesh: Mesh, cuts: Cuts, loss_sum: Callable[[Any, Any], Sums]
) -> Callable[[Any, Any], tuple[Sums, Any]]:
    """`jax.value_and_grad` of a (loss, weight) that is a sum over rows: each device takes its own rows.

    Its parameters are those of `gather_outside`, its gradients float32 and cut as the weights are. Inside
    `loss_sum` arrays are one device's: its rows of the batch, and of the layers what `fsdp` leaves it, which
    `gather_layer` makes whole. So no activation can travel, and every gradient travels once: a matrix's in a
    scattered sum over `fsdp`, after which its parts are summed over `replica`. `tensor` is left to XLA.
    """
    value_and_grad = jax.value_and_grad(loss_sum, has_aux=True)
    if data_ways(mesh) == 1:
        return value_and_grad

    def part(path: tuple[Any, ...], leaf: jax.Array) -> PartitionSpec:
        dimension = cuts.get(".".join(_names(path)))
        return PartitionSpec() if dimension is None else PartitionSpec(*[None] * (leaf.ndim + dimension), "fsdp")

    def given(path: tuple[Any, ...], leaf: jax.Array) -> PartitionSpec:
        return part(path, leaf) if _STACK in _names(path) else PartitionSpec()

    def summed(path: tuple[Any, ...], gradient: jax.Array) -> jax.Array:
        dimension = cuts.get(".".join(_names(path)))
        if dimension is None:
            return jax.lax.psum(gradient, BATCH_AXES)
        if _STACK not in _names(path):  # those of the layers are scattered where `gather_layer` is turned around
            place = gradient.ndim + dimension
            gradient = jax.lax.psum_scatter(gradient, "fsdp", scatter_dimension=place, tiled=True)
        whole = gradient.astype(jnp.float32)
        return jax.lax.psum(whole, "replica") if mesh.shape["replica"] > 1 else whole

    def of_one_device(params: Any, batch: Any) -> tuple[Sums, Any]:
        sums, gradients = value_and_grad(params, batch)
        return jax.lax.psum(sums, BATCH_AXES), jax.tree_util.tree_map_with_path(summed, gradients)

    def over_rows(params: Any, batch: Any) -> tuple[Sums, Any]:
        return jax.shard_map(
            of_one_device,
            mesh=mesh,
            in_specs=(jax.tree_util.tree_map_with_path(given, params), PartitionSpec(BATCH_AXES)),
            out_specs=(PartitionSpec(), jax.tree_util.tree_map_with_path(part, params)),
            axis_names=set(BATCH_AXES),
            check_vma=False,
        )(params, batch)

    return over_rows


def attention_over(
    mesh: Mesh, dtype: jnp.dtype, head_dim: int, seq_len: int, by_document: bool = False
) -> Attention:
    """Attention inside `value_and_grad_over`; a kernel, which XLA cannot split, takes each device's own heads.

    `by_document` says that it is called with the documents' numbers.
    """
    name = choose(mesh.devices.flat[0], dtype, head_dim, seq_len)
    if name not in KERNELS or mesh.size == 1:
        return IMPLEMENTATIONS[name]
    heads = PartitionSpec(None, None, "tensor")
    split: dict[str, Any] = {"axis_names": {"tensor"}} if data_ways(mesh) > 1 else {"mesh": mesh}
    given = (heads, heads, heads, *((PartitionSpec(),) if by_document else ()))
    return jax.shard_map(IMPLEMENTATIONS[name], in_specs=given, out_specs=heads, check_vma=False, **split)


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
