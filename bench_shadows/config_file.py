"""A config from a file and a command line, with every name, type and combination checked.

A config file is Python with `get_config()`, as elsewhere in the field: it takes `defaults()`, a locked
`ml_collections.ConfigDict`, changes fields and returns it. `load` finds the file (those that come with the package
have names, others are paths), reads it, applies the command line's overrides (`train.samples=3600`), checks them
and returns a frozen `Config`.
"""

import ast
import contextlib
import csv
import dataclasses
import difflib
import importlib.util
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ml_collections

from bench_shadows.config import Config
from bench_shadows.errors import ConfigError
from bench_shadows.foreign import LARGEST, holds_credentials, is_text, shown
from bench_shadows.validation import problems


def defaults() -> ml_collections.ConfigDict:
    """Every field with its default (the paper's), to be changed by a config file; unknown names are refused."""
    return ml_collections.ConfigDict(dataclasses.asdict(Config())).lock()


def nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean "x"?` for a misspelt name, or the names there are."""
    close = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; there are: {', '.join(names)}"


def shipped() -> dict[str, Path]:
    """The configs that come with the package: name -> file, in order of their names.

    An installed package holds them; a checkout has them beside the package.
    """
    package = Path(__file__).parent
    folder = package / "configs"
    if not folder.is_dir():
        folder = package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def find(config: str | Path) -> Path:
    """The file that `--config` means.

    Args:
      config: the name of a config that comes with the package, `laptop`; or the path of a file, which holds a
        folder or ends in `.py`.
    Raises:
      ConfigError: a name that no config has, with the nearest one and all of them; or a path without a file.
    """
    path, known = Path(config), shipped()
    if len(path.parts) > 1 or path.suffix == ".py":
        if path.is_file():
            return path
        hint = f"; --config={path.stem} is one that comes with the package" if path.stem in known else ""
        raise ConfigError(f"--config={path}: no such file{hint}")
    if path.name in known:
        return known[path.name]
    mine = Path(f"{path}.py")
    close = [str(mine)] if mine.is_file() else difflib.get_close_matches(path.name, known, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    raise ConfigError(
        f"--config={path}: no such config{hint} (by name there are {', '.join(known)}; "
        "any other one is a path, such as ./mine.py)"
    )


def load(config: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Reads a config by its name or path (`find`), applies overrides (dotted name -> text) and validates.

    Raises ConfigError, in one line, for a file that cannot be found, read or run, an unknown name, a wrong type
    or values that cannot be together.
    """
    path = find(config)
    spec = importlib.util.spec_from_file_location(f"bench_shadows_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--config={path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        values = module.get_config().to_dict()
    except ConfigError:
        raise
    except Exception as error:  # the file is the user's program: whatever it raises is its fault, in one line
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: {type(error).__name__}: {reason}") from error
    for name, text in (overrides or {}).items():
        _override(values, name, text)
    checked = from_dict(values)
    for problem in problems(checked):
        raise ConfigError(problem)
    return checked


def from_dict(values: Mapping[str, Any]) -> Config:
    """A Config from the plain values of all its fields; ConfigError for wrong or absent names and types."""
    return _build(Config, values, "config")


def _build(kind: type, values: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ConfigError(f"{where}.{name}: no such field{nearest(name, list(hints))}")
    if absent := [name for name in hints if name not in values]:
        raise ConfigError(f"{where}.{absent[0]}: not there")
    built = {}
    for name, value in values.items():
        hint, place = hints[name], f"{where}.{name}"
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}: expected fields, got {shown(value)}")
            built[name] = _build(typing.cast(type, hint), value, place)
        else:
            built[name] = _check(hint, value, place)
    return kind(**built)


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"a list of {typing.get_args(hint)[0].__name__}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]


def _check(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if isinstance(value, str) and not is_text(value):
        raise ConfigError(f"{where}: {shown(value)} is not UTF-8")
    if isinstance(value, str) and holds_credentials(value):
        raise ConfigError(
            f"{where}: a name or a key in an address would be written to the run; set the variables that the "
            "store's client reads, such as AWS_ACCESS_KEY_ID or OPENAI_API_KEY"
        )
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{where}: expected {_describe(hint)}, got an integer that no machine counts to")
    if origin is Literal and value in typing.get_args(hint):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_check(typing.get_args(hint)[0], item, where) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise ConfigError(f"{where}: expected {_describe(hint)}, got {shown(value)}")


def _override(values: dict[str, Any], dotted: str, text: str) -> None:
    """Sets `values[a][b]` from the text of `a.b=text`, read as the type of the field."""
    *parents, last = dotted.split(".")
    kind: Any = Config
    target, where = values, "config"
    for name in parents:
        hints = typing.get_type_hints(kind)
        if name not in hints or not dataclasses.is_dataclass(hints[name]):
            raise ConfigError(f"--{where}.{name}: no such group of fields{nearest(name, list(hints))}")
        kind, target, where = hints[name], target[name], f"{where}.{name}"
    hints = typing.get_type_hints(kind)
    if last not in hints:
        raise ConfigError(f"--{where}.{last}: no such field{nearest(last, list(hints))}")
    if dataclasses.is_dataclass(hints[last]):
        inside = ", ".join(typing.get_type_hints(hints[last]))
        raise ConfigError(f"--{where}.{last} is a group; set one of its fields: {inside}")
    target[last] = _parse(hints[last], text, f"--{where}.{last}")


def _parse(hint: Any, text: str, where: str) -> Any:
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        written = _written_list(text)
        if written is not None and (kind is not str or all(isinstance(item, str) for item in written)):
            return _check(hint, written, where)
        return tuple(_parse(kind, item, where) for item in _csv(text, where))
    value: Any = text
    if hint is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif hint in (int, float):
        with contextlib.suppress(ValueError):
            value = hint(text)
    return _check(hint, value, where)


def _written_list(text: str) -> list[Any] | None:
    """A list as Python writes it, `("a, b", "c")` or `[1, 2]`; None for anything else, such as `(1).txt`."""
    if not text.lstrip().startswith(("(", "[")):
        return None
    try:
        items = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return list(items) if isinstance(items, list | tuple) else None


def _csv(text: str, where: str) -> list[str]:
    """The items of a line of CSV, `"a, b",c`; empty ones are left out."""
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"{where}: {shown(text)} is no list: {error}; quote an item with commas: '\"a, b\",c'"
        ) from error
    return [item.strip() for row in rows for item in row if item.strip()]
