"""The user's files as parts: records in JSON lines and Parquet, and text or code, one document a file."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.languages import CODE_ENDINGS
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.jsonl import encoding_marked
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, Part, Record
from bench_shadows.data.corpus.sources.storage import File
from bench_shadows.errors import SourceError
from bench_shadows.files import hash_json

PIECE = 2**28
"""Bytes of a part of a large file of JSON lines that is not compressed; many workers read it."""
GROUP_FILES, GROUP_BYTES = 4096, 2**26
"""Text files that are one part."""
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
TEXT_ENDINGS = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".tex")
READ_HERE = ".jsonl, .ndjson, .json (one record a line), .parquet, .txt, .md and other text and code files"


def parts(source: str) -> list[Part]:
    """The parts of a path, folder, glob or URI: record files by name, then text files by folder.

    In a folder, files with other endings are ignored and counted, and so is `.json` that is not compressed: it is
    a project's settings more often than records. Raises SourceError where no file is left, and for a file that was
    named or matched by a glob and has an ending that is not read here.
    """
    files, folder = storage.find(source)
    by_format: dict[str | None, list[File]] = {}
    for file in files:
        by_format.setdefault(_format(file, folder), []).append(file)
    unread = by_format.get(None, [])
    if unread and not folder:
        raise SourceError(f"config.data.sources: {unread[0].name}: expected {READ_HERE}")
    found = [
        part for form in ("json", "parquet") for file in by_format.get(form, []) for part in _records(file, form)
    ]
    found += [_texts(group, domain) for group, domain in _groups(by_format.get("text", []), folder)]
    ignored = storage.endings(unread)
    if not found:
        raise SourceError(
            f"config.data.sources: {storage.shown(source)!r} holds no file that is read here "
            f"({storage.counted(ignored)}); expected {READ_HERE}"
        )
    return [dataclasses.replace(found[0], ignored=ignored), *found[1:]]


def _format(file: File, folder: bool) -> str | None:
    """Which reader takes a file: json, parquet, text, or none."""
    if (found := format_of_records(file)) and not (folder and storage.ending(file.name) == ".json"):
        return found
    ending = storage.content_ending(file.name)
    return "text" if ending in TEXT_ENDINGS or ending in CODE_ENDINGS else None


def format_of_records(file: File) -> str | None:
    """The format that a file's ending tells, json (lines) or parquet; None where that holds no records."""
    ending = storage.content_ending(file.name)
    if ending == ".parquet":
        return None if storage.compression(file.name) else "parquet"
    return "json" if ending in JSON_ENDINGS else None


def whole(file: File, form: str) -> Part:
    """A file of records as one part."""
    facts = (("bytes", file.bytes), ("modified_ns", file.modified_ns))
    return Part(file.name, form, (file.path,), facts=facts, domain=domain_of(file))


def _records(file: File, form: str) -> Iterator[Part]:
    """A file of records as one part, or a large one as several."""
    if form == "parquet" or file.bytes <= PIECE or storage.compression(file.name):
        yield whole(file, form)
        return
    changed, domain = ("modified_ns", file.modified_ns), domain_of(file)
    for begin in range(0, file.bytes, PIECE):
        end = min(begin + PIECE, file.bytes)
        facts = (("bytes", end - begin), ("file_bytes", file.bytes), changed)
        yield Part(f"{file.name} (from byte {begin})", form, (file.path,), begin, end, facts, domain)


def domain_of(file: File) -> str:
    """The stem of a record file's name without the number of a shard; of `0001.jsonl` the folder's name.

    `c4-train.00000-of-01024.json.gz` and `c4-train-00000-of-01024.parquet` are both `c4-train`.
    """
    stem = Path(file.name).name.split(".")[0]
    folder = Path(file.name).parent.name
    return re.sub(r"(?:^|[-_])\d+(?:[-_]of[-_]\d+)?$", "", stem) or folder or stem


def _groups(files: Sequence[File], folder: bool) -> Iterator[tuple[list[File], str]]:
    """Neighbours of one domain, up to a size: (files, their domain).

    The domain of a text file is the first folder below the source that it lies in (`news` for
    `corpus/news/1999/a.txt` of the source `corpus`), else the folder's own name; of a file that is named alone,
    its stem.
    """
    group: list[File] = []
    group_domain, size = "", 0
    for file in files:
        path = Path(file.name)
        domain = file.below[0] if len(file.below) > 1 else path.parent.name or path.stem
        domain = domain if folder or len(files) > 1 else path.name.split(".")[0]
        if group and (domain != group_domain or len(group) >= GROUP_FILES or size >= GROUP_BYTES):
            yield group, group_domain
            group, size = [], 0
        group.append(file)
        group_domain, size = domain, size + file.bytes
    if group:
        yield group, group_domain


def _texts(group: Sequence[File], domain: str) -> Part:
    """Text files as one part."""
    name = group[0].name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
    facts = (
        ("files", len(group)),
        ("bytes", sum(file.bytes for file in group)),
        ("modified_ns", max(file.modified_ns for file in group)),
        ("listing", hash_json([[file.name, file.bytes, file.modified_ns] for file in group])),
    )
    return Part(name, "text", tuple(file.path for file in group), facts=facts, domain=domain)


def text_records(part: Part, fields: FieldsConfig, counts: Counts) -> Iterator[Record]:
    """Yields each text file as {text} or, for code, {text, kind, language}; counts those that cannot be read."""
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
