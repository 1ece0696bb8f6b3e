"""How often prompts were repeated, from duplicates.json: of a cleaned folder, or of a study's samples."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from bench_shadows.report.common.tables import Column, Table

_LISTED = 40  # templates and fragments
_WIDE = "\u2e80-\u9fff\uff00-\uffef"  # Chinese, Japanese: a sign is a word
_WORDS = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")


def fields_table(found: Mapping[str, Any]) -> Table:
    """By field, the one with most copies first."""
    rows = [
        {
            "field": field,
            "samples": count,
            "repeating": found["fields_repeating"].get(field, 0),
            "share": 100 * found["fields_repeating"].get(field, 0) / count,
            "after": found["fields_repeating_after"].get(field, 0),
        }
        for field, count in found["fields"].items()
    ]
    columns = (
        Column("field", "Field", text=True),
        Column("samples", "Samples with it", 0),
        Column("repeating", "Samples with a copy in it", 0),
        Column("share", "Share, %", 1),
        Column("after", "Samples after", 0),
    )
    return Table(
        "duplicates_by_field", columns, tuple(sorted(rows, key=lambda row: (-row["repeating"], row["field"])))
    )


def templates_table(found: Mapping[str, Any]) -> Table:
    """By template, which is the fields that share a fragment, the commonest first."""
    columns = (
        Column("template", "Fields that share a fragment", text=True),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("samples_after", "Samples after", 0),
    )
    samples = max(1, found["samples"])
    rows = [{**one, "share": 100 * one["samples"] / samples} for one in found["templates"][:_LISTED]]
    return Table("duplicates_by_template", columns, tuple(rows))


def fragments_table(found: Mapping[str, Any]) -> Table:
    """By fragment, the commonest first."""
    columns = (
        Column("fragment", "Fragment, normalised", text=True),
        Column("copies", "Copies removed", 0),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("copies_after", "Copies after", 0),
    )
    samples = max(1, found["samples"])
    rows = [{**one, "share": 100 * one["samples"] / samples} for one in found["fragments"][:_LISTED]]
    return Table("duplicates_by_fragment", columns, tuple(rows))


def side_by_side(example: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, bool]], bool]]:
    """(field, pieces of its text with whether each was removed, whether anything was) for every field."""
    return [
        (field["field"], pieces(field["before"], field["after"]), field["before"] != field["after"])
        for field in example["fields"]
    ]


def pieces(before: str, after: str) -> list[tuple[str, bool]]:
    """The pieces that `before` is made of, whole words, each with whether `after` lacks it."""
    words = _WORDS.findall(before)
    codes = difflib.SequenceMatcher(None, words, _WORDS.findall(after), autojunk=False).get_opcodes()
    return [("".join(words[start:stop]), tag != "equal") for tag, start, stop, *_ in codes if start < stop]
