"""What the conditions read: statistics.json and documents.json as tables, whatever measures they hold."""

import re
from collections.abc import Mapping
from typing import Any

from bench_shadows.report.estimates import estimate
from bench_shadows.report.inputs import Run
from bench_shadows.report.tables import Column, Table, flatten

PHASES = ("first", "second")
LABELS = {
    "tokens": "tokens",
    "positions": "rows shown",
    "distinct_rows": "different rows",
    "mean_repetitions": "times a row is shown, mean",
    "max_repetitions": "times a row is shown, most",
    "types": "token types",
    "hapaxes": "types that stand there once",
    "unigram_entropy_bits": "unigram entropy, bits",
    "top_100_share": "share of the 100 commonest types",
    "top_1000_share": "share of the 1,000 commonest types",
    "compression_ratio": "compressed size / size",
}
# Long or of no interest on the page; the CSV has all of them.
_ONLY_CSV = re.compile(r"(^|\.)(repetitions\.|decile_shares|domain_shares|positions_counted|.*sha256)")


def phase_statistics(run: Run) -> dict[tuple[str, int], dict[str, Mapping[str, Any]]]:
    """(condition, seed) -> phase -> measures, from statistics.json; runs are found by name: A-seed0, or A."""
    found: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}

    def search(value: Mapping[str, Any], depth: int) -> None:
        for name, item in value.items():
            if not isinstance(item, Mapping):
                continue
            match = re.fullmatch(r"([A-Z])(?:-seed(\d+))?", name)
            phases = item.get("phases", item)
            if match and isinstance(phases, Mapping) and any(phase in phases for phase in PHASES):
                kept = {phase: phases[phase] for phase in PHASES if isinstance(phases.get(phase), Mapping)}
                found[match[1], int(match[2] or 0)] = kept
            elif depth:
                search(item, depth - 1)

    search(run.statistics, 2)
    return found


def phase_table(run: Run) -> Table:
    """Every measure of both phases by condition, means over seeds."""
    by_run = phase_statistics(run)
    conditions = sorted({name for name, _ in by_run})
    values: dict[str, dict[str, list[Any]]] = {}
    for (name, _), phases in sorted(by_run.items()):
        for phase, measures in phases.items():
            for key, value in flatten(measures, lists=True).items():
                values.setdefault(key, {}).setdefault(f"{name}_{phase}", []).append(value)
    rows = []
    for key in sorted(
        values, key=lambda key: (key not in LABELS, list(LABELS).index(key) if key in LABELS else 0)
    ):
        row: dict[str, Any] = {"measure": key, "label": LABELS.get(key, key.replace("_", " "))}
        for column, items in values[key].items():
            numeric = [item for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
            row[column] = (
                estimate(numeric) if numeric else next((item for item in items if item is not None), None)
            )
        rows.append(row)
    columns = [Column("measure", "Measure", text=True)]
    for phase in PHASES:
        columns += [Column(f"{name}_{phase}", name) for name in conditions]
    return Table("data_by_condition", tuple(columns), tuple(rows))


def page_rows(table: Table) -> Table:
    """The measures that the page shows, by their labels; the lists and hashes stay in the CSV."""
    rows = [{**row, "measure": row["label"]} for row in table.rows if not _ONLY_CSV.match(row["measure"])]
    return Table(table.name, table.columns, tuple(rows))


def describe_documents(
    run: Run,
) -> tuple[list[tuple[str, Any]], list[tuple[str, Table]], list[tuple[str, list[str]]]]:
    """documents.json as (name, value) pairs, titled tables and titled lists, following the shape of its values.

    An object of objects is a table with a row for each, an object of numbers has two columns, a list is a list.
    """
    pairs: list[tuple[str, Any]] = []
    tables: list[tuple[str, Table]] = []
    lists: list[tuple[str, list[str]]] = []

    def visit(name: str, value: Any) -> None:
        title = name.replace("_", " ").replace(".", ", ")
        if isinstance(value, Mapping):
            inner = [item for item in value.values() if isinstance(item, Mapping)]
            if value and len(inner) == len(value):
                tables.append((title, _object_table(name, value)))
            elif value and not inner and all(isinstance(item, int | float) for item in value.values()):
                rows = tuple({"name": key, "count": item} for key, item in value.items())
                columns = (Column("name", title, text=True), Column("count", "Count"))
                tables.append((title, Table(f"documents_{_slug(name)}", columns, rows)))
            else:
                for key, item in value.items():
                    visit(f"{name}.{key}" if name else key, item)
        elif isinstance(value, list):
            if value:
                lists.append((title, [str(item) for item in value]))
        else:
            pairs.append((title, value))

    for key, value in run.documents.items():
        visit(key, value)
    return pairs, tables, lists


def _object_table(name: str, value: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple({"name": key} | flatten(item) for key, item in value.items())
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
    title = name.replace("_", " ").replace(".", ", ")
    columns = [Column("name", title, text=True)]
    for key in keys:
        texts = any(isinstance(row.get(key), str) for row in rows)
        columns.append(Column(key, key.replace("_", " "), text=texts))
    return Table(f"documents_{_slug(name)}", tuple(columns), rows)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "values"
