"""Files of checkpoints by path or URI: in a folder, or in a bucket (gs://) with the credentials of the machine.

A bucket has no folders to rename and shows a file when it is whole: what a file says of others is written last and
removed first. Through fsspec, whose cache of listings can be dropped: epath (etils 1.15) keeps its own, so what
another process saved is not there and what it removed still is; and it takes TensorFlow where that is installed.
"""

import concurrent.futures
import hashlib
import json
from typing import Any

import fsspec
from etils import epath

from bench_shadows import files
from bench_shadows.errors import RunError

_READ_BYTES = 2**23
_STREAMS = 8  # of a bucket at the same time; one stream of it is slower than a network


def place(path: epath.PathLike) -> epath.Path:
    """A path, made absolute, or a URI. Raises RunError where gcsfs is missing."""
    found = epath.Path(path)
    if not is_remote(found):
        return found.absolute()
    try:
        _system(found)
    except ImportError as error:
        raise RunError(f"{found} needs gcsfs; pip install 'bench-shadows[gcs]'") from error
    return found


def is_remote(path: epath.PathLike) -> bool:
    """Whether it lies in a bucket."""
    return "://" in str(path)


def names(folder: epath.Path) -> list[str]:
    """What is directly in a folder, sorted; nothing where there is none."""
    system, inside = _system(folder)
    if not system.exists(inside):
        return []
    return sorted(entry.rstrip("/").rpartition("/")[2] for entry in system.ls(inside, detail=False))


def exists(path: epath.Path) -> bool:
    """Whether there is a file or a folder."""
    system, inside = _system(path)
    return system.exists(inside)


def read_json(path: epath.Path) -> Any:
    """A JSON file. Raises OSError or ValueError."""
    system, inside = _system(path)
    return json.loads(system.cat_file(inside))


def write_json(path: epath.Path, value: Any) -> None:
    """Writes JSON; whole or not at all."""
    if not is_remote(path):
        files.write_json(path, value)
        return
    system, inside = _system(path)
    system.pipe_file(inside, (json.dumps(value, indent=2) + "\n").encode())


def hashes(folder: epath.Path) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path there; OSError names one that cannot be read."""
    system, inside = _system(folder)
    found = sorted(name.removeprefix(inside).lstrip("/") for name in system.find(inside))
    if not is_remote(folder):
        return {name: files.hash_file(folder / name) for name in found}
    with concurrent.futures.ThreadPoolExecutor(_STREAMS) as pool:
        digests = pool.map(lambda name: _hash(system, f"{inside}/{name}"), found)
        return dict(zip(found, digests, strict=True))


def remove(path: epath.Path) -> None:
    """Removes a file or a folder, if it is there."""
    system, inside = _system(path)
    if system.exists(inside):
        system.rm(inside, recursive=True)


def _system(path: epath.Path) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem and the path in it; what others wrote since is seen."""
    system, inside = fsspec.core.url_to_fs(str(path))
    system.invalidate_cache()
    return system, inside.rstrip("/")


def _hash(system: fsspec.AbstractFileSystem, name: str) -> str:
    with system.open(name, "rb", block_size=_READ_BYTES, cache_type="readahead") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
