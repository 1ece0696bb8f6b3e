"""Progress of long work: a line with rate and estimate on a terminal, now and then a plain line elsewhere."""

import contextlib
import sys
import time


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
        return ", ".join(parts)

    def _print(self, text: str, end: bool = False) -> None:
        if self._terminal:
            print(f"\r\x1b[2K{text}", end="\n" if end else "", file=sys.stderr, flush=True)
        else:
            say(text)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._print(f"{self.line()}, took {duration(time.monotonic() - self._began)}", end=True)
        elif self._terminal:
            self._print(self.line(), end=True)
