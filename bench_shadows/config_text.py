"""A config for people: every field with its value, the default where it differs, and its meaning.

A meaning is written once, as the literal under the field in `config`; it is read from there.
"""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from bench_shadows.config import Config

WIDTH = 100
COMMON = (
    *("conditions.names", "conditions.seeds", "data.sources", "data.tokenizer", "data.seq_len"),
    *("model.num_layers", "model.hidden_size", "train.samples", "train.batch_size", "train.peak_learning_rate"),
)
"""The fields that are changed most often."""


class Field(NamedTuple):
    """One field of a config."""

    name: str
    """Dotted, as in `--config.NAME=VALUE`."""
    hint: Any
    value: Any
    default: Any
    meaning: str
    """Empty where the config's source says nothing."""


class Group(NamedTuple):
    """Fields that are declared together."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


def groups(part: Any, default: Any = None, name: str = "") -> Iterator[Group]:
    """All groups of a config (a tree of dataclasses), as declared; a group's own fields before its subgroups.

    Args:
      part: the config, or the part of it that has a dotted `name` and a `default` in it.
    """
    kind, default = type(part), type(part)() if default is None else default
    hints, texts, prefix = typing.get_type_hints(kind), _meanings(kind), f"{name}." if name else ""
    own = [
        Field(f"{prefix}{one}", hint, getattr(part, one), getattr(default, one), texts.get(one, ""))
        for one, hint in hints.items()
        if not dataclasses.is_dataclass(hint)
    ]
    if own:
        yield Group(name, inspect.cleandoc(kind.__doc__ or ""), tuple(own))
    for one, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            yield from groups(getattr(part, one), getattr(default, one), f"{prefix}{one}")


def _meanings(kind: type) -> dict[str, str]:
    """Field -> the literal under its declaration, on one line."""
    (declared,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(declared, ast.ClassDef)
    found = {}
    for statement, below in itertools.pairwise(declared.body):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[statement.target.id] = " ".join(str(below.value.value).split())
    return found


def describe(config: Config, title: str) -> list[str]:
    """All fields in lines of at most `WIDTH` characters, but for values that are longer by themselves."""
    lines = [title, "* marks what differs from the default, which is the paper's where the paper says it."]
    for group in groups(config):
        lines += ["", *textwrap.wrap(f"{group.name}: {' '.join(group.meaning.split())}", WIDTH)]
        for field in group.fields:
            differs = field.value != field.default
            default = f"  (default: {written(field.default)})" if differs else ""
            lines.append(f"{'*' if differs else ' '} {field.name} = {written(field.value)}{default}")
            is_choice = typing.get_origin(field.hint) is Literal
            choices = f" One of {', '.join(typing.get_args(field.hint))}." if is_choice else ""
            meaning = f"{field.meaning}{choices}"
            lines += textwrap.wrap(meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return lines


def common_fields() -> list[str]:
    """`COMMON` with a line of meaning each, at most `WIDTH` characters wide."""
    fields = {field.name: field for group in groups(Config()) for field in group.fields}
    indent = max(map(len, COMMON)) + 4
    return [
        f"  {name:{indent - 2}}{textwrap.shorten(fields[name].meaning, WIDTH - indent, placeholder=' ...')}"
        for name in COMMON
    ]


def written(value: Any) -> str:
    """A value as the command line takes it; numbers to six digits."""
    if isinstance(value, tuple):
        return ",".join(map(written, value)) or "()"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:_}" if isinstance(value, int) else value or '""'
