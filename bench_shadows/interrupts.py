"""The first Ctrl-C ends the command with exit code 130, whenever it comes and whoever is at work.

A KeyboardInterrupt is lost where it falls into a garbage-collection callback of JAX (jax #18246), into an
extension that is being imported, or into an `except` without a class. So it is sent again when it is lost; a
process that is importing ends at once; and one that takes long to put things away ends anyway. That is safe: what
the commands write is whole under its final name, or not there.

This file imports next to nothing: it is the first thing that the command does.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

EXIT_CODE = 130
"""The shell's for a process that SIGINT ended."""
WORDS = "bench-shadows: interrupted. What was finished is kept; the same command resumes from there."
PATIENCE = 10.0
"""Seconds that a process has to put away what it is doing."""
_AGAIN = 0.05
"""Seconds after which a lost interrupt is sent again."""


class _Command:
    """What is known of the process's one command."""

    works = False
    """Whether somebody will catch an interrupt."""
    interrupted = False


class Interrupt(KeyboardInterrupt):
    """Ctrl-C; it notices where it is forgotten before it reached the end of the command."""

    def __del__(self) -> None:
        if _Command.works and not sys.is_finalizing():
            _later(_AGAIN, _send)


def listen() -> None:
    """From here on; not where somebody else, such as a notebook or `nohup`, decides what a Ctrl-C does."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _come)
    before = sys.unraisablehook

    def hook(lost: Any) -> None:
        if not issubclass(lost.exc_type, Interrupt):
            before(lost)

    sys.unraisablehook = hook


@contextlib.contextmanager
def raised_at_the_end() -> Iterator[None]:
    """Whatever ends the command after a Ctrl-C, such as a library's error where it met it: KeyboardInterrupt."""
    _Command.works = True
    try:
        yield
    except BaseException as error:
        _Command.works = False
        if _Command.interrupted:
            raise KeyboardInterrupt from error
        raise
    _Command.works = False
    if _Command.interrupted:
        raise KeyboardInterrupt


def _come(number: int, frame: FrameType | None) -> None:
    if not _Command.works or _is_import(frame):
        _end()
    if not _Command.interrupted:
        _Command.interrupted = True
        _later(PATIENCE, _end)
    raise Interrupt


def _is_import(frame: FrameType | None) -> bool:
    """Whether a module is being imported: what an exception there leaves behind is anybody's guess."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _later(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def _send() -> None:
    """To the main thread, also where it waits in a system call."""
    if _Command.works:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _end() -> None:
    """At once, and the worker processes with it; they say nothing when it happens to them."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        with contextlib.suppress(OSError):  # not by `print`: the signal may have come in the middle of one
            os.write(2, f"{chr(10) if os.isatty(2) else ''}{WORDS}\n".encode())
    for worker in multiprocessing.active_children() if multiprocessing else ():
        worker.kill()
    os._exit(EXIT_CODE)
