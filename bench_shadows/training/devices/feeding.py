"""Which rows of a global batch a host reads, and how they become its part of the batch on the devices.

Row b of a batch is row b % M of micro-batch b // M, for any number of hosts; a host reads the rows that its
devices hold. Where a mesh splits heads over hosts (`tensor`), several of them read the same rows.

Letters: N micro-batches, M rows of one (over all devices), H rows that a host reads, T positions, S pixels
of a side.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bench_shadows.data.rows.loader import Batch
from bench_shadows.training.devices.sharding import batch_sharding, data_ways


class Fed(NamedTuple):
    """The batch of a step."""

    on_devices: Batch
    """Of all hosts, as the step takes it (`place`)."""
    rows: np.ndarray | jax.Array
    """Token rows of all hosts, as statistics take them (`whole_batch`)."""


def feed(stream: Iterable[Batch], accumulation: int, mesh: Mesh) -> Iterator[Fed]:
    """What this host reads, batch by batch, on its way to the devices."""
    for batch in stream:
        placed = place(batch, accumulation, mesh)
        yield Fed(placed, whole_batch(batch, placed, mesh))


def host_rows(batch_size: int, accumulation: int, mesh: Mesh) -> np.ndarray:
    """Places in the global batch of the rows that this host's devices hold, int64 [H], ascending."""
    rows = _columns(mesh, batch_size // accumulation)
    return (np.arange(accumulation)[:, None] * (batch_size // accumulation) + rows).ravel()


def place(batch: Batch, accumulation: int, mesh: Mesh) -> Batch:
    """The rows at `host_rows`, in that order, as this host's part of the global micro-batches.

    Returns tokens [N, M, T] int32 and images [N, M, S, S, 3] uint8 (or None), on the devices.
    """
    return jax.tree.map(functools.partial(_place, accumulation=accumulation, mesh=mesh), batch)


def whole_batch(batch: Batch, placed: Batch, mesh: Mesh) -> np.ndarray | jax.Array:
    """The token rows of all hosts in the batch's order, int32 [N * M, T]: what statistics of a batch are of.

    On one host they are what it read. On several every device is sent all of them, 8 MB for 1,024 rows of 2,048
    tokens: that is less than to read from storage what the other hosts have read.
    """
    if jax.process_count() == 1:
        return batch.tokens
    return _replicate(mesh)(placed.tokens)


@functools.lru_cache(maxsize=8)
def _replicate(mesh: Mesh) -> Callable[[Any], jax.Array]:
    return jax.jit(
        lambda rows: rows.reshape(-1, rows.shape[-1]), out_shardings=NamedSharding(mesh, PartitionSpec())
    )


def _place(rows_H: np.ndarray, accumulation: int, mesh: Mesh) -> jax.Array:
    local = rows_H.reshape(accumulation, -1, *rows_H.shape[1:])
    ways = data_ways(mesh)
    size = local.shape[1] * ways // len(_columns(mesh, ways))
    held = _columns(mesh, size)

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        start, stop, _ = (index or (slice(None),) * 2)[1].indices(size)
        first = int(np.searchsorted(held, start))
        return local[:, first : first + stop - start]

    return jax.make_array_from_callback((accumulation, size, *local.shape[2:]), batch_sharding(mesh), part)


@functools.lru_cache(maxsize=8)
def _columns(mesh: Mesh, size: int) -> np.ndarray:
    """Of the `size` rows of one micro-batch, those that this host's devices hold, ascending."""
    held = np.zeros(size, bool)
    for index in batch_sharding(mesh).addressable_devices_indices_map((1, size)).values():
        held[(index or (slice(None),) * 2)[1]] = True
    return np.flatnonzero(held)
