"""Files of JSON lines that only grow: what is done so far, whatever ends the process.

A line goes to the operating system unbuffered, so a killed process leaves half a line at most; a machine that
crashes may leave zeros, too. Whoever opens such a file to append cuts a last line that has no end, and whoever
reads it passes over what is damaged.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

_BLOCK = 2**20


class JsonLines:
    """Appends values to a file, a line each.

        with JsonLines(path) as file:
            file.append({"step": 1})

    Args:
      path: the file; it is made where there is none. What a killed process left of a last line is cut.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_unended_line(path)
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def append(self, *values: Any, allow_nan: bool = False) -> None:
        """Hands values to the operating system, all in one write where it takes them at once.

        Raises ValueError for NaN and infinities unless they are allowed, OSError where the disk is full.
        """
        lines = [json.dumps(value, ensure_ascii=False, allow_nan=allow_nan) + "\n" for value in values]
        left = memoryview("".join(lines).encode("utf-8", "surrogatepass"))  # as json.loads decodes
        while left:
            left = left[self._file.write(left) :]

    def sync(self) -> None:
        """Returns when what was appended would survive a crash of the machine."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> Iterator[tuple[bytes, Any]]:
    """(line, its value) of every line, first to last, None for one that is damaged; nothing without a file."""
    if path.exists():
        with open(path, "rb") as file:
            for line in file:
                yield line, _value(line)


def read_objects(path: Path, *fields: str) -> Iterator[dict[str, Any]]:
    """The objects among the lines that have these fields, first to last."""
    for _, value in read(path):
        if isinstance(value, dict) and all(field in value for field in fields):
            yield value


def read_pairs(path: Path) -> dict[Any, Any]:
    """Lines of `[key, value]` as a dictionary; of two with one key the later one counts."""
    pairs = (value for _, value in read(path) if isinstance(value, list) and len(value) == 2)
    return {key: value for key, value in pairs if isinstance(key, int | str)}


def _value(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def _cut_unended_line(path: Path) -> None:
    """Ends a file behind its last line end."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        stop = file.seek(0, os.SEEK_END)
        while stop:
            start = max(0, stop - _BLOCK)
            file.seek(start)
            found = file.read(stop - start).rfind(b"\n")
            stop = start + found + 1 if found >= 0 else start
            if found >= 0:
                break
        file.truncate(stop)
