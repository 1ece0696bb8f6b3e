"""Scores of a study of prompts as tables, and the paper's Table 3 and appendix A.2 to stand beside them.

`data/paper_prompt_scores.csv` has the paper's figures as it prints them (arXiv:2604.07363), the sign of its
differences restored where the text lost it. Its categories are assigned to our groups in `CATEGORIES`.
"""

import csv
import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.paper import CITATION
from bench_shadows.report.common.estimates import Estimate, estimate, paired
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, at_end, by_seed

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
REPEATED = "_repeated"
"""Suffix of the suites that ask with repeated prompts."""


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
        return tuple(_paper_score(row) for row in csv.DictReader(file))


def _paper_score(row: Mapping[str, str]) -> PaperScore:
    values: dict[str, Any] = dict(row)
    values |= {name: float(row[name]) for name in ("baseline", "deduplicated", "difference")}
    return PaperScore(**values)


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


def score_values(run: Run, suite: str, task: str, metric: str) -> dict[str, dict[int, float]]:
    """condition -> seed -> value of one task at the end of training."""
    here = at_end(run.evaluation.where(suite=suite, task=task, metric=metric))
    found = {name: by_seed(here.where(condition=name), "value") for name in run.conditions}
    return {name: values for name, values in found.items() if values}


def groups_table(run: Run) -> Table:
    """Accuracy by group at the end, prompts clean and repeated: conditions, difference, number of samples."""
    rows = []
    for suite, prompts in (("groups", "clean"), (f"groups{REPEATED}", "repeated")):
        for group, label in (*GROUPS.items(), ("all", "all")):
            values = score_values(run, suite, group, "exact_match")
            if values:
                rows.append(
                    {"group": label, "prompts": prompts} | _compared(run, values) | _count(run, suite, group)
                )
    columns = [Column("group", "Group", text=True), Column("prompts", "Asked with prompts", text=True)]
    return Table("scores_by_group", (*columns, *_columns(run)), tuple(rows))


def loss_table(run: Run) -> Table:
    """Loss of the answers by group at the end, nats per token, prompts clean and repeated."""
    rows = []
    for suite, prompts in (("groups", "clean"), (f"groups{REPEATED}", "repeated")):
        for group, label in (*GROUPS.items(), ("all", "all")):
            values = score_values(run, suite, group, "answer_loss_nats_per_token")
            if values:
                rows.append({"group": label, "prompts": prompts} | _compared(run, values))
    columns = [Column("group", "Group", text=True), Column("prompts", "Asked with prompts", text=True)]
    return Table("answer_loss_by_group", (*columns, *_columns(run, count=False)), tuple(rows))


def tasks_table(run: Run) -> Table:
    """Accuracy by task at the end, prompts clean, beside what answering with the commonest answer gets."""
    rows = []
    for task in task_names(run):
        values = score_values(run, "tasks", task, "exact_match")
        chance = [
            found
            for seeds in score_values(run, "chance", task, "exact_match").values()
            for found in seeds.values()
        ]
        row = {"task": task, "chance": statistics.mean(chance) if chance else None}
        rows.append(row | _compared(run, values) | _count(run, "tasks", task))
    columns = (Column("task", "Task", text=True), Column("chance", "Commonest answer", 3))
    return Table("scores_by_task", (*columns, *_columns(run)), tuple(rows))


def task_names(run: Run) -> list[str]:
    """GROUP/TASK of every task that was asked, in the order of the groups."""
    names = run.evaluation.where(suite="tasks").values("task")
    order = list(GROUPS)

    def place(name: str) -> tuple[int, str]:
        group = name.partition("/")[0]
        return order.index(group) if group in order else len(order), name

    return sorted(names, key=place)


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
    rows = tuple(
        {
            "benchmark": f"{score.benchmark} ({score.metric})" if score.metric else score.benchmark,
            **{name: getattr(score, name) for name in ("category", "baseline", "deduplicated", "difference")},
        }
        for score in paper_scores()
        if not score.source.endswith("Table 3")
    )
    columns = (Column("category", "Category", text=True), Column("benchmark", "Benchmark", text=True))
    return Table("paper_prompt_scores", (*columns, *paper_table().columns[-3:]), rows)


def groups_compared(run: Run) -> dict[str, dict[str, Estimate]]:
    """group -> condition -> difference in accuracy to the reference at the end, prompts clean."""
    found: dict[str, dict[str, Estimate]] = {}
    for group in GROUPS:
        values = score_values(run, "groups", group, "exact_match")
        for name, mine in values.items():
            difference = paired(mine, values.get(run.reference, {}))
            if name != run.reference and difference is not None:
                found.setdefault(group, {})[name] = difference
    return found


def beside_paper(run: Run) -> list[dict[str, Any]]:
    """Table 3: for each of our groups its row, and the paper's categories that it is read as."""
    found = []
    paper = paper_table_3()
    for group, label in GROUPS.items():
        values = score_values(run, "groups", group, "exact_match")
        found.append(
            {"group": label, "ours": _compared(run, values) | _count(run, "groups", group) if values else None}
            | {"paper": [paper[category] for category in CATEGORIES[group]]}
        )
    return found


def _compared(run: Run, values: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {name: estimate(found.values()) for name, found in values.items()}
    for name, found in values.items():
        if name != run.reference and run.reference in values:
            row["difference"] = paired(found, values[run.reference])
    return row


def _count(run: Run, suite: str, task: str) -> dict[str, Any]:
    counts = run.evaluation.where(suite=suite, task=task, metric="exact_match")["count"]
    return {"count": int(np.nanmax(counts, initial=0))}


def _columns(run: Run, count: bool = True) -> Sequence[Column]:
    found = [Column(name, name, 3) for name in run.conditions]
    if len(run.conditions) > 1:
        found.append(Column("difference", "difference", 3, signed=True))
    return [*found, Column("count", "Samples")] if count else found
