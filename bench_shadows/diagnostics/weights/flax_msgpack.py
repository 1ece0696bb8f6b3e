"""Files of `flax.serialization` (to_bytes, msgpack_serialize), read without decoding a value.

A file is one MessagePack map of maps (github.com/msgpack/msgpack, spec.md); an array is an extension of type 1
whose bytes are a MessagePack list of shape, dtype's name and raw values in C order; large ones are a map with
`__msgpack_chunked_array__`, the shape and chunks (flax/serialization.py). Lengths are checked against the file,
nothing is executed, and values are memory-mapped when they are read.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from bench_shadows.diagnostics.weights.names import no_two_alike
from bench_shadows.errors import RunError

SUFFIX = ".msgpack"
DEEPEST = 64  # maps in maps
_CHUNKED = "__msgpack_chunked_array__"
_NAMES = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
_KINDS = "fiub"  # of dtypes that hold plain numbers


@dataclass(frozen=True)
class Stored:
    """An array in a file: in one piece, or in several one after the other."""

    file: Path
    shape: tuple[int, ...]
    dtype: Any
    offsets: tuple[tuple[int, int], ...]
    """(first byte, entries) of each piece."""

    def map(self) -> np.ndarray:
        """The values: memory-mapped in one piece, copied together from several."""
        pieces = [np.memmap(self.file, self.dtype, "r", at, (count,)) if count else np.empty(0, self.dtype)
                  for at, count in self.offsets]  # fmt: skip
        flat: np.ndarray = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return flat.reshape(self.shape)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a user means: the one named, or `flax_model*.msgpack` of a folder without safetensors."""
    if path.is_file():
        return (path,) if path.suffix == SUFFIX else ()
    if any(path.glob("*.safetensors")):
        return ()
    return tuple(sorted(path.glob(f"flax_model*{SUFFIX}")))


def read_leaves(path: Path) -> dict[str, Stored]:
    """Every array of a file by its path joined with dots; raises RunError for a file that is not whole."""
    with open(path, "rb") as file:
        size = path.stat().st_size
        if size == 0:
            raise RunError(f"{path}: an empty file; fetch it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = _Reader(path, data)
            tree = reader.value(0)
            if not isinstance(tree, dict):
                reader.fail("it holds no map of names to arrays")
            if reader.at != size:
                reader.fail(f"{size - reader.at:,} bytes stand behind its end")
    found: list[tuple[str, Stored]] = []

    def walk(node: Any, parts: tuple[str, ...]) -> None:
        if isinstance(node, Stored):
            found.append((".".join(parts), node))
        elif isinstance(node, dict):
            for key, below in node.items():
                walk(below, (*parts, *(part for part in str(key).split("/") if part)))

    walk(tree, ())
    no_two_alike((name for name, _ in found), str(path))
    return dict(found)


class _Reader:
    """A cursor over one MessagePack value; arrays are remembered, not read."""

    def __init__(self, path: Path, data: Any, at: int = 0, end: int | None = None):
        self._path, self._data, self.at = path, data, at
        self._end = len(data) if end is None else end

    def fail(self, what: str) -> NoReturn:
        raise RunError(f"{self._path}: not a whole file of Flax's msgpack: {what}; fetch it again")

    def _take(self, count: int) -> int:
        """The place of the next bytes, which are passed over."""
        if count > self._end - self.at:
            self.fail(f"{count:,} bytes are announced at byte {self.at:,}, and {self._end - self.at:,} are left")
        self.at += count
        return self.at - count

    def _number(self, layout: str) -> Any:
        at = self._take(struct.calcsize(layout))
        return struct.unpack_from(layout, self._data, at)[0]

    def value(self, depth: int) -> Any:
        """The next value: maps, lists, text, numbers; an array as `Stored`, other bytes as (at, length)."""
        if depth > DEEPEST:
            self.fail(f"maps are nested more than {DEEPEST} deep")
        first = self._number("B")
        if first <= 0x7F:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first <= 0x8F:
            return self._map(first & 0x0F, depth)
        if first <= 0x9F:
            return [self.value(depth + 1) for _ in range(first & 0x0F)]
        if first <= 0xBF:
            return self._text(first & 0x1F)
        match first:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return first == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                count = self._number((">B", ">H", ">I")[first - 0xC4])
                return self._take(count), count
            case 0xC7 | 0xC8 | 0xC9:
                return self._extension(self._number((">B", ">H", ">I")[first - 0xC7]), depth)
            case 0xCA | 0xCB:
                return self._number((">f", ">d")[first - 0xCA])
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self._number((">B", ">H", ">I", ">Q")[first - 0xCC])
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                return self._number((">b", ">h", ">i", ">q")[first - 0xD0])
            case 0xD4 | 0xD5 | 0xD6 | 0xD7 | 0xD8:
                return self._extension(1 << (first - 0xD4), depth)
            case 0xD9 | 0xDA | 0xDB:
                return self._text(self._number((">B", ">H", ">I")[first - 0xD9]))
            case 0xDC | 0xDD:
                return [
                    self.value(depth + 1) for _ in range(self._checked(self._number((">H", ">I")[first - 0xDC])))
                ]
            case 0xDE | 0xDF:
                return self._map(self._checked(self._number((">H", ">I")[first - 0xDE])), depth)
        self.fail(f"byte {self.at - 1:,} begins no value")

    def _checked(self, count: int) -> int:
        if count > self._end - self.at:
            self.fail(f"{count:,} values are announced at byte {self.at:,}")
        return count

    def _text(self, count: int) -> str:
        at = self._take(count)
        return bytes(self._data[at : at + count]).decode("utf-8", errors="replace")

    def _map(self, count: int, depth: int) -> Any:
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str | int) or str(key) in found:
                self.fail(f"the key {key!r:.60} is no name, or stands twice")
            found[str(key)] = self.value(depth + 1)
        return self._chunked(found) if found.get(_CHUNKED) is True else found

    def _extension(self, count: int, depth: int) -> Any:
        kind = self._number("b")
        at = self._take(count)
        if kind != 1:  # 2 and 3 are numbers
            return None
        inner = _Reader(self._path, self._data, at, at + count)
        parts = inner.value(depth + 1)
        if not (isinstance(parts, list) and len(parts) == 3 and isinstance(parts[2], tuple)):
            self.fail(f"the array at byte {at:,} lacks shape, dtype or values")
        shape, name, (begin, length) = parts
        if not (isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 32):
            self.fail(f"the array at byte {at:,} has no shape")
        dtype = self._dtype(name)
        entries = math.prod(shape)
        if entries * dtype.itemsize != length:
            self.fail(f"the array at byte {at:,}, {shape} {name}, has {length:,} bytes")
        return Stored(self._path, tuple(shape), dtype, ((begin, entries),))

    def _dtype(self, name: Any) -> np.dtype:
        try:
            dtype = np.dtype(_NAMES.get(name, name) if isinstance(name, str) else None)
        except TypeError:
            self.fail(f"the dtype {name!r:.40} is not known")
        if dtype.kind not in _KINDS and name not in _NAMES:
            self.fail(f"the dtype {name!r:.40} is not one of plain numbers")
        return dtype

    def _chunked(self, found: dict[str, Any]) -> Stored:
        shapes, chunks = found.get("shape"), found.get("chunks")
        if not (isinstance(shapes, dict) and isinstance(chunks, dict) and chunks):
            self.fail("an array in chunks lacks its shape or its chunks")
        shape = [n for i in range(len(shapes)) if type(n := shapes.get(str(i))) is int and n >= 0]
        pieces = [piece for i in range(len(chunks)) if isinstance(piece := chunks.get(str(i)), Stored)]
        offsets = tuple(piece.offsets[0] for piece in pieces)
        whole = len(shape) == len(shapes) and len(pieces) == len(chunks)
        if (
            not whole
            or math.prod(shape) != sum(count for _, count in offsets)
            or len({p.dtype for p in pieces}) > 1
        ):
            self.fail(f"the chunks of an array of {shape} do not make it up")
        return Stored(self._path, tuple(shape), pieces[0].dtype, offsets)
