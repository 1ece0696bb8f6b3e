"""Documents from their sources: the built-in corpus, and the user's own JSONL and Parquet files.

A record has text, and may have an id, a domain, a language and a kind; config.data.fields names the fields.
What is missing is filled in: the id is file:line, the domain the file's stem, the kind `text`, and the language
`zh` where at least a tenth of the letters are Chinese characters, else `en`. A bad record is counted with its
reason and left out; one more than config.data.bad_records_limit stops with its file, line and reason.
"""

import dataclasses
import glob
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.builtin import RECIPE, builtin_corpus, builtin_documents
from bench_shadows.data.counts import Counts
from bench_shadows.data.deduplicate import deduplicate
from bench_shadows.data.document import KINDS, Document
from bench_shadows.data.sources.part import Part
from bench_shadows.errors import DataError
from bench_shadows.files import hash_file

__all__ = ["Counts", "Document", "Part", "corpus", "parts", "read_documents", "read_part"]

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
LETTER = re.compile(r"[^\W\d_]")


class BadRecordError(Exception):
    """A record that cannot be used; its text is the reason."""


def corpus(config: DataConfig) -> tuple[list[Document], dict[str, Any]]:
    """All documents of the sources without duplicates, in a fixed order, and the counts for documents.json.

    The counts: {sources, bad_records, bad_examples, duplicates (see deduplicate.py)}, and where the built-in
    corpus is the only source {builtin} (what the recipe left out). Raises DataError for sources that cannot be
    read, bad records beyond the limit and where there is no document.
    """
    threshold = config.near_duplicate_threshold
    if config.sources == ("builtin",):
        documents, report = builtin_corpus(threshold)  # de-duplicated once and kept
        counts = Counts(config.bad_records_limit, {"builtin": report["builtin"]["documents"]})
        return documents, {**counts.as_json(), **report}
    counts = Counts(config.bad_records_limit)
    documents, duplicates = deduplicate(list(read_documents(config, counts)), threshold)
    return documents, {**counts.as_json(), "duplicates": duplicates}


def parts(config: DataConfig) -> list[Part]:
    """The units of work of all sources, in the order of the sources, files of a glob sorted by name.

    No data is read. Raises DataError for a source that matches no file or has an ending that is not read here.
    """
    found = []
    for source in config.sources:
        if source == "builtin":
            found.append(Part("builtin", "builtin", facts=(("sha256", hash_file(RECIPE)),)))
            continue
        for path in source_files(source):
            status, name = path.stat(), path.name.lower()
            facts = (("bytes", status.st_size), ("modified_ns", status.st_mtime_ns))
            form = "parquet" if name.endswith(".parquet") else "json"
            found.append(Part(str(path), form, (str(path),), facts=facts, domain=path.name.split(".")[0]))
    return found


def read_part(part: Part, config: DataConfig, counts: Counts) -> Iterator[Document]:
    """Yields the documents of a part in a fixed order, one record in memory at a time, and counts them.

    Raises DataError where there are more bad records than config.bad_records_limit.
    """
    documents = (
        builtin_documents() if part.format == "builtin" else _read_file(Path(part.paths[0]), config.fields, counts)
    )
    for document in documents:
        counts.read(part.name)
        yield document


def read_documents(config: DataConfig, counts: Counts) -> Iterator[Document]:
    """Yields the documents of all sources, duplicates included, one record in memory at a time.

    The order is that of the sources, files of a glob sorted by name, records as they lie in the file. Raises
    DataError for a source that matches no file or has another ending, for more bad records than the limit, and at
    the end where there was no document at all.
    """
    for part in parts(config):
        yield from read_part(part, config, counts)
    if not counts.documents:
        raise DataError(
            f"config.data.sources: {', '.join(config.sources)} hold no usable document; "
            f"{sum(counts.bad.values())} bad records were left out {counts.bad or ''}".rstrip()
        )


def source_files(source: str) -> list[Path]:
    """The files of a path or glob, sorted; DataError where there is none, or one has an ending not read here."""
    pattern = str(Path(source).expanduser())
    paths = sorted(Path(path) for path in glob.glob(pattern, recursive=True) if Path(path).is_file())
    if Path(pattern).is_file():  # a name with brackets in it is a name first
        paths = [Path(pattern)]
    if not paths:
        raise DataError(f"config.data.sources: {source!r} matches no file; name files, globs or `builtin`")
    for path in paths:
        if not path.name.lower().endswith(ENDINGS):
            raise DataError(f"config.data.sources: {path}: expected {', '.join(ENDINGS)}")
    return paths


def _read_file(path: Path, fields: FieldsConfig, counts: Counts) -> Iterator[Document]:
    rows = _parquet_rows if path.name.lower().endswith(".parquet") else _json_rows
    for number, row in rows(path, fields, counts):
        where = f"{path}:{number}"
        try:
            yield _document(row, fields, where, path)
        except BadRecordError as error:
            counts.leave_out(where, *error.args)


def _json_rows(path: Path, fields: FieldsConfig, counts: Counts) -> Iterator[tuple[int, Any]]:
    """Yields (line number from 1, parsed line) of a JSONL file; blank lines are not records."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}:{number}"
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    if text.strip():
                        yield number, json.loads(text)
                except UnicodeDecodeError as error:
                    counts.leave_out(where, "not UTF-8", f"byte {error.start} of the line")
                except json.JSONDecodeError as error:
                    counts.leave_out(where, "not JSON", f"{error.msg}, character {error.pos + 1} of the line")
                except (ValueError, RecursionError) as error:
                    counts.leave_out(where, "not JSON", str(error))
    except (OSError, EOFError, zlib.error) as error:  # a truncated or damaged gzip: what came before was read
        counts.leave_out(f"{path}:{number + 1}", "the rest of the file cannot be read", str(error))


def _parquet_rows(path: Path, fields: FieldsConfig, counts: Counts) -> Iterator[tuple[int, Any]]:
    """Yields (row number from 1, {field: value}) of a Parquet file."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            wanted = [name for name in dataclasses.astuple(fields) if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=1024, columns=wanted):
                for index in range(
                    len(batch)
                ):  # row by row: a cell that is not UTF-8 costs its row, not the batch
                    number += 1
                    try:
                        yield number, batch.slice(index, 1).to_pylist()[0]
                    except UnicodeDecodeError as error:
                        counts.leave_out(f"{path}:{number}", "not UTF-8", str(error))
    except (pa.ArrowException, OSError) as error:
        counts.leave_out(
            f"{path}:{number + 1}", "the rest of the file cannot be read", " ".join(str(error).split())
        )


def _document(record: Any, fields: FieldsConfig, where: str, path: Path) -> Document:
    """The document of one record; BadRecordError(reason, details) where it cannot be one."""
    if not isinstance(record, dict):
        raise BadRecordError("not an object", f"a {type(record).__name__}")
    text = _string(record, fields.text)
    if text is None:
        raise BadRecordError(
            f"no field {fields.text!r}", f"it has {', '.join(map(str, list(record)[:8])) or 'none'}"
        )
    if not text.strip():
        raise BadRecordError("empty text")
    if "\0" in text:
        raise BadRecordError("NUL character in the text")
    kind = _string(record, fields.kind) or "text"
    if kind not in KINDS:
        raise BadRecordError("unknown kind", f"{kind!r}; there are {', '.join(KINDS)}")
    identity = record.get(fields.id)
    return Document(
        id=where if identity is None else str(identity),
        text=text,
        domain=_string(record, fields.domain) or path.name.split(".")[0],
        language=(_string(record, fields.language) or language_of(text)).lower(),
        kind=kind,
        source=str(path),
    )


def _string(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRecordError(f"field {name!r} is not text", f"a {type(value).__name__}")
    if value is not None:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRecordError(
                f"field {name!r} has half a surrogate pair", f"character {error.start}"
            ) from error
    return value


def language_of(text: str) -> str:
    """`zh` where at least a tenth of the letters of the first 10,000 characters are Chinese, else `en`."""
    head = text[:10_000]
    letters = len(LETTER.findall(head))
    return "zh" if letters and len(CHINESE.findall(head)) >= 0.1 * letters else "en"
