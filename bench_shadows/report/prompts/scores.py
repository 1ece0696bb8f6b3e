"""Scores of a study of prompts as tables, and the paper's Table 3 and appendix A.2 to stand beside them.

`data/paper_prompt_scores.csv` has the paper's figures as it prints them (arXiv:2604.07363), the sign of its
differences restored where the text lost it. Its categories are assigned to our groups in `CATEGORIES`.
"""

import csv
import dataclasses
import functools
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.paper import CITATION
from bench_shadows.report.common.estimates import Estimate, paired
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, at_end, by_condition, compared

PAPER_CITATION = f"{CITATION}, Table 3 and appendix A.2"
GROUPS = {
    "multimodal": "multimodal",
    "language": "language",
    "documents": "documents and extraction",
    "instructions": "instruction following",
}
CATEGORIES = {
    "multimodal": ("General-MLLM",),
    "language": ("General-LLM",),
    "documents": ("Business-MLLM", "Business-LLM"),
    "instructions": ("Instruct-Following",),
}
"""Our groups -> the paper's categories that we read them as."""
ASKED = {"groups": "clean", "groups_repeated": "repeated"}
"""Suites by group -> the prompts that they ask with."""
LOSS = "answer_loss_nats_per_token"


@dataclasses.dataclass(frozen=True)
class PaperScore:
    """One row of the paper's tables."""

    source: str
    category: str
    benchmark: str
    metric: str
    baseline: float
    deduplicated: float
    difference: float
    """As the paper prints it: of scores before they were rounded."""


@functools.cache
def paper_scores() -> tuple[PaperScore, ...]:
    """Table 3 (benchmark `Average`, five rows) and the five tables of appendix A.2."""
    path = Path(__file__).parents[1] / "data" / "paper_prompt_scores.csv"
    with open(path, encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    numbers = ("baseline", "deduplicated", "difference")
    return tuple(PaperScore(**row | {name: float(row[name]) for name in numbers}) for row in rows)


def paper_table_3() -> dict[str, PaperScore]:
    """Category -> its row of Table 3."""
    return {score.category: score for score in paper_scores() if score.source.endswith("Table 3")}


def paper_benchmarks(category: str) -> list[PaperScore]:
    """The benchmarks of a category, from appendix A.2."""
    return [
        s for s in paper_scores() if s.category == category and "Appendix" in s.source and s.benchmark != "Average"
    ]


def paper_spread(category: str) -> dict[str, Any]:
    """What stands behind a category's mean: benchmarks, how many rise, median difference, and the largest one."""
    found = paper_benchmarks(category)
    largest = max(found, key=lambda score: abs(score.difference))
    rest = [score.difference for score in found if score is not largest]
    return {
        "category": category,
        "benchmarks": len(found),
        "rise": sum(score.difference > 0 for score in found),
        "median": statistics.median(score.difference for score in found),
        "largest": largest,
        "mean_without": statistics.mean(rest),
    }


def score_values(run: Run, suite: str, task: str, metric: str = "exact_match") -> dict[str, dict[int, float]]:
    """condition -> seed -> value of one task at the end of training."""
    return by_condition(run, at_end(run.evaluation.where(suite=suite, task=task, metric=metric)), "value")


def chance(run: Run, task: str) -> float | None:
    """What answering with the commonest training answer gets, mean over conditions and seeds."""
    found = [value for seeds in score_values(run, "chance", task).values() for value in seeds.values()]
    return statistics.mean(found) if found else None


def groups_table(run: Run) -> Table:
    """Accuracy by group at the end, prompts clean and repeated: conditions, difference, number of samples."""
    return _by_group(run, "scores_by_group", "exact_match", count=True)


def loss_table(run: Run) -> Table:
    """Loss of the answers by group at the end, nats per token, prompts clean and repeated."""
    return _by_group(run, "answer_loss_by_group", LOSS, count=False)


def _by_group(run: Run, table: str, metric: str, count: bool) -> Table:
    rows = []
    for suite, prompts in ASKED.items():
        for group, label in (*GROUPS.items(), ("all", "all")):
            if values := score_values(run, suite, group, metric):
                row = {"group": label, "prompts": prompts, **_cells(run, values)}
                rows.append(row | _count(run, suite, group) if count else row)
    columns = [Column("group", "Group", text=True), Column("prompts", "Asked with prompts", text=True)]
    return Table(table, (*columns, *_columns(run)[: None if count else -1]), tuple(rows))


def tasks_table(run: Run) -> Table:
    """Accuracy by task at the end, prompts clean, beside what answering with the commonest answer gets."""
    rows = [
        {"task": task, "chance": chance(run, task)}
        | _cells(run, score_values(run, "tasks", task))
        | _count(run, "tasks", task)
        for task in task_names(run)
    ]
    columns = (Column("task", "Task", text=True), Column("chance", "Commonest answer", 3))
    return Table("scores_by_task", (*columns, *_columns(run)), tuple(rows))


def task_names(run: Run) -> list[str]:
    """GROUP/TASK of every task that was asked, in the order of the groups."""
    return order_by_group(run.evaluation.where(suite="tasks").values("task"))


def order_by_group(tasks: Iterable[str]) -> list[str]:
    """GROUP/TASK in the order of the groups, unknown ones last, then by name."""
    places = {group: place for place, group in enumerate(GROUPS)}
    return sorted(tasks, key=lambda task: (places.get(task.partition("/")[0], len(places)), task))


def paper_table() -> Table:
    """The five tables of appendix A.2 with their averages, which are Table 3 (CSV and the page's box)."""
    rows = [dataclasses.asdict(score) for score in paper_scores()]
    columns = (
        *(Column(name, name.capitalize(), text=True) for name in ("source", "category", "benchmark", "metric")),
        Column("baseline", "Baseline", 4),
        Column("deduplicated", "De-duplicated", 4),
        Column("difference", "Difference", 4, signed=True),
    )
    return Table("paper_prompt_scores", columns, tuple(rows))


def benchmark_table() -> Table:
    """The benchmarks of appendix A.2 as the page shows them."""
    table = paper_table()
    rows = tuple(
        {**row, "benchmark": f"{row['benchmark']} ({row['metric']})" if row["metric"] else row["benchmark"]}
        for row in table.rows
        if not row["source"].endswith("Table 3")
    )
    _, category, benchmark, _, *numbers = table.columns
    return Table(table.name, (category, benchmark, *numbers), rows)


def groups_compared(run: Run) -> dict[str, dict[str, Estimate]]:
    """group -> condition -> difference in accuracy to the reference at the end, prompts clean."""
    found: dict[str, dict[str, Estimate]] = {}
    for group in GROUPS:
        values = score_values(run, "groups", group)
        for name, mine in values.items():
            difference = paired(mine, values.get(run.reference, {}))
            if name != run.reference and difference is not None:
                found.setdefault(group, {})[name] = difference
    return found


def beside_paper(run: Run) -> list[dict[str, Any]]:
    """Table 3: for each of our groups its row, and the paper's categories that it is read as."""
    found = []
    for group, label in GROUPS.items():
        values = score_values(run, "groups", group)
        ours = {**_cells(run, values), **_count(run, "groups", group)} if values else None
        paper = [paper_table_3()[category] for category in CATEGORIES[group]]
        found.append({"group": label, "ours": ours, "paper": paper})
    return found


def _cells(run: Run, values: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    return compared(run, values, difference="difference")


def _count(run: Run, suite: str, task: str) -> dict[str, Any]:
    counts = run.evaluation.where(suite=suite, task=task, metric="exact_match")["count"]
    return {"count": int(np.nanmax(counts, initial=0))}


def _columns(run: Run) -> list[Column]:
    found = [Column(name, name, 3) for name in run.conditions]
    if len(run.conditions) > 1:
        found.append(Column("difference", "difference", 3, signed=True))
    return [*found, Column("count", "Samples")]
