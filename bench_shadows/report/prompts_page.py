"""The page of `bench-shadows dedupe-prompts`: how often prompts were repeated and where; samples side by side."""

import difflib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_shadows.files import read_json, write_text
from bench_shadows.report.rendering import environment
from bench_shadows.report.tables import Column, Table

TEMPLATE = "prompts.html.jinja"
PAGE = "duplicates.html"
_LISTED = 40


def write_prompts_page(folder: Path, command: Sequence[str]) -> Path:
    """Writes duplicates.html beside duplicates.json, from that alone; returns its path."""
    found = read_json(folder / "duplicates.json")
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            found=found,
            fields=_fields(found),
            templates=_templates(found),
            fragments=_fragments(found),
            examples=[(example["where"], _side_by_side(example)) for example in found["examples"]],
            files=len(found["made_from"]["files"]),
            rules=list(found["made_from"]["rules"].items()),
            command=shlex.join(command),
            figures={},
        )
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def _fields(found: dict[str, Any]) -> Table:
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
    return Table("fields", columns, tuple(sorted(rows, key=lambda row: (-row["repeating"], row["field"]))))


def _templates(found: dict[str, Any]) -> Table:
    columns = (
        Column("template", "Fields that share a fragment", text=True),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("samples_after", "Samples after", 0),
    )
    samples = max(1, found["samples"])
    rows = [{**one, "share": 100 * one["samples"] / samples} for one in found["templates"][:_LISTED]]
    return Table("templates", columns, tuple(rows))


def _fragments(found: dict[str, Any]) -> Table:
    columns = (
        Column("fragment", "Fragment, normalised", text=True),
        Column("copies", "Copies removed", 0),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("copies_after", "Copies after", 0),
    )
    samples = max(1, found["samples"])
    rows = [{**one, "share": 100 * one["samples"] / samples} for one in found["fragments"][:_LISTED]]
    return Table("fragments", columns, tuple(rows))


def _side_by_side(example: dict[str, Any]) -> list[tuple[str, list[tuple[str, bool]], bool]]:
    """(field, pieces of its text with whether each was removed, whether anything was) for every field."""
    rows = []
    for field in example["fields"]:
        before, after = field["before"], field["after"]
        pieces: list[tuple[str, bool]] = []
        for tag, start, stop, *_ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if start < stop:
                pieces.append((before[start:stop], tag != "equal"))
        rows.append((field["field"], pieces, before != after))
    return rows
