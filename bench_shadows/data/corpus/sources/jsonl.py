"""JSON lines: one record a line, read in chunks; a line that is too long is skipped without being held."""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, BadRecordError, Part, Record

STREAM_CHUNK = 2**16
"""Bytes that are asked of a decompressor at once: so much is lost before the place where a file is damaged."""
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Line(NamedTuple):
    """A line of a file."""

    offset: int
    """Of its first byte."""
    length: int
    """Bytes, without the line break."""
    content: bytes | None
    """None where it is too long to be held."""


def records(part: Part, fields: FieldsConfig | None, counts: Counts) -> Iterator[Record]:
    """Yields the records of a part of a file, and counts the lines that are none; blank lines are not records."""
    name = storage.shown(part.paths[0])
    for where, content, value in located(part, counts):
        if content.strip():
            yield Record(where, name, value)


def located(part: Part, counts: Counts) -> Iterator[tuple[str, bytes, Any]]:
    """(place, line, its value) of every line that can be read, None of a blank one; counts the others.

    The place is the line's number, in the later pieces of a large file the offset of its first byte.
    """
    name = storage.shown(part.paths[0])
    number, end = 0, part.begin
    try:
        for number, line in enumerate(lines(part), start=1):
            end = line.offset + line.length + 1
            where = f"{name}@{line.offset}" if part.begin else f"{name}:{number}"
            if line.offset == 0 and (encoding := encoding_marked(line.content or b"")):
                details = f"the file is {encoding}; convert it to UTF-8"
                counts.lose(name, where, "the rest of the file cannot be read", details)
                return
            try:
                value = None if line.content is not None and not line.content.strip() else _parsed(line)
            except BadRecordError as error:
                counts.leave_out(where, *error.args)
            else:
                yield where, line.content or b"", value
    except storage.READ_ERRORS as error:  # what came before the damage was read
        where = f"{name}@{end}" if part.begin else f"{name}:{number + 1}"
        counts.lose(name, where, "the rest of the file cannot be read", storage.one_line(error))


def _parsed(line: Line) -> Any:
    """The value of a line; raises BadRecordError(reason, details)."""
    if line.content is None:
        raise BadRecordError("line too long", f"{line.length:,} bytes, at most {LONGEST_RECORD:,} are read")
    try:
        return json.loads(line.content.decode("utf-8-sig" if line.offset == 0 else "utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecordError("not UTF-8", f"byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        details = f"{error.msg}, character {error.pos + 1} of the line; expected one record a line"
        raise BadRecordError("not JSON", details) from error
    except (ValueError, RecursionError) as error:
        raise BadRecordError("not JSON", storage.one_line(error)) from error


def encoding_marked(head: bytes) -> str | None:
    """The encoding that a byte order mark tells, where it is not UTF-8."""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)


def lines(part: Part) -> Iterator[Line]:
    """The lines whose first byte lies in the part, or all of a part without an end."""
    if part.end is None:
        path = part.paths[0]
        if storage.compression(storage.shown(path)) == "gzip":
            with storage.open_raw(path) as stream:
                chunks = gunzipped(lambda: stream.read(STREAM_CHUNK))
                yield from split_lines(lambda: next(chunks, b""), 0, LONGEST_RECORD)
            return
        with storage.open_stream(path) as stream:
            yield from split_lines(lambda: stream.read(STREAM_CHUNK), 0, LONGEST_RECORD)
        return
    system, inside = storage.connect(part.paths[0])
    with system.open_input_file(inside) as file:
        begin = max(0, part.begin - 1)  # one byte early: it is a line break where a line begins the part
        file.seek(begin)
        pieces = split_lines(lambda: file.read(storage.CHUNK), begin, LONGEST_RECORD)
        if part.begin:
            next(pieces, None)
        for line in pieces:
            if line.offset >= part.end:
                return
            yield line


def gunzipped(read: Callable[[], bytes]) -> Iterator[bytes]:
    """What a gzip file holds, all of it up to the byte at which it is damaged; then OSError.

    Zeros behind the last member are padding; anything else is no gzip (RFC 1952).
    """
    member, data = zlib.decompressobj(wbits=31), read()
    begun = False
    while data:
        before = member.copy()
        try:
            text = member.decompress(data)
        except zlib.error as error:
            for place in range(len(data)):  # the same bytes one by one: what comes before the damage is good
                try:
                    if good := before.decompress(data[place : place + 1]):
                        yield good
                except zlib.error:
                    break
            raise OSError(f"not gzip: {error}") from error
        if text:
            yield text
        begun = True
        if member.eof:
            data, begun = member.unused_data.lstrip(b"\0") or read().lstrip(b"\0"), False
            member = zlib.decompressobj(wbits=31)
        else:
            data = read()
    if begun:
        raise OSError("the gzip file ends before its end")


def split_lines(read: Callable[[], bytes], offset: int, longest: int) -> Iterator[Line]:
    """Splits what `read` gives, until it gives nothing, at line breaks (LF); at most `longest` bytes are held.

    `offset` is the position of the first byte. A last line without a line break is a line; nothing after the last
    line break is none.
    """
    held: list[bytes] = []
    length = 0
    while chunk := read():
        start = 0
        while (stop := chunk.find(b"\n", start)) >= 0:
            length += stop - start
            content = b"".join([*held, chunk[start:stop]]) if length <= longest else None
            yield Line(offset, length, content)
            offset += length + 1
            held, length, start = [], 0, stop + 1
        length += len(chunk) - start
        held = [*held, chunk[start:]] if length <= longest else []
    if length:
        yield Line(offset, length, b"".join(held) if length <= longest else None)
