"""What the conditions did to words and tokens: tables of statistics.json, and the figures of the data section."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.paper import BASELINE
from bench_shadows.report.common import style
from bench_shadows.report.common.estimates import write_number
from bench_shadows.report.common.phases import phase_statistics
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table
from bench_shadows.report.conditions.corpus import with_interval

SPLITS = ("first", "rewritten", "second")
LABELS = {
    "documents": "documents",
    "characters": "characters",
    "words": "words",
    "types": "word types",
    "hapaxes": "words that stand there once",
    "unigram_entropy_bits": "unigram entropy, bits",
    "top_100_share": "share of the 100 commonest types",
    "top_1000_share": "share of the 1,000 commonest types",
    "zipf_slope": "Zipf slope",
    "mean_word_zipf": "mean word frequency, Zipf scale",
    "unknown_words_share": "share of words that wordfreq lacks",
    "distinct_trigrams": "different trigrams / trigrams",
    "trigrams_not_in_first": "share of trigrams new to A's first half",
    "trigrams_not_in_rewritten": "share of trigrams new to D's first half",
    "compression_ratio": "compressed size / size",
    "semantic_spread": "semantic spread",
}
WHOLE = ("documents", "characters", "words", "types", "hapaxes")


def parts(run: Run) -> dict[str, Mapping[str, Any]]:
    """part of the text -> its splits; empty where statistics.json has no words."""
    found = (run.statistics.get("words") or {}).get("parts") or {}
    return {name: part for name, part in found.items() if part}


def word_table(run: Run) -> Table:
    """A row for each part of the text and measure: both halves, the rewritten first half, and what it changed."""
    rows = []
    for name, part in parts(run).items():
        for key, label in LABELS.items():
            row: dict[str, Any] = {"part": name, "measure": key, "label": label}
            for split in SPLITS:
                found = part.get(split, {})
                row[split] = with_interval(found.get(key), found.get("intervals", {}).get(key))
            change = part.get("rewritten_against_first", {}).get(key, {})
            if "ratio" in change:
                row["change_percent"] = with_interval(change["ratio"] - 1, change.get("interval"), 100)
            elif "difference" in change:
                row["change"] = with_interval(change["difference"], change.get("interval"))
            if any(row[split] is not None for split in SPLITS):
                rows.append(row)
    columns = (
        Column("part", "Part of the text", text=True),
        Column("measure", "Measure", text=True),
        Column("first", "A"),
        Column("rewritten", "D"),
        Column("change", "D − A", signed=True),
        Column("change_percent", "D against A, %", 1, signed=True),
        Column("second", "second half"),
    )
    return Table("words", columns, tuple(rows))


def page_tables(table: Table) -> dict[str, Table]:
    """part -> its rows as the page shows them: labels, and digits that fit each measure."""
    found: dict[str, list[dict[str, Any]]] = {}
    rewritten = any(row.get("rewritten") is not None for row in table.rows)
    for row in table.rows:
        digits = 0 if row["measure"] in WHOLE else 1 if row["measure"] == "semantic_spread" else 3
        cells: dict[str, Any] = {key: write_number(row.get(key), digits) for key in SPLITS}
        cells["change"] = write_number(row.get("change"), digits, signed=True)
        cells["change_percent"] = row.get("change_percent")
        found.setdefault(row["part"], []).append({"measure": row["label"]} | cells)
    hidden = set() if rewritten else {"rewritten", "change", "change_percent"}
    columns = tuple(column for column in table.columns[1:] if column.key not in hidden)
    return {part: Table(table.name, columns, tuple(rows)) for part, rows in found.items()}


def code_table(run: Run) -> Table:
    """Programming languages of the code: share of its characters in each split, percent."""
    by_split = (run.statistics.get("words") or {}).get("code_languages") or {}
    names = dict.fromkeys(name for split in SPLITS for name in by_split.get(split, {}))
    rows = []
    for name in sorted(names, key=lambda name: name == "others"):
        row: dict[str, Any] = {"language": name}
        for split in SPLITS:
            if found := by_split.get(split, {}).get(name):
                row[split] = with_interval(found["share"], found.get("interval"), 100)
        rows.append(row)
    labels = {"first": "First half, A", "rewritten": "First half, D", "second": "Second half"}
    columns = [Column("language", "Language", text=True)]
    columns += [Column(split, f"{labels[split]}, %", 1) for split in SPLITS if by_split.get(split)]
    return Table("code_languages", tuple(columns), tuple(rows))


# ---- the panel

TOKENS = {
    "unigram_entropy_bits": "tokens: entropy, bits",
    "top_100_share": "tokens: share of the\n100 commonest",
    "duplicate_rows_share": "rows shown before",
    "distinct_trigrams": "different token trigrams",
    "trigrams_not_in_first": "new trigrams after\nthe phase shift",
}
WORDS = {
    "types": "word types",
    "unigram_entropy_bits": "words: entropy, bits",
    "top_1000_share": "words: share of the\n1,000 commonest",
    "mean_word_zipf": "mean word frequency, Zipf",
    "semantic_spread": "semantic spread",
}


def panel(run: Run) -> Figure | None:
    """What the first half shows, tokens above and words of the largest text below, one mark for each condition."""
    tokens, largest = _token_marks(run), _word_marks(run)
    if not tokens and not largest:
        return None
    title = "What the conditions read in the first half, and what all read later"
    figure, grid = style.new_figure(title, 2, len(TOKENS), 4.2)
    for row, measures, marks in zip(grid, (TOKENS, WORDS), (tokens, largest), strict=True):
        for axes, (key, heading) in zip(row, measures.items(), strict=True):
            if marks:
                _marks(axes, {name: found[key] for name, found in marks.items() if found.get(key)})
                axes.set_title(heading, fontsize=8.5)
            else:
                style.hide(axes)
    return figure


Mark = tuple[float, Sequence[float] | None]


def _token_marks(run: Run) -> dict[str, dict[str, Mark]]:
    """condition -> measure -> (value, interval) of the first seed; what is new comes from the second phase."""
    marks: dict[str, dict[str, Mark]] = {}
    by_run = phase_statistics(run)
    for (name, seed), phases in sorted(by_run.items()):
        if name == "B" or seed != min(seed for _, seed in by_run):
            continue  # B reads what A reads
        second, first = (phases.get(phase, {}) for phase in ("second", "first"))
        intervals = {**second.get("intervals", {}), **first.get("intervals", {})}
        marks[name] = _read({**second, **first, "intervals": intervals}, TOKENS)
    return marks


def _word_marks(run: Run) -> dict[str, dict[str, Mark]]:
    """The same of words, for the text in the commonest language: A's, D's, and what both read afterwards."""
    texts = [part for name, part in parts(run).items() if name.endswith(" text")]
    part = next(iter(texts), parts(run).get("all", {}))
    names = {"first": "A", "rewritten": "D", "second": "later"}
    return {name: _read(part[split], WORDS) for split, name in names.items() if part.get(split)}


def _read(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Mark]:
    """measure -> (value, interval) of those that were measured."""
    intervals = values.get("intervals", {})
    return {key: (values[key], intervals.get(key)) for key in keys if values.get(key) is not None}


def _marks(axes: Axes, marks: Mapping[str, Mark]) -> None:
    if not marks:
        style.empty(axes, "not measured")
        return
    for place, (name, (value, interval)) in enumerate(marks.items()):
        shade = style.GREY if name == "later" else style.colour(name)
        if interval is not None:
            axes.plot(interval, (place, place), color=shade, linewidth=1.6, solid_capstyle="butt")
        axes.plot([value], [place], color=shade, marker=style.MARKERS.get(name, "s"), markersize=5)
    axes.set_yticks(range(len(marks)), list(marks))
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="y", visible=False)


def support(run: Run) -> Figure | None:
    """Tokens of the first half in each decile of token frequency, by A's own share of them."""
    deciles = {
        key: np.array(phases.get("first", {}).get("decile_shares") or [], dtype=float)
        for key, phases in sorted(phase_statistics(run).items())
    }
    shares: dict[str, list[np.ndarray]] = {}
    for (name, seed), mine in deciles.items():
        base = deciles.get((BASELINE, seed), np.zeros(0))
        if name not in (BASELINE, "B") and mine.size and mine.shape == base.shape and base.all():
            shares.setdefault(name, []).append(mine / base)
    if not shares:
        return None
    figure, grid = style.new_figure("What the first half keeps of A's vocabulary, from head to tail", 1, 1, 3.0)
    axes = grid[0, 0]
    axes.axhline(1, color=style.colour(BASELINE), linewidth=1.4)
    count = len(next(iter(shares.values()))[0])
    for name, ratios in shares.items():
        style.draw_line(axes, np.arange(1, count + 1), np.array(ratios), name)
    axes.set_xticks(range(1, count + 1), ["1\ncommonest", *map(str, range(2, count)), f"{count}\nrarest"])
    axes.set_ylim(bottom=0)
    axes.set(xlabel="decile of token frequency in A's text", ylabel="share of tokens / A's share")
    style.legend(figure, list(shares))
    return figure
