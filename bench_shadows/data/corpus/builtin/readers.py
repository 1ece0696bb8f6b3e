"""How a file of an archive becomes documents: whole, by scene, by lines, by records, by talks.

A reader takes the file's text and the part of the recipe that names it and yields the documents' texts. None
yields microscopic documents: lines, conversations and records are joined up to about `JOIN` characters. Nor are
they huge: a long text is cut, so that even the million tokens of a laptop's run are drawn from many places.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench_shadows.errors import DataError

JOIN = 3000
"""Characters up to which short pieces of one file are joined into one document."""
PIECE = 4000
"""Characters from which a text longer than twice that is cut at the next blank line before an unindented one."""

Options = dict[str, Any]


def whole(text: str, options: Options) -> Iterator[str]:
    """The file is one document."""
    yield text


def scenes(text: str, options: Options) -> Iterator[str]:
    """A play: one document for each scene, the front matter with the first."""
    starts = [
        match.start() for match in re.finditer(r"(?mi)^[ \t]*(?:act|scene|prologue|epilogue)\b[^a-z\n]", text)
    ]
    pieces = [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]
    yield from _joined(pieces, "", JOIN)


def lines(text: str, options: Options) -> Iterator[str]:
    """One short text a line (a review, say): joined, a blank line between them."""
    yield from _joined(text.splitlines(), "\n\n", JOIN)


def records(text: str, options: Options) -> Iterator[str]:
    """JSON lines: `template` formats a record; neighbours whose `group` fields are equal are one document."""
    rows = enumerate(json.loads(line) for line in text.split("\n") if line)
    fields = options.get("group")

    def group(numbered: tuple[int, dict[str, Any]]) -> Any:
        number, row = numbered
        return [row[field] for field in fields] if fields else number

    for _, members in itertools.groupby(rows, group):
        yield "\n".join(options["template"].format_map(row) for _, row in members)


def conversations(text: str, options: Options) -> Iterator[str]:
    """ChatterBot's YAML: lists of turns, `- - first turn`, `  - next turn`; conversations are joined."""
    body = re.split(r"(?m)^conversations:\s*$", text, maxsplit=1)[-1]
    talks = []
    for talk in re.split(r"(?m)^- - ", body)[1:]:
        turns = [_unquoted(" ".join(turn.split())) for turn in re.split(r"(?m)^  - ", talk)]
        talks.append("\n".join(f"- {turn}" for turn in turns if turn))
    yield from _joined(talks, "\n\n", JOIN)


def chats(text: str, options: Options) -> Iterator[str]:
    """JSON object of chats, {messages: [[{text}, ...], ...]}: a document each, a line for each turn."""
    for chat in json.loads(text).values():
        turns = (" ".join(message["text"].strip() for message in turn) for turn in chat["messages"])
        yield "\n".join(f"- {turn}" for turn in turns if turn)


def _unquoted(turn: str) -> str:
    if len(turn) > 1 and turn[0] == turn[-1] == "'":
        return turn[1:-1].replace("''", "'")
    if len(turn) > 1 and turn[0] == turn[-1] == '"':
        return turn[1:-1].replace('\\"', '"')
    return turn


def _cut(text: str) -> Iterator[str]:
    if len(text) <= 2 * PIECE:
        yield text
        return
    parts = re.split(r"\n[ \t]*\n(?=\S)", text)
    if max(map(len, parts)) > 2 * PIECE:  # all of it indented: any blank line will do
        parts = re.split(r"\n[ \t]*\n(?=[ \t]*\S)", text)
    yield from _joined(parts, "\n\n", PIECE)


def _joined(parts: Iterable[str], separator: str, length: int) -> Iterator[str]:
    """Consecutive parts joined until a document has `length` characters; the rest at the end is one more."""
    held: list[str] = []
    size = 0
    for part in parts:
        if part.strip():
            held.append(part)
            size += len(part) + len(separator)
        if size >= length:
            yield separator.join(held)
            held, size = [], 0
    if held:
        yield separator.join(held)


READERS: dict[str, Callable[[str, Options], Iterator[str]]] = {
    reader.__name__: reader for reader in (whole, scenes, lines, records, conversations, chats)
}


def read(name: str, text: str, options: Options, where: str) -> Iterator[str]:
    """The documents' texts of one file; DataError, naming the file, where it is not what the reader reads."""
    try:
        for document in READERS[name](text, options):
            yield from _cut(document)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: not what the reader `{name}` reads: {type(error).__name__}: {error}") from error
