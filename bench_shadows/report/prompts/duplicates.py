"""How often prompts were repeated, by duplicates.json: tables, and the page of `bench-shadows dedupe-prompts`."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_shadows.files import read_json, write_text
from bench_shadows.report.common.rendering import render_template
from bench_shadows.report.common.tables import Column, Table

_LISTED = 40  # templates and fragments
_WIDE = "\u2e80-\u9fff\uff00-\uffef"  # Chinese, Japanese: a sign is a word
_WORDS = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")


def write_prompts_page(folder: Path, command: Sequence[str]) -> Path:
    """Writes duplicates.html beside duplicates.json, from that alone; returns its path."""
    found = read_json(folder / "duplicates.json")
    fields, templates, fragments = tables(found)
    text = render_template(
        "prompts.html.jinja",
        found=found,
        fields=fields,
        templates=templates,
        fragments=fragments,
        examples=[(example["where"], side_by_side(example)) for example in found["examples"]],
        files=len(found["made_from"]["files"]),
        rules=list(found["made_from"]["rules"].items()),
        command=shlex.join(command),
        figures={},
    )
    write_text(folder / "duplicates.html", text)
    return folder / "duplicates.html"


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Repeated prompts by field, by template and by fragment; tables without rows where nothing was `found`."""
    if not found:
        return [Table(f"duplicates_by_{name}", (), ()) for name in ("field", "template", "fragment")]
    return [_fields_table(found), _templates_table(found), _fragments_table(found)]


def _fields_table(found: Mapping[str, Any]) -> Table:
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
    rows.sort(key=lambda row: (-row["repeating"], row["field"]))
    return Table("duplicates_by_field", columns, tuple(rows))


def _templates_table(found: Mapping[str, Any]) -> Table:
    """By template, which is the fields that share a fragment, the commonest first."""
    columns = (
        Column("template", "Fields that share a fragment", text=True),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("samples_after", "Samples after", 0),
    )
    return Table("duplicates_by_template", columns, _with_shares(found, "templates"))


def _fragments_table(found: Mapping[str, Any]) -> Table:
    """By fragment, the commonest first."""
    columns = (
        Column("fragment", "Fragment, normalised", text=True),
        Column("copies", "Copies removed", 0),
        Column("samples", "Samples", 0),
        Column("share", "Share, %", 1),
        Column("copies_after", "Copies after", 0),
    )
    return Table("duplicates_by_fragment", columns, _with_shares(found, "fragments"))


def _with_shares(found: Mapping[str, Any], key: str) -> tuple[dict[str, Any], ...]:
    samples = max(1, found["samples"])
    return tuple({**one, "share": 100 * one["samples"] / samples} for one in found[key][:_LISTED])


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
