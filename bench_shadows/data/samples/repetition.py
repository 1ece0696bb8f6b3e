"""Repeated prompts inside a sample: instructions and pieces of templates that stand in several of its fields.

Section 6.2 of the paper: "verbatim instruction strings or template fragments repeated across multiple fields
within the same sample". Our reading: a fragment is a line or a sentence of it, compared without regard to white
space, case and the full stop at its end, and at least `minimum` characters long. Whole fragments go, so that no
sentence is cut. One instance of each stays, in the field that ranks highest: the user's turns, then fields that
are called prompt or instruction, then the system's, then the others by name. What answers the prompt is never
looked at, and a user's turn that would be left without a word stays as it is: its answer answers it.

A sample is JSON: nested dicts and lists with strings in them. Conversations are lists of turns that name their
speaker (LLaVA and ShareGPT: from, value; chat messages: role, content).
"""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Path = tuple[str | int, ...]

USERS = frozenset({"user", "human"})
SYSTEMS = frozenset({"system", "developer"})
PROMPTS = frozenset({"prompt", "instruction", "instructions", "question", "query", "input"})
ANSWERS = frozenset(
    {"answer", "answers", "target", "targets", "label", "labels", "response", "responses", "output", "outputs"}
    | {"completion", "completions", "chosen", "rejected", "solution", "ground_truth", "reference", "references"}
)
IDENTIFIERS = frozenset(
    {"id", "image", "images", "video", "videos", "audio", "path", "file", "filename", "url", "role", "from"}
    | {"type", "name", "source", "dataset", "language", "format"}
)
SPEAKER = ("role", "from")

_PLACEHOLDER = r"<[A-Za-z_|/][^<>\s]{0,40}>"
# Where a fragment ends: with its line; with a sign that ends a sentence or a label, and white space behind it;
# with such a sign in Chinese; around a placeholder of an image, which is a fragment of its own.
_BREAK = re.compile(
    rf"""(?P<placeholder>{_PLACEHOLDER}\s*) | \s*\n\s* | [.!?:;…]+["'”’)\]]*(?:\s+|$)
    | [。！？：；]+["'”’」』）]*\s*""",
    re.VERBOSE,
)
_IS_PLACEHOLDER = re.compile(rf"\s*{_PLACEHOLDER}\s*\Z")
_END = ".:;,。：；， \t"
_REMEMBERED = 10_000  # characters of the longest text whose fragments are remembered


@dataclasses.dataclass(frozen=True)
class Rules:
    """What counts as a repeated prompt; the defaults are our choice."""

    fields: tuple[str, ...] = ()
    """Fields that are looked at, `conversations.*.value`; a name takes all below it. Empty: every text that is not
    protected."""
    protected: tuple[str, ...] = ()
    """Fields that are left alone, besides answers, the assistant's turns and identifiers."""
    minimum: int = 16
    """Length of the shortest fragment, in characters; those of double width (Chinese) count twice."""
    ignore_case: bool = True


@dataclasses.dataclass(frozen=True)
class Repeat:
    """One copy that was removed."""

    fragment: str
    """Normalised: what its copies have in common."""
    field: str
    """`metadata.task`, `conversations.*.value`."""
    kept_in: str
    """The field with the instance that stays."""
    text: str
    """As it stood."""


@dataclasses.dataclass(frozen=True)
class Text:
    """One field of a sample that is looked at."""

    path: Path
    value: str
    rank: int
    """0 the user's turns, 1 prompts, 2 the system's, 3 others."""

    @property
    def field(self) -> str:
        """Its path with `*` for a place in a list."""
        return ".".join("*" if isinstance(part, int) else part for part in self.path)

    @property
    def order(self) -> tuple[Any, ...]:
        """Ascending: the field that keeps a fragment comes first, whatever the order of keys in the file."""
        return self.rank, tuple((1, part, "") if isinstance(part, int) else (0, 0, part) for part in self.path)


def texts(sample: Any, rules: Rules) -> list[Text]:
    """The fields of a sample that are looked at, in the order in which they keep a fragment."""
    wanted, protected = _patterns(rules.fields), _patterns(rules.protected)
    found = [
        text
        for text in _walk(sample, (), 3)
        if not any(_matches(text.path, pattern) for pattern in protected)
        and (not wanted or any(_matches(text.path, pattern) for pattern in wanted))
    ]
    return sorted(found, key=lambda text: text.order)


def is_below(text: Text, field: str) -> bool:
    """Whether a text is that field, or lies below it."""
    return _matches(text.path, field.split("."))


class Cleaned(NamedTuple):
    """A sample without its repeated prompts."""

    sample: Any
    """The same object where nothing was removed."""
    removed: list[Repeat]
    looked_at: list[Text]
    """Its fields before."""


def deduplicate(sample: Any, rules: Rules) -> Cleaned:
    """Removes repeated copies.

    Everything but the removed fragments and the white space beside them stays as it is. Doing it again changes
    nothing.
    """
    looked_at = found = texts(sample, rules)
    removed: list[Repeat] = []
    while True:
        copies, changed = _copies(found, rules)
        if not copies:
            return Cleaned(sample, removed, looked_at)
        removed += copies
        sample = _replaced(sample, changed)
        found = texts(sample, rules)  # what stood around a removed sentence may be a repeated line now


class _Line(NamedTuple):
    """A line of a text, or what stands of it before, between or behind placeholders."""

    fragment: str | None
    """The line as a fragment: its sentences may be too short to be one by themselves."""
    pieces: tuple[str, ...]
    fragments: tuple[str | None, ...]


def _copies(found: Sequence[Text], rules: Rules) -> tuple[list[Repeat], dict[Path, str]]:
    """Copies that go, and the texts of the fields without them."""
    lines = [
        (_lines if len(text.value) <= _REMEMBERED else _lines.__wrapped__)(text.value, rules) for text in found
    ]
    places: dict[str, list[Text]] = {}
    for text, its_lines in zip(found, lines, strict=True):
        for key in {key for line in its_lines for key in (line.fragment, *line.fragments) if key is not None}:
            places.setdefault(key, []).append(text)
    home = {fragment: where[0] for fragment, where in places.items() if len(where) > 1}
    removed: list[Repeat] = []
    changed: dict[Path, str] = {}
    for text, its_lines in zip(found if home else [], lines, strict=False):
        left: list[str] = []
        copies: list[Repeat] = []
        standing: set[str] = set()  # of what this field is the home of
        cut = False
        for piece, fragment in _units(its_lines, text, home, standing):
            cut = fragment is not None
            if fragment is None:
                left.append(piece)
            else:
                copies.append(Repeat(fragment, text.field, home[fragment].field, piece.strip()))
        said = "".join(left)
        if copies and (text.rank > 0 or re.sub(_PLACEHOLDER, "", said).strip()):
            removed += copies
            changed[text.path] = said.rstrip() if cut else said
    return removed, changed


def _units(
    lines: Sequence[_Line], text: Text, home: Mapping[str, Text], standing: set[str]
) -> Iterator[tuple[str, str | None]]:
    """Lines or the fragments of them, with the fragment of which each is a copy that goes; None: it stays."""

    def goes(fragment: str | None) -> bool:
        if fragment is None or fragment not in home:
            return False
        if home[fragment] is text and fragment not in standing:
            standing.add(fragment)
            return False
        return True

    for line in lines:
        if goes(line.fragment):
            yield "".join(line.pieces), line.fragment
        elif len(line.pieces) == 1:
            yield line.pieces[0], None
        else:
            for piece, fragment in zip(line.pieces, line.fragments, strict=True):
                yield piece, fragment if goes(fragment) else None


@functools.lru_cache(maxsize=512)  # fields are looked at again until nothing is found; most have not changed
def _lines(text: str, rules: Rules) -> list[_Line]:
    lines: list[list[str]] = [[]]
    for piece in split(text):
        if _IS_PLACEHOLDER.match(piece):
            lines += [[piece], []]
        else:
            lines[-1].append(piece)
            if "\n" in piece[len(piece.rstrip()) :]:
                lines.append([])
    return [_line(pieces, rules) for pieces in lines if pieces]


def _line(pieces: Sequence[str], rules: Rules) -> _Line:
    fragments = tuple(compared(piece, rules) for piece in pieces)
    return _Line(fragments[0] if len(pieces) == 1 else compared("".join(pieces), rules), tuple(pieces), fragments)


def split(text: str) -> Iterator[str]:
    """The fragments of a text, each with the white space behind it: put together they are the text."""
    begin = 0
    for match in _BREAK.finditer(text):
        if match["placeholder"] and match.start() > begin:
            yield text[begin : match.start()]
            begin = match.start()
        yield text[begin : match.end()]
        begin = match.end()
    if begin < len(text):
        yield text[begin:]


def compared(piece: str, rules: Rules) -> str | None:
    """What is compared of a fragment; None for a placeholder and for what is too short to be a repetition."""
    if _IS_PLACEHOLDER.match(piece):
        return None
    text = " ".join((piece if piece.isascii() else unicodedata.normalize("NFC", piece)).split()).rstrip(_END)
    if width(text) < rules.minimum:
        return None
    return text.casefold() if rules.ignore_case else text


def width(text: str) -> int:
    """Characters, those of double width counted twice."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _walk(value: Any, path: Path, rank: int) -> Iterator[Text]:
    """Strings below a value, what answers or identifies left out."""
    if isinstance(value, str):
        yield Text(path, value, rank)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index), rank)
    elif isinstance(value, Mapping):
        speaker = next((str(value[key]).casefold() for key in SPEAKER if isinstance(value.get(key), str)), None)
        if speaker is not None and speaker not in USERS | SYSTEMS:
            return  # the assistant's turn, or a tool's
        if speaker is not None:
            rank = 0 if speaker in USERS else 2
        for key, item in value.items():
            name = str(key).casefold()
            if name in ANSWERS or name in IDENTIFIERS or name.endswith(("_id", "_path", "_url")):
                continue
            yield from _walk(item, (*path, str(key)), _rank(name, rank))


def _rank(name: str, around: int) -> int:
    if around < 3:
        return around
    return 1 if name in PROMPTS else 2 if name in SYSTEMS else 3


@functools.lru_cache
def _patterns(fields: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(field.split(".")) for field in fields]


def _matches(path: Path, pattern: Sequence[str]) -> bool:
    """Whether a path lies at or below a pattern; `*` is any one part."""
    return len(path) >= len(pattern) and all(
        wanted in ("*", str(part)) for part, wanted in zip(path, pattern, strict=False)
    )


def _replaced(value: Any, changed: Mapping[Path, str], path: Path = ()) -> Any:
    """A copy with other strings at some paths; what is not on the way to them is shared."""
    if path in changed:
        return changed[path]
    if not any(where[: len(path)] == path for where in changed):
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(item, changed, (*path, str(key))) for key, item in value.items()}
    return [_replaced(item, changed, (*path, index)) for index, item in enumerate(value)]
