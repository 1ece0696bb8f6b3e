"""Named matrices, from wherever weights are: an Orbax checkpoint, a live parameter tree, safetensors files.

Nothing here knows a network. A tensor is a matrix, or a stack of them, by its name and shape:

- two dimensions: one matrix; a whole number in its name is its layer (`model.layers.3.mlp.up_proj.weight`);
- three dimensions: a stack over layers [L, rows, columns] (`layers/mlp/up_proj/kernel`, scanned layers);
- embeddings, heads, norms, biases and everything else are skipped, and listed as skipped with a reason.

Matrices of one module and shape make a `Stack` (or several, where they are large); its array is read only when
asked for.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from bench_shadows.errors import RunError

STACK_BYTES = 256 << 20  # tensors of single layers are stacked up to this size
SMALL = 64 << 20  # bytes of an Orbax checkpoint that is read in one go and kept

# Parts of a name that say nothing about which matrix it is.
_CONTAINERS = {"params", "model", "layers", "blocks", "layer", "transformer", "decoder", "h"}
_NUMBERED = re.compile(r"(layers?|blocks?|h)_(\d+)", re.IGNORECASE)  # Linen's way: layers_3
_LEAVES = {"kernel", "weight", "value", "raw_value", "w"}
_NOT_MATRICES = re.compile(r"embed|lm_head|(^|[._])norm|norm($|[._])|layernorm|wte|wpe", re.IGNORECASE)

_COMPONENTS = {
    "projector": re.compile(r"projector|merger"),
    "vision": re.compile(r"visual|vision"),
    "encoder": re.compile(r"(^|\.)encoder\."),
}


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

    @property
    def key(self) -> tuple[str, str]:
        """What the same matrices of another checkpoint are found by."""
        return self.component, self.module


@dataclass(frozen=True)
class Weights:
    """The matrices of one checkpoint. Values are read stack by stack: never the whole model at once."""

    name: str
    """Where they are from, for messages."""
    stacks: tuple[Stack, ...]
    skipped: dict[str, str]
    """Tensor name -> why it is no matrix of the analysis."""
    _load: Callable[[list[str]], dict[str, np.ndarray | jax.Array]] = field(repr=False)

    def read(self, stack: Stack) -> np.ndarray | jax.Array:
        """[L, rows, columns] of a stack, in its stored dtype; on the host, or on the device for a live tree.

        Raises RunError naming the tensor where it cannot be read.
        """
        names = list(dict.fromkeys(stack.tensors))
        try:
            arrays = self._load(names)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise RunError(
                f"{self.name}: cannot read {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: {reason}; "
                "restore the checkpoint from a copy, or analyse another step"
            ) from error
        parts = [arrays[name] for name in names]
        return parts[0] if parts[0].ndim == 3 else np.stack([np.asarray(part) for part in parts])


def open_weights(source: Path | str | Any) -> Weights:
    """The matrices of an Orbax item folder, a .safetensors file or a folder of them, or a live tree of arrays."""
    if not isinstance(source, str | Path):
        return open_tree(source)
    path = Path(source)
    if not path.exists():
        raise RunError(f"{path}: no such checkpoint; name an Orbax `params` folder or .safetensors files")
    if path.is_file() or any(path.glob("*.safetensors")):
        return open_safetensors(path)
    return open_orbax(path)


def list_matrices(source: Path | str | Any) -> tuple[Stack, ...]:
    """Every stack of a checkpoint by name and shape, without reading values."""
    return open_weights(source).stacks


def read_matrix_stacks(
    source: Path | str | Any, modules: tuple[str, ...] | None = None
) -> Iterator[tuple[Stack, np.ndarray | jax.Array]]:
    """Yields (stack, array [L, rows, columns]) one after the other; `modules` picks some by name."""
    weights = open_weights(source)
    for stack in weights.stacks:
        if modules is None or stack.module in modules:
            yield stack, weights.read(stack)


def open_orbax(folder: Path | str) -> Weights:
    """An Orbax PyTree item (`<step>/params`); Orbax restores only the tensors that are read, onto the host."""
    import orbax.checkpoint as ocp  # slow to import, and only needed here

    folder = Path(folder).absolute()
    checkpointer = ocp.PyTreeCheckpointer()
    try:
        tree = checkpointer.metadata(folder).item_metadata.tree
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"{folder}: not an Orbax parameter folder ({type(error).__name__}: {reason}); name `<step>/params`"
        ) from error
    leaves = {_name(path): leaf for path, leaf in _flatten(tree)}
    size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves.values())
    kept: dict[str, np.ndarray | jax.Array] = {}

    def load_small(names: list[str]) -> dict[str, np.ndarray | jax.Array]:
        if not kept:  # a restore costs milliseconds whatever its size: one for all, and for all comparisons
            kept.update(load(list(leaves)))
        return kept

    def load(names: list[str]) -> dict[str, np.ndarray | jax.Array]:
        wanted = {id(leaves[name]) for name in names}
        item = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if id(leaf) in wanted else ocp.PLACEHOLDER,
            tree,
        )
        restore = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        restored = checkpointer.restore(folder, args=ocp.args.PyTreeRestore(item=item, restore_args=restore))
        return {_name(path): leaf for path, leaf in _flatten(restored) if leaf is not ocp.PLACEHOLDER}

    return _collect(str(folder), leaves, load_small if size <= SMALL else load)


def open_tree(tree: Any, name: str = "parameters") -> Weights:
    """A live tree of arrays: nested dicts, an NNX state or module, Linen variables, an Equinox module."""
    leaves = {_name(path): leaf for path, leaf in _flatten(tree) if hasattr(leaf, "shape")}
    return _collect(name, leaves, lambda names: {key: leaves[key] for key in names})


def open_safetensors(path: Path | str) -> Weights:
    """One .safetensors file or a folder of shards: headers now, values memory-mapped when they are read."""
    path = Path(path)
    where: dict[str, _Entry] = {}
    for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
        where |= _safetensors_header(file)

    def load(names: list[str]) -> dict[str, np.ndarray | jax.Array]:
        return {name: where[name].map() for name in names}

    return _collect(str(path), where, load)


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies in a safetensors file."""

    file: Path
    offset: int
    shape: tuple[int, ...]
    dtype: Any

    def map(self) -> np.ndarray:
        return np.memmap(self.file, self.dtype, "r", self.offset, self.shape)


_SAFETENSORS_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}


def _safetensors_header(file: Path) -> dict[str, _Entry]:
    """Every tensor of a file: 8 bytes of length, that much JSON, then the data; raises RunError for anything else.

    Tensors of other dtypes (integers, packed 4-bit) come with their dtype's name and are skipped by `_collect`.
    """

    def need(holds: bool, message: str) -> None:
        if not holds:
            raise RunError(f"{file}: not a whole safetensors file: {message}; fetch it again")

    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        need(size >= 8 and 8 + length <= size, f"its header of {length:,} bytes does not fit its {size:,} bytes")
        text = opened.read(length)
    try:
        header = json.loads(text)
    except ValueError as error:
        need(False, f"its header is not JSON ({error})")
    need(isinstance(header, dict), "its header is not a JSON object")
    header.pop("__metadata__", None)
    entries = {}
    for name, value in header.items():
        try:
            dtype, shape = str(value["dtype"]), tuple(int(n) for n in value["shape"])
            begin, end = (int(n) for n in value["data_offsets"])
        except (KeyError, TypeError, ValueError):
            need(False, f"tensor {name} lacks dtype, shape or data_offsets")
        inside = 0 <= begin <= end and 8 + length + end <= size and min(shape, default=0) >= 0
        need(inside, f"tensor {name} lies at [{begin:,}, {end:,}) beyond the file's end")
        known = _SAFETENSORS_DTYPES.get(dtype)
        if known is not None:
            expected = math.prod(shape) * np.dtype(known).itemsize
            need(
                end - begin == expected,
                f"tensor {name} {list(shape)} {dtype} has {end - begin:,} bytes, not {expected:,}",
            )
        entries[name] = _Entry(file, 8 + length + begin, shape, np.dtype(known) if known else dtype)
    return entries


def _name(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _flatten(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    """(path, leaf) of a tree, wrappers of parameters (`.value` of NNX and Linen boxes) left out of the path."""

    def part(key: Any) -> str:
        return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(tuple(p for p in map(part, path) if p not in ("value", "raw_value")), leaf) for path, leaf in leaves]


def _collect(
    name: str, leaves: Mapping[str, Any], load: Callable[[list[str]], dict[str, np.ndarray | jax.Array]]
) -> Weights:
    """Sorts tensors into stacks and skipped ones."""
    groups: dict[tuple[str, str, tuple[int, int], str], list[tuple[int | None, str]]] = {}
    skipped = {}
    for tensor, leaf in leaves.items():
        reason = _not_analysed(tensor, leaf)
        if reason:
            skipped[tensor] = reason
            continue
        component, module, layer = _describe(tensor)
        rows, columns = leaf.shape[-2:]
        key = (component, module, (int(rows), int(columns)), str(np.dtype(leaf.dtype)))
        members = [(i, tensor) for i in range(leaf.shape[0])] if len(leaf.shape) == 3 else [(layer, tensor)]
        groups.setdefault(key, []).extend(members)
    stacks = []
    for (component, module, shape, dtype), members in groups.items():
        members.sort(key=lambda member: (-1 if member[0] is None else member[0], member[1]))
        whole = len(leaves[members[0][1]].shape) == 3  # a stacked tensor is read as one
        fit = len(members) if whole else max(1, STACK_BYTES // (math.prod(shape) * np.dtype(dtype).itemsize))
        for start in range(0, len(members), fit):
            layers, tensors = zip(*members[start : start + fit], strict=True)
            stacks.append(Stack(component, module, layers, tensors, shape, dtype))
    return Weights(name, tuple(stacks), skipped, load)


def _not_analysed(tensor: str, leaf: Any) -> str | None:
    """Why a tensor is no matrix of the analysis; None if it is one."""
    if 0 in leaf.shape:
        return "empty"
    dimensions, parts = len(leaf.shape), _parts(tensor)
    if _NOT_MATRICES.search(tensor):
        return "embedding, head or norm"
    if isinstance(leaf.dtype, str) or not jax.dtypes.issubdtype(leaf.dtype, np.floating):
        return f"{leaf.dtype} is not a floating dtype"
    if dimensions == 2:
        return None
    if dimensions == 3 and parts[-1] in _LEAVES and not any(part.isdigit() for part in parts):
        return None
    return f"{dimensions} dimensions, neither a matrix nor a stack of them"


def _parts(tensor: str) -> list[str]:
    return _NUMBERED.sub(r"\1.\2", tensor).split(".")


def _describe(tensor: str) -> tuple[str, str, int | None]:
    """Component, module and layer that a tensor's name tells."""
    parts = _parts(tensor)
    layer = next((int(part) for part in parts if part.isdigit()), None)
    kept = [p for p in parts if not p.isdigit() and p not in _CONTAINERS and p not in _LEAVES]
    component = next((word for word, pattern in _COMPONENTS.items() if pattern.search(tensor)), "decoder")
    return component, ".".join(kept) or tensor, layer
