"""What findings.json says, as tables: depth of modification, layer ranges, inertness, single submodules."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_shadows.paper import spans
from bench_shadows.report.audit.inputs import Audit, median
from bench_shadows.report.common.tables import Column, Table

Row = dict[str, Any]


def modification_table(audit: Audit) -> Table:
    """Depth of modification of components and modules: findings of the kind `modification`."""
    rows = []
    for finding in audit.of_kind("modification"):
        mine = audit.changes.where(
            model=finding["model"], reference=finding["reference"], component=finding["component"]
        )
        mine = mine if finding["module"] is None else mine.where(plain=finding["module"])
        rows.append(
            _named(finding)
            | {
                "verdict": finding["verdict"],
                "borderline": finding["borderline"],
                "scale": finding["scale"],
                "relative_change": median(mine["relative_change"]),
                "correlation": median(mine["correlation"]),
                "equal_percent": _percent(median(mine["update_sparsity"])),
                "update_rank": median(mine["update_rank"]),
                "subspace_overlap": median(mine["subspace_overlap"]),
                "mean_change_millionths": _millions(median(mine["mean_change"])),
                "change_variance_millionths": _millions(median(mine["change_variance"])),
                "rank_percent": median(np.abs(mine["rank_percent"])),
                "delta_alpha": median(mine["delta_alpha"]),
                "deep_layers": spans(finding["layers"] or ()) or "none",
            }
        )
    columns = (
        *_NAMES,
        Column("verdict", "Verdict", text=True),
        Column("borderline", "Borderline to", text=True),
        Column("scale", "Scale", 3),
        Column("relative_change", "Relative change", 3),
        Column("correlation", "Correlation", 3),
        Column("equal_percent", "Entries equal, %", 1),
        Column("update_rank", "Rank of update", 0),
        Column("subspace_overlap", "Overlap of 8 directions", 3),
        Column("mean_change_millionths", "Mean change, 10⁻⁶", 2, signed=True),
        Column("change_variance_millionths", "Change variance, 10⁻⁶", 3),
        Column("rank_percent", "|Δ effective rank|, %", 2),
        Column("delta_alpha", "Δ alpha", 2, signed=True),
        Column("deep_layers", "Deep layers", text=True),
    )
    return Table("depth_of_modification", columns, tuple(rows))


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _millions(value: float | None) -> float | None:
    return None if value is None else 1e6 * value


def outline(table: Table) -> Table:
    """The rows on whole components, and those on modules whose verdicts are others than their component's."""
    keys = ("model", "reference", "component")
    whole: dict[tuple[Any, ...], set[str]] = {}
    for row in table.rows:
        if row["module"] == "all":
            whole.setdefault(tuple(row[key] for key in keys), set()).add(row["verdict"])
    own = [whole.get(tuple(row[key] for key in keys), set()) for row in table.rows]
    kept = (
        row["module"] == "all" or row["verdict"] not in verdicts
        for row, verdicts in zip(table.rows, own, strict=True)
    )
    return dataclasses.replace(table, rows=tuple(itertools.compress(table.rows, kept)))


_NAMES = tuple(
    Column(name, name.capitalize(), text=True) for name in ("model", "reference", "component", "module")
)


def _named(finding: Mapping[str, Any]) -> Row:
    return {column.key: finding[column.key] for column in _NAMES} | {"module": finding["module"] or "all"}


def ranges_table(audit: Audit) -> Table:
    """Layer ranges and the rule that decided: findings of the kind `range`."""
    rows = [
        _named(finding)
        | {
            "layers": spans(finding["layers"] or ()) or None,
            "verdict": finding["verdict"],
            "borderline": finding["borderline"],
            "direction": finding["statistic"],
            "scale": finding["scale"],
            "correlation": finding["correlation"],
            "rule": finding["sentence"].partition("because ")[2].partition(" (median")[0],
        }
        for finding in audit.of_kind("range")
    ]
    columns = (
        *_NAMES,
        Column("layers", "Layers", text=True),
        Column("verdict", "Verdict", text=True),
        Column("borderline", "Borderline to", text=True),
        Column("direction", "Change of direction", 3),
        Column("scale", "Scale", 3),
        Column("correlation", "Correlation", 3),
        Column("rule", "Rule that decided", text=True),
    )
    return Table("layer_ranges", columns, tuple(rows))


def inertness_table(audit: Audit) -> Table:
    """Spectral inertness of every pair and component: findings of the kind `inertness`."""
    rows = [
        _named(finding)
        | {
            "verdict": finding["verdict"],
            "still_percent": 100 * finding["statistic"],
            "threshold_percent": 100 * finding["threshold"],
        }
        for finding in audit.of_kind("inertness")
    ]
    columns = (
        *_NAMES[:3],
        Column("verdict", "Verdict", text=True),
        Column("still_percent", "Matrices whose effective rank stayed, %", 0),
        Column("threshold_percent", "Inert from, %", 0),
    )
    return Table("inertness", columns, tuple(rows))


def anomalies_table(audit: Audit) -> Table:
    """Single submodules that stand out: findings of the kind `anomaly`."""
    rows = [
        _named(finding)
        | {
            "reference": finding["reference"] or "none: the model alone",
            "layer": finding["layers"][0],
            "verdict": finding["verdict"],
            "deviation": finding["statistic"],
            "threshold": finding["threshold"],
            "seen_in": finding["sentence"].partition(": ")[2],
        }
        for finding in audit.of_kind("anomaly")
    ]
    columns = (
        *_NAMES,
        Column("layer", "Layer"),
        Column("verdict", "Verdict", text=True),
        Column("deviation", "Robust deviations", 0, signed=True),
        Column("threshold", "Threshold", 0),
        Column("seen_in", "Seen in", text=True),
    )
    return Table("anomalies", columns, tuple(rows))
