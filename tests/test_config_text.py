"""Every field of a config is explained where it is declared, and printed with that."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from bench_shadows.config import Config, to_dict
from bench_shadows.config_file import load
from bench_shadows.config_text import COMMON, WIDTH, describe, groups, written


@dataclasses.dataclass(frozen=True)
class Inner:
    """Inside."""

    wide: int = 3
    """How wide,
    in words."""
    silent: float = 1.0
    kind: Literal["a", "b"] = dataclasses.field(default="a", metadata={"determines": "a run"})
    """Declared with more."""

    @property
    def other(self) -> int:
        """No field."""
        return 1


@dataclasses.dataclass(frozen=True)
class Outer:
    """Outside."""

    inner: Inner = Inner()
    top: str = "x"
    """At the top."""


def flat(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of nested values."""
    for name, value in part.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value


def test_every_field_is_there_once_with_its_value_and_a_meaning() -> None:
    config = load("laptop")
    fields = [field for group in groups(config) for field in group.fields]
    assert sorted((field.name, field.value) for field in fields) == sorted(flat(to_dict(config)))
    assert [field.name for field in fields if not field.meaning] == []


def test_a_meaning_is_the_literal_under_the_field_however_the_field_is_declared() -> None:
    outer, inner = groups(Outer(Inner(wide=4)))
    assert {field.name: field.meaning for field in outer.fields} == {"top": "At the top."}
    assert {field.name: field.meaning for field in inner.fields} == {
        "inner.wide": "How wide, in words.",
        "inner.silent": "",
        "inner.kind": "Declared with more.",
    }
    assert inner.meaning == "Inside."


def test_what_differs_from_the_default_is_marked_and_the_default_is_said() -> None:
    lines = describe(Config(), "all defaults")
    assert lines[0] == "all defaults"
    assert not any(line.startswith("* ") for line in lines[2:])
    changed = describe(load("paper", {"conditions.seeds": "0,1", "data.mixture": "docs=2"}), "paper")
    assert "* conditions.seeds = 0,1  (default: 0)" in changed
    assert "* data.mixture = docs=2  (default: ())" in changed
    assert "  model.num_layers = 32" in changed


def test_all_lines_fit() -> None:
    assert max(len(line) for line in describe(load("laptop"), "laptop")) <= WIDTH


@pytest.mark.parametrize("name", [*COMMON, "model.tie_embeddings", "data.mixture", "train.warmup_samples"])
def test_a_value_is_written_as_the_command_line_reads_it(name: str) -> None:
    config = load("laptop")
    (field,) = [field for group in groups(config) for field in group.fields if field.name == name]
    assert load("laptop", {name: written(field.value)}) == config
