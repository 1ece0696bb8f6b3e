"""What a run's data is made from, recorded in inputs.json: a folder belongs to one set of inputs."""

import hashlib
from pathlib import Path
from typing import Any

from bench_shadows.config import Config, determined, differences, may_change
from bench_shadows.declared import DATA
from bench_shadows.errors import RunError
from bench_shadows.files import hash_file, read_json, write_json

VERSION = 5
"""Of what the prepare stage makes from the same inputs; raised with every change to it."""
HASHED_BYTES = 2**35
"""Sources of more bytes are known by sizes and times alone: reading all of them would take longer than minutes."""


def claim(path: Path, config: Config) -> None:
    """Records the inputs in a new folder's inputs.json; raises RunError if an old one was made from others.

    More seeds, or conditions that need no other rows, are no other inputs: what is there stays as it is.
    """
    old = _read(path) if path.exists() else None
    new = _inputs(config, old["files"] if old else {})
    changes = differences(_content(old), _content(new)) if old else ()
    if changed := [_described(*change) for change in changes if not _harmless(config, *change)]:
        raise RunError(
            f"{path.parent} was made from other data: {'; '.join(changed)}. "
            "Delete this folder to prepare again, or name another run folder with --out"
        )
    if old != new:
        write_json(path, new)


def _read(path: Path) -> dict[str, Any]:
    try:
        old = read_json(path)
        if old["version"] != VERSION:
            raise RunError(
                f"{path.parent} was prepared by another version of bench_shadows: delete it to prepare again, or "
                "name another run folder with --out"
            )
        _content(old)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: not a list of inputs ({error}); delete {path.parent} and prepare again"
        ) from error
    return old


def _inputs(config: Config, known: dict[str, Any]) -> dict[str, Any]:
    """Everything the outputs depend on; `known` files of the same size and time are not read again."""
    facts = {part.name: (part.identity(), part.paths) for part in config.kind.sources(config)}
    if config.data.tokenizer != "bpe" and (path := Path(config.data.tokenizer)).is_file():
        status = path.stat()
        facts[str(path)] = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}, (str(path),)
    hashed = sum(identity.get("bytes", 0) for identity, _ in facts.values()) <= HASHED_BYTES
    hashes: dict[str, str] = {}  # of files read in this call: a large file is several parts
    files = {}
    for name, (identity, paths) in facts.items():
        old = known.get(name, {})
        same = all(old.get(key) == value for key, value in identity.items())
        if same and "sha256" in old:
            identity = old
        elif hashed and paths and all(Path(path).is_file() for path in paths):
            identity = {**identity, "sha256": _hash(paths, hashes)}
        files[name] = identity
    return {"version": VERSION, "config": determined(config, DATA), "files": files}


def _hash(paths: tuple[str, ...], hashes: dict[str, str]) -> str:
    """SHA-256 of a file, or of the hashes of several."""
    for path in paths:
        hashes[path] = hashes.get(path) or hash_file(path)
    if len(paths) == 1:
        return hashes[paths[0]]
    return hashlib.sha256("".join(hashes[path] for path in paths).encode()).hexdigest()


def _content(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs without what may change while the content is the same."""
    return {**inputs, "files": {name: entry.get("sha256", entry) for name, entry in inputs["files"].items()}}


def _harmless(config: Config, name: str, old: Any, new: Any) -> bool:
    """Whether what was made from the old value is what the new one gives."""
    field = name.removeprefix("config.")
    return field != name and None not in (old, new) and may_change(config, field, old, new)


def _described(name: str, old: Any, new: Any) -> str:
    if name.startswith("files."):
        change = "is new" if old is None else "is gone" if new is None else "has another content"
        return f"{name.removeprefix('files.')} {change}"
    return f"{name} was {old!r}, is {new!r}"
