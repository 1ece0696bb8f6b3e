"""Tables of a report: aggregates of a run's tables, for the page and as CSV. Nothing is measured here.

Where a matrix has no power-law fit it is left out of shares and means, and counted as missing. Values of
several seeds are a mean and, from three seeds on, its 95 % interval; differences to A are paired by seed.
"""

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.report.common.estimates import Estimate, estimate, paired
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, order_modules

DECODER = "decoder"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: `key` heads it in the CSV, `label` on the page; `digits` after the point, None for counts."""

    key: str
    label: str
    digits: int | None = None
    signed: bool = False
    text: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of plain values and Estimates by column key; a key that a row lacks is a missing value."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]

    def to_csv(self) -> str:
        """The table as CSV, full precision; an Estimate is three columns: mean, half width, seeds."""
        header: list[str] = []
        for key in (column.key for column in self.columns):
            header.append(key)
            if any(isinstance(row.get(key), Estimate) for row in self.rows):
                header += [f"{key}_half_width_95", f"{key}_seeds"]
        text = io.StringIO()
        writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            cells: dict[str, Any] = {}
            for key in (column.key for column in self.columns):
                value = row.get(key)
                if isinstance(value, Estimate):
                    half = "" if value.half_width is None else repr(value.half_width)
                    cells[key] = repr(value.mean)
                    cells |= {f"{key}_half_width_95": half, f"{key}_seeds": value.seeds}
                elif value is not None and value == value:
                    cells[key] = value
            writer.writerow(cells)
        return text.getvalue()


def fraction_label(fraction: float) -> str:
    """A point of the run: 10/36, `end`, or a percentage where it is no multiple of 1/36."""
    if fraction == 1:
        return "end"
    parts = fraction * 36
    return f"{round(parts)}/36" if abs(parts - round(parts)) < 1e-9 else f"{fraction:.1%}"


def at_end(frame: Frame) -> Frame:
    """The rows of the latest step in a table: the end of training, or as far as it came."""
    return frame.where(step=frame["step"].max()) if len(frame) else frame


def decoder(run: Run) -> Frame:
    """Diagnostics of the decoder's matrices: the paper's set."""
    return run.diagnostics.where(component=DECODER)


def by_seed(frame: Frame, value: str, scale: float = 1.0) -> dict[int, float]:
    """seed -> mean of the values present of one condition, times `scale`."""
    seeds, _, means = frame.pivot("seed", "condition", value)
    return {int(seed): scale * float(means[row, 0]) for row, seed in enumerate(seeds)} if len(frame) else {}


def by_condition(run: Run, frame: Frame, value: str, scale: float = 1.0) -> dict[str, dict[int, float]]:
    """condition -> `by_seed`, of the conditions that have rows."""
    return {name: by_seed(frame.where(condition=name), value, scale) for name in run.present(frame)}


def compared(
    run: Run, values: Mapping[str, Mapping[int, float]], difference: str = "{}_minus_{}"
) -> dict[str, Estimate | None]:
    """Cells of a row: each condition's estimate, and what the others differ by from the reference."""
    cells = {name: estimate(found.values()) for name, found in values.items()}
    if base := values.get(run.reference):
        for name in values.keys() - {run.reference}:
            cells[difference.format(name, run.reference)] = paired(values[name], base)
    return cells


def share_table(run: Run, component: str = DECODER) -> Table:
    """Table 1 of this run: percent of fitted matrices with alpha in [2, 6], by condition and point of the run."""
    rows = []
    frame = run.diagnostics.where(component=component)
    for fraction, step in run.points:
        here = frame.where(step=step)
        percent = by_condition(run, here, "in_range", 100)
        for name, shares in percent.items():
            mine = here.where(condition=name)
            fitted = int(np.isfinite(mine["in_range"]).sum())
            base = {} if name == run.reference else percent.get(run.reference, {})
            rows.append(
                {
                    "condition": name,
                    "fraction": fraction,
                    "step": step,
                    "share_percent": estimate(shares.values()),
                    f"minus_{run.reference}": paired(shares, base),
                    "in_range": int(np.nansum(mine["in_range"])),
                    "fitted": fitted,
                    "missing_fits": len(mine) - fitted,
                    "seeds": len(mine.values("seed")),
                }
            )
    columns = (
        Column("condition", "Condition", text=True),
        Column("fraction", "Fraction", 4),
        Column("step", "Step"),
        Column("share_percent", "Share in [2, 6], %", 1),
        Column(f"minus_{run.reference}", f"Minus {run.reference}, points", 1, signed=True),
        Column("in_range", "In range"),
        Column("fitted", "Fitted"),
        Column("missing_fits", "Missing fits"),
        Column("seeds", "Seeds"),
    )
    return Table(_named("share_in_range", component), columns, tuple(rows))


def share_grid(run: Run, table: Table) -> dict[str, Any]:
    """Table 1 laid out as the paper's: conditions down, points of the run across."""
    cells = {(row["condition"], row["step"]): row for row in table.rows}
    return {
        "points": [(fraction_label(fraction), step) for fraction, step in run.points],
        "conditions": [name for name in run.conditions if any(name == key[0] for key in cells)],
        "cells": cells,
        "seeds": max((row["seeds"] for row in table.rows), default=0),
        "missing": sum(row["missing_fits"] for row in table.rows),
    }


def module_table(run: Run, component: str = DECODER) -> Table:
    """Mean alpha and effective rank over layers at the end, by module and condition."""
    end = at_end(run.diagnostics.where(component=component))
    rows = []
    for module in order_modules(end.values("module")):
        here = end.where(module=module)
        row = {"module": module, "missing_fits": int((~np.isfinite(here["alpha"])).sum())}
        for key in ("alpha", "effective_rank"):
            values = by_condition(run, here, key)
            row |= {f"{key}_{name}": estimate(found.values()) for name, found in values.items()}
        rows.append(row)
    columns = [Column("module", "Module", text=True)]
    columns += [Column(f"alpha_{name}", f"α {name}", 2) for name in run.conditions]
    columns += [Column(f"effective_rank_{name}", f"Rank {name}", 1) for name in run.conditions]
    name = _named("modules_at_end", component)
    return Table(name, (*columns, Column("missing_fits", "Missing fits")), tuple(rows))


def missing_table(diagnostics: Frame, changes: Frame) -> Table:
    """Every matrix without an alpha and every one that could not be compared, with its reason."""
    rows = []
    for frame, what in ((diagnostics, "alpha"), (changes, "change")):
        kept = [name for name in ("model", "step", "tensor", "layer", "status") if name in frame.columns]
        for i in np.flatnonzero(frame["status"] != "ok") if len(frame) else ():
            against = f" since {frame['reference'][i]}" if "reference" in frame.columns else ""
            rows.append({name: frame[name][i] for name in kept} | {"what": what + against})
    columns = (
        Column("model", "Model", text=True),
        Column("step", "Step"),
        Column("tensor", "Tensor", text=True),
        Column("layer", "Layer"),
        Column("what", "Without", text=True),
        Column("status", "Because", text=True),
    )
    return Table("missing", columns, tuple(rows))


PROFILE = ("alpha", "spikes", "x_min", "x_min_over_mean", "effective_rank")


def profile_table(run: Run, component: str = DECODER) -> Table:
    """Every module and layer at the end, by condition: what the depth figures draw (CSV only)."""
    end = at_end(run.diagnostics.where(component=component))
    rows = []
    for module in order_modules(end.values("module")):
        for name in run.conditions:
            mine = end.where(module=module, condition=name)
            for layer in mine.values("layer"):
                there = mine.where(layer=layer)
                row: dict[str, Any] = {"module": module, "layer": int(layer), "condition": name}
                rows.append(row | {key: estimate(by_seed(there, key).values()) for key in PROFILE})
    columns = [Column("module", "Module", text=True), Column("layer", "Layer"), Column("condition", "Condition")]
    columns += [Column(key, key) for key in PROFILE]
    return Table(_named("profiles_at_end", component), tuple(columns), tuple(rows))


def _named(table: str, component: str) -> str:
    """A table's name; that of the decoder's, the paper's set, stays plain."""
    return table if component == DECODER else f"{table}_{component}"


def depth_variation_table(run: Run, reference: str = "init") -> Table:
    """Coefficient of variation over depth of change variance: its standard deviation over layers by its mean."""
    end = at_end(run.changes.where(reference=reference))
    rows = []
    for module in order_modules(end.values("module")):
        variation = {}
        for name in run.conditions:
            mine = end.where(module=module, condition=name)
            seeds, layers, values = mine.pivot("seed", "layer", "change_variance")
            if len(layers) > 1:
                ratio = np.std(values, axis=1) / np.mean(values, axis=1)
                variation[name] = {int(seed): float(ratio[index]) for index, seed in enumerate(seeds)}
        if variation:
            rows.append({"module": module, **compared(run, variation)})
    columns = (Column("module", "Module", text=True), *_compared_columns(run))
    return Table("change_variance_over_depth", columns, tuple(rows))


def evaluation_table(run: Run, name: str, suite: str, metric: str, label: str) -> Table:
    """A suite of held-out likelihoods at the end: a row for each task, conditions and differences to A across."""
    end = at_end(run.evaluation.where(suite=suite, metric=metric))
    rows = []
    for task in order_tasks(end.values("task")):
        there = end.where(task=task)
        count = int(np.nanmax(there["count"], initial=0))
        rows.append({"task": task, "count": count, **compared(run, by_condition(run, there, "value"))})
    columns = [Column("task", label, text=True), Column("count", "Count")]
    columns += [one for one in _compared_columns(run) if any(row.get(one.key) is not None for row in rows)]
    return Table(name, tuple(columns), tuple(rows))


def _compared_columns(run: Run) -> list[Column]:
    """One column for each condition, then one for each difference to the reference."""
    base, others = run.reference, run.others if run.reference in run.conditions else []
    differences = [Column(f"{name}_minus_{base}", f"{name} − {base}", 3, signed=True) for name in others]
    return [*(Column(name, name, 3) for name in run.conditions), *differences]


def order_tasks(tasks: Sequence[str]) -> list[str]:
    """Tasks by name, numbers in them by value, `all` last."""

    def key(task: str) -> tuple[bool, list[str | int]]:
        return task == "all", [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", task)]

    return sorted(tasks, key=key)


def flatten(value: Any, prefix: str = "", lists: bool = False) -> dict[str, Any]:
    """Nested objects as dotted names; a list of plain values is one text, or with `lists` a name for each item."""
    if isinstance(value, list | tuple):
        if not lists and not any(isinstance(item, Mapping | list | tuple) for item in value):
            return {prefix: ", ".join(f"{item:.6g}" if isinstance(item, float) else str(item) for item in value)}
        value = {str(index): item for index, item in enumerate(value, start=1)}
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}.{key}" if prefix else str(key), lists)
    return flat
