"""What a file is that is no safetensors file, by its first bytes alone: a name, and what to do."""

import zipfile
from pathlib import Path

HEAD = 512  # bytes that are looked at

_PICKLE = "a pickle, and loading one runs code from it: save it as safetensors where you trust it, and audit that"
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GGUF", "a GGUF file, quantised weights of llama.cpp: audit the weights it was converted from"),
    (0, b"ggml", "a GGML file of old llama.cpp: audit the weights it was converted from"),
    (0, b"ggjt", "a GGML file of old llama.cpp: audit the weights it was converted from"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow save weights: save it as safetensors"),
    (0, b"\x93NUMPY", "a NumPy array: save it as safetensors under the name that the model gives it"),
    (0, b"PAR1", "a Parquet table, not weights"),
    (0, b"ARROW1", "an Arrow table, not weights"),
    (0, b"SQLite format 3", "an SQLite database, not weights"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it, and name the folder"),
    (0, b"\xfd7zXZ", "an xz archive: unpack it, and name the folder"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it, and name the folder"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it, and name the folder"),
    (257, b"ustar", "a tar archive: unpack it, and name the folder"),
    (4, b"TFL3", "a TensorFlow Lite model: audit the weights it was converted from"),
    (0, b"<!DO", "an HTML page, not weights: the download went wrong"),
    (0, b"<!do", "an HTML page, not weights: the download went wrong"),
    (0, b"<html", "an HTML page, not weights: the download went wrong"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not weights: fetch the file itself (git lfs pull)"),
)
_TEXT = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}


def what_is(path: Path) -> str | None:
    """`a GGUF file, ...: what to do`, or None for what is not known.

    Args:
      path: a file that can be opened.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        return None
    for place, magic, name in _MAGIC:
        if head[place:].startswith(magic):
            return name
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _PICKLE
    if head.lstrip()[:1] in (b"{", b"["):
        return _json(path)
    if path.suffix == ".onnx" or _is_onnx(head):
        return "an ONNX model: audit the weights it was exported from"
    if path.suffix == ".msgpack" or _is_msgpack(head):
        return "a msgpack file, as Flax saves weights: name the file itself, with a name that ends in .msgpack"
    if all(byte in _TEXT for byte in head):
        return "a text file, not weights"
    return None


def _zip(path: Path) -> str:
    """Whose archive it is, from the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        names = []
    if any(name.endswith("data.pkl") for name in names) or not names:
        return f"a zip archive, as torch.save writes it: {_PICKLE}"
    if any(name.endswith(".weights.h5") for name in names):
        return "a Keras model: save its weights as safetensors, and audit those"
    if all(name.endswith(".npy") for name in names):
        return "NumPy arrays in a zip archive (.npz): save them as safetensors"
    return "a zip archive: unpack it, and name the folder"


def _json(path: Path) -> str:
    where = f"name its folder, {path.parent}" if path.parent.name else "name its folder"
    if path.name.endswith(".index.json"):
        return f"an index of weight files, not weights: {where}"
    if path.name.endswith("config.json"):
        return f"a model's settings, not its weights: {where}, or its .safetensors files"
    return f"JSON, not weights: {where}, or its .safetensors files"


def _is_onnx(head: bytes) -> bool:
    """A protobuf message of onnx.ModelProto: ir_version, then the producer's name, its opsets or the graph."""
    return len(head) > 3 and head[0] == 0x08 and 0 < head[1] < 0x20 and head[2] in (0x12, 0x3A, 0x42)


def _is_msgpack(head: bytes) -> bool:
    """A map whose first key is a short string."""
    keys = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x81 <= head[0] <= 0x8F else 0)
    if not keys or len(head) <= keys:
        return False
    key = head[keys]
    text = head[keys + 1 : keys + 1 + (key & 0x1F)] if 0xA1 <= key <= 0xBF else b""
    return bool(text) and all(byte in _TEXT for byte in text)
