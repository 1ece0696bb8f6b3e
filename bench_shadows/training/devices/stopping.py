"""Leaving on request: SIGTERM (a scheduler, a preemption) and Ctrl-C end a run after a checkpoint."""

import signal
import threading
from types import FrameType
from typing import Any

from bench_shadows.errors import RunError
from bench_shadows.progress import say
from bench_shadows.training.devices.distributed import hosts


class StoppedError(RunError):
    """A run was asked to leave and did: everything is saved, and nothing went wrong.

    The exit code is the shell's for a process that the signal ended, 143 (SIGTERM) or 130 (Ctrl-C), so that a
    scheduler can tell it from a failure.

    Args:
      where: the run, and the step that is saved.
      number: the signal that came; None where it came to another host.
    """

    def __init__(self, where: str, number: int | None):
        by = "a preemption" if number is None else signal.Signals(number).name
        super().__init__(f"stopped by {by}: {where}; the same command goes on")
        self.exit_code = 128 + (number or signal.SIGTERM)


class StopRequests:
    """Listens for SIGTERM and SIGINT while it is entered.

    The first Ctrl-C asks to leave after a checkpoint, the second leaves at once. A signal that nobody left for (it
    came when nothing was left to do) is passed on at the end.
    Not in a thread that is not the main one, and not with several hosts: there SIGTERM is JAX's, which tells the
    others (`distributed.preemption`), and a Ctrl-C ends them all.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The first signal that came."""
        self._before: dict[int, Any] = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])
            say("interrupted: saves a checkpoint after this step and leaves; once more leaves at once")

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread() and hosts() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if kind is None and self.signal is not None:
            signal.raise_signal(self.signal)
