"""safetensors files, read without trusting them: every header is checked before a byte of values is touched.

A file is 8 bytes of header length (little-endian), that much JSON, and the values of all tensors without gaps:
`{"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ...}`
(github.com/huggingface/safetensors, "Format"). The checks are those of the reference implementation, and that no
name stands twice. Folders hold one file or many, with an index that says which tensor is in which file, or not.
Values are memory-mapped tensor by tensor when they are read, and never executed: pickles are refused.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from bench_shadows.diagnostics.weights import formats
from bench_shadows.errors import RunError

LONGEST_HEADER = 100_000_000  # bytes, as in the reference implementation
LONGEST_JSON = 100_000_000  # of an index or a config
MOST_DIMENSIONS = 32  # NumPy 1's limit; no weight has more than 5
LARGEST = 1 << 128  # of a dimension and an offset: longer numbers cannot even be printed
INDEX = "*.safetensors.index.json"
OTHERS = (".gguf", ".h5", ".keras", ".onnx", ".msgpack", ".tflite", ".npz", ".npy")  # weights of other formats
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
FP8_BLOCK = (128, 128)  # rows and columns that share a scale, where the config does not say

DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_FP8 = ("F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in a file."""

    file: Path
    offset: int
    shape: tuple[int, ...]
    stored: str
    """The file's name of the dtype: `BF16`."""
    scale: "Tensor | None" = None
    """What stored fp8 values are multiplied by: one number, one for each row, or one for each block."""
    block: tuple[int, int] = FP8_BLOCK

    @property
    def dtype(self) -> Any:
        """NumPy's dtype, or the stored name where there is none."""
        return np.dtype(DTYPES[self.stored]) if self.stored in DTYPES else self.stored

    def map(self) -> "np.ndarray | Scaled":
        """The values, memory-mapped: nothing is read before it is used."""
        values: np.ndarray = np.memmap(self.file, self.dtype, "r", self.offset, self.shape)
        return values if self.scale is None else Scaled(values, np.asarray(self.scale.map()), self.block)


class Scaled:
    """fp8 values that are multiplied by their scale when they are used: float32 then."""

    def __init__(self, values: np.ndarray, scale: np.ndarray, block: tuple[int, int]):
        self.values, self.scale, self.block, self.ndim = values, scale, block, values.ndim

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        """Entries; where the first axis is a place, no other values are read."""
        first, rest = index[0], index[1:]
        if not isinstance(first, int):
            return np.asarray(self)[index]
        scale = self.scale[first] if self.scale.ndim == self.ndim else self.scale
        return np.asarray(Scaled(self.values[first], scale, self.block))[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        spread = _spread(np.asarray(self.scale, np.float32), self.values.shape, self.block)
        return (self.values.astype(np.float32) * spread).astype(dtype or np.float32, copy=False)


@dataclass(frozen=True)
class Files:
    """The tensors of a checkpoint and what was found besides."""

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    config: dict[str, Any]
    """config.json, empty where there is none."""
    notices: tuple[str, ...]


def short(text: object, limit: int = 120) -> str:
    """A name from somebody's file, printable and not longer than a line."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def open_files(path: Path) -> Files:
    """Headers of one file, or of a folder's files; values are read later.

    Raises RunError for a file that is not whole, formats that are pickles, a folder without weights, names that
    stand twice, and an index or a link that leads out of the folder.
    """
    files: tuple[Path, ...]
    notices: list[str] = []
    if path.is_file():
        if path.suffix in PICKLES:
            _refuse_pickles(path, [path.name])
        files, tensors, folder = (path,), read_header(path), path.parent
    else:
        folder = path
        files, tensors, notices = _read_folder(folder)
    config = read_config(folder)
    tensors, more = _with_scales(tensors, config)
    return Files(tensors, files, config, (*notices, *more))


def read_header(file: Path) -> dict[str, Tensor]:
    """Every tensor of a file; raises RunError naming the file and the tensor for anything that is not sound."""

    def fail(what: str) -> NoReturn:
        raise RunError(f"{file}: not a whole safetensors file: {what}; fetch it again")

    size = file.stat().st_size
    with open(file, "rb") as opened:
        start = opened.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or 8 + length > size or length > LONGEST_HEADER:
            if kind := formats.what_is(file):
                raise RunError(f"{file}: not a safetensors file but {kind}")
            fail(f"its header of {length:,} bytes does not fit its {size:,} bytes (at most {LONGEST_HEADER:,})")
        text = opened.read(length)
    try:
        # As UTF-8: json would guess UTF-16 and 32 too, which the reference implementation refuses.
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        fail(f"its header is not JSON ({short(error)})")
    if not isinstance(header, dict):
        fail("its header is not a JSON object")
    header.pop("__metadata__", None)
    tensors, places = {}, []
    for name, value in header.items():
        entry: Any = value if isinstance(value, dict) else {}
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if not (isinstance(dtype, str) and _whole(shape) and _whole(offsets) and len(offsets) == 2):
            fail(f"tensor {short(name)} lacks dtype, shape or data_offsets")
        if len(shape) > MOST_DIMENSIONS:
            fail(f"tensor {short(name)} has {len(shape)} dimensions")
        begin, end = offsets
        if not (begin <= end and 8 + length + end <= size):
            fail(f"tensor {short(name)} lies at [{begin:,}, {end:,}) beyond the file's end")
        if dtype in DTYPES and (expected := math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize) != end - begin:
            fail(f"tensor {short(name)} {shape} {dtype} has {end - begin:,} bytes, not {expected:,}")
        places.append((begin, end, name))
        tensors[name] = Tensor(file, 8 + length + begin, tuple(shape), dtype)
    reached = 0
    for begin, end, name in sorted(places):
        if begin != reached:
            fail(f"tensor {short(name)} begins at {begin:,} where the one before it ends at {reached:,}")
        reached = end
    if 8 + length + reached != size:
        fail(f"its tensors end {size - 8 - length - reached:,} bytes before it does")
    return tensors


def _whole(values: Any) -> bool:
    """Whether a JSON value is a list of whole numbers that a file can have (nor true and false)."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < LARGEST for value in values)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for name in found:
        name.encode()  # half a surrogate is a character of no file: UnicodeEncodeError, a ValueError
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {short(twice)} stands twice")
    return found


# Folders ------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path) -> tuple[tuple[Path, ...], dict[str, Tensor], list[str]]:
    """The folder's files, their tensors and notices; an index decides where there is one."""
    present = sorted(file for file in folder.glob("*.safetensors") if file.is_file() or file.is_symlink())
    indices = sorted(folder.glob(INDEX))
    if len(indices) > 1:
        raise RunError(f"{folder}: {len(indices)} indices ({some(path.name for path in indices)}); keep one")
    if not present and not indices:
        _refuse_folder(folder)
    notices = []
    where: dict[str, str] = _read_index(folder, indices[0]) if indices else {}
    chosen = [_inside(folder, name) for name in sorted(set(where.values()))] if indices else present
    files = tuple(_inside(folder, file.name) for file in chosen)
    if others := [file.name for file in present if file not in chosen]:
        notices.append(f"{len(others)} files that the index does not name were left out: {some(others)}")
    if nested := sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.safetensors")):
        notices.append(f"{len(nested)} files in folders below were left out: {some(nested)}")
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in read_header(file).items():
            if where.get(name, file.name) != file.name:
                continue  # the index says that another file's is the right one
            if name in tensors:
                raise RunError(
                    f"{folder}: tensor {short(name)} stands in {tensors[name].file.name} and in {file.name}; "
                    "name the one file that is meant, or add the index"
                )
            tensors[name] = tensor
    if missing := sorted(where.keys() - tensors.keys()):
        notices.append(f"{len(missing)} tensors that the index names are in no file: {some(missing)}")
    return files, tensors, notices


def _read_index(folder: Path, path: Path) -> dict[str, str]:
    index = _read_json(_inside(folder, path.name))
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not where or not all(isinstance(file, str) for file in where.values()):
        raise RunError(f"{path}: not an index of safetensors files: it has no `weight_map` of names to files")
    return where


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder by its name; raises RunError where it is missing or lies elsewhere.

    A hub's cache keeps its files as links from `snapshots/<revision>` to `blobs` beside it: those are followed.
    """
    path, root = folder / name, folder.resolve()
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    plain = name not in ("", ".", "..") and len(name) < 256 and name.isprintable() and Path(name).name == name
    if not plain or not any(path.resolve().is_relative_to(place) for place in allowed):
        raise RunError(f"{folder}: {short(name)} leads out of the folder; only files inside it are read")
    if not path.is_file():
        raise RunError(f"{folder}: {short(name)} is named but is not there; fetch the checkpoint again")
    return path


def _refuse_folder(folder: Path) -> NoReturn:
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles:
        _refuse_pickles(folder, pickles)
    found = sorted(file for file in folder.iterdir())
    for file in found:
        if file.suffix in OTHERS and file.is_file() and (kind := formats.what_is(file)):
            raise RunError(f"{folder}: no .safetensors files and no Orbax checkpoint; {file.name} is {kind}")
    raise RunError(
        f"{folder}: no .safetensors files and no Orbax checkpoint; there is "
        f"{some(file.name for file in found) if found else 'nothing'}"
    )


def _refuse_pickles(path: Path, names: list[str]) -> NoReturn:
    raise RunError(
        f"{path}: {some(names)} are pickles, and loading a pickle runs code from it: they are not read. "
        "Save the model as safetensors where you trust it (save_pretrained does), and audit that"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder; empty where there is none."""
    if not (folder / "config.json").exists():
        return {}
    config = _read_json(_inside(folder, "config.json"))
    return config if isinstance(config, dict) else {}


def _read_json(path: Path) -> Any:
    if path.stat().st_size > LONGEST_JSON:
        raise RunError(f"{path}: {path.stat().st_size:,} bytes are too many for a file of settings")
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON ({short(error)}); fetch it again") from error


def some(names: Iterable[str], count: int = 3) -> str:
    """A few names and how many more there are."""
    names = [short(name) for name in names]
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


# fp8 ----------------------------------------------------------------------------------------------------------


def _with_scales(tensors: dict[str, Tensor], config: dict[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """fp8 tensors joined with their scales (`weight_scale_inv` in DeepSeek's files, `weight_scale` in others')."""
    quantisation = config.get("quantization_config")
    named: Any = quantisation.get("weight_block_size") if isinstance(quantisation, dict) else None
    block = (named[0], named[1]) if _whole(named) and len(named) == 2 and min(named) > 0 else FP8_BLOCK
    scaled, bare = {}, []
    for name, tensor in tensors.items():
        if tensor.stored not in _FP8 or len(tensor.shape) < 2:
            continue
        scale = next((tensors[name + end] for end in ("_scale_inv", "_scale") if name + end in tensors), None)
        if scale is not None and _fits(scale, tensor.shape, block):
            scaled[name] = replace(tensor, scale=scale, block=block)
        else:
            bare.append(name)
    notices = []
    if bare:
        notices.append(f"{len(bare)} fp8 tensors have no scale that fits and stand as stored: {some(bare)}")
    return tensors | scaled, notices


def _fits(scale: Tensor, shape: tuple[int, ...], block: tuple[int, int]) -> bool:
    rows, columns = shape[-2:]
    blocks = (-(-rows // block[0]), -(-columns // block[1]))
    known = scale.stored in ("F64", "F32", "F16", "BF16", "F8_E8M0")
    if known and math.prod(scale.shape) == 1:
        return True
    return known and scale.shape[:-2] == shape[:-2] and scale.shape[-2:] in (blocks, (rows, 1))


def _spread(scale: np.ndarray, shape: tuple[int, ...], block: tuple[int, int]) -> np.ndarray:
    """A scale in a shape that can be multiplied to values of `shape`."""
    if scale.size == 1:
        return scale.reshape(())
    if scale.shape[-1] == 1 and scale.shape[-2] == shape[-2]:
        return scale
    spread = np.repeat(np.repeat(scale, block[0], axis=-2), block[1], axis=-1)
    return spread[..., : shape[-2], : shape[-1]]
