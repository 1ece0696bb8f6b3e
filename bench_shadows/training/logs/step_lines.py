"""JSON lines of a run, one for a step (or for some of them), that a run which goes on cuts where it goes on."""

import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path
from bench_shadows.progress import say


class StepLines:
    """Appends to a file of JSON objects, each with its `step`; unbuffered: a kill costs half a line at most.

    Args:
      path: the file.
      after: the step that training goes on from; lines of later steps, and those that cannot be read, go.
    """

    def __init__(self, path: Path, after: float):
        _cut(path, after)
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines, first to last."""
        yield from read_lines(self.path, "step")

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line; NaN and infinities are refused. Raises RunError where it cannot be written."""
        encoded = json.dumps(line, allow_nan=False).encode() + b"\n"
        try:
            if self._file.write(encoded) < len(encoded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def sync(self) -> None:
        """Returns when what was written would survive a crash of the machine."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> "StepLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def cannot_write(path: Path, error: OSError) -> RunError:
    """What a run says when a file that it writes as it goes cannot be written."""
    return RunError(
        f"{path}: could not be written ({error.strerror}). Checkpoints are kept; make room and give the same "
        "command"
    )


def read_lines(path: Path, *fields: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file, first to last, that are JSON objects with these fields; none without a file."""
    if path.exists():
        with open(path, "rb") as file:
            for line in file:
                if (value := _parsed(line)) is not None and all(field in value for field in fields):
                    yield value


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A whole line as an object, None for what a crash left: half a line, zeros."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _cut(path: Path, after: float) -> None:
    """Leaves the whole lines of steps up to `after`; says how many among them could not be read."""
    if not path.exists():
        return
    kept: list[bytes] = []
    broken = suspect = 0
    with open(path, "rb") as file:
        for line in file:
            value = _parsed(line)
            if value is None:
                suspect += 1
            elif value.get("step", math.inf) <= after:
                kept.append(line)
                broken, suspect = broken + suspect, 0
    if not broken:  # what goes is the end of the file
        os.truncate(path, sum(map(len, kept)))
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(kept))
    say(f"{path}: {broken} damaged {'line is' if broken == 1 else 'lines are'} left out")
