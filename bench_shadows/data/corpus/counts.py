"""What was read from the sources and what was left out, countable in many processes and merged."""

import dataclasses
from collections import Counter
from typing import Any

from bench_shadows.errors import DataError

EXAMPLES = 5  # bad records that are shown for each reason


@dataclasses.dataclass
class Counts:
    """What was read and what was left out; `as_json` goes into documents.json."""

    limit: int
    """Bad records that are left out; one more raises DataError."""
    documents: Counter[str] = dataclasses.field(default_factory=Counter)
    """Documents read from each part: a file, a split, or `builtin`."""
    bad: dict[str, int] = dataclasses.field(default_factory=dict)
    """Bad records by reason."""
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """The first bad records of each reason, as file:line: details."""
    lost: dict[str, str] = dataclasses.field(default_factory=dict)
    """Files that were not read, or not to their end: what was lost of each, and why."""
    ignored: Counter[str] = dataclasses.field(default_factory=Counter)
    """Files of a folder that are no source, by their ending; empty files of code."""
    detected: Counter[str] = dataclasses.field(default_factory=Counter)
    """How often a field that the data did not have was found by a detector, by field and detector."""

    def leave_out(self, where: str, reason: str, details: str = "") -> None:
        """Counts one bad record; DataError when there are more than the limit."""
        self._add_bad(reason, 1, [f"{where}: {reason}" + (f" ({details})" if details else "")])

    def lose(self, name: str, where: str, reason: str, details: str, records: int | None = None) -> None:
        """Counts what a damaged file, or one that cannot be used, held; DataError as for `leave_out`.

        Args:
          name: of the file; where: the first record that is lost.
          records: how many are lost, where the file tells; None counts as one bad record, for nobody knows.
        """
        told = "an unknown number of records" if records is None else f"{records:,} records"
        self.lost[name] = f"{told} lost from {where} on: {reason} ({details})"
        if records != 0:
            self._add_bad(reason, records or 1, [f"{where}: {reason} ({details}); {told} lost"])

    def merge(self, other: dict[str, Any]) -> None:
        """Adds what `as_json` of another process gave; DataError when together there are too many bad records.

        Merged in the order of the parts, the counts of many processes are those of one.
        """
        self.documents.update(other["sources"])
        self.ignored.update(other["ignored_files"])
        self.detected.update(other["detected"])
        self.lost.update(other.get("lost_files", {}))
        for reason, number in other["bad_records"].items():
            self._add_bad(reason, number, other["bad_examples"].get(reason, []))

    def _add_bad(self, reason: str, number: int, shown: list[str]) -> None:
        self.bad[reason] = self.bad.get(reason, 0) + number
        examples = self.examples.setdefault(reason, [])
        examples += shown[: EXAMPLES - len(examples)]
        if (total := sum(self.bad.values())) > self.limit:
            last = shown[-1] if shown else reason
            raise DataError(
                f"{last}; by now there are {total} bad records, and config.data.bad_records_limit allows "
                f"{self.limit}: repair the file or raise the limit"
            )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: documents by part, bad records by reason with examples, ignored files, detections."""
        return {
            "sources": self.documents,
            "bad_records": self.bad,
            "bad_examples": self.examples,
            "lost_files": self.lost,
            "ignored_files": self.ignored,
            "detected": self.detected,
        }
