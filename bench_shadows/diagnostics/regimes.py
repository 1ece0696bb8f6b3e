"""The paper's reading of the diagnostics, level by level, as pure functions of table rows.

1. `aggregate`: the share of matrices with alpha in [2, 6] (sections 4.2.1 and 5.1). Necessary, and coarse.
2. `profile`: one module over depth: heterogeneity, roughness, trend, upper-layer elevation (section 4.2.2).
3. `dynamics`: what moved since a reference: change variance follows the optimizer, delta effective rank the data
   (section 4.2.3).

Between models: `modification` (minimal, conservative, deep) and `is_inert` (section 5.2). The paper draws these
categories by eye and gives no numbers but "near 20 %" and "near-zero correlation": the thresholds are our
choice. Rows are those of diagnostics.parquet and changes.parquet for one checkpoint (and one reference); what is
missing in them is left out here, and counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench_shadows.diagnostics.change import coefficient_of_variation

Row = Mapping[str, Any]

UPPER = 1 / 3  # share of the layers, the deepest, that "upper layers" are
ENDS = 1 / 6  # share of the layers at each end that a U-shape is judged by
MINIMAL_CHANGE = 0.05  # median relative change below it: minimal perturbation
DEEP_CHANGE = 0.5  # a layer is reparametrized if it moved by half its norm or more ...
DEEP_CORRELATION = 0.3  # ... and keeps hardly any correlation with the reference
DEEP_SHARE = 0.25  # share of such layers from which a model is deep (the paper's case: 19 of 36)
INERT_RANK = 0.005  # relative change of effective rank that counts as none
INERT_LAYERS = 0.9  # share of the layers that must have none
INERT_CHANGE = 0.01  # and the relative change that shows that parameters moved at all

Kind = Literal["minimal", "conservative", "deep"]


@dataclass(frozen=True)
class Aggregate:
    """Level 1. `share` is None where nothing could be fitted."""

    in_range: int
    fitted: int
    missing: int

    @property
    def share(self) -> float | None:
        """Matrices with alpha in [2, 6] over matrices with an alpha."""
        return self.in_range / self.fitted if self.fitted else None


def aggregate(diagnostics: Iterable[Row]) -> Aggregate:
    """Counts alpha in [2, 6]; a fit that failed is missing and in neither count."""
    flags = [row["in_range"] for row in diagnostics]
    fitted = [flag for flag in flags if flag is not None]
    return Aggregate(sum(fitted), len(fitted), len(flags) - len(fitted))


@dataclass(frozen=True)
class Profile:
    """Level 2: a value over depth. NaN where too few layers are known."""

    layers: int
    heterogeneity: float
    """Standard deviation over layers."""
    roughness: float
    """Root mean square of neighbouring differences over sqrt(2) heterogeneity: 1 for noise, near 0 for a trend."""
    trend: float
    """Spearman's rank correlation with depth: 1 or -1 for a monotonic profile."""
    elevation: float
    """Mean of the upper third of the layers minus the mean of the others."""


def profile(rows: Iterable[Row], module: str, value: str = "alpha") -> Profile:
    """The profile of one module's `value` over depth, from rows of either table."""
    depth, values = _over_depth(rows, module, value)
    if len(values) < 3:
        return Profile(len(values), *[float("nan")] * 4)
    spread = float(values.std())
    roughness = float(np.sqrt(np.mean(np.diff(values) ** 2) / 2)) / spread if spread else 0.0
    ranks = np.argsort(np.argsort(values))
    trend = float(np.corrcoef(np.arange(len(values)), ranks)[0, 1]) if spread else 0.0
    return Profile(len(values), spread, roughness, trend, _elevation(depth, values))


@dataclass(frozen=True)
class Dynamics:
    """Level 3: one module's movement since a reference. NaN where too few layers are known."""

    concentration: float
    """Coefficient of variation of the change variance over depth."""
    ends_over_middle: float
    """Mean change variance at both ends of the depth over that between: above 1 is the paper's U-shape."""
    rank_shift: float
    """Mean delta effective rank."""
    rank_elevation: float
    """Mean delta effective rank of the upper third minus that of the others."""


def dynamics(changes: Iterable[Row], module: str) -> Dynamics:
    """Optimizer side (change variance) and data side (delta effective rank) of one module's changes."""
    changes = list(changes)
    _, variance = _over_depth(changes, module, "change_variance")
    depth, rank = _over_depth(changes, module, "delta_effective_rank")
    end = max(1, round(ENDS * len(variance)))
    shaped = len(variance) >= 3 and variance[end:-end].mean() > 0
    outside = np.concatenate([variance[:end], variance[-end:]]).mean() if shaped else float("nan")
    return Dynamics(
        concentration=coefficient_of_variation(variance),
        ends_over_middle=float(outside / variance[end:-end].mean()) if shaped else float("nan"),
        rank_shift=float(rank.mean()) if len(rank) else float("nan"),
        rank_elevation=_elevation(depth, rank) if len(rank) >= 3 else float("nan"),
    )


@dataclass(frozen=True)
class Modification:
    """How far a model's module stands from its base."""

    kind: Kind
    relative_change: float
    """Median over layers."""
    correlation: float
    """Median over layers."""
    deep_layers: tuple[int, ...]
    """Layers that were reparametrized: they moved far and lost their correlation."""


def modification(changes: Iterable[Row], module: str) -> Modification | None:
    """Minimal, conservative or deep, from relative change and correlation over depth; None if nothing is known."""
    known = [
        row
        for row in changes
        if row["module"] == module and None not in (row["relative_change"], row["correlation"])
    ]
    if not known:
        return None
    moved = float(np.median([row["relative_change"] for row in known]))
    deep = tuple(
        row["layer"]
        for row in known
        if row["relative_change"] >= DEEP_CHANGE and abs(row["correlation"]) < DEEP_CORRELATION
    )
    kind: Kind = "minimal" if moved < MINIMAL_CHANGE else "conservative"
    if len(deep) >= DEEP_SHARE * len(known):
        kind = "deep"
    return Modification(kind, moved, float(np.median([row["correlation"] for row in known])), deep)


def is_inert(changes: Iterable[Row], diagnostics: Iterable[Row], module: str) -> bool | None:
    """Spectral inertness: parameters moved, and effective rank stayed, over nearly all of the depth.

    Args:
      changes: rows of changes.parquet; diagnostics: rows of the same checkpoint.

    Returns None where no layer has both values.
    """
    ranks = {row["layer"]: row["effective_rank"] for row in diagnostics if row["module"] == module}
    shifts, moves = [], []
    for row in changes:
        rank = ranks.get(row["layer"])
        if row["module"] == module and rank and None not in (row["delta_effective_rank"], row["relative_change"]):
            shifts.append(abs(row["delta_effective_rank"]) / rank)
            moves.append(row["relative_change"])
    if not shifts:
        return None
    return bool(np.median(moves) >= INERT_CHANGE and np.mean(np.array(shifts) < INERT_RANK) >= INERT_LAYERS)


def _over_depth(rows: Iterable[Row], module: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Relative depth in [0, 1] and value of a module's layers, shallow to deep, missing values left out."""
    points = sorted(
        (row["layer"], row[value])
        for row in rows
        if row["module"] == module and row["layer"] is not None and row[value] is not None
    )
    layers = np.array([layer for layer, _ in points], float)
    return layers / max(1.0, layers.max(initial=0)), np.array([value for _, value in points], float)


def _elevation(depth: np.ndarray, values: np.ndarray) -> float:
    upper = depth > 1 - UPPER
    return float(values[upper].mean() - values[~upper].mean())
