"""Documents longer than the teacher's context, cut where it hurts least; the pieces together are the document."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from bench_shadows.data.rewriting.endpoint import syntax

Level = Callable[[str], Sequence[str]]
_PARAGRAPH = re.compile(r"(?<=\n)(?:[^\S\n]*\n)+")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"[.!?][\"')\]]*\s+|[。！？]")
_SPACE = re.compile(r"\s+")


def split(text: str, kind: str, language: str, longest: int) -> list[str]:
    """Cuts a document's text into pieces of at most `longest` UTF-8 bytes, as few as go in order.

    Code is cut at top-level definitions, then as text is: at paragraphs, else lines, else sentences, else spaces,
    else anywhere. `"".join(split(...)) == text`; no piece is empty.

    Args:
      text: of the document.
      kind: `code`, `text` or `exercise`.
      language: for code, the programming language.
      longest: at least 4, the bytes of the longest character.
    """
    if len(text) * 4 <= longest or _size(text) <= longest:
        return [text] if text else []
    levels: list[Level] = [_after(end) for end in (_PARAGRAPH, _LINE, _SENTENCE, _SPACE)]
    if kind == "code":
        levels.insert(0, lambda part: syntax.definitions(part, language) or [part])
    return [piece for piece, _ in _pieces(text, levels, longest)]


def _pieces(text: str, levels: Sequence[Level], longest: int) -> Iterator[tuple[str, int]]:
    """(piece, its bytes): the first level's units packed in order; those that are too long are cut by the next."""
    held: list[str] = []
    room = longest
    for unit in levels[0](text) if levels else _hard(text, longest):
        size = _size(unit)
        parts = [(unit, size)] if size <= longest else _pieces(unit, levels[1:], longest)
        for part, size in parts:
            if size > room and held:
                yield "".join(held), longest - room
                held, room = [], longest
            held.append(part)
            room -= size
    if held:
        yield "".join(held), longest - room


def _after(end: re.Pattern[str]) -> Level:
    """A level that cuts behind every match of `end`."""

    def units(text: str) -> list[str]:
        stops = [0, *(match.end() for match in end.finditer(text)), len(text)]
        return [text[start:stop] for start, stop in pairwise(stops) if stop > start]

    return units


def _hard(text: str, longest: int) -> list[str]:
    step = max(1, longest // 4)  # no character has more than four bytes
    return [text[start : start + step] for start in range(0, len(text), step)]


def _size(text: str) -> int:
    return len(text.encode())
