"""What the conditions read: statistics.json and documents.json as tables; what they lack is left out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench_shadows.report.common.estimates import MISSING, Estimate, write_number
from bench_shadows.report.common.phases import LABELS, PHASES, phase_statistics
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, flatten

# Long or of no interest on the page; the CSV has all of them.
_ONLY_CSV = re.compile(r"(^|\.)(repetitions\.|decile_shares|domain_shares|positions_counted|.*sha256)")


def phase_table(run: Run) -> Table:
    """Every measure of both phases by condition: the mean over seeds, ± half of its 95 % interval over the text.

    The interval says how far the measure would move with other text of the same kind
    (`data.statistics.resampling`), not how far it moves between seeds, which mostly read the same rows in another
    order.
    """
    by_run = phase_statistics(run)
    conditions = sorted({name for name, _ in by_run})
    values: dict[str, dict[str, list[Any]]] = {}
    for (name, _), phases in sorted(by_run.items()):
        for phase, measures in phases.items():
            found = measures.get("intervals")
            intervals = found if isinstance(found, Mapping) else {}
            plain = {key: value for key, value in measures.items() if key != "intervals"}
            for key, value in flatten(plain, lists=True).items():
                cell = values.setdefault(key, {}).setdefault(f"{name}_{phase}", [])
                cell.append(with_interval(value, intervals.get(key)))
    rows = []
    for key in sorted(
        values, key=lambda key: (key not in LABELS, list(LABELS).index(key) if key in LABELS else 0)
    ):
        row: dict[str, Any] = {"measure": key, "label": LABELS.get(key, key.replace("_", " "))}
        row |= {column: _mean(items) for column, items in values[key].items()}
        rows.append(row)
    columns = [Column("measure", "Measure", text=True)]
    for phase in PHASES:
        columns += [Column(f"{name}_{phase}", name) for name in conditions]
    return Table("data_by_condition", tuple(columns), tuple(rows))


def with_interval(value: Any, interval: Any) -> Any:
    """A number as an Estimate with half of its interval [low, high], if it has one; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    half = (interval[1] - interval[0]) / 2 if isinstance(interval, list) and len(interval) == 2 else None
    return Estimate(float(value), half, 1)


def _mean(items: Sequence[Any]) -> Any:
    """One seed's value, or the mean over seeds of value and half width; of text the first."""
    numbers = [item for item in items if isinstance(item, Estimate)]
    if not numbers:
        return next((item for item in items if item is not None), None)
    halves = [item.half_width for item in numbers if item.half_width is not None]
    mean = sum(item.mean for item in numbers) / len(numbers)
    return Estimate(mean, sum(halves) / len(halves) if halves else None, len(numbers))


def page_rows(table: Table) -> Table:
    """What the page shows: the first half by condition, and the second half, which is the same for all.

    Measures stand by their labels, with equal digits along a row. B reads what A reads. What is new to a condition
    in the second half depends on its first one, and stands with it. The CSV has all of it.
    """
    names = [
        key.removesuffix("_first") for key in (column.key for column in table.columns) if key.endswith("_first")
    ]
    shown = [name for name in names if name != "B" or "A" not in names]
    rows = []
    for row in table.rows:
        own = "second" if row["measure"] == "trigrams_not_in_first" else "first"
        values = {name: row.get(f"{name}_{own}") for name in shown}
        values["second"] = row.get(f"{shown[0]}_second") if own == "first" else None
        if _ONLY_CSV.match(row["measure"]) or all(value is None for value in values.values()):
            continue
        means = [value.mean for value in values.values() if isinstance(value, Estimate)]
        digits = 0 if all(value.is_integer() for value in means) else 3
        rows.append(
            {"measure": row["label"]} | {key: write_number(value, digits) for key, value in values.items()}
        )
    columns = [Column("measure", "Measure", text=True), *(Column(name, name) for name in shown)]
    return Table(table.name, (*columns, Column("second", "second half")), tuple(rows))


SPLITS = ("available", "first", "second", "rewritten", "held_out")
_MIXTURE_LABELS = ("Available", "First half", "Second half", "Rewritten", "Held out")


def mixture_table(run: Run, name: str, keys: Sequence[str]) -> Table:
    """Share of the characters by `keys` (domain, kind, language) in the corpus and each split (documents.json)."""
    cells: dict[tuple[str, ...], Counter[str]] = {}
    totals: Counter[str] = Counter()
    entries = [*_entries(run, "available"), *_entries(run, "mixture")]
    for entry in entries:
        split = "available" if entry.get("split") == "corpus" else str(entry.get("split"))
        group = tuple(str(entry.get(key, MISSING)) for key in keys)
        cells.setdefault(group, Counter())[split] += int(entry.get("characters", 0))
        cells[group][f"{split}_documents"] += int(entry.get("documents", 0))
        totals[split] += int(entry.get("characters", 0))
    splits = [split for split in SPLITS if totals[split]]
    rows = [
        dict(zip(keys, group, strict=True))
        | {"documents": counts["available_documents"]}
        | {split: 100 * counts[split] / totals[split] for split in splits}
        for group, counts in sorted(cells.items(), key=lambda item: (-item[1]["available"], item[0]))
    ]
    columns = [Column(key, key.capitalize(), text=True) for key in keys]
    columns.append(Column("documents", "Documents"))
    labels = dict(zip(SPLITS, _MIXTURE_LABELS, strict=True))
    return Table(name, (*columns, *(Column(split, f"{labels[split]}, %", 1) for split in splits)), tuple(rows))


def _entries(run: Run, name: str) -> list[Mapping[str, Any]]:
    found = run.documents.get(name, [])
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def rows_table(run: Run) -> Table:
    """The row sets: rows, tokens, documents, and tokens dropped because they fill no row (documents.json)."""
    sets = run.documents.get("rows", {})
    rows = [
        {"set": name.replace("_", " ")} | dict(value) for name, value in sets.items() if isinstance(value, Mapping)
    ]
    labels = {"count": "Rows", "tokens": "Tokens", "documents": "Documents", "dropped_tokens": "Tokens dropped"}
    columns = [Column("set", "Set", text=True), *(Column(key, label) for key, label in labels.items())]
    return Table("rows", tuple(columns), tuple(rows))


def counts_table(run: Run) -> Table:
    """What was read, what was left out and why, and what the rewriting did (documents.json), as (name, value)."""
    corpus, rewriting = run.documents.get("corpus") or {}, run.documents.get("rewriting") or {}
    found: list[tuple[str, Any]] = [
        *_named("documents read from {}", corpus.get("sources")),
        *_named("left out by the recipe: {}", (corpus.get("builtin") or {}).get("left_out")),
        ("bad records left out", sum((corpus.get("bad_records") or {}).values())),
        *_named("of these: {}", corpus.get("bad_records")),
    ]
    duplicates = corpus.get("duplicates") or {}
    for key, label in (("exact", "exact duplicates removed"), ("near", "near duplicates removed")):
        if key in duplicates:
            found.append((label, duplicates[key]))
    if duplicates.get("characters"):
        share = 100 * duplicates.get("characters_removed", 0) / duplicates["characters"]
        found.append(("characters removed as duplicates", f"{share:.2f} %"))
    found += (
        [("near duplicate from this similarity on", duplicates["threshold"])] if "threshold" in duplicates else []
    )
    found += _named("condition D, documents by outcome: {}", rewriting.get("outcomes"))
    if rewriting.get("words"):
        share = 100 * rewriting.get("words_changed", 0) / rewriting["words"]
        found.append(("condition D, words changed", f"{share:.1f} %"))
    if rewriting.get("characters_before"):
        share = 100 * rewriting.get("characters_after", 0) / rewriting["characters_before"]
        found.append(("condition D, characters after / before", f"{share:.1f} %"))
    rows = tuple({"name": name, "value": value} for name, value in found) if run.documents else ()
    return Table("corpus_counts", (Column("name", "Count", text=True), Column("value", "Value")), rows)


def _named(text: str, values: Any) -> list[tuple[str, Any]]:
    return [(text.format(key), value) for key, value in values.items()] if isinstance(values, Mapping) else []


def examples(run: Run) -> list[tuple[str, list[str]]]:
    """(what, lines) of bad records, as file:line: reason, and of documents removed as duplicates."""
    corpus = run.documents.get("corpus") or {}
    bad = [line for lines in (corpus.get("bad_examples") or {}).values() for line in lines]
    pairs = [
        f"{item.get('removed')} ({item.get('kind')} duplicate of {item.get('kept')})"
        for item in (corpus.get("duplicates") or {}).get("examples") or []
    ]
    return [(name, lines) for name, lines in (("Bad records", bad), ("Duplicates removed", pairs)) if lines]
