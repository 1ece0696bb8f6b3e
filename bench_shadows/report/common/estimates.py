"""Means over seeds with their interval, and how a report writes numbers."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.special import stdtrit

SEEDS_FOR_INTERVAL = 3  # with fewer a spread says nothing, and the report says so
LEVEL = 0.95
MISSING = "–"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds; `half_width` of its 95 % interval (Student's t) from three seeds on, else None."""

    mean: float
    half_width: float | None
    seeds: int


def estimate(values: Iterable[float]) -> Estimate | None:
    """The mean of the finite values with its interval; None if there is none."""
    kept = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    if kept.size == 0:
        return None
    half = float(half_width(kept[:, None])[0])
    return Estimate(float(kept.mean()), half if math.isfinite(half) else None, kept.size)


def half_width(values: np.ndarray) -> np.ndarray:
    """Half of the 95 % t interval over seeds: [seeds, n] with NaN for missing -> [n], NaN below three seeds."""
    present = np.isfinite(values)
    count = present.sum(axis=0)
    squares = np.where(present, (values - mean(values)) ** 2, 0).sum(axis=0)
    enough = count >= SEEDS_FOR_INTERVAL
    freedom = np.where(enough, count - 1, 1)
    width = stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(squares / freedom / np.maximum(count, 1))
    return np.where(enough, width, np.nan)


def mean(values: np.ndarray, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    """Mean of what is there, over seeds or other axes: float [seeds, n] -> [n], NaN where there is no value."""
    present = np.isfinite(values)
    count = present.sum(axis=axis)
    return np.where(count > 0, np.where(present, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> dict[int, float]:
    """values − baseline, seed by seed, over the seeds that both have."""
    return {seed: values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())}


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate | None:
    """The difference to a baseline, seed by seed, as an estimate; None without a seed that both have."""
    return estimate(difference(values, baseline).values())


def write_number(value: Any, digits: int | None = None, signed: bool = False) -> str:
    """A cell's value as text: true minus signs, thousands separated, `mean ± half width`, a dash for missing."""
    if isinstance(value, Estimate):
        text = write_number(value.mean, digits, signed)
        return text if value.half_width is None else f"{text} ± {write_number(value.half_width, digits)}"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if digits is None:
        digits = 0 if float(value).is_integer() else 3
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    if not any(character in "123456789" for character in text):
        text = text.lstrip("+-")  # a difference that rounds to nothing has no sign
    return text.replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, no exponent where it can be read without; a dash for missing."""
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) < 1e-12:  # what rounding leaves of a difference of equals
        value = 0.0
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        places = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{places}f}"
    else:
        text = f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def write_count(value: float) -> str:
    """A large count as a person reads it: 1.1 M, 1.2 T."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.{0 if scaled >= 100 else 1}f} {unit}"
    return f"{value:,.0f}"
