"""Parquet: one record a row, read a few rows at a time; only the columns that the config names."""

import contextlib
import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.config import FieldsConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import Part, Record

BATCH_BYTES = 2**22  # decoded at once, as far as the row groups' sizes tell
BATCH_ROWS = 1024


@contextlib.contextmanager
def opened(part: Part) -> Iterator[tuple[pq.ParquetFile, range]]:
    """A Parquet file and the row groups of a piece of it.

    Texts come as dictionaries: a text that a file of a few hundred bytes repeats in each of its rows is held once.
    """
    system, inside = storage.connect(part.paths[0])
    with pq.ParquetFile(system.open_input_file(inside)) as plain:
        columns = [plain.schema.column(number) for number in range(len(plain.schema))]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    opening = {"read_dictionary": texts, "pre_buffer": False, "buffer_size": 2**16}
    with pq.ParquetFile(system.open_input_file(inside), **opening) as file:
        yield file, range(part.begin, file.metadata.num_row_groups if part.end is None else part.end)


def records(part: Part, fields: FieldsConfig | None, counts: Counts) -> Iterator[Record]:
    """Yields the rows of a piece of a Parquet file as mappings of the fields that it has; without `fields` of all.

    A file without the column of the text, or with one of another type, is one bad record; so is the rest of a
    damaged file.
    """
    name, number = storage.shown(part.paths[0]), part.first
    try:
        with opened(part) as (file, groups):
            wanted, wrong = _columns(file.schema_arrow, fields) if fields else (None, None)
            if wrong:
                reason, details = wrong
                counts.leave_out(f"{name}:1", reason, f"{details}; the file is left out")
                return
            for batch in file.iter_batches(batch_rows(file.metadata), groups, columns=wanted):
                for index in range(len(batch)):  # a cell that is not UTF-8 costs its row, not the batch
                    number += 1
                    where = f"{name}:{number}"
                    try:
                        yield Record(where, name, batch.slice(index, 1).to_pylist()[0])
                    except UnicodeDecodeError as error:
                        counts.leave_out(where, "not UTF-8", str(error))
    except (*storage.READ_ERRORS, UnicodeDecodeError) as error:  # names in a damaged footer need not be UTF-8
        counts.leave_out(f"{name}:{number + 1}", "the rest of the file cannot be read", storage.one_line(error))


def schema(part: Part) -> pa.Schema:
    """The columns of a file as they are, their texts not as dictionaries."""
    system, inside = storage.connect(part.paths[0])
    with pq.ParquetFile(system.open_input_file(inside)) as file:
        return file.schema_arrow


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
        return wanted, (f"no field {fields.text!r}", f"it has {', '.join(schema.names[:8])}")
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
