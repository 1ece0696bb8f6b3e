"""How matrices lie in a tensor: its axes by letters, what of it is picked, cut and joined, and what may be cut.

A letter stands for each axis of a tensor: `i` inputs and `o` outputs (several of one letter are joined, as the
heads and their width), `L` layers, `E` experts, `S` parts that are matrices of their own, as gate and up. torch's
linear layers are `oi`, Flax's kernels `io`, Flax's attention `ioo` and `iio`, layers scanned on MaxText's axis
`iLoo`. Whether the inputs or the outputs come first in a matrix is what the letters say.

Fused matrices are cut where the config, or the tensor's other side, gives exactly the length of the side that is
cut; where it does not they stay whole (`fused_cuts`).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Array = np.ndarray | jax.Array

# The config's words, in the order of trust.
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "kv_n_heads", "multi_query_group_num")
_WIDTH = ("head_dim", "kv_channels", "d_kv", "attention_head_dim")
_HIDDEN = ("hidden_size", "n_embd", "embed_dim", "d_model", "dim")
_FEED_FORWARD = (
    *("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size", "ffn_dim", "n_inner"),
    *("ffn_hidden_size", "intermediate_size_mlp", "hidden_dim", "d_ff", "shared_intermediate_size"),
)


@dataclass(frozen=True)
class Cut:
    """A share of an axis: the axis in `groups` equal parts, of each part the entries from `start` to `stop`."""

    groups: int
    start: int
    stop: int

    def apply(self, matrices: Array, axis: int) -> Array:
        """The share of axis 1 or 2 of [L, rows, columns]."""
        shape = list(matrices.shape)
        shape[axis : axis + 1] = [self.groups, shape[axis] // self.groups]
        chosen = [slice(None)] * 4
        chosen[axis + 1] = slice(self.start, self.stop)
        parts = matrices.reshape(shape)[tuple(chosen)]
        shape[axis : axis + 2] = [self.size]
        return parts.reshape(shape)

    @property
    def size(self) -> int:
        """Entries of the axis that are kept."""
        return self.groups * (self.stop - self.start)


@dataclass(frozen=True)
class View:
    """How the matrices of one name are taken out of a tensor."""

    axes: str = "oi"
    picks: tuple[tuple[int, int], ...] = ()
    """(axis, place) of experts and parts."""
    cut: Cut | None = None
    """Of the outputs, where several matrices are fused in one tensor."""

    @property
    def inputs_first(self) -> bool:
        """Whether the matrices are [in, out]."""
        return self.axes.replace("L", "").replace("E", "").replace("S", "").startswith("i")

    @property
    def stacked(self) -> int | None:
        """The axis of layers."""
        return self.axes.index("L") if "L" in self.axes else None

    def take(self, tensor: Any, layer: Any = None) -> Array:
        """[L, rows, columns] of a tensor, or [1, rows, columns] of one place on the axis of layers.

        Args:
          tensor: a NumPy or JAX array, or what NumPy can index and convert, with `axes`.
          layer: a place on that axis; None for all. May be traced.
        """
        index: list[Any] = [slice(None)] * len(self.axes)
        for axis, place in self.picks:
            index[axis] = place
        if layer is not None and self.stacked is not None:
            index[self.stacked] = slice(layer, layer + 1) if isinstance(layer, int) else layer
        left = [letter for letter, at in zip(self.axes, index, strict=True) if isinstance(at, slice)]
        whole = all(at == slice(None) for at in index)
        array = tensor if whole and hasattr(tensor, "reshape") else tensor[tuple(index)]
        if not isinstance(array, jax.Array):
            array = np.asarray(array)
        sides = "io" if self.inputs_first else "oi"
        order = [i for letter in ("L", *sides) for i, found in enumerate(left) if found == letter]
        if order != sorted(order):
            array = array.transpose(order)
        sizes = dict(zip(range(len(left)), (array.shape[order.index(i)] for i in range(len(left))), strict=True))
        rows, columns = (math.prod(sizes[i] for i, found in enumerate(left) if found == side) for side in sides)
        if array.ndim == 2:
            array = array[None]
        elif array.ndim != 3 or "L" not in left:
            array = array.reshape(-1, rows, columns)
        return array if self.cut is None else self.cut.apply(array, 2 if self.inputs_first else 1)

    def shape(self, sizes: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of each matrix of a tensor of these sizes."""
        inputs, outputs = (self.side(sizes, letter) for letter in "io")
        outputs = outputs if self.cut is None else self.cut.size
        return (inputs, outputs) if self.inputs_first else (outputs, inputs)

    def side(self, sizes: Sequence[int], letter: str) -> int:
        """Length of the inputs (`i`), the outputs (`o`), or of another letter, before any cut."""
        return math.prod(size for size, found in zip(sizes, self.axes, strict=True) if found == letter)


@dataclass(frozen=True)
class Sizes:
    """What a section of config.json says of a transformer's sizes; None where it does not."""

    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    width: int | None = None
    """Of one head."""
    feed_forward: frozenset[int] = frozenset()

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Sizes":
        """Of config.json or a section of it, which nobody checked."""
        heads, hidden = _number(section, _HEADS), _number(section, _HIDDEN)
        nested = section.get("attn_config")
        kv_heads = _number({**section, **nested} if isinstance(nested, dict) else section, _KV_HEADS)
        if section.get("new_decoder_architecture") is not True:  # Falcon's: with it num_kv_heads counts
            if section.get("multi_query") is True:
                kv_heads = 1
            elif section.get("multi_query_attention") is True:  # OLMo's and ChatGLM's
                kv_heads = _number(section, ("multi_query_group_num", "n_kv_heads")) or 1
            elif "multi_query" in section:
                kv_heads = heads
        sizes = (section.get(key) for key in _FEED_FORWARD)
        known = frozenset(size for size in sizes if type(size) is int and size > 0)
        return cls(hidden, heads, kv_heads, _number(section, _WIDTH), known)


def fused_cuts(kind: str, count: int, outputs: int, inputs: int, sizes: Sizes) -> Sequence[Cut] | None:
    """How a fused side is cut; None where the sizes do not give exactly that side.

    Args:
      kind: of the families' tables: `rows`, `heads`, `thirds`, `halves`, `alternating`, `gates`, `codegen`.
      count: how many matrices are fused.
      outputs, inputs: the side that is cut, and the other one.
      sizes: the config's.
    """
    if kind in ("halves", "alternating", "gates"):
        expected = {count * size for size in sizes.feed_forward}
        if outputs % count or (kind != "gates" and expected and outputs not in expected):
            return None
        return _shares(outputs // count if kind == "alternating" else 1, [1] * count, outputs)
    heads, kv_heads = sizes.heads, sizes.kv_heads or sizes.heads
    equal = kind in ("thirds", "codegen")
    if heads is None or kv_heads is None:
        return _shares(1, [1] * count, outputs) if kind == "thirds" and outputs == count * inputs else None
    width = sizes.width or _divided(sizes.hidden or inputs, heads)
    kv_heads = heads if equal else kv_heads
    if width is None or heads % kv_heads or outputs != (heads + 2 * kv_heads) * width:
        return None
    if kind == "codegen":  # written for four chips: of each quarter q, then v, then k
        return None if heads % 4 else _shares(4, [1, 1, 1], outputs)
    return _shares(kv_heads if kind == "heads" else 1, [heads // kv_heads, 1, 1], outputs)


def _shares(groups: int, shares: Sequence[int], outputs: int) -> list[Cut]:
    unit = outputs // (groups * sum(shares))
    ends = [0, *itertools.accumulate(share * unit for share in shares)]
    return [Cut(groups, start, stop) for start, stop in itertools.pairwise(ends)]


def _divided(hidden: int, heads: int) -> int | None:
    return hidden // heads if hidden % heads == 0 else None


def _number(section: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The first of some keys that holds a whole number above zero."""
    values = (section.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), None)
