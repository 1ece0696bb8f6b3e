"""A table as named columns: what a report reads of a Parquet file."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.errors import RunError


@dataclasses.dataclass(frozen=True)
class Frame:
    """A table as named columns of equal length: text as objects, numbers as float64 with NaN for missing."""

    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def where(self, **equal: Any) -> "Frame":
        """The rows whose columns have these values; a tuple or list of values means any of them."""
        keep = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            keep &= np.isin(self[name], value) if isinstance(value, tuple | list) else self[name] == value
        return self._kept(keep)

    def known(self, name: str) -> "Frame":
        """The rows that have a number in a column."""
        return self._kept(np.isfinite(self[name]))

    def _kept(self, keep: np.ndarray) -> "Frame":
        return Frame({name: column[keep] for name, column in self.columns.items()})

    def values(self, name: str) -> list[Any]:
        """The distinct values of a column, ascending, missing left out."""
        return sorted({value for value in self[name].tolist() if value is not None and value == value})

    def pivot(self, rows: str, columns: str, value: str) -> tuple[list[Any], list[Any], np.ndarray]:
        """(row keys, column keys, means of the values present [rows, columns], NaN where there is none)."""
        row_keys, column_keys = self.values(rows), self.values(columns)
        total = np.zeros((len(row_keys), len(column_keys)))
        count = np.zeros_like(total)
        numbers = self[value]
        present = np.isfinite(numbers)
        where = (
            np.searchsorted(row_keys, self[rows][present]) if row_keys else np.zeros(0, int),
            np.searchsorted(column_keys, self[columns][present]) if column_keys else np.zeros(0, int),
        )
        np.add.at(total, where, numbers[present])
        np.add.at(count, where, 1)
        return row_keys, column_keys, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def read_frame(path: Path, columns: Sequence[str]) -> Frame:
    """A Parquet table as a Frame; raises RunError if it cannot be read or lacks one of `columns`."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: cannot be read ({error}); remove it and run its stage again") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise RunError(f"{path}: lacks the columns {', '.join(missing)}; remove it and run its stage again")
    return Frame({name: _column(table[name]) for name in table.column_names})


def _column(column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    values = column.cast(kind).to_pylist()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.array(values, dtype=np.float64)  # None becomes NaN
    return np.array(values, dtype=object)
