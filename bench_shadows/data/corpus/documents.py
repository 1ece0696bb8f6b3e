"""Documents from their sources: the built-in corpus, files here and in buckets, tensorflow-datasets, Hugging Face.

A source is an entry of config.data.sources:

    builtin                                 the built-in corpus (builtin/builtin.py)
    data/*.jsonl.gz, corpus, s3://bucket/c4 files, globs, folders and URIs (sources/storage.py) of JSON lines,
                                            Parquet, text and code (sources/files.py)
    tfds:NAME[/CONFIG][:VERSION][@SPLIT]    a prepared set, or its folder (sources/tfds.py)
    hf:NAME[:CONFIG][@SPLIT]                a set on the hub, or a folder (sources/hf.py)

It is read in parts, each a unit of work and of resuming. A record has text, and may have an id, a domain, a
language and a kind; config.data.fields names the fields. What is missing is filled in or detected
(detect.py). A bad record is counted with its position and reason and left out; one more than
config.data.bad_records_limit stops.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus import detect, languages
from bench_shadows.data.corpus.builtin.builtin import RECIPE, builtin_documents
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.document import KINDS, Document
from bench_shadows.data.corpus.sources import files, hf, jsonl, parquet, tfds
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, BadRecordError, Part, Record, fields_there
from bench_shadows.errors import SourceError
from bench_shadows.files import hash_file

__all__ = ["Counts", "Document", "Part", "parts", "read_part", "weights"]

FORMATS: dict[str, Callable[[Part, FieldsConfig, Counts], Iterator[Record]]] = {
    "json": jsonl.records,
    "parquet": parquet.records,
    "text": files.text_records,
    "tfds": tfds.records,
    "hf": hf.records,
}


def parts(config: DataConfig) -> list[Part]:
    """The units of work of all sources, in the order of the sources, files of a folder sorted by name.

    No data is read. Raises SourceError for a source that holds nothing, or nothing that can be read, and for a
    file that two sources name.
    """
    found = [part for source in config.sources for part in _parts_of(source)]
    names = set()
    for part in found:
        if part.name in names:
            raise SourceError(f"config.data.sources: {part.name} is named twice; name every file once")
        names.add(part.name)
    return found


def _parts_of(source: str) -> list[Part]:
    if source == "builtin":
        return [Part("builtin", "builtin", facts=(("sha256", hash_file(RECIPE)),))]
    if source.startswith(tfds.PREFIX):
        return tfds.parts(source)
    if source.startswith(hf.PREFIX) and not source.startswith("hf://"):
        return hf.parts(source)
    return files.parts(source)


def read_part(part: Part, config: DataConfig, counts: Counts) -> Iterator[Document]:
    """Yields the documents of a part in a fixed order, one record in memory at a time, and counts them.

    Raises DataError where there are more bad records than config.bad_records_limit.
    """
    counts.ignored.update(dict(part.ignored))
    for made in builtin_documents() if part.format == "builtin" else _documents(part, config.fields, counts):
        counts.documents[part.name] += 1
        yield made


def _documents(part: Part, fields: FieldsConfig, counts: Counts) -> Iterator[Document]:
    """What the records of a part become; those that are none are counted."""
    fields = FieldsConfig() if part.format == "text" else fields
    for record in FORMATS[part.format](part, fields, counts):
        try:
            made = document(record, fields, part, counts)
        except BadRecordError as error:
            counts.leave_out(record.where, *error.args)
        else:
            yield made


def weights(config: DataConfig) -> dict[str, float]:
    """The weights of config.data.mixture by domain; a domain that is not named weighs 1."""
    return {name: float(weight) for name, _, weight in (entry.rpartition("=") for entry in config.mixture)}


# ---- a record becomes a document


def document(record: Record, fields: FieldsConfig, part: Part, counts: Counts) -> Document:
    """The document of one record; raises BadRecordError(reason, details) where it cannot be one.

    A missing id is the record's position, a missing domain the part's; language and kind are detected.
    """
    if not isinstance(record.values, Mapping):
        raise BadRecordError("not an object", f"a {type(record.values).__name__}")
    text = _string(record.values, fields.text)
    if text is None:
        if fields.text in record.values:
            raise BadRecordError(f"field {fields.text!r} is null")
        texts = {key: len(value) for key, value in record.values.items() if isinstance(value, str)}
        likely = sorted(texts, key=lambda key: -texts[key])
        raise BadRecordError(f"no field {fields.text!r}", fields_there(list(record.values), likely))
    if not text.strip():
        raise BadRecordError("empty text")
    if "\0" in text:
        raise BadRecordError("NUL character in the text")
    if len(text) > LONGEST_RECORD:
        raise BadRecordError("text too long", f"{len(text):,} characters, at most {LONGEST_RECORD:,}")
    identity = field(record.values, fields.id)
    kind, language = _kind_and_language(record.values, fields, part, text, counts)
    return Document(
        id=record.where if identity is None else _decoded(identity, fields.id),
        text=text,
        domain=_string(record.values, fields.domain) or part.domain,
        language=language,
        kind=kind,
        source=record.source,
        work=_string(record.values, fields.work) or "",
    )


def field(values: Mapping[str, Any], name: str) -> Any:
    """A field by its name, or by a dotted path into nested records (`meta.lang`); None where there is none."""
    if name in values:
        return values[name]
    value: Any = values
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _kind_and_language(
    values: Mapping[str, Any], fields: FieldsConfig, part: Part, text: str, counts: Counts
) -> tuple[str, str]:
    """What the data says, else what is detected, which is counted.

    A language that is named tells code from the rest: `python` is code's, `en` and `cs` (Czech) are not.
    """
    named, kind = _string(values, fields.language), _string(values, fields.kind)
    if kind and kind not in KINDS:
        raise BadRecordError("unknown kind", f"{kind!r}; there are {', '.join(KINDS)}")
    spoken = named is not None and languages.is_spoken(named)
    language = ""
    if not kind and named and not spoken and languages.programming(named):
        kind = "code"
    elif not kind:
        counts.detected["kind"] += 1
        kind = "exercise" if detect.is_exercise(text) else "text"
        if kind == "text" and not spoken and part.format != "text" and (found := detect.code(text)).is_code:
            kind, language = "code", found.language
    if named:
        known = languages.of_code(named) if kind == "code" else languages.natural(named)
        if known is None:
            expected = "a name of Pygments, such as python" if kind == "code" else "a code, such as en, zh or de"
            raise BadRecordError("unknown language", f"{named[:40]!r} of kind {kind}; expected {expected}")
        return kind, known
    if kind != "code":
        counts.detected["language"] += 1
        return kind, detect.natural_language(text)
    language = language or detect.code(text, certain=True).language
    counts.detected["programming language" + (" not found" if language == detect.UNKNOWN else "")] += 1
    return kind, language


def _string(values: Mapping[str, Any], name: str) -> str | None:
    value = field(values, name)
    if value is not None and not isinstance(value, str | bytes):
        raise BadRecordError(f"field {name!r} is not text", f"a {type(value).__name__}")
    return None if value is None else _decoded(value, name)


def _decoded(value: Any, name: str) -> str:
    """A value as a string that UTF-8 can hold."""
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        text.encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecordError("not UTF-8", f"byte {error.start + 1} of the field {name!r}") from error
    except UnicodeEncodeError as error:
        raise BadRecordError(
            f"field {name!r} has half a surrogate pair", f"character {error.start + 1}"
        ) from error
    return text
