"""Tables of a study of prompts: what was repeated, what was read, and how little the effective rank moves."""

from typing import Any

from bench_shadows.report.common.estimates import write_number
from bench_shadows.report.common.phases import LABELS
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, at_end, by_condition, compared
from bench_shadows.report.prompts import duplicates
from bench_shadows.report.prompts.figures import COMPONENTS, cleaned, module_rows, root_mean_square
from bench_shadows.report.prompts.samples import Example, PromptRun
from bench_shadows.report.prompts.scores import order_by_group

TOKENS = {key: f"tokens of {key}s" for key in ("image", "prompt", "answer")} | {"padding": "tokens of padding"}

LEFT_OUT = {
    "also_held_out": "left out of training: same image or prompt as a held-out sample",
    "with_image": "with an image, in a study of text alone",
}
"""Keys of `left_out` of documents.json -> in words."""


def repetition(run: Run) -> str:
    """How many samples repeat their prompt, before and after cleaning, and the characters that go."""
    found = run.duplicates
    if not found.get("samples"):
        return ""
    before, after = (100 * found.get(key, 0) / found["samples"] for key in ("repeating", "repeating_after"))
    gone = 100 * found.get("characters_removed", 0) / max(found.get("characters", 0), 1)
    return (
        f"repeated in {write_number(before, 1)} % of {found['samples']:,} samples, after cleaning in "
        f"{write_number(after, 1)} %; {write_number(gone, 1)} % of the characters of prompts are removed"
    )


def data_tables(run: PromptRun) -> list[Table]:
    """The tables of what was repeated and read."""
    return [*duplicates.tables(run.duplicates), samples_table(run), tokens_table(run), left_out_table(run)]


def data_context(run: PromptRun) -> dict[str, Any]:
    """What the sections on repetition and data need besides `run` and `tables`."""
    return {"repetition": repetition(run), "examples": side_by_side(run)}


def samples_table(run: PromptRun) -> Table:
    """Samples by task: how many train and are held out, and in which share of them the prompt was repeated."""
    counts = run.samples.counts
    rows = []
    for task in order_by_group({task for _, task in counts}):
        row: dict[str, Any] = {"task": task}
        for split in ("train", "held_out"):
            total, repeated = counts.get((split, task), (0, 0))
            row[split] = total
            row[f"{split}_repeated"] = 100 * repeated / total if total else None
        rows.append(row)
    columns = (
        Column("task", "Task", text=True),
        Column("train", "Training"),
        Column("train_repeated", "with repeated prompt, %", 1),
        Column("held_out", "Held out"),
        Column("held_out_repeated", "with one when asked so, %", 1),
    )
    return Table("samples_by_task", columns, tuple(rows))


def tokens_table(run: Run) -> Table:
    """What the rows of both conditions are made of, in tokens, and measures of their text."""
    counts, tokens, text = (run.statistics.get(name) or {} for name in ("rows", "tokens", "text"))
    names = [name for name in run.config.conditions.names if name in tokens]
    rows = [{"measure": "rows"} | {name: counts.get(name) for name in names}]
    rows += [{"measure": label} | {name: tokens[name].get(key) for name in names} for key, label in TOKENS.items()]
    measures = dict.fromkeys(
        key for name in names for key, value in text.get(name, {}).items() if value is not None
    )
    rows += [
        {"measure": LABELS.get(key, key.replace("_", " "))} | {name: text[name].get(key) for name in names}
        for key in measures
    ]
    columns = (Column("measure", "Measure", text=True), *(Column(name, name) for name in names))
    return Table("tokens_by_condition", columns, tuple(rows) if names else ())


def rank_table(run: Run) -> Table:
    """By component and module, delta effective rank: what training moves, and what the conditions differ by.

    `apart` is the root mean square over layers of the difference to the baseline of the same seed, in percent of
    the root mean square of the baseline's own change from the initial weights.
    """
    end, other = at_end(run.changes), cleaned(run)
    rows = []
    for part, module in module_rows(end):
        mine = end.where(component=part, module=module)
        moved = by_condition(run, mine.where(reference="init"), "delta_effective_rank")
        row: dict[str, Any] = {"module": module, "component": COMPONENTS[part]}
        row |= compared(run, moved, difference="difference")
        if other is not None:
            base = mine.where(reference="init", condition=run.reference)["delta_effective_rank"]
            between = mine.where(reference=run.reference, condition=other)["delta_effective_rank"]
            scale = root_mean_square(base)
            row["apart"] = 100 * root_mean_square(between) / scale if scale else None
        rows.append(row)
    columns = [Column("module", "Module", text=True), Column("component", "Of the", text=True)]
    columns += [Column(name, name, 2, signed=True) for name in run.conditions]
    if other is not None:
        columns += [Column("difference", "difference", 2, signed=True), Column("apart", "apart, %", 1)]
    return Table("delta_effective_rank", tuple(columns), tuple(rows))


def side_by_side(run: PromptRun) -> list[tuple[Example, list[tuple[str, bool]]]]:
    """One example of each group: what stands before its answer, in pieces, and whether a piece was removed."""
    first: dict[str, Example] = {}
    for example in run.samples.examples:
        first.setdefault(example.task.partition("/")[0], example)
    return [(example, duplicates.pieces(example.baseline, example.deduplicated)) for example in first.values()]


def left_out_table(run: Run) -> Table:
    """What neither condition has, and why."""
    corpus, dropped = run.documents.get("corpus") or {}, run.documents.get("left_out") or {}
    found = [(f"bad record: {reason}", count) for reason, count in (corpus.get("bad_records") or {}).items()]
    found += [
        (f"does not fit into {run.config.data.seq_len} tokens ({split.replace('_', ' ')})", count)
        for split, count in (dropped.get("too_long") or {}).items()
    ]
    found += [(text, dropped[key]) for key, text in LEFT_OUT.items() if key in dropped]
    columns = (Column("reason", "Left out", text=True), Column("samples", "Samples"))
    return Table("samples_left_out", columns, tuple({"reason": what, "samples": count} for what, count in found))
