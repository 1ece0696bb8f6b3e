"""Code with canonical names and layout."""

import functools
import re
from collections.abc import Sequence
from typing import Any

from bench_shadows.data.rewriting.rules.plain import Counter

_IDENTIFIER = re.compile(r"([$@%&]*)([^\W\d][\w'?!-]*)\Z")
_SPACE_RUNS = re.compile(r"(\s+)")
_INDENT = 4


def canonical_code(text: str, language: str, counter: Counter) -> str | None:
    """Code with canonical names and layout; None for a language without a lexer."""
    from pygments.token import Comment, String

    lexer = _lexer(language)
    if lexer is None:
        return None
    tokens = [(kind, value) for kind, value in lexer.get_tokens(text) if value]
    own = _own_names(tokens)
    lines = _Lines()
    for kind, value in tokens:
        if kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile:
            lines.space("\n" if value.endswith("\n") else " ")
        elif kind in String or kind in Comment:
            lines.put(value)
        elif kind in _name_kinds() and (match := _IDENTIFIER.match(value)):
            lines.put(match[1] + counter.count(match[2], own.get(match[2], match[2])))
        else:
            for part in filter(None, _SPACE_RUNS.split(value)):
                (lines.space if part.isspace() else lines.put)(part)
    return lines.text()


@functools.lru_cache(maxsize=512)
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@functools.cache
def _name_kinds() -> frozenset[Any]:
    """Lexers' kinds of names that a programmer chose; builtins, modules, decorators, tags and magic are others."""
    from pygments.token import Name

    variables = (Name.Variable, Name.Variable.Class, Name.Variable.Global, Name.Variable.Instance)
    return frozenset((Name, Name.Function, Name.Class, Name.Other, Name.Attribute, Name.Property, *variables))


def _own_names(tokens: Sequence[tuple[Any, str]]) -> dict[str, str]:
    """{name: v1, v2, ...} of the document's own names, by first appearance.

    Imported modules stay. A name that only ever stands behind `.`, `->` or `::` belongs to somebody's library
    and stays too, unless it is a member of the object itself (`self.x`, `this.x`).
    """
    from pygments.token import Name

    modules = {part for kind, value in tokens if kind in Name.Namespace for part in value.split(".")}
    own: dict[str, str] = {}
    before = ("", "", "")  # the last three values that are no white space
    for kind, value in tokens:
        if value.isspace():
            continue
        if kind in _name_kinds() and (match := _IDENTIFIER.match(value)):
            arrow = before[1:] == ("-", ">")
            of_something = arrow or before[2] in (".", "->", "::", "?.", "&.")
            owner = before[0] if arrow else before[1]
            free = not of_something or owner.lstrip("$") in ("self", "this", "cls")
            if free and match[2] not in modules:
                own.setdefault(match[2], f"v{len(own) + 1}")
        before = (*before[1:], value)
    return own


class _Lines:
    """Puts code together with single spaces, four spaces a level of indentation, single empty lines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._space = ""  # white space since the last part
        self._levels = [0]  # widths of the indentations that are open

    def space(self, text: str) -> None:
        self._space += text

    def put(self, text: str) -> None:
        indentation = self._space.rpartition("\n")[2]
        lines = self._space.count("\n")
        if not self._parts or lines:
            self._parts.append("\n" * min(lines, 2) if self._parts else "")
            self._parts.append(" " * (_INDENT * self._level(len(indentation.expandtabs(_INDENT)))))
        elif self._space:
            self._parts.append(" ")
        self._parts.append(text)
        self._space = "\n" * text.endswith("\n") if text.strip() else ""

    def _level(self, width: int) -> int:
        while self._levels[-1] > width:
            self._levels.pop()
        if self._levels[-1] < width:
            self._levels.append(width)
        return len(self._levels) - 1

    def text(self) -> str:
        return "".join(self._parts).rstrip() + "\n"
