"""Atomic writes, locks and content hashes: a file under its final name is whole, and known by its SHA-256."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_shadows.errors import ConfigError, RunError
from bench_shadows.foreign import shown

TEMPORARY = ".partial"  # what a killed process leaves behind ends with this, and is swept away


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yields a temporary sibling of `path` to write a file or a folder at; renames it to `path` on success.

    On an exception the temporary is removed and `path` is as it was. A folder that stands at `path`
    already is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY)
    remove(temporary)
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        if path.is_dir():
            remove(path)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path, option: str = "--out") -> None:
    """Makes a folder that a user named; ConfigError where there cannot be one. A full disk is no such case."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = "it is a file" if os.path.isfile(path) else error.strerror
        raise ConfigError(f"{option}={shown(str(path))[1:-1]}: no folder can be there: {reason}") from error


@contextlib.contextmanager
def exclusive(path: Path, what: str, wait: bool = False) -> Iterator[None]:
    """Holds a lock file while one process does `what`; the kernel releases it when the process dies.

    Raises RunError where another process holds it, unless told to wait, and where the lock's name is a link or
    anything else that is no file: nothing is written, and nothing elsewhere is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise RunError(f"{path}: a link or no file, where the lock of {what} should be; remove it") from error
    with open(descriptor, "rb+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RunError(f"another process is at {what}; wait for it, or end it") from error
        yield


def write_text(path: Path | str, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Writes JSON atomically, keys in the order given; NaN and infinities are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Reads a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def expand(path: str) -> Path:
    """A path whose `~` is replaced by the home folder; ConfigError where this machine's user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: {error} Set HOME, or BENCH_SHADOWS_CACHE for the cache") from error


def cache_folder() -> Path:
    """Where corpus and compiled programs are kept: $BENCH_SHADOWS_CACHE, or the platform's folder for caches."""
    if own := os.environ.get("BENCH_SHADOWS_CACHE"):
        return expand(own)
    if sys.platform == "darwin":
        root = expand("~/Library/Caches")
    else:
        root = expand(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return root / "bench-shadows"


def hash_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
