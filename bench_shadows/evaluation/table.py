"""The table of evaluations: evaluation.parquet's columns, and one row of it."""

import math
from typing import Any

import pyarrow as pa

Row = dict[str, Any]

SCHEMA = pa.schema(
    {
        **{"model": pa.string(), "condition": pa.string(), "seed": pa.int64(), "step": pa.int64()},
        **{"suite": pa.string(), "task": pa.string(), "metric": pa.string()},
        **{"value": pa.float64(), "count": pa.int64()},
    }
)


def row(suite: str, task: str, metric: str, value: float, count: float) -> Row:
    """One value of one checkpoint; `count` is how many tokens, pairs or exercises it is the mean of.

    Of nothing, and where the value is not finite, it is missing.
    """
    known = float(value) if count > 0 and math.isfinite(value) else None
    return {"suite": suite, "task": task, "metric": metric, "value": known, "count": int(count)}
