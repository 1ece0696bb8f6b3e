"""What was read from the sources and what was left out, countable in many processes and merged."""

import dataclasses
from typing import Any

from bench_shadows.errors import DataError

EXAMPLES = 5  # bad records that are shown for each reason


@dataclasses.dataclass
class Counts:
    """What was read and what was left out; `as_json` goes into documents.json."""

    limit: int
    """Bad records that are left out; one more raises DataError."""
    documents: dict[str, int] = dataclasses.field(default_factory=dict)
    """Documents read from each part: a file, a split, or `builtin`."""
    bad: dict[str, int] = dataclasses.field(default_factory=dict)
    """Bad records by reason."""
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """The first bad records of each reason, as file:line: details."""
    ignored: dict[str, int] = dataclasses.field(default_factory=dict)
    """Files of a folder that are no source, by their ending; empty files of code."""
    detected: dict[str, int] = dataclasses.field(default_factory=dict)
    """How often a field that the data did not have was found by a detector, by field and detector."""

    def read(self, part: str) -> None:
        """Counts one document of a part."""
        self.documents[part] = self.documents.get(part, 0) + 1

    def leave_out(self, where: str, reason: str, details: str = "") -> None:
        """Counts one bad record; DataError when there are more than the limit."""
        shown = f"{where}: {reason}" + (f" ({details})" if details else "")
        self._add_bad(reason, 1, [shown])

    def detect(self, what: str) -> None:
        """Counts one field that was detected."""
        self.detected[what] = self.detected.get(what, 0) + 1

    def ignore(self, ending: str, files: int) -> None:
        """Counts files that are not read because of their names."""
        self.ignored[ending] = self.ignored.get(ending, 0) + files

    def merge(self, other: "Counts") -> None:
        """Adds what another process counted; DataError when together there are more bad records than the limit.

        Merged in the order of the parts, the counts of many processes are those of one.
        """
        for mine, theirs in (
            (self.documents, other.documents),
            (self.ignored, other.ignored),
            (self.detected, other.detected),
        ):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number
        for reason, number in other.bad.items():
            self._add_bad(reason, number, other.examples.get(reason, []))

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
            "ignored_files": self.ignored,
            "detected": self.detected,
        }

    @classmethod
    def from_json(cls, limit: int, value: dict[str, Any]) -> "Counts":
        """The counts that `as_json` gave (of a part that an earlier life of the process read)."""
        return cls(
            limit,
            dict(value["sources"]),
            dict(value["bad_records"]),
            {reason: list(shown) for reason, shown in value["bad_examples"].items()},
            dict(value["ignored_files"]),
            dict(value["detected"]),
        )
