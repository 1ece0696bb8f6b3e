"""What a device's memory holds when it is fullest, part by part, from the reports that XLA writes as it compiles.

XLA says which buffers live at the peak and what shapes they have. Which part of training a buffer belongs to is
read from that: a parameter of the program is the state's, the rest goes by shape and dtype.
"""

import collections
import dataclasses
import math
import re
from pathlib import Path

import jax

from bench_shadows.config import Config
from bench_shadows.training.step import State

PARTS = {
    "weights": "float32 weights",
    "optimizer": "Adam's moments",
    "gradients": "float32 gradients and their accumulators",
    "sixteen_bit": "16-bit copies of matrices and their gradients on the way",
    "activations": "activations",
    "logits": "logits and their gradients",
    "other": "other",
}
"""The parts, with what a reader calls them."""

_PEAK = re.compile(r"Live ranges at \d+ \(peak\):\n((?:    \S+: \d+ bytes .*\n)*)")
_LIVE = re.compile(r"    (\S+): (\d+) bytes ")
_ALLOCATION = re.compile(r"^allocation \d+: size \d+(?:, parameter (\d+))?")
_VALUE = re.compile(r"^ value: <\d+ (\S+)(?: \(phi\))? @\d+> \(size=(\d+),.*?\): (\w+)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Buffer:
    """One array of a device."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    """With what the layout pads."""
    parameter: int | None
    """The program's parameter that it is, or takes the place of."""


def live_at_peak(folder: Path) -> list[Buffer]:
    """The buffers that live when most is needed, from the folder of `xla_dump_to`; empty without such reports."""
    ranges = next(folder.glob("*live-range.txt"), None)
    assignment = next(folder.glob("*optimizations-buffer-assignment.txt"), None)
    peak = _PEAK.search(ranges.read_text()) if ranges else None
    if peak is None or assignment is None:
        return []
    assigned: dict[str, Buffer] = {}
    parameter = None
    for line in assignment.read_text().splitlines():
        if allocation := _ALLOCATION.match(line):
            parameter = int(allocation[1]) if allocation[1] else None
        elif value := _VALUE.match(line):
            name, size, dtype, shape = value.groups()
            sizes = tuple(int(n) for n in shape.split(",") if n)
            assigned[name.removesuffix("{}")] = Buffer(dtype, sizes, int(size), parameter)
    # Tables of addresses have no shape in the assignment; they take some bytes each.
    live = [(name.removesuffix("{}"), int(size)) for name, size in _LIVE.findall(peak[1])]
    return [assigned.get(name) or Buffer("", (), size, None) for name, size in live]


def by_part(buffers: list[Buffer], state: State, config: Config) -> dict[str, int]:
    """Bytes of each of `PARTS` of a program whose first parameters are the leaves of `state` (with shardings)."""
    weights, moments = len(jax.tree.leaves(state.params)), len(jax.tree.leaves(state.optimizer))
    matrices = _matrices(state)
    vocabulary = config.model.vocab_size // config.train.tensor

    def part(buffer: Buffer) -> str:
        if buffer.parameter is not None:
            place = buffer.parameter
            return "weights" if place < weights else "optimizer" if place < weights + moments else "other"
        if _form(buffer.shape) in matrices:
            return "gradients" if buffer.dtype == "f32" else "sixteen_bit"
        if max(buffer.shape, default=0) >= vocabulary:
            return "logits"
        positions = config.data.seq_len
        holds_positions = len(_form(buffer.shape)) > 2 or any(size % positions == 0 for size in buffer.shape)
        return "activations" if holds_positions else "other"

    found: collections.Counter[str] = collections.Counter()
    for buffer in buffers:
        found[part(buffer)] += buffer.bytes
    return {name: found[name] for name in PARTS}


def _matrices(state: State) -> set[tuple[int, ...]]:
    """Forms of the model's matrices: a layer's whole or one device's share of it, and the shares of all layers."""
    forms = set()
    for leaf in jax.tree.leaves(state.params):
        if leaf.ndim < 2:
            continue
        share = leaf.sharding.shard_shape(leaf.shape)
        forms |= {_form(share), _form(leaf.shape[-2:]), _form(share[-2:])}
    return forms


def _form(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its order, since XLA transposes, and without sizes of one."""
    return tuple(sorted(size for size in shape if size > 1))


def state_bytes(state: State) -> dict[str, int]:
    """Bytes of one device's weights and optimizer, by arithmetic from their shapes and shardings."""

    def of(tree: object) -> int:
        leaves = jax.tree.leaves(tree)
        return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)

    return {"weights": of(state.params), "optimizer": of(state.optimizer)}
