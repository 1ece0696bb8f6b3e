"""How far a model stands from its base, layer by layer, and whether its spectra moved with its weights.

The paper draws three depths of modification by eye and gives no numbers but "near 20 %" and "near-zero
correlation" (section 5.2, Figures 9 to 11): the thresholds are our choice. Rows are those of changes.parquet for
one checkpoint and one reference, and of diagnostics.parquet for the checkpoint; what is missing in them is left
out, and breaks a range of layers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Row = Mapping[str, Any]

MINIMAL_CHANGE = 0.05  # relative change below it: minimal perturbation
DEEP_CHANGE = 0.5  # a layer is reparametrized if it moved by half its norm or more ...
DEEP_CORRELATION = 0.3  # ... and keeps hardly any correlation with the reference
DEEP_SHARE = 0.25  # share of such layers from which a model is deep (the paper's case: 19 of 36)
INERT_RANK = 0.005  # relative change of effective rank that counts as none
INERT_SHARE = 0.9  # share of the matrices that must have none
INERT_CHANGE = 0.01  # and the relative change that shows that parameters moved at all

Kind = Literal["minimal", "conservative", "deep"]
RULES: dict[Kind, str] = {
    "minimal": f"relative change < {MINIMAL_CHANGE:g}",
    "conservative": (
        f"relative change ≥ {MINIMAL_CHANGE:g}, and < {DEEP_CHANGE:g} or |correlation| ≥ {DEEP_CORRELATION:g}"
    ),
    "deep": f"relative change ≥ {DEEP_CHANGE:g} and |correlation| < {DEEP_CORRELATION:g}",
}


@dataclass(frozen=True)
class Range:
    """Neighbouring layers of one kind."""

    kind: Kind
    layers: tuple[int, ...]
    """Empty for a module without layers."""
    relative_change: float
    """Median over the layers."""
    correlation: float
    """Median over the layers."""


@dataclass(frozen=True)
class Modification:
    """How far some matrices stand from their base, over depth."""

    kind: Kind
    relative_change: float
    """Median over layers."""
    correlation: float
    """Median over layers."""
    deep_layers: tuple[int, ...]
    """Layers that were reparametrized: they moved far and lost their correlation."""
    ranges: tuple[Range, ...]
    """All layers that are known, shallow to deep."""


def modification(changes: Iterable[Row], module: str | None = None) -> Modification | None:
    """Minimal, conservative or deep, from relative change and correlation over depth; None if nothing is known.

    Args:
      changes: rows of one checkpoint, one reference and one component.
      module: one module by its plain name; None for all, each layer by the medians over its matrices.
    """
    layers: dict[int | None, list[tuple[float, float]]] = {}
    for row in changes:
        if module is None or plain(row["module"]) == module:
            known = layers.setdefault(row["layer"], [])
            if None not in (row["relative_change"], row["correlation"]):
                known.append((row["relative_change"], row["correlation"]))
    order = sorted(layers, key=lambda layer: (layer is None, layer))
    depth = [(layer, *np.median(layers[layer], axis=0).tolist()) if layers[layer] else None for layer in order]
    known_layers = [entry for entry in depth if entry is not None]
    if not known_layers:
        return None
    moved, kept = (float(np.median([entry[i] for entry in known_layers])) for i in (1, 2))
    deep = [layer for layer, change, correlation in known_layers if kind_of(change, correlation) == "deep"]
    kind: Kind = "minimal" if moved < MINIMAL_CHANGE else "conservative"
    if len(deep) >= DEEP_SHARE * len(known_layers):
        kind = "deep"
    deep_layers = tuple(layer for layer in deep if layer is not None)
    return Modification(kind, moved, kept, deep_layers, tuple(_ranges(depth)))


def kind_of(relative_change: float, correlation: float) -> Kind:
    """What one layer is, by RULES."""
    if relative_change >= DEEP_CHANGE and abs(correlation) < DEEP_CORRELATION:
        return "deep"
    return "minimal" if relative_change < MINIMAL_CHANGE else "conservative"


def plain(module: str) -> str:
    """A module's name without the number of an expert: `mlp.experts.7.up_proj` -> `mlp.experts.up_proj`."""
    return re.sub(r"(?<=\.)\d+\.", "", module)


def _ranges(depth: Sequence[tuple[int | None, float, float] | None]) -> Iterable[Range]:
    """Neighbours of one kind together; a layer of which nothing is known stands between ranges."""
    run: list[tuple[int | None, float, float]] = []
    for entry in [*depth, None]:
        if run and (entry is None or kind_of(*entry[1:]) != kind_of(*run[0][1:]) or entry[0] is None):
            change, correlation = (float(np.median([layer[i] for layer in run])) for i in (1, 2))
            layers = tuple(layer for layer, *_ in run if layer is not None)
            yield Range(kind_of(*run[0][1:]), layers, change, correlation)
            run = []
        if entry is not None:
            run.append(entry)


@dataclass(frozen=True)
class Inertness:
    """Whether effective ranks stayed where they were while parameters moved."""

    matrices: int
    still: float
    """Share of the matrices whose effective rank changed by less than INERT_RANK of itself."""
    relative_change: float
    """Median over the matrices."""
    deep: float
    """Share of the matrices that were reparametrized."""

    @property
    def verdict(self) -> Literal["inert", "restructured", "replaced", "unmoved"]:
        """Inert: parameters moved and ranks did not. Other matrices with the same ranks are no inertness."""
        if self.relative_change < INERT_CHANGE:
            return "unmoved"
        if self.still < INERT_SHARE:
            return "restructured"
        return "replaced" if self.deep >= DEEP_SHARE else "inert"


def inertness(changes: Iterable[Row], diagnostics: Iterable[Row], module: str | None = None) -> Inertness | None:
    """Spectral inertness between a checkpoint and its reference; None where no matrix has what it takes.

    Args:
      changes: rows of one checkpoint, one reference and one component; diagnostics: rows of that checkpoint.
      module: one module by its plain name; None for all.
    """
    measures = ("rank_change", "relative_change", "correlation")
    known = [
        [row[name] for name in measures]
        for row in with_rank_change(changes, diagnostics)
        if None not in (row[name] for name in measures) and (module is None or plain(row["module"]) == module)
    ]
    if not known:
        return None
    shifts, moves, _ = np.array(known).T
    still = float(np.mean(np.abs(shifts) < INERT_RANK))
    deep = float(np.mean([kind_of(change, correlation) == "deep" for _, change, correlation in known]))
    return Inertness(len(known), still, float(np.median(moves)), deep)


def with_rank_change(changes: Iterable[Row], diagnostics: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of changes with `rank_change`: delta effective rank over the checkpoint's effective rank, or None."""
    ranks = {_matrix(row): row["effective_rank"] for row in diagnostics}
    found = []
    for row in changes:
        rank, delta = ranks.get(_matrix(row)), row["delta_effective_rank"]
        found.append({**row, "rank_change": delta / rank if rank and delta is not None else None})
    return found


def _matrix(row: Row) -> tuple[str | None, str, int | None, str | None]:
    return row.get("component"), row["module"], row["layer"], row.get("tensor")
