"""The mesh, and one table that says how every array lies on it.

Axes: `replica` repeats the weights (between pods), `fsdp` shards them and the batch (ZeRO-3), `tensor` splits
heads and feed-forward features. All local devices are on `fsdp` unless said otherwise.

Axes are Auto: XLA places the collectives from the shardings of the inputs. The compiled step pins its outputs,
since otherwise jitted initialisation leaves Adam's moments replicated.
"""

import math
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bench_shadows.config import TrainConfig
from bench_shadows.errors import ConfigError

BATCH_AXES = ("replica", "fsdp")

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
}
"""By the last two names of a parameter's path. Adam's moments lie as their parameters, the rest is replicated."""


def build_mesh(devices: list[jax.Device] | None = None, replica: int = 1, tensor: int = 1) -> Mesh:
    """A mesh (replica, fsdp, tensor) over all devices."""
    devices = jax.devices() if devices is None else devices
    fsdp, left = divmod(len(devices), replica * tensor)
    if left:
        raise ConfigError(f"{len(devices)} devices do not divide into replica={replica} x tensor={tensor}")
    return jax.make_mesh(
        (replica, fsdp, tensor), (*BATCH_AXES, "tensor"), axis_types=(AxisType.Auto,) * 3, devices=devices
    )


def state_shardings(state: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a tree (of arrays or shapes) whose paths end with names of `SPECS`.

    A dimension that its axis does not divide stays whole: a small model on many devices.
    """

    def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = ".".join(str(getattr(key, "key", key)) for key in path[-2:])
        axes = SPECS.get(names, PartitionSpec())
        fits = (
            axis if axis and size % mesh.shape[axis] == 0 else None
            for axis, size in zip(axes, leaf.shape, strict=False)
        )
        return NamedSharding(mesh, PartitionSpec(*fits))

    return jax.tree_util.tree_map_with_path(of, state)


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
