"""Scores beside structure: is a model better at perceiving than at reasoning, and what do its weights look like?

Nothing is measured here, and nothing more than an association is shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench_shadows.paper import V_PROJ
from bench_shadows.report.audit.inputs import Audit, median, share
from bench_shadows.report.audit.scores import PERCEPTION, REASONING, Score
from bench_shadows.report.audit.style import SHADES, label
from bench_shadows.report.common.estimates import MISSING
from bench_shadows.report.common.style import GREY, new_figure
from bench_shadows.report.common.tables import Column, Table

Row = dict[str, Any]


def scores_table(scores: Sequence[Score], name: str) -> Table:
    """Benchmarks down, models across, as they were given; a scale other than 100 stands beside the benchmark."""
    models = list(dict.fromkeys(score.model for score in scores))
    rows: dict[str, Row] = {}
    for score in scores:
        row = rows.setdefault(
            score.benchmark, {"benchmark": score.benchmark, "group": score.group, "maximum": score.maximum}
        )
        row[f"model: {score.model}"] = score.score
    columns = (
        Column("benchmark", "Benchmark", text=True),
        Column("group", "Group", text=True),
        Column("maximum", "Scale to", 0),
        *(Column(f"model: {model}", model, 1) for model in models),
    )
    return Table(name, columns, tuple(rows.values()))


def asymmetry_table(scores: Sequence[Score], name: str, structural: Mapping[str, Row] | None = None) -> Table:
    """Perception against reasoning for each model, over the benchmarks that all its models have a score in.

    `spread` is the mean in percent of the maximum over perception minus that over reasoning. `structural` adds
    columns by model; a model without a score, or without an audit, keeps its place with what it lacks missing.
    """
    models = list(dict.fromkeys([*(score.model for score in scores), *(structural or {} if scores else ())]))
    scored = {score.model for score in scores if score.percent is not None}
    percents: dict[tuple[str, str], dict[str, float]] = {}
    for score in scores:
        if score.percent is not None:
            percents.setdefault((score.group, score.benchmark), {})[score.model] = score.percent
    rows = []
    for model in models:
        row: Row = {"model": model}
        for group in (PERCEPTION, REASONING):
            shared = [values for (of, _), values in percents.items() if of == group and values.keys() >= scored]
            row[f"{group}_benchmarks"] = len(shared)
            if shared and model in scored:
                row[group] = float(np.mean([values[model] for values in shared]))
        if PERCEPTION in row and REASONING in row:
            row["spread"] = row[PERCEPTION] - row[REASONING]
        rows.append(row | dict((structural or {}).get(model, {})))
    columns = (
        Column("model", "Model", text=True),
        Column(PERCEPTION, "Perception, mean %", 1),
        Column(f"{PERCEPTION}_benchmarks", "Benchmarks"),
        Column(REASONING, "Reasoning, mean %", 1),
        Column(f"{REASONING}_benchmarks", "Benchmarks"),
        Column("spread", "Spread, points", 1, signed=True),
        *(STRUCTURE if structural else ()),
    )
    return Table(name, columns, tuple(rows))


STRUCTURE = (
    Column("share_percent", "Share in [2, 6], %", 1),
    Column("unevenness", "Unevenness of v_proj alpha", 3),
    Column("relative_change", "Relative change of v_proj", 3),
    Column("rank_percent", "|Δ effective rank|, %", 2),
)


def structure(audit: Audit) -> dict[str, Row]:
    """model -> the structural columns: share, v_proj over depth, and the change from its own reference.

    `unevenness` is the interquartile range of alpha over the layers of v_proj divided by its median.
    """
    found = {}
    references = dict(reversed(audit.pairs))  # the first reference of a model speaks for it
    for name in audit.names:
        mine = audit.diagnostics.where(component=audit.main, model=name)
        alpha = mine.where(plain=V_PROJ)["alpha"]
        alpha = alpha[np.isfinite(alpha)]
        row: Row = {"share_percent": share(mine)}
        if len(alpha) > 2:
            low, middle, high = np.percentile(alpha, (25, 50, 75))
            row["unevenness"] = float((high - low) / middle)
        if name in references:
            moved = audit.changes.where(component=audit.main, model=name, reference=references[name])
            row["relative_change"] = median(moved.where(plain=V_PROJ)["relative_change"])
            row["rank_percent"] = median(np.abs(moved["rank_percent"]))
        found[name] = row
    return found


PANELS = (
    ("spread", "spread\n(points)"),
    ("share_percent", "share in [2, 6]\n(%)"),
    ("unevenness", "unevenness of\nv_proj alpha"),
    ("relative_change", "relative change\nof v_proj"),
    ("rank_percent", "|Δ effective rank|\n(%)"),
)


def spread_figure(audit: Audit) -> Figure | None:
    """Perception and reasoning of each model, their spread, and the structural columns in the same rows."""
    rows = [row for row in asymmetry_table(audit.scores, "", structure(audit)).rows if "spread" in row]
    if not rows:
        return None
    panels = [panel for panel in PANELS if any(row.get(panel[0]) is not None for row in rows)]
    figure, grid = new_figure(
        "Perception and reasoning beside the structure of the same models",
        1,
        1 + len(panels),
        1.7 + 0.42 * len(rows),
        sharey=True,
        width_ratios=[2.2, *[1] * len(panels)],
    )
    places = np.arange(len(rows))
    means = grid[0, 0]
    for place, row in zip(places, rows, strict=True):
        means.plot([row[REASONING], row[PERCEPTION]], [place, place], color="#BDBDBD", linewidth=2.5, zorder=1)
    for group, shade, mark in ((REASONING, SHADES[1], "s"), (PERCEPTION, SHADES[0], "o")):
        means.plot([row[group] for row in rows], places, mark, color=shade, markersize=7, label=group)
    means.set_yticks(places, [label(str(row["model"]), 30) for row in rows])
    means.set_ylim(len(rows) - 0.5, -0.5)
    means.set_title("mean score (% of maximum)", fontsize=8.5)
    for axes, (value, heading) in zip(grid[0, 1:], panels, strict=True):
        known = [
            (row[value], place) for row, place in zip(rows, places, strict=True) if row.get(value) is not None
        ]
        axes.hlines([place for _, place in known], 0, [number for number, _ in known], color=GREY, linewidth=1.2)
        axes.plot(
            [number for number, _ in known], [place for _, place in known], "D", color="#333333", markersize=5
        )
        for row, place in zip(rows, places, strict=True):
            if row.get(value) is None:
                axes.text(0.5, place, MISSING, transform=axes.get_yaxis_transform(), ha="center", va="center")
        axes.set_title(heading, fontsize=8.5)
        axes.margins(x=0.15)
        axes.tick_params(axis="y", length=0)
    figure.legend(*means.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure
