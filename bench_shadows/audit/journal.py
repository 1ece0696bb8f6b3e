"""What an audit has done already: rows of its tables, kept as soon as they are known, one line for each stack.

A line is written whole and forced to the disk; what a killed process left of its last line is cut off at the next
start. Which file a line is in says what it was made from, so that nothing is taken for what it is not.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from bench_shadows.files import remove

Row = dict[str, Any]


class Journal:
    """Rows by key, in a file that only grows.

    Args:
      path: of the file; its name holds the hash of what its rows were made from.
    """

    def __init__(self, path: Path):
        self.rows: dict[int, list[Row]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115 (closed by __exit__)
        self._file.seek(0)
        sound = 0
        for line in self._file:
            try:
                key, rows = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self.rows[key] = rows
            sound += len(line)
        self._file.truncate(sound)

    def add(self, key: int, rows: list[Row]) -> None:
        """Keeps rows; they are on the disk when this returns."""
        self._file.write(json.dumps([key, rows], allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows[key] = rows

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def sweep(folder: Path, used: set[str]) -> None:
    """Removes the journals of other models and other versions from an audit's folder."""
    for path in folder.glob("*.jsonl"):
        if path.name not in used:
            remove(path)
