"""Progress of long work: a line with rate and estimate on a terminal, now and then a plain line elsewhere.

Where several stages make a whole (`Whole`), each line begins with how far all of it is.
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping


def say(text: str) -> None:
    """One line of what is going on, to standard error (standard output is for results)."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 0.8 s, 18 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Whole(contextlib.AbstractContextManager["Whole"]):
    """All of a study, while it is entered: which stage, which run, and the time that all of it takes yet.

    The time is that of the stage so far, in this call, and for the stages to come their usual share of it. Before
    a stage has been measured there is none.

    Args:
      stages: their names in order, and about how much of the whole each of them takes.
    """

    current: "Whole | None" = None

    def __init__(self, stages: Mapping[str, float]):
        self._stages, self._stage = dict(stages), ""
        self._parts, self._begun, self._done, self._worked, self._began = 1, 0, 0.0, 0.0, time.monotonic()

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._stage, self._parts, self._begun, self._done, self._worked = name, 1, 0, 0.0, 0.0
        self._began = time.monotonic()

    def runs(self, first: int, count: int, total: int) -> None:
        """The next `count` of a stage's `total` runs begin, the first of them number `first`, from 0."""
        self._parts, self._begun, self._done = total, first + count, first / total

    def add(self, label: str, done: float, new: float) -> None:
        """A line of the stage (`train A-seed0`, `diagnose`; not `evaluate: words`) did a share of what it counts.

        Args:
          done: that share of the line in this call and before; new: since it was last told, in this call.
        """
        if label == self._stage or label.startswith(f"{self._stage} "):
            self._worked += new / self._parts
            self._done = min(1.0, (self._begun - 1 + done if self._parts > 1 else done) / self._parts)

    def line(self) -> str:
        """`stage 2 of 5, run 3 of 15, about 12 min 05 s left of all`."""
        names = list(self._stages)
        if self._stage not in names:
            return ""
        number = names.index(self._stage)
        parts = [f"stage {number + 1} of {len(names)}"]
        if self._parts > 1:
            parts.append(f"run {self._begun} of {self._parts}")
        if self._worked > 0.01:
            whole = (time.monotonic() - self._began) / self._worked
            later = sum(self._stages[name] for name in names[number + 1 :]) / self._stages[self._stage]
            parts.append(f"about {duration(whole * (1 - self._done + later))} left of all")
        return ", ".join(parts)

    def __enter__(self) -> "Whole":
        Whole.current = self
        return self

    def __exit__(self, *_: object) -> None:
        Whole.current = None


class Progress(contextlib.AbstractContextManager["Progress"]):
    """Counts work of a known (or unknown) total.

        with Progress("training A", total=steps, unit="steps", done=resumed_at) as progress:
            progress.add(1, note="loss 5.21")

    `done` is what an earlier run did already: it counts as finished and not into the rate.
    """

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0):
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._began, self._first = time.monotonic(), done
        self._terminal = sys.stderr.isatty()
        self._every = 0.2 if self._terminal else 15.0
        self._last = self._began
        self._note = ""

    def add(self, amount: float = 1, note: str | None = None) -> None:
        """Counts `amount` more as done; `note` stands at the end of the line."""
        self.done += amount
        if Whole.current and self.total:
            Whole.current.add(self.label, self.done / self.total, amount / self.total)
        if note is not None:
            self._note = note
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._print(self.line())

    def line(self) -> str:
        """The progress as one line of text."""
        seconds = time.monotonic() - self._began
        rate = (self.done - self._first) / seconds if seconds > 0 else 0.0
        total, share = (f" of {self.total:,.0f}", f" ({self.done / self.total:.0%})") if self.total else ("", "")
        parts = [f"{self.label}: {self.done:,.0f}{total} {self.unit}{share}"]
        parts.append(f"{rate:,.1f} {self.unit}/s" if rate < 100 else f"{rate:,.0f} {self.unit}/s")
        if self.total and rate > 0 and self.done < self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self._note:
            parts.append(self._note)
        whole = Whole.current.line() if Whole.current else ""
        return f"{whole}; {', '.join(parts)}" if whole else ", ".join(parts)

    def _print(self, text: str, end: bool = False) -> None:
        if self._terminal:
            # A line that the terminal wraps stays when the next one is written over it.
            text = text[: max(1, _width() - 1)]
            print(f"\r\x1b[2K{text}", end="\n" if end else "", file=sys.stderr, flush=True)
        else:
            say(text)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._print(f"{self.line()}, took {duration(time.monotonic() - self._began)}", end=True)
        elif self._terminal:
            self._print(self.line(), end=True)


def _width() -> int:
    """Columns of the terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
