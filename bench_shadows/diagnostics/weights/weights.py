"""Named matrices, from wherever weights are: an Orbax checkpoint, a live parameter tree, safetensors files.

Nothing here knows a network: `families` says which matrix a tensor is, by its name and shape. Matrices of one
module and shape make a `Stack` (or several, where they are large); its array is read only when asked for.
Embeddings, heads, norms, biases and everything else are skipped, and listed as skipped with a reason.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath

from bench_shadows.diagnostics.weights import families, flax_msgpack, safetensors, trees
from bench_shadows.diagnostics.weights.layouts import View
from bench_shadows.diagnostics.weights.names import Shaped, no_two_alike
from bench_shadows.diagnostics.weights.places import Place
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
    """Rows and columns as stored, or as heads and widths are joined to them."""
    dtype: str
    inputs_first: bool | None = False
    """[in, out], as JAX keeps kernels; torch's linear layers are [out, in]. None: it cannot be told."""
    view: View = field(default_factory=View)
    """How each matrix is taken out of its tensor."""
    slots: tuple[int, ...] = ()
    """Place of each matrix on its tensor's axis of layers; empty where each has a tensor of its own."""

    def one(self, i: int) -> "Stack":
        """Its matrix i alone."""
        part = slice(i, i + 1)
        return replace(self, layers=self.layers[part], tensors=self.tensors[part], slots=self.slots[part])

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
        tensor = self._load(names[:1])[names[0]]
        if stack.slots:
            axis = stack.view.stacked
            whole = axis is not None and len(stack.slots) == tensor.shape[axis]
            return stack.view.take(tensor, None if whole or len(stack.slots) > 1 else stack.slots[0])
        first = np.asarray(stack.view.take(tensor))
        result = np.empty((len(stack.layers), *stack.shape), first.dtype)
        result[0] = first[0]
        for i, name in enumerate(names[1:], 1):  # so that the pages of one tensor at a time are in memory
            result[i] = stack.view.take(self._load([name])[name])[0]
        return result


def open_weights(
    source: Path | str | Any, embeddings: bool = False, layout: Mapping[str, str] | None = None
) -> Weights:
    """The matrices of an Orbax item folder, .safetensors files, Flax's msgpack file, or a live tree of arrays.

    Args:
      source: a path, or the tree.
      embeddings: whether embeddings and output heads count as matrices.
      layout: what cannot be told of the axes; see `families.sort_tensors`.

    Raises RunError for what cannot be read, or has two readings.
    """
    if not isinstance(source, str | Path):
        return open_tree(source, embeddings=embeddings, layout=layout)
    if "://" in str(source):
        return open_orbax(source, embeddings, layout)
    path = Path(source)
    if not path.exists():
        raise RunError(f"{path}: no such checkpoint; name an Orbax `params` folder or .safetensors files")
    if path.is_dir() and (path / "_METADATA").is_file():
        return open_orbax(path, embeddings, layout)
    if flax_msgpack.files_of(path):
        return open_msgpack(path, embeddings, layout)
    return open_safetensors(path, embeddings, layout)


def open_orbax(folder: Path | str, embeddings: bool = False, layout: Mapping[str, str] | None = None) -> Weights:
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
    leaves = trees.named_leaves(tree, str(folder))
    chosen, others = trees.parameters(leaves)
    size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in chosen.values())
    kept: dict[str, Array] = {}

    def load(names: list[str]) -> dict[str, Array]:
        wanted = {id(leaves[name]) for name in names}
        item = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if id(leaf) in wanted else ocp.PLACEHOLDER,
            tree,
        )
        restore = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        restored = handler.restore(folder, args=ocp.args.PyTreeRestore(item=item, restore_args=restore))
        found = trees.named_leaves(restored, str(folder))
        return {name: leaf for name, leaf in found.items() if name in names}

    def load_small(names: list[str]) -> dict[str, Array]:
        if not kept:  # a restore costs milliseconds whatever its size: one for all, and for all comparisons
            kept.update(load(list(chosen)))
        return kept

    inside = () if remote else (path for path in folder.rglob("*") if path.is_file())
    files = tuple(sorted(inside))
    loader = load_small if size <= SMALL else load
    return _collect(str(folder), leaves, loader, None, embeddings, files, (), layout, others, strict=True)


def open_tree(
    tree: Any, name: str = "parameters", embeddings: bool = False, layout: Mapping[str, str] | None = None
) -> Weights:
    """A live tree of arrays: nested dicts, an NNX state or module, Linen variables, an Equinox or haliax module.

    Of a training's state (`params` beside `opt_state`) only the parameters are read. Raises RunError for a tree
    that can be read in two ways, with both.
    """
    leaves = trees.named_leaves(tree, name)
    _, others = trees.parameters(leaves)

    def load(names: list[str]) -> dict[str, Array]:
        return {key: leaves[key] for key in names}

    return _collect(name, leaves, load, None, embeddings, (), (), layout, others, strict=True)


class TreeOpener:
    """Opens live trees of one structure again and again: what their matrices are is found once.

    It keeps no array of a tree that it opened.
    """

    def __init__(self, layout: Mapping[str, str] | None = None):
        self._layout = layout
        self._structure: tuple[Any, ...] | None = None
        self._found: Weights | None = None

    def __call__(self, tree: Any) -> Weights:
        """As `open_tree`."""
        leaves = trees.named_leaves(tree)
        structure = tuple((name, tuple(leaf.shape), str(leaf.dtype)) for name, leaf in leaves.items())
        if self._found is None or structure != self._structure:
            opened = open_tree(tree, layout=self._layout)
            self._structure, self._found = structure, replace(opened, tensors={}, _load=lambda names: {})
        return replace(self._found, tensors=leaves, _load=lambda names: {key: leaves[key] for key in names})


def open_msgpack(path: Path | str, embeddings: bool = False, layout: Mapping[str, str] | None = None) -> Weights:
    """Files of `flax.serialization.to_bytes`: their structure now, values memory-mapped when they are read."""
    files = flax_msgpack.files_of(Path(path))
    found = [pair for file in files for pair in flax_msgpack.read_leaves(file).items()]
    no_two_alike((name for name, _ in found), str(path))
    leaves = dict(found)
    _, others = trees.parameters(leaves)
    config = safetensors.read_config(files[0].parent)

    def load(names: list[str]) -> dict[str, Any]:
        return {name: leaves[name].map() for name in names}

    return _collect(str(path), leaves, load, config, embeddings, files, (), layout, others, strict=True)


def open_safetensors(
    path: Path | str, embeddings: bool = False, layout: Mapping[str, str] | None = None
) -> Weights:
    """One .safetensors file or a folder of shards: headers now, values memory-mapped when they are read.

    Raises RunError for what `safetensors.open_files` refuses.
    """
    found = safetensors.open_files(Path(path))

    def load(names: list[str]) -> dict[str, Any]:
        return {name: found.tensors[name].map() for name in names}

    return _collect(
        str(path),
        found.tensors,
        load,
        found.config,
        embeddings,
        found.files,
        found.notices,
        layout,
        {},
        strict=False,
    )


def _collect(
    name: str,
    leaves: Mapping[str, Shaped],
    load: Callable[[list[str]], Mapping[str, Array]],
    config: Mapping[str, Any] | None,
    embeddings: bool,
    files: tuple[Path, ...],
    notices: tuple[str, ...],
    layout: Mapping[str, str] | None,
    others: Mapping[str, str],
    strict: bool,
) -> Weights:
    """Sorts tensors into stacks and skipped ones; `others` are no parameters, and why."""
    chosen = {key: leaf for key, leaf in leaves.items() if key not in others}
    try:
        found = families.sort_tensors(chosen, config, embeddings, layout, strict)
    except RunError as error:
        raise RunError(f"{name}: {error}") from error
    groups: dict[tuple[Any, ...], list[Place]] = {}
    for place in found.places:
        dtype = str(np.dtype(leaves[place.tensor].dtype))
        alone = place.tensor if place.layers else None  # a tensor that is a stack is read as one
        key = (place.component, place.module, place.shape, dtype, place.inputs_first, place.view, alone)
        groups.setdefault(key, []).append(place)
    stacks = []
    for (component, module, shape, dtype, inputs_first, view, alone), places in groups.items():
        places.sort(key=lambda place: (-1 if place.layer is None else place.layer, place.tensor))
        layers: list[int | None] = [place.layer for place in places]
        tensors = [place.tensor for place in places]
        slots: range = range(0)
        if alone:
            layers, slots = list(places[0].all_layers), range(places[0].layers)
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
                    view,
                    tuple(slots[part]),
                )
            )
    skipped = {
        key: others.get(key) or found.skipped[key] for key in leaves if key in others or key in found.skipped
    }
    said = (*notices, *found.notices)
    return Weights(name, tuple(stacks), skipped, load, found.family, said, leaves, config or {}, files)
