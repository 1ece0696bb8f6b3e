"""safetensors files byte by byte, sound and broken, without the library that is usually used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

NAMES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3",
    np.dtype(ml_dtypes.float8_e5m2): "F8_E5M2",
    np.dtype(np.int64): "I64",
    np.dtype(np.int32): "I32",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint8): "U8",
}


def write_safetensors(
    path: Path, tensors: Mapping[str, tuple[str, np.ndarray]], cut: int = 0, **changes: Any
) -> Path:
    """(dtype's name, array) of every tensor as a file; `cut` bytes are lacking, `changes` falsify the entries."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets} | changes
        data += raw
    return write_raw(path, json.dumps({"__metadata__": {"format": "pt"}, **header}).encode(), data, cut)


def write_raw(path: Path, header: bytes, data: bytes = b"", cut: int = 0) -> Path:
    """Any bytes as a header, behind their true length."""
    whole = len(header).to_bytes(8, "little") + header + data
    path.write_bytes(whole[: len(whole) - cut])
    return path


def save_model(
    folder: Path, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any] | None = None, shards: int = 1
) -> Path:
    """A released checkpoint: shards with an index, and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = list(tensors)
    where: dict[str, str] = {}
    for shard in range(shards):
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        chosen = names[shard::shards]
        write_safetensors(folder / file, {name: (NAMES[tensors[name].dtype], tensors[name]) for name in chosen})
        where |= dict.fromkeys(chosen, file)
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder
