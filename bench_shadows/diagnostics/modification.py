"""How far a model is from its base, layer by layer, and whether its spectra moved with its weights.

A change is a factor and a change of direction: W_t = c W_s + rest. The factor is reported by itself (`scale`), and
the kinds of modification are steps of the change of direction, |rest| / |W_t|, from 0 to 1: nearly the relative
change where that is small and the scale stayed.

The paper draws three depths by eye and gives no numbers but "near 20 %" and "near-zero correlation" (section 5.2,
Figures 9 to 11). What it has no word for has one here: what is identical, what is only rescaled, and the middle
between conservative and deep, which moved far and still resembles its base. The thresholds are our choice, so what
is within a tenth of one is called borderline.

Rows are those of changes.parquet for one checkpoint and one reference, and of diagnostics.parquet for the
checkpoint; what is missing in them is left out, and breaks a range of layers.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Row = Mapping[str, Any]

MINIMAL_CHANGE = 0.05  # change of direction below it: minimal perturbation
DEEP_CHANGE = 0.5  # from half its norm on a layer is substantially changed ...
DEEP_CORRELATION = 0.3  # ... and reparametrized if it keeps hardly any correlation with the reference
RESCALED = 0.05  # scale that differs from 1 by as much is told as rescaling
BORDERLINE = 0.1  # share of a threshold within which another choice of it would have decided otherwise
DEEP_SHARE = 0.25  # share of such layers from which a model is deep (the paper's case: 19 of 36)
INERT_RANK = 0.005  # relative change of effective rank that counts as none
INERT_SHARE = 0.9  # share of the matrices that must have none
INERT_CHANGE = 0.01  # and the change of direction that shows that parameters moved at all

Kind = Literal["identical", "minimal", "rescaled", "conservative", "substantial", "deep"]
KINDS: tuple[Kind, ...] = ("deep", "substantial", "conservative", "rescaled", "minimal", "identical")
RULES: dict[Kind, str] = {
    "identical": "every entry is equal in the stored dtype",
    "minimal": f"change of direction < {MINIMAL_CHANGE:g}",
    "rescaled": f"change of direction < {MINIMAL_CHANGE:g}, and |scale - 1| ≥ {RESCALED:g}",
    "conservative": f"{MINIMAL_CHANGE:g} ≤ change of direction < {DEEP_CHANGE:g}",
    "substantial": f"change of direction ≥ {DEEP_CHANGE:g}, and |correlation| ≥ {DEEP_CORRELATION:g}",
    "deep": f"change of direction ≥ {DEEP_CHANGE:g}, and |correlation| < {DEEP_CORRELATION:g}",
}


@dataclass(frozen=True)
class Moved:
    """How far a matrix moved; or the medians of several."""

    relative_change: float
    correlation: float
    scale: float
    direction: float
    """Change of direction |W_t - c W_s| / |W_t|, the sine of the angle between the two: from 0 to 1."""
    identical: bool
    """Whether every entry is equal in the stored dtype."""

    @property
    def kind(self) -> Kind:
        """By RULES."""
        return "identical" if self.identical else _kind(self.direction, self.correlation, abs(self.scale - 1))

    @property
    def borderline(self) -> Kind | None:
        """The kind that thresholds a tenth away would have given; None if none would."""
        if self.identical:
            return None
        measured = self.direction, self.correlation, abs(self.scale - 1)
        near = itertools.product((1 - BORDERLINE, 1, 1 + BORDERLINE), repeat=3)
        others = (
            _kind(*(factor * value for factor, value in zip(factors, measured, strict=True))) for factors in near
        )
        return next((kind for kind in others if kind != self.kind), None)


def _kind(direction: float, correlation: float, rescaling: float) -> Kind:
    if direction < MINIMAL_CHANGE:
        return "rescaled" if rescaling >= RESCALED else "minimal"
    if direction < DEEP_CHANGE:
        return "conservative"
    return "substantial" if abs(correlation) >= DEEP_CORRELATION else "deep"


def moved(row: Row) -> Moved | None:
    """What is known of one matrix; None where it could not be compared. Tables of old lack scale and sparsity."""
    change, correlation, scale = row.get("relative_change"), row.get("correlation"), row.get("scale")
    identical = row.get("update_sparsity") == 1
    if correlation is None and identical:
        correlation = 1.0  # equal entries everywhere have no correlation, and here need none
    if change is None or correlation is None:
        return None
    scale = 1.0 if scale is None else scale
    rest = math.sqrt(max(0.0, change**2 - (1 - scale) ** 2))  # over |W_s|
    norm = math.hypot(rest, scale)
    return Moved(change, correlation, scale, rest / norm if norm else 0.0, identical)


def _median(found: Sequence[Moved]) -> Moved:
    """The median of each; identical only where all are."""
    names = ("relative_change", "correlation", "scale", "direction")
    middle = [float(np.median([getattr(one, name) for one in found])) for name in names]
    return Moved(middle[0], middle[1], middle[2], middle[3], all(one.identical for one in found))


@dataclass(frozen=True)
class Range:
    """Neighbouring layers of one kind."""

    kind: Kind
    layers: tuple[int, ...]
    """Empty for a module without layers."""
    median: Moved
    """Over the layers."""


@dataclass(frozen=True)
class Modification:
    """How far some matrices stand from their base, over depth."""

    kind: Kind
    median: Moved
    """Over layers."""
    borderline: Kind | None
    """The kind that other thresholds, a tenth away, would have given."""
    deep_layers: tuple[int, ...]
    """Layers that were reparametrized: they moved far and lost their correlation."""
    ranges: tuple[Range, ...]
    """All layers that are known, shallow to deep."""


def modification(changes: Iterable[Row], module: str | None = None) -> Modification | None:
    """The kind, from direction, scale and correlation over depth; None if nothing is known.

    Args:
      changes: rows of one checkpoint, one reference and one component.
      module: one module by its plain name; None for all, each layer by the medians over its matrices.
    """
    layers: dict[int | None, list[Moved]] = {}
    for row in changes:
        if module is None or plain(row["module"]) == module:
            known = layers.setdefault(row["layer"], [])
            if (one := moved(row)) is not None:
                known.append(one)
    order = sorted(layers, key=lambda layer: (layer is None, layer))
    depth = [(layer, _median(layers[layer])) if layers[layer] else None for layer in order]
    known_layers = [entry for entry in depth if entry is not None]
    if not known_layers:
        return None
    middle = _median([one for _, one in known_layers])
    deep = [layer for layer, one in known_layers if one.kind == "deep"]
    kind, borderline = middle.kind, middle.borderline
    if len(deep) >= DEEP_SHARE * len(known_layers):
        kind, borderline = "deep", middle.borderline if middle.kind == "deep" else None
    deep_layers = tuple(layer for layer in deep if layer is not None)
    return Modification(kind, middle, borderline, deep_layers, tuple(_ranges(depth)))


def plain(module: str) -> str:
    """A module's name without the number of an expert: `mlp.experts.7.up_proj` -> `mlp.experts.up_proj`."""
    return re.sub(r"(?<=\.)\d+\.", "", module)


def _ranges(depth: Sequence[tuple[int | None, Moved] | None]) -> Iterable[Range]:
    """Neighbours of one kind together; a layer of which nothing is known is between ranges."""
    run: list[tuple[int | None, Moved]] = []
    for entry in [*depth, None]:
        if run and (entry is None or entry[1].kind != run[0][1].kind or entry[0] is None):
            layers = tuple(layer for layer, _ in run if layer is not None)
            yield Range(run[0][1].kind, layers, _median([one for _, one in run]))
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
    direction: float
    """Median change of direction."""
    deep: float
    """Share of the matrices that were reparametrized."""

    @property
    def verdict(self) -> Literal["inert", "restructured", "replaced", "unmoved"]:
        """Inert: parameters moved and ranks did not. Other matrices with the same ranks are no inertness."""
        if self.direction < INERT_CHANGE:  # a factor changes no effective rank, whatever it is
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
    known = [
        (row["rank_change"], one)
        for row in with_rank_change(changes, diagnostics)
        if row["rank_change"] is not None and (one := moved(row)) is not None
        if module is None or plain(row["module"]) == module
    ]
    if not known:
        return None
    return Inertness(
        matrices=len(known),
        still=float(np.mean([abs(shift) < INERT_RANK for shift, _ in known])),
        relative_change=float(np.median([one.relative_change for _, one in known])),
        direction=float(np.median([one.direction for _, one in known])),
        deep=float(np.mean([one.kind == "deep" for _, one in known])),
    )


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
