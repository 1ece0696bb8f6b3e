"""The elements of a JSON list in a file, one at a time: such files may be larger than memory."""

import codecs
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, Part, Record

_SPACE = " \t\r\n"
_CHUNK = 2**18


class Element(NamedTuple):
    """An element of the list."""

    value: Any
    text: str
    """As it stands in the file."""
    place: int
    """Of its first byte."""


def opens_a_list(path: str) -> bool:
    """Whether a file's first character that is no white space is a bracket."""
    with storage.open_stream(path) as stream:
        return stream.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def records(part: Part, fields: FieldsConfig | None, counts: Counts) -> Iterator[Record]:
    """Yields the elements of a piece of a file as records."""
    name = storage.shown(part.paths[0])
    for where, element in located(part, counts):
        yield Record(where, name, element.value)


def located(part: Part, counts: Counts) -> Iterator[tuple[str, Element]]:
    """(place, element) of a piece of a file; where it cannot be read on, that is counted."""
    name, number = storage.shown(part.paths[0]), part.first
    try:
        for number, element in enumerate(elements(part.paths[0], part.begin, part.end), part.first):
            yield f"{name}[{number}]", element
            number += 1
    except (*storage.READ_ERRORS, ValueError) as error:
        counts.leave_out(f"{name}[{number}]", "the rest of the file cannot be read", storage.one_line(error))


def elements(path: str, begin: int = 0, end: int | None = None) -> Iterator[Element]:
    """Yields the elements of the list one by one; the one in work is all that is held.

    Args:
      begin, end: `place` of the first one and of the first that is not wanted; 0 and None: all of the list.

    Raises ValueError for what is no JSON list, and for an element of more than LONGEST_RECORD characters.
    """
    decoder, parser = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
    with _opened(path, begin, end) as read:
        held, at = "", 0
        counted, place = 0, begin  # characters of `held`, and where in the file the next one is

        def place_here() -> int:
            nonlocal counted, place
            place += len(held[counted:at].encode())
            counted = at
            return place

        def more(wanted: int) -> bool:
            """Reads until so many characters are held behind `at`, or to the end; whether any came."""
            nonlocal held, at, counted, place
            first = place_here() == 0
            held, at, counted = held[at:], 0, 0
            before = len(held)
            while len(held) < wanted and (chunk := read()):
                if first and chunk.startswith(codecs.BOM_UTF8):
                    chunk, place = chunk.removeprefix(codecs.BOM_UTF8), len(codecs.BOM_UTF8)
                first = False
                held += decoder.decode(chunk)
            return len(held) > before

        def next_character() -> str:
            """The next one that is no white space; empty at the end."""
            nonlocal at
            while True:
                while at < len(held) and held[at] in _SPACE:
                    at += 1
                if at < len(held) or not more(1):
                    return held[at : at + 1]

        if not begin:
            if next_character() != "[":
                raise ValueError("expected a JSON list")
            at += 1
            if next_character() == "]":
                return
        while next_character() or end is None:
            value, stop = _parse(parser, held, at)
            while stop < 0 or stop == len(held):  # cut off; a number may go on
                if len(held) - at > LONGEST_RECORD:
                    raise ValueError(f"an element of more than {LONGEST_RECORD:,} characters")
                if not more(2 * (len(held) - at) + 1):
                    break
                value, stop = _parse(parser, held, at)
            if stop < 0:
                parser.raw_decode(held, at)  # raises, with the place
            yield Element(value, held[at:stop], place_here())
            at = stop
            sign = next_character()
            at += 1
            if sign == "]":
                return
            if sign != ",":
                raise ValueError(f"expected ',' or ']' after an element, found {sign!r}")


@contextlib.contextmanager
def _opened(path: str, begin: int, end: int | None) -> Iterator[Callable[[], bytes]]:
    """What reads the bytes of a file from `begin` to `end`, some at a time; decompressed where it is all of it."""
    if not begin and end is None:
        with storage.open_stream(path) as stream:
            yield lambda: stream.read(_CHUNK)
        return
    system, inside = storage.connect(path)
    with system.open_input_file(inside) as file:
        file.seek(begin)
        yield lambda: file.read(_CHUNK if end is None else min(_CHUNK, end - file.tell()))


def _parse(parser: json.JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    """(value, where it ends); the end is -1 where it cannot be parsed, perhaps because it is cut off."""
    try:
        return parser.raw_decode(text, at)
    except json.JSONDecodeError:
        return None, -1
    except RecursionError as error:
        raise ValueError("an element is nested too deeply") from error
