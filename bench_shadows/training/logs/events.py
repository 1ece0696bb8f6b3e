"""TensorBoard events of a run's metrics, where tensorboardX (the `tensorboard` extra) is installed.

Written on the caller's thread: tensorboardX's own SummaryWriter hands them to a thread, and when a full disk ends
that thread, the training that feeds it waits forever.
"""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_shadows.training.logs.step_lines import cannot_write


class Events(contextlib.AbstractContextManager["Events"]):
    """One event file in `folder`; nothing is written without tensorboardX: metrics.jsonl has the same numbers.

    Events of steps after `after` that an earlier process wrote are void: TensorBoard shows the new ones. Raises
    RunError where the file cannot be written.
    """

    def __init__(self, folder: Path, after: int):
        self._folder = folder
        self._writer: Any = None
        with contextlib.suppress(ImportError):
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.summary import scalar

            folder.mkdir(parents=True, exist_ok=True)
            self._event, self._scalar = Event, scalar
            self._writer = EventsWriter(str(folder / "events"))
            self._write(after + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Writes the scalars of one step; None is left out."""
        if self._writer is not None:
            for name, value in values.items():
                if value is not None:
                    self._write(step, summary=self._scalar(name, value))

    def _write(self, step: int, **content: Any) -> None:
        try:
            self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def __exit__(self, *_: object) -> None:
        """Writes what is buffered and closes the file."""
        if self._writer is not None:
            self._writer.close()
