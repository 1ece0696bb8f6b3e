"""Documents from their sources: the built-in corpus, files here and in buckets, tensorflow-datasets, Hugging Face.

A source is an entry of config.data.sources:

    builtin                                 the built-in corpus (builtin/builtin.py)
    data/*.jsonl.gz, corpus, s3://bucket/c4 files, globs, folders and URIs (sources/storage.py) of JSON lines,
                                            Parquet, text and code (sources/files.py)
    tfds:NAME[/CONFIG][:VERSION][@SPLIT]    a prepared set, or its folder (sources/tfds.py)
    hf:NAME[:CONFIG][@SPLIT]                a set on the hub, or a folder (sources/hf.py)

It is read in parts, each a unit of work and of resuming. A record has text, and may have an id, a domain, a
language and a kind; config.data.fields names the fields. What is missing is filled in (records.py) or detected
(detect.py). A bad record is counted with its position and reason and left out; one more than
config.data.bad_records_limit stops.
"""

from collections.abc import Callable, Iterator

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus.builtin.builtin import RECIPE, builtin_documents
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.corpus.records import document
from bench_shadows.data.corpus.sources import files, hf, jsonl, parquet, tfds
from bench_shadows.data.corpus.sources.part import BadRecordError, Part, Record
from bench_shadows.errors import DataError
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

    No data is read. Raises DataError for a source that holds nothing, or nothing that can be read, and for a file
    that two sources name.
    """
    found = [part for source in config.sources for part in _parts_of(source)]
    names = set()
    for part in found:
        if part.name in names:
            raise DataError(f"config.data.sources: {part.name} is named twice; name every file once")
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
