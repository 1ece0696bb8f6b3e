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
    values: dict[str, dict[str, list[Any]]] = {}
    for (name, _), phases in sorted(by_run.items()):
        for phase, measures in phases.items():
            intervals = measures.get("intervals") or {}
            plain = {key: value for key, value in measures.items() if key != "intervals"}
            for key, value in flatten(plain, lists=True).items():
                cell = values.setdefault(key, {}).setdefault(f"{name}_{phase}", [])
                cell.append(with_interval(value, intervals.get(key)))
    order = [key for key in LABELS if key in values] + [key for key in values if key not in LABELS]
    rows = [
        {"measure": key, "label": LABELS.get(key, key.replace("_", " "))}
        | {column: _mean(items) for column, items in values[key].items()}
        for key in order
    ]
    conditions = sorted({name for name, _ in by_run})
    columns = [Column(f"{name}_{phase}", name) for phase in PHASES for name in conditions]
    return Table("data_by_condition", (Column("measure", "Measure", text=True), *columns), tuple(rows))


def with_interval(value: Any, interval: Sequence[float] | None, scale: float = 1.0) -> Any:
    """A number times `scale` as an Estimate with half of its interval [low, high]; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    half = (scale * interval[1] - scale * interval[0]) / 2 if interval else None
    return Estimate(float(scale * value), half, 1)


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
    keys = [column.key for column in table.columns]
    names = [key.removesuffix("_first") for key in keys if key.endswith("_first")]
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


_MIXTURE_LABELS = {
    "available": "Available",
    "first": "First half",
    "second": "Second half",
    "rewritten": "Rewritten",
    "held_out": "Held out",
}
SPLITS = tuple(_MIXTURE_LABELS)


def mixture_table(run: Run, name: str, keys: Sequence[str]) -> Table:
    """Share of the characters by `keys` (domain, kind, language) in the corpus and each split (documents.json)."""
    cells: dict[tuple[str, ...], Counter[str]] = {}
    documents: Counter[tuple[str, ...]] = Counter()
    totals: Counter[str] = Counter()
    for entry in [*run.documents.get("available", []), *run.documents.get("mixture", [])]:
        split = "available" if entry["split"] == "corpus" else entry["split"]
        group = tuple(str(entry.get(key, MISSING)) for key in keys)
        cells.setdefault(group, Counter())[split] += entry["characters"]
        documents[group] += entry["documents"] if split == "available" else 0
        totals[split] += entry["characters"]
    splits = [split for split in SPLITS if totals[split]]
    rows = [
        dict(zip(keys, group, strict=True))
        | {"documents": documents[group]}
        | {split: 100 * counts[split] / totals[split] for split in splits}
        for group, counts in sorted(cells.items(), key=lambda item: (-item[1]["available"], item[0]))
    ]
    columns = [Column(key, key.capitalize(), text=True) for key in keys]
    columns.append(Column("documents", "Documents"))
    columns += [Column(split, f"{_MIXTURE_LABELS[split]}, %", 1) for split in splits]
    return Table(name, tuple(columns), tuple(rows))


def rows_table(run: Run) -> Table:
    """The row sets: rows, tokens, documents, and tokens dropped because they fill no row (documents.json)."""
    rows = [{"set": name.replace("_", " "), **values} for name, values in run.documents.get("rows", {}).items()]
    labels = {"count": "Rows", "tokens": "Tokens", "documents": "Documents", "dropped_tokens": "Tokens dropped"}
    columns = [Column("set", "Set", text=True), *(Column(key, label) for key, label in labels.items())]
    return Table("rows", tuple(columns), tuple(rows))


def counts_table(run: Run) -> Table:
    """What was read, what was left out and why, and what the rewriting did (documents.json), as (name, value)."""
    corpus, rewriting = run.documents.get("corpus") or {}, run.documents.get("rewriting") or {}
    duplicates, bad = corpus.get("duplicates") or {}, corpus.get("bad_records") or {}
    found: list[tuple[str, Any]] = [
        *_named("documents read from {}", corpus.get("sources")),
        *_named("left out by the recipe: {}", (corpus.get("builtin") or {}).get("left_out")),
        ("bad records left out", sum(bad.values())),
        *_named("of these: {}", bad),
        *_named("damaged or left out: {}", corpus.get("lost_files")),
    ]
    for key, label in (("exact", "exact duplicates removed"), ("near", "near duplicates removed")):
        if key in duplicates:
            found.append((label, duplicates[key]))
    found += _share("characters removed as duplicates", duplicates, "characters_removed", "characters", 2)
    if "threshold" in duplicates:
        found.append(("near duplicate from this similarity on", duplicates["threshold"]))
    found += _named("condition D, documents by outcome: {}", rewriting.get("outcomes"))
    found += _share("condition D, words changed", rewriting, "words_changed", "words")
    found += _share("condition D, characters after / before", rewriting, "characters_after", "characters_before")
    rows = tuple({"name": name, "value": value} for name, value in found) if run.documents else ()
    return Table("corpus_counts", (Column("name", "Count", text=True), Column("value", "Value")), rows)


def _named(text: str, values: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(text.format(key), value) for key, value in (values or {}).items()]


def _share(name: str, counts: Mapping[str, Any], part: str, whole: str, digits: int = 1) -> list[tuple[str, str]]:
    """(name, percent) of one count by another, where there is any of that."""
    if not counts.get(whole):
        return []
    return [(name, f"{100 * counts.get(part, 0) / counts[whole]:.{digits}f} %")]


def examples(run: Run) -> list[tuple[str, list[str]]]:
    """(what, lines) of bad records, as file:line: reason, and of documents removed as duplicates."""
    corpus = run.documents.get("corpus") or {}
    bad = [line for lines in (corpus.get("bad_examples") or {}).values() for line in lines]
    pairs = [
        f"{item['removed']} ({item['kind']} duplicate of {item['kept']})"
        for item in (corpus.get("duplicates") or {}).get("examples") or []
    ]
    return [(name, lines) for name, lines in (("Bad records", bad), ("Duplicates removed", pairs)) if lines]
