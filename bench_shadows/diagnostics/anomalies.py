"""Single submodules that stand out: matrices far from their module over depth and from siblings in their layer.

The paper points at such places by eye ("a sharp early-layer anomaly in the attention query projection" of a
vision encoder, section 5.2, Figure 12). The rule here is our choice. With x a transformed diagnostic, m a module
of a component and l a layer:

    r[m, l] = x[m, l] - median over l of x[m, .]
    z[m, l] = r[m, l] / max(1.4826 MAD of r[m, .], of all r, 90 % quantile of all |r| / 1.6449, floor / THRESHOLD)
    c[m, l] = z[m, l] - median over the siblings m' != m of z[m', l]

A matrix is an anomaly if z and c have one sign and are both at least THRESHOLD in size, and if no more than
LONGEST layers in a row are: more is a range, not a single place. The quantile keeps silent where the component
has heavy tails everywhere, c where a whole layer differs, as first and last layers do, and the floor where a
profile is so smooth that its fifth digit would stand out.

Clean simulated models that raise a false alarm (7 modules x 36 layers, two metrics; 1,000 models of each kind,
scripts/calibrate_anomalies.py): none of Gaussian, trending, U-shaped and autoregressive profiles, 0.5 % with the
errors of fitted alphas, 3.5 % with Student's t of five degrees of freedom, 3.7 % log-normal, 30 % with three
degrees, where single places do stand out. Of planted ones at 15 and 20 robust standard deviations 92 % and 100 %
are found among Gaussian noise, 32 % and 79 % beneath a strong U that all modules share.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = Mapping[str, Any]

THRESHOLD = 10.0  # robust standard deviations
LAYERS = 6  # below it a median over depth says nothing; the component is not judged
LONGEST = 2  # layers in a row that are still a single place
NORMAL = 1.4826  # median absolute deviation to standard deviation, for a normal distribution
NORMAL_90 = 1.6449  # standard deviations within which nine of ten values of a normal distribution lie


@dataclass(frozen=True)
class Metric:
    """A diagnostic that is looked at: brought to a scale on which deviations are additive."""

    name: str
    transform: Callable[[np.ndarray], np.ndarray]
    floor: float
    """Smallest deviation, on that scale, that is worth a word."""


METRICS = (
    # alpha - 1 has a standard error in proportion to itself; a third more or less is no news.
    Metric("alpha", lambda x: np.log(np.maximum(x - 1, 1e-6)), np.log(1.5)),
    Metric("effective_rank", lambda x: np.log(np.maximum(x, 1e-6)), np.log(1.05)),
)
CHANGE_METRICS = (
    Metric("relative_change", lambda x: np.log(np.maximum(x, 1e-12)), np.log(1.5)),
    Metric("rank_change", lambda x: x, 0.02),  # delta effective rank over effective rank
)


@dataclass(frozen=True)
class Anomaly:
    """One matrix that stands out in one metric."""

    module: str
    layer: int
    metric: str
    value: float
    usual: float
    """Median of the module over depth."""
    deviation: float
    """The smaller of |z| and |c|, signed: robust standard deviations."""


@dataclass(frozen=True)
class Grid:
    """A value of one component, [modules, layers]: NaN where it is missing, the median of several in one place."""

    modules: tuple[str, ...]
    layers: tuple[int, ...]
    values: np.ndarray


def grid(rows: Iterable[Row], value: str) -> Grid:
    """Lays rows of one component out by module and layer; rows without a layer are left out."""
    cells: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row["layer"] is not None:
            known = cells.setdefault((row["module"], int(row["layer"])), [])
            if row.get(value) is not None:
                known.append(float(row[value]))
    modules = tuple(sorted({module for module, _ in cells}))
    layers = tuple(sorted({layer for _, layer in cells}))
    values = np.full((len(modules), len(layers)), np.nan)
    for (module, layer), known in cells.items():
        if known:
            values[modules.index(module), layers.index(layer)] = np.median(known)
    return Grid(modules, layers, values)


def find(rows: Iterable[Row], metric: Metric) -> list[Anomaly]:
    """The anomalies of one component of one checkpoint (against one reference, for a metric of change)."""
    laid = grid(rows, metric.name)
    if not is_judged(laid):
        return []
    flagged, deviation = judge(metric.transform(laid.values), metric.floor)
    return [
        Anomaly(
            module=laid.modules[m],
            layer=laid.layers[at],
            metric=metric.name,
            value=float(laid.values[m, at]),
            usual=float(np.nanmedian(laid.values[m])),
            deviation=float(deviation[m, at]),
        )
        for m, at in np.argwhere(flagged)
    ]


def is_judged(laid: Grid) -> bool:
    """Whether a component has the layers that a median over depth takes."""
    return len(laid.layers) >= LAYERS


def judge(values_MxL: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """(flagged bool [M, L], deviation float [M, L]) of transformed values [modules, layers], NaN for missing.

    A module with fewer than LAYERS known values is judged by nothing and is nobody's sibling.
    """
    enough = np.isfinite(values_MxL).sum(axis=1) >= LAYERS
    values = np.where(enough[:, None], values_MxL, np.nan)
    if not enough.any():
        return np.zeros(values.shape, bool), np.full(values.shape, np.nan)
    residual = values - _median(values, axis=1)[:, None]
    own = NORMAL * _median(np.abs(residual), axis=1)
    every = np.abs(residual[np.isfinite(residual)])
    pooled = max(NORMAL * float(np.median(every)), float(np.quantile(every, 0.9)) / NORMAL_90)
    # The floor bounds the scale: what is at least THRESHOLD scales away is more than the floor away.
    scale = np.maximum(np.maximum(np.nan_to_num(own), pooled), floor / THRESHOLD)
    z = residual / scale[:, None]
    siblings = np.stack([_median(np.delete(z, m, axis=0), axis=0) for m in range(len(z))])
    contrast = z - np.nan_to_num(siblings)  # without siblings the module's own depth decides alone
    deviation = np.where(np.sign(z) == np.sign(contrast), np.minimum(np.abs(z), np.abs(contrast)), 0) * np.sign(z)
    flagged = np.abs(deviation) >= THRESHOLD
    return flagged & ~_long_runs(flagged), deviation


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Median of what is known, NaN where nothing is, without NumPy's warning about it."""
    known = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(known, axis), values, 0.0)
    if values.shape[axis] == 0:
        return np.full(known.shape, np.nan)
    return np.where(known, np.nanmedian(filled, axis=axis), np.nan)


def _long_runs(flagged: np.ndarray) -> np.ndarray:
    """Where more than LONGEST neighbours in a row [M, L] are flagged."""
    long = np.zeros_like(flagged)
    for m, row in enumerate(flagged):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        for start, stop in edges.reshape(-1, 2):
            long[m, start:stop] = stop - start > LONGEST
    return long
