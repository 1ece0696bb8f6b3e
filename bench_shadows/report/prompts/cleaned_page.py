"""The page of `bench-shadows dedupe-prompts`: how often prompts were repeated and where; samples side by side."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench_shadows.files import read_json, write_text
from bench_shadows.report.common.rendering import environment
from bench_shadows.report.prompts.duplicates import fields_table, fragments_table, side_by_side, templates_table

TEMPLATE = "prompts.html.jinja"
PAGE = "duplicates.html"


def write_prompts_page(folder: Path, command: Sequence[str]) -> Path:
    """Writes duplicates.html beside duplicates.json, from that alone; returns its path."""
    found = read_json(folder / "duplicates.json")
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            found=found,
            fields=fields_table(found),
            templates=templates_table(found),
            fragments=fragments_table(found),
            examples=[(example["where"], side_by_side(example)) for example in found["examples"]],
            files=len(found["made_from"]["files"]),
            rules=list(found["made_from"]["rules"].items()),
            command=shlex.join(command),
            figures={},
        )
    )
    write_text(folder / PAGE, text)
    return folder / PAGE
