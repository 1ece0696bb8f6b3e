"""A record of a source becomes a document: fields by name, what is missing filled in, what is wrong said."""

from collections.abc import Mapping
from typing import Any

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus import detect, languages
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.document import KINDS, Document
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, BadRecordError, Part, Record


def document(record: Record, fields: FieldsConfig, part: Part, counts: Counts) -> Document:
    """The document of one record; raises BadRecordError(reason, details) where it cannot be one.

    A missing id is the record's position, a missing domain the part's; language and kind are detected.
    """
    if not isinstance(record.values, Mapping):
        raise BadRecordError("not an object", f"a {type(record.values).__name__}")
    text = _string(record.values, fields.text)
    if text is None:
        has = ", ".join(map(str, list(record.values)[:8])) or "none"
        raise BadRecordError(f"no field {fields.text!r}", f"it has {has}")
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
            raise BadRecordError("unknown language", f"{named[:40]!r} of kind {kind}")
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
