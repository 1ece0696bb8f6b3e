"""The elements of a JSON list in a file, one at a time: such files may be larger than memory."""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from bench_shadows.data.sources import storage
from bench_shadows.data.sources.part import LONGEST_RECORD

_SPACE = " \t\r\n"
_CHUNK = 2**18


def opens_a_list(path: str) -> bool:
    """Whether a file's first character that is no white space is a bracket."""
    with storage.open_stream(path) as stream:
        return stream.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def elements(path: str) -> Iterator[tuple[Any, str]]:
    """Yields every element of the list and its text; the element in work is all that is held.

    Raises ValueError for what is no JSON list, and for an element of more than LONGEST_RECORD characters.
    """
    decoder, parser = codecs.getincrementaldecoder("utf-8-sig")(), json.JSONDecoder()
    with storage.open_stream(path) as stream:
        held, at = "", 0

        def more(wanted: int) -> bool:
            """Reads until so many characters are held behind `at`, or to the end; whether any came."""
            nonlocal held, at
            held, at = held[at:], 0
            before = len(held)
            while len(held) < wanted and (chunk := stream.read(_CHUNK)):
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

        if next_character() != "[":
            raise ValueError("expected a JSON list")
        at += 1
        if next_character() == "]":
            return
        while True:
            next_character()
            value, end = _parse(parser, held, at)
            while end < 0 or end == len(held):  # cut off; a number may go on
                if len(held) - at > LONGEST_RECORD:
                    raise ValueError(f"an element of more than {LONGEST_RECORD:,} characters")
                if not more(2 * (len(held) - at) + 1):
                    break
                value, end = _parse(parser, held, at)
            if end < 0:
                parser.raw_decode(held, at)  # raises, with the place
            yield value, held[at:end]
            at = end
            sign = next_character()
            at += 1
            if sign == "]":
                return
            if sign != ",":
                raise ValueError(f"expected ',' or ']' after an element, found {sign!r}")


def _parse(parser: json.JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    """(value, where it ends); the end is -1 where it cannot be parsed, perhaps because it is cut off."""
    try:
        return parser.raw_decode(text, at)
    except json.JSONDecodeError:
        return None, -1
