"""Named matrices, from wherever weights are: an Orbax checkpoint, a live parameter tree, safetensors files.

Nothing here knows a network: `families` says which matrix a tensor is, by its name and shape. Matrices of one
module and shape make a `Stack` (or several, where they are large); its array is read only when asked for.
Embeddings, heads, norms, biases and everything else are skipped, and listed as skipped with a reason.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath

from bench_shadows.diagnostics import families, safetensors
from bench_shadows.diagnostics.families import Cut, Place, Shaped
from bench_shadows.errors import RunError

STACK_BYTES = 128 << 20  # matrices of single layers are stacked up to this size
SMALL = 64 << 20  # bytes of an Orbax checkpoint that is read in one go and kept

Array = np.ndarray | jax.Array


@dataclass(frozen=True)
class Stack:
    """Matrices of one module and one shape, known by name; `Weights.read` brings the values."""

    component: str
    """`decoder`, or another part of a multimodal model."""
    module: str
    """`self_attn.v_proj`, `mlp.up_proj`, ..."""
    layers: tuple[int | None, ...]
    """Layer of each matrix; None where the name has none."""
    tensors: tuple[str, ...]
    """Name of each matrix in the checkpoint (the same for all where the checkpoint stacks them)."""
    shape: tuple[int, int]
    """Rows and columns as stored."""
    dtype: str
    inputs_first: bool | None = False
    """[in, out], as JAX keeps kernels; torch's linear layers are [out, in]. None: it cannot be told."""
    cut: Cut | None = None
    """Of the outputs' axis, where several matrices are fused in one tensor."""
    expert: int | None = None
    """Place in the first axis of three-dimensional tensors."""

    @property
    def key(self) -> tuple[str, str]:
        """What the same matrices of another checkpoint are found by."""
        return self.component, self.module


@dataclass(frozen=True)
class LeftOut:
    """A tensor of which no matrix is read."""

    tensor: str
    reason: str
    parameters: int
    """Entries of the tensor as it is stored."""


@dataclass(frozen=True)
class Weights:
    """The matrices of one checkpoint. Values are read stack by stack: never the whole model at once."""

    name: str
    """Where they are from, for messages."""
    stacks: tuple[Stack, ...]
    skipped: dict[str, str]
    """Tensor name -> why it is no matrix of the analysis."""
    _load: Callable[[list[str]], Mapping[str, Array]] = field(repr=False)
    family: str = families.OWN_NAMES
    """Whose table the names are from."""
    notices: tuple[str, ...] = ()
    tensors: Mapping[str, Shaped] = field(default_factory=dict, repr=False)
    """Everything in the checkpoint, with shape and dtype."""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """config.json of the checkpoint's folder."""
    files: tuple[Path, ...] = ()
    """Files that the values are read from; empty for live trees."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What is not read, why, and how many parameters of the checkpoint that is."""
        return tuple(
            LeftOut(name, reason, math.prod(self.tensors[name].shape)) for name, reason in self.skipped.items()
        )

    @property
    def read_parameters(self) -> int:
        """Entries of the tensors that matrices are read from, each tensor once."""
        names = {name for stack in self.stacks for name in stack.tensors}
        return sum(math.prod(self.tensors[name].shape) for name in names)

    def read(self, stack: Stack) -> Array:
        """[L, rows, columns] of a stack, in its stored dtype; on the host, or on the device for a live tree.

        Raises RunError naming the tensor where it cannot be read.
        """
        try:
            return self._stacked(stack)
        except Exception as error:
            names = [safetensors.short(name) for name in dict.fromkeys(stack.tensors)]
            reason = " ".join(str(error).split())[:300]
            raise RunError(
                f"{self.name}: cannot read {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: {reason}; "
                "restore the checkpoint from a copy, or analyse another one"
            ) from error

    def _stacked(self, stack: Stack) -> Array:
        names = list(dict.fromkeys(stack.tensors))
        first = self._load(names[:1])[names[0]]
        if stack.expert is None and first.ndim == 3:
            return first if stack.cut is None else np.stack([self._matrix(stack, part) for part in first])
        matrix = self._matrix(stack, first)
        result = np.empty((len(stack.layers), *stack.shape), matrix.dtype)
        result[0] = matrix
        for i, name in enumerate(names[1:], 1):  # so that the pages of one tensor at a time are in memory
            result[i] = self._matrix(stack, self._load([name])[name])
        return result

    def _matrix(self, stack: Stack, array: Array) -> np.ndarray:
        matrix = np.asarray(array if stack.expert is None else array[stack.expert])
        return matrix if stack.cut is None else stack.cut.apply(matrix, axis=1 if stack.inputs_first else 0)


def open_weights(source: Path | str | Any, embeddings: bool = False) -> Weights:
    """The matrices of an Orbax item folder, a .safetensors file or a folder of them, or a live tree of arrays."""
    if not isinstance(source, str | Path):
        return open_tree(source)
    if "://" in str(source):
        return open_orbax(source)
    path = Path(source)
    if not path.exists():
        raise RunError(f"{path}: no such checkpoint; name an Orbax `params` folder or .safetensors files")
    if path.is_dir() and (path / "_METADATA").is_file():
        return open_orbax(path)
    return open_safetensors(path, embeddings)


def open_orbax(folder: Path | str) -> Weights:
    """An Orbax PyTree item (`<step>/params`); Orbax restores only the tensors that are read, onto the host."""
    import orbax.checkpoint as ocp  # slow to import, and only needed here

    remote = "://" in str(folder)  # Orbax reads buckets itself
    folder = epath.Path(folder) if remote else Path(folder).absolute()
    handler = ocp.PyTreeCheckpointHandler()  # a checkpointer would wait for the other hosts of a run
    try:
        tree = handler.metadata(folder).tree
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"{folder}: not an Orbax parameter folder ({type(error).__name__}: {reason}); name `<step>/params`"
        ) from error
    leaves = {_name(path): leaf for path, leaf in _flatten(tree)}
    size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves.values())
    kept: dict[str, Array] = {}

    def load(names: list[str]) -> dict[str, Array]:
        wanted = {id(leaves[name]) for name in names}
        item = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if id(leaf) in wanted else ocp.PLACEHOLDER,
            tree,
        )
        restore = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        restored = handler.restore(folder, args=ocp.args.PyTreeRestore(item=item, restore_args=restore))
        return {_name(path): leaf for path, leaf in _flatten(restored) if leaf is not ocp.PLACEHOLDER}

    def load_small(names: list[str]) -> dict[str, Array]:
        if not kept:  # a restore costs milliseconds whatever its size: one for all, and for all comparisons
            kept.update(load(list(leaves)))
        return kept

    inside = () if remote else (path for path in folder.rglob("*") if path.is_file())
    files = tuple(sorted(inside))
    return _collect(str(folder), leaves, load_small if size <= SMALL else load, files=files)


def open_tree(tree: Any, name: str = "parameters") -> Weights:
    """A live tree of arrays: nested dicts, an NNX state or module, Linen variables, an Equinox module."""
    leaves = {_name(path): leaf for path, leaf in _flatten(tree) if hasattr(leaf, "shape")}
    return _collect(name, leaves, lambda names: {key: leaves[key] for key in names})


def open_safetensors(path: Path | str, embeddings: bool = False) -> Weights:
    """One .safetensors file or a folder of shards: headers now, values memory-mapped when they are read.

    Raises RunError for what `safetensors.open_files` refuses.
    """
    found = safetensors.open_files(Path(path))

    def load(names: list[str]) -> dict[str, Any]:
        return {name: found.tensors[name].map() for name in names}

    return _collect(
        str(path), found.tensors, load, found.config, embeddings, files=found.files, notices=found.notices
    )


def _name(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _flatten(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    """(path, leaf) of a tree, wrappers of parameters (`.value` of NNX and Linen boxes) left out of the path."""

    def part(key: Any) -> str:
        return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(tuple(p for p in map(part, path) if p not in ("value", "raw_value")), leaf) for path, leaf in leaves]


def _collect(
    name: str,
    leaves: Mapping[str, Shaped],
    load: Callable[[list[str]], Mapping[str, Array]],
    config: Mapping[str, Any] | None = None,
    embeddings: bool = False,
    files: tuple[Path, ...] = (),
    notices: tuple[str, ...] = (),
) -> Weights:
    """Sorts tensors into stacks and skipped ones."""
    found = families.sort_tensors(leaves, config, embeddings)
    groups: dict[tuple[Any, ...], list[Place]] = {}
    for place in found.places:
        dtype = str(np.dtype(leaves[place.tensor].dtype))
        alone = place.tensor if place.layers else None  # a tensor that is a stack is read as one
        key = (
            place.component,
            place.module,
            place.shape,
            dtype,
            place.inputs_first,
            place.cut,
            place.expert,
            alone,
        )
        groups.setdefault(key, []).append(place)
    stacks = []
    for (component, module, shape, dtype, inputs_first, cut, expert, alone), places in groups.items():
        places.sort(key=lambda place: (-1 if place.layer is None else place.layer, place.tensor))
        layers: list[int | None] = [place.layer for place in places]
        tensors = [place.tensor for place in places]
        if alone:
            layers = list(range(places[0].layers))
            tensors = tensors * len(layers)
        fit = len(layers) if alone else max(1, STACK_BYTES // (math.prod(shape) * np.dtype(dtype).itemsize))
        for start in range(0, len(layers), fit):
            part = slice(start, start + fit)
            stacks.append(
                Stack(
                    component,
                    module,
                    tuple(layers[part]),
                    tuple(tensors[part]),
                    shape,
                    dtype,
                    inputs_first,
                    cut,
                    expert,
                )
            )
    return Weights(
        name,
        tuple(stacks),
        found.skipped,
        load,
        found.family,
        (*notices, *found.notices),
        leaves,
        config or {},
        files,
    )
