"""Where the wall time of a run went, from its first start on, over all its processes.

    goodput = productive seconds / wall seconds since the run first began

Productive is the time of the steps whose results are in the run's history, each once: the `step_seconds` of the
lines of metrics.jsonl, with the time that a step waited for rows or for the monitor in it, and skipped steps, too.
Not productive are, by cause:

    restore     finding a sound checkpoint and reading it, or making the initial weights
    compile     compiling the step
    open        opening rows and files, and the monitor's first look
    checkpoint  the loop waited while a state was copied, or until the save before it was whole
    again       steps whose results were lost, and that were done again after a resume
    stopped     no process was at work on the run, from the last sign of one to the next one's start
    unknown     the rest: what a killed process did after its last sign, and the loop around the steps

metrics.jsonl has the share at every step, `goodput`. goodput.jsonl has a line of totals for each start, checkpoint
and end, so that a kill at any moment loses the causes since the line before, and no time: that is `unknown` then.
"""

import contextlib
import functools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_shadows.json_lines import read_objects
from bench_shadows.progress import duration, say
from bench_shadows.training.logs.step_lines import StepLines

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CAUSES = ("restore", "compile", "open", "checkpoint", "again", "stopped")


class WallTime(contextlib.AbstractContextManager["WallTime"]):
    """The clock of one process at work on a run; to be made before the process does anything else about the run.

    Args:
      folder: the run's, with metrics.jsonl and goodput.jsonl of the processes before, where there were any.
    """

    def __init__(self, folder: Path):
        self._began, self._clock, self._step = time.time(), time.monotonic(), 0
        self._boot_began, self._was_told = _boot_seconds(), False
        self._mark = self._clock  # the end of the last step, or of the last time lost
        self._path = folder / "goodput.jsonl"
        self._lines: StepLines | None = None
        self._records = list(read_objects(self._path, "event", "step", "time", "wall_seconds", "lost_seconds"))
        self._done = list(read_objects(folder / "metrics.jsonl", "step", "time", "step_seconds"))
        self._productive, self._lost, self._wall_before = 0.0, dict.fromkeys(CAUSES, 0.0), 0.0
        if self._records:
            last = self._records[-1]
            self._wall_before = self._since(last) + last["wall_seconds"]
            self._lost |= {cause: last["lost_seconds"][cause] for cause in CAUSES}
        elif self._done:
            self._wall_before = self._began - min(line["time"] - line["step_seconds"] for line in self._done)

    def begin(self, step: int) -> None:
        """Training goes on from `step`; to be called before the later lines of metrics.jsonl are cut."""
        self._step = step
        self._productive = sum(line["step_seconds"] for line in self._done if line["step"] <= step)
        self._lost["again"] += sum(line["step_seconds"] for line in self._done if self._is_lost(line, step))
        if signs := [*self._records, *self._done]:
            self._lost["stopped"] += self._since(max(signs, key=lambda line: line["time"]))
        self._records, self._done = [], []
        self._lines = StepLines(self._path, after=math.inf)
        self.write("start")

    @contextlib.contextmanager
    def lost(self, cause: str) -> Iterator[None]:
        """Time inside is lost to one of `CAUSES`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._mark = time.monotonic()
            self._lost[cause] += self._mark - began

    def count(self, step: int) -> float:
        """A step's result is there: the seconds since the one before, or since the last time lost; productive."""
        now = time.monotonic()
        seconds, self._mark, self._step = now - self._mark, now, step
        self._productive += seconds
        return seconds

    @property
    def goodput(self) -> float:
        """The productive share so far, in [0, 1]."""
        return min(1.0, self._productive / max(self._wall, 1e-9))

    def write(self, event: str) -> None:
        """A line of totals in goodput.jsonl; `event` is start, checkpoint or end."""
        if self._lines is not None:
            wall = self._wall
            unknown = max(0.0, wall - self._productive - sum(self._lost.values()))
            self._lines.write(
                {
                    "event": event,
                    "step": self._step,
                    "time": time.time(),
                    "boot": _boot(),
                    "boot_seconds": _boot_seconds(),
                    "wall_seconds": wall,
                    "productive_seconds": self._productive,
                    "goodput": self.goodput,
                    "lost_seconds": {**self._lost, "unknown": unknown},
                }
            )

    def _since(self, sign: dict[str, Any]) -> float:
        """Seconds from an earlier process's line to this one's start.

        The machine's own clock counts them where it is the same machine that was not started anew in between and
        the line has it; else the wall clock, which somebody may have set back: then they are not known, and none.
        """
        if sign.get("boot") and sign["boot"] == _boot():
            return max(0.0, self._boot_began - sign["boot_seconds"])
        seconds = self._began - sign["time"]
        if seconds < 0 and not self._was_told:
            self._was_told = True
            say(
                f"{self._path}: the wall clock is {duration(-seconds)} behind the last line; the time in between "
                "is not known and left out of goodput"
            )
        return max(0.0, seconds)

    @property
    def _wall(self) -> float:
        return self._wall_before + time.monotonic() - self._clock

    def _is_lost(self, line: dict[str, Any], step: int) -> bool:
        """Behind `step`, and not counted by a process that was killed before it had cut the line."""
        starts = [record for record in self._records if record["event"] == "start"]
        counted = starts and line["time"] < starts[-1]["time"] and line["step"] > starts[-1]["step"]
        return line["step"] > step and not counted

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Writes the last totals, where training began."""
        if self._lines is not None:
            with self._lines, contextlib.suppress(Exception) if kind else contextlib.nullcontext():
                self.write("end")


@functools.cache
def _boot() -> str | None:
    """What names this machine since it was started; None where the system does not say."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def _boot_seconds() -> float:
    """Seconds since this machine was started, those that it slept included; no one can set this clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
