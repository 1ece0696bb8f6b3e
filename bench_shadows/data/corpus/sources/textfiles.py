"""Text and code files: one file is one document; the ending tells a programming language."""

from collections.abc import Iterator

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.languages import CODE_ENDINGS
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.jsonl import encoding_marked
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, Part, Record


def records(part: Part, fields: FieldsConfig, counts: Counts) -> Iterator[Record]:
    """Yields each file as {text} or, for code, {text, kind, language}; counts those that cannot be read."""
    for path in part.paths:
        name = storage.shown(path)
        try:
            with storage.open_stream(path) as stream:
                data = stream.read(LONGEST_RECORD + 1)
        except storage.READ_ERRORS as error:
            counts.leave_out(name, "the file cannot be read", storage.one_line(error))
            continue
        if len(data) > LONGEST_RECORD:
            counts.leave_out(name, "file too long", f"at most {LONGEST_RECORD:,} bytes are read")
            continue
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            marked = encoding_marked(data)
            counts.leave_out(name, "not UTF-8", f"the file is {marked}" if marked else f"byte {error.start + 1}")
            continue
        language = CODE_ENDINGS.get(storage.content_ending(name))
        if language and not text.strip():
            counts.ignored["empty code file"] += 1  # every project has some, such as __init__.py
            continue
        known = {"kind": "code", "language": language} if language else {}
        yield Record(name, name, {"text": text.replace("\r\n", "\n"), **known})
