"""Parquet: one record a row, read a few rows at a time; only the columns that the config names."""

import contextlib
import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import Part, Record, fields_there

BATCH_BYTES = 2**22  # decoded at once, as far as the row groups' sizes tell
BATCH_ROWS = 1024
NESTED_BYTES = 2**28  # that texts in lists may come to, were each the largest, where they are no dictionaries


@contextlib.contextmanager
def opened(part: Part) -> Iterator[tuple[pq.ParquetFile, range]]:
    """A Parquet file and the row groups of a piece of it."""
    system, inside = storage.connect(part.paths[0])
    with pq.ParquetFile(system.open_input_file(inside), pre_buffer=False, buffer_size=2**16) as file:
        yield file, range(part.begin, file.metadata.num_row_groups if part.end is None else part.end)


def batches(
    part: Part, file: pq.ParquetFile, groups: range, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of some row groups, a few at a time, their texts as dictionaries.

    So a text that a file of a few hundred bytes repeats in each of its rows is held once. Arrow cannot do that for
    texts inside of lists whose dictionary was given up within a row group: there fewer rows are read at once.
    """
    system, inside = storage.connect(part.paths[0])
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    opening = {"read_dictionary": texts, "pre_buffer": False, "buffer_size": 2**16}
    with pq.ParquetFile(system.open_input_file(inside), **opening) as compact:
        for group in groups:
            given = 0
            try:
                for batch in compact.iter_batches(batch_rows(file.metadata), [group], columns=columns):
                    yield batch
                    given += len(batch)
            except pa.ArrowNotImplementedError:
                rows = max(1, min(batch_rows(file.metadata), NESTED_BYTES // _largest_chunk(file.metadata, group)))
                for batch in file.iter_batches(rows, [group], columns=columns):
                    if given < len(batch):
                        yield batch.slice(given)
                    given = max(0, given - len(batch))


def _largest_chunk(metadata: pq.FileMetaData, group: int) -> int:
    """Bytes of a row group's largest column, dictionary and all: no text in it is longer."""
    row_group = metadata.row_group(group)
    return max(1, *(row_group.column(number).total_uncompressed_size for number in range(metadata.num_columns)), 1)


def records(part: Part, fields: FieldsConfig | None, counts: Counts) -> Iterator[Record]:
    """Yields the rows of a piece of a Parquet file as mappings of the fields that it has; without `fields` of all.

    A file without the column of the text, or with one of another type, counts all of its rows as bad records; a
    damaged one those that were not read.
    """
    name, number = storage.shown(part.paths[0]), part.first
    last: int | None = None
    try:
        with opened(part) as (file, groups):
            last = number + sum(file.metadata.row_group(group).num_rows for group in groups)
            wanted, wrong = _columns(file.schema_arrow, fields) if fields else (None, None)
            if wrong:
                reason, details = wrong
                counts.lose(name, f"{name}:{number + 1}", reason, details, last - number)
                return
            for batch in batches(part, file, groups, wanted):
                for index in range(len(batch)):  # a cell that is not UTF-8 costs its row, not the batch
                    number += 1
                    where = f"{name}:{number}"
                    try:
                        yield Record(where, name, batch.slice(index, 1).to_pylist()[0])
                    except UnicodeDecodeError as error:
                        counts.leave_out(where, "not UTF-8", str(error))
    except (*storage.READ_ERRORS, UnicodeDecodeError) as error:  # names in a damaged footer need not be UTF-8
        left = None if last is None else last - number
        reason = "the rest of the file cannot be read"
        counts.lose(name, f"{name}:{number + 1}", reason, storage.one_line(error), left)


def _columns(schema: pa.Schema, fields: FieldsConfig) -> tuple[list[str], tuple[str, str] | None]:
    """The columns (or paths into them) that are read, and (reason, details) where the file cannot be."""
    tops = {
        field: field if field in schema.names else field.split(".")[0] for field in dataclasses.astuple(fields)
    }
    wanted = [field for field, top in tops.items() if top in schema.names]
    for field in wanted:
        if schema.names.count(tops[field]) > 1:
            return wanted, (f"field {field!r} is there more than once", "expected one column of a name")
    if (type_ := _type(schema, fields.text)) is None:
        texts = [column.name for column in schema if _is_text(column.type)]
        return wanted, (f"no field {fields.text!r}", fields_there(schema.names, texts))
    return wanted, None if _is_text(type_) else (f"field {fields.text!r} is not text", str(type_))


def _type(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column or, by a dotted path, of a field inside of structs; None where there is none."""
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    if first not in schema.names:
        return None
    type_ = schema.field(first).type
    for step in rest:
        if not pa.types.is_struct(type_) or type_.get_field_index(step) < 0:
            return None
        type_ = type_.field(step).type
    return type_


def _is_text(type_: pa.DataType) -> bool:
    """Strings, however they are laid out; bytes may be UTF-8 and are looked at one by one."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(type_) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null))


def batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows of about `BATCH_BYTES`, by the row group that has the largest."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1.0, row_bytes))))
