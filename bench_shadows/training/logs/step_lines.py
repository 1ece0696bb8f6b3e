"""JSON lines of a run, one for a step (or for some of them), that a run which goes on cuts where it goes on."""

import math
import os
from pathlib import Path
from typing import Any

from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path
from bench_shadows.json_lines import JsonLines, read
from bench_shadows.progress import say


class StepLines(JsonLines):
    """Appends to a file of JSON objects, each with its `step`.

    Args:
      path: the file.
      after: the step that training goes on from; lines of later steps, and those that cannot be read, go.
    """

    def __init__(self, path: Path, after: float):
        _cut(path, after)
        super().__init__(path)

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line; NaN and infinities are refused. Raises RunError where it cannot be written."""
        try:
            self.append(line)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    """What a run says when a file that it writes as it goes cannot be written."""
    return RunError(
        f"{path}: could not be written ({error.strerror}). Checkpoints are kept; make room and give the same "
        "command"
    )


def _cut(path: Path, after: float) -> None:
    """Leaves the whole lines of steps up to `after`; says how many among them could not be read."""
    if not path.exists():
        return
    kept: list[bytes] = []
    broken = suspect = 0
    for line, value in read(path):
        if not isinstance(value, dict):
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
