"""Tables of an audit: aggregates of what was measured and read, for the page, as CSV and as Parquet.

Nothing is measured here. A matrix without a fit is left out of shares and medians, and counted as missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bench_shadows.paper import UP_PROJ
from bench_shadows.report.audit.inputs import NORMS, Audit, median, share
from bench_shadows.report.common.run import order_modules
from bench_shadows.report.common.tables import Column, Table, flatten

Row = dict[str, Any]


def write_files(table: Table, folder: Path) -> None:
    """TABLE.csv and TABLE.parquet; a table without rows writes nothing."""
    if table.rows:
        (folder / f"{table.name}.csv").write_text(table.to_csv(), encoding="utf-8")
        columns = {column.key: _column([row.get(column.key) for row in table.rows]) for column in table.columns}
        pq.write_table(pa.table(columns), folder / f"{table.name}.parquet")


def copy_measurements(audit_folder: Path, folder: Path) -> None:
    """diagnostics and changes as they are, a row for each matrix, as Parquet and CSV."""
    for name in ("diagnostics", "changes"):
        if (audit_folder / f"{name}.parquet").is_file():
            table = pq.read_table(audit_folder / f"{name}.parquet")
            pq.write_table(table, folder / f"{name}.parquet")
            pyarrow.csv.write_csv(table, folder / f"{name}.csv")


def _column(values: Sequence[Any]) -> pa.Array:
    """Numbers where all that is there are numbers, text otherwise; missing is null."""
    known = [value for value in values if value is not None and value == value]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, int) for value in known)
        numbers = [None if value is None or value != value else value for value in values]
        return pa.array(numbers, pa.int64() if whole and known else pa.float64())
    return pa.array([None if value is None or value != value else str(value) for value in values], pa.string())


def models_table(audit: Audit) -> Table:
    """What was read of each model."""
    rows = []
    for model in audit.models:
        counts = model.get("component_counts") or {}
        rows.append(
            {
                "model": model.get("name"),
                "reference": model.get("reference"),
                "family": model.get("family"),
                "format": model.get("format"),
                "tensors": model.get("tensors"),
                "matrices": model.get("matrices"),
                "skipped": len(model.get("skipped") or ()),
                "read_percent": _read_percent(model),
                "components": ", ".join(f"{name} {count}" for name, count in counts.items()),
                "gigabytes": None if model.get("bytes") is None else model["bytes"] / 1e9,
            }
        )
    columns = (
        *(Column(name, name.capitalize(), text=True) for name in ("model", "reference", "family", "format")),
        *(Column(name, name.capitalize()) for name in ("tensors", "matrices", "skipped")),
        Column("read_percent", "Parameters read, %", 1),
        Column("components", "Matrices by component", text=True),
        Column("gigabytes", "GB", 2),
    )
    return Table("models", columns, tuple(rows))


def _read_percent(model: Mapping[str, Any]) -> float | None:
    found = model.get("coverage")
    return 100 * found["read_parameters"] / found["parameters"] if found and found["parameters"] else None


def coverage_table(audit: Audit) -> Table:
    """What was read of each model and what was left out, by reason, in tensors and parameters."""
    rows = []
    for model in audit.models:
        found = model.get("coverage")
        if not found:
            continue
        read = {"reason": "read", "tensors": found["read_tensors"], "parameters": found["read_parameters"]}
        for one in (read, *found["left_out"]):
            percent = 100 * one["parameters"] / found["parameters"] if found["parameters"] else None
            rows.append({"model": model.get("name"), **one, "percent": percent})
    columns = (
        Column("model", "Model", text=True),
        Column("reason", "Read, or why not", text=True),
        Column("tensors", "Tensors"),
        Column("parameters", "Parameters"),
        Column("percent", "% of the parameters", 2),
    )
    return Table("coverage", columns, tuple(rows))


def outside_table(audit: Audit) -> Table:
    """Every matrix whose alpha is not in [2, 6]: findings of the kind `outside`, the farthest first."""
    rows = [
        {
            "model": finding["model"],
            "component": finding["component"],
            "module": finding["module"],
            "layer": finding["layers"][0] if finding["layers"] else None,
            "alpha": finding["statistic"],
            "low": finding["interval"][0] if finding["interval"] else None,
            "high": finding["interval"][1] if finding["interval"] else None,
            "verdict": finding["verdict"],
            "near": "yes" if finding["borderline"] else "no",
        }
        for finding in audit.of_kind("outside")
    ]
    rows.sort(key=lambda row: -max(2 - row["alpha"], row["alpha"] - 6))
    columns = (
        *(Column(name, name.capitalize(), text=True) for name in ("model", "component", "module")),
        Column("layer", "Layer"),
        Column("alpha", "Alpha", 2),
        Column("low", "95 % from", 2),
        Column("high", "to", 2),
        Column("verdict", "In WeightWatcher's words", text=True),
        Column("near", "Interval reaches [2, 6]", text=True),
    )
    return Table("outside", columns, tuple(rows))


def share_table(audit: Audit) -> Table:
    """Share in [2, 6], median and tail of alpha, by model and component."""
    rows = []
    for component in audit.components:
        for name in audit.names:
            mine = audit.diagnostics.where(component=component, model=name)
            if not len(mine):
                continue
            alpha = mine["alpha"][np.isfinite(mine["alpha"])]
            rows.append(
                {
                    "model": name,
                    "component": component,
                    "share_percent": share(mine),
                    "in_range": int(np.nansum(mine["in_range"])),
                    "fitted": len(alpha),
                    "missing_fits": len(mine) - len(alpha),
                    "median_alpha": float(np.median(alpha)) if len(alpha) else None,
                    "below_2": int((alpha < 2).sum()),
                    "above_6": int((alpha > 6).sum()),
                    "above_10": int((alpha > 10).sum()),
                }
            )
    columns = (
        Column("model", "Model", text=True),
        Column("component", "Component", text=True),
        Column("share_percent", "Share in [2, 6], %", 1),
        Column("in_range", "In range"),
        Column("fitted", "Fitted"),
        Column("missing_fits", "Missing fits"),
        Column("median_alpha", "Median alpha", 2),
        Column("below_2", "Below 2"),
        Column("above_6", "Above 6"),
        Column("above_10", "Above 10"),
    )
    return Table("share_in_range", columns, tuple(rows))


MEDIANS = ("alpha", "spikes", "x_min", "x_min_over_mean", *NORMS)


def module_table(audit: Audit) -> Table:
    """Medians over layers, by model, component and module."""
    rows = []
    for component in audit.components:
        here = audit.diagnostics.where(component=component)
        for module in order_modules(here.values("plain")):
            for name in audit.names:
                mine = here.where(plain=module, model=name)
                if len(mine):
                    row: Row = {"component": component, "module": module, "model": name, "matrices": len(mine)}
                    row |= {
                        key: median(mine[key]) for key in ("alpha", "spikes", "x_min", "x_min_over_mean", *NORMS)
                    }
                    rows.append(row | {"rank_percent": _percent(median(mine["rank_share"]))})
    columns = (
        *(Column(name, name.capitalize(), text=True) for name in ("component", "module", "model")),
        Column("matrices", "Matrices"),
        Column("alpha", "Alpha", 2),
        Column("alpha_hat", "Alpha-hat", 2),
        Column("spikes", "Spikes", 0),
        Column("x_min", "x_min", 3),
        Column("x_min_over_mean", "x_min / mean", 3),
        Column("rank_percent", "Effective rank, % of full", 1),
        Column("frobenius_norm", "Frobenius norm", 2),
        Column("spectral_norm", "Spectral norm", 2),
    )
    return Table("modules", columns, tuple(rows))


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def x_min_table(audit: Audit) -> Table:
    """The order of x_min in up_proj, lowest first, and over how much of the depth it holds.

    `held_percent`: the share of the depth, on a grid of 50 places between first and last layer, at which a model
    has the place in the order that its median has.
    """
    frame = audit.diagnostics.where(component=audit.main, plain=UP_PROJ)
    places = np.linspace(0, 1, 50)
    medians, curves = {}, {}
    for name in audit.names:
        _, layers, values = frame.where(model=name).pivot("model", "layer", "x_min")
        known = np.isfinite(values[0]) if len(values) else np.zeros(0, bool)
        if known.sum() > 1:
            depth = np.array(layers, float)[known]
            curves[name] = np.interp(places, (depth - depth[0]) / (depth[-1] - depth[0]), values[0][known])
            medians[name] = float(np.median(values[0][known]))
    if len(medians) < 2:
        return Table("x_min_order", (), ())
    order = sorted(medians, key=lambda name: medians[name])
    ranks = np.argsort(np.argsort([curves[name] for name in order], axis=0), axis=0)  # of each model at each place
    rows = [
        {
            "place": place + 1,
            "model": name,
            "x_min": medians[name],
            "x_min_over_mean": median(frame.where(model=name)["x_min_over_mean"]),
            "held_percent": 100 * float(np.mean(ranks[place] == place)),
        }
        for place, name in enumerate(order)
    ]
    columns = (
        Column("place", "Place", text=True),
        Column("model", "Model", text=True),
        Column("x_min", "Median x_min", 4),
        Column("x_min_over_mean", "Median x_min / mean", 3),
        Column("held_percent", "Place held over depth, %", 0),
    )
    return Table("x_min_order", columns, tuple(rows))


def config_table(audit: Audit) -> Table:
    """Fields of the configs, those in which the models differ first; a field that a config lacks is missing."""
    configs = {
        str(model.get("name")): _decoder_first(flatten(model.get("config") or {})) for model in audit.models
    }
    fields = list(dict.fromkeys(field for config in configs.values() for field in config))
    rows = []
    for field in fields:
        values = {name: config.get(field) for name, config in configs.items()}
        differ = len({repr(value) for value in values.values()}) > 1
        # Keys that no field of the table itself has: a model may be called anything.
        cells = {f"model: {name}": _text(value) for name, value in values.items()}
        rows.append({"field": field, "differs": "yes" if differ else "no", **cells})
    rows.sort(key=lambda row: row["differs"] == "no")
    columns = (
        Column("field", "Field", text=True),
        Column("differs", "Differs", text=True),
        *(Column(f"model: {name}", name, text=True) for name in configs),
    )
    return Table("architecture", columns, tuple(rows))


def _decoder_first(config: Mapping[str, Any]) -> Row:
    """Fields of a multimodal model's decoder under the names that a text model's config gives them."""
    found: Row = {}
    for key, value in config.items():
        short = key.removeprefix("text.")
        found[key if short in config else short] = value
    return found


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def skipped_table(audit: Audit) -> Table:
    """Tensors that were not analysed, every one of them, with the reason."""
    rows = [
        {
            "model": model.get("name"),
            "reason": tensor.get("reason"),
            "tensor": tensor.get("tensor"),
            "shape": " x ".join(map(str, tensor.get("shape") or ())) or None,
            "parameters": tensor.get("parameters"),
            "dtype": tensor.get("dtype"),
        }
        for model in audit.models
        for tensor in model.get("skipped") or ()
    ]
    columns = tuple(
        Column(name, name.capitalize(), text=True) for name in ("model", "reason", "tensor", "shape", "dtype")
    )
    return Table("skipped_tensors", (*columns, Column("parameters", "Parameters")), tuple(rows))


def unmatched_table(audit: Audit) -> Table:
    """Tensors that only one of a pair has, and those of other shapes."""
    rows = [
        {"model": pair.get("model"), "reference": pair.get("reference"), "kind": kind, "tensor": _tensor(tensor)}
        for pair in audit.about.get("pairs") or ()
        for kind in ("missing", "extra", "reshaped")
        for tensor in pair.get(kind) or ()
    ]
    columns = tuple(
        Column(name, name.capitalize(), text=True) for name in ("model", "reference", "kind", "tensor")
    )
    return Table("unmatched_tensors", columns, tuple(rows))


def _tensor(tensor: Any) -> str:
    """A tensor's name, with what else is known of it."""
    if isinstance(tensor, Mapping):
        name = str(tensor.get("tensor", ""))
        rest = ", ".join(f"{key} {value}" for key, value in tensor.items() if key != "tensor")
        return f"{name} ({rest})" if rest else name
    return str(tensor)
