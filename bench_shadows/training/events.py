"""TensorBoard events of a run's metrics, where tensorboardX (the `tensorboard` extra) is installed.

Written on the caller's thread: tensorboardX's own SummaryWriter hands them to a thread, and when a full disk ends
that thread, the training that feeds it waits forever.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """One event file in `folder`. Raises ImportError without tensorboardX, OSError where it cannot be written.

    Events of steps after `after` that an earlier process wrote are void: TensorBoard shows the new ones.
    """

    def __init__(self, folder: Path, after: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        folder.mkdir(parents=True, exist_ok=True)
        self._event, self._scalar = Event, scalar
        self._writer = EventsWriter(str(folder / "events"))
        self._write(after + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Writes the scalars of one step; None is left out."""
        for name, value in values.items():
            if value is not None:
                self._write(step, summary=self._scalar(name, value))

    def close(self) -> None:
        """Writes what is buffered and closes the file."""
        self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))
