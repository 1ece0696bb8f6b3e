"""JSON lines of a run, one for a step (or for some of them), that a run which goes on cuts where it goes on."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from bench_shadows.errors import RunError


class StepLines:
    """Appends to a file of JSON objects, each with its `step`; unbuffered: a kill costs half a line at most.

    Args:
      path: the file.
      after: the step that training goes on from; lines of later steps, and a half-written last one, are cut.
    """

    def __init__(self, path: Path, after: int):
        _cut(path, after)
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines, first to last."""
        with open(self.path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line; NaN and infinities are refused. Raises RunError where it cannot be written."""
        encoded = json.dumps(line, allow_nan=False).encode() + b"\n"
        try:
            if self._file.write(encoded) < len(encoded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise cannot_write(self.path, error) from error

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


def _cut(path: Path, after: int) -> None:
    """Cuts a file behind the last whole line of a step up to `after`."""
    if not path.exists():
        return
    end = 0
    with open(path, "rb") as file:
        for line in file:
            try:
                keep = line.endswith(b"\n") and json.loads(line)["step"] <= after
            except (ValueError, KeyError, TypeError):
                keep = False
            if not keep:
                break
            end += len(line)
    os.truncate(path, end)
