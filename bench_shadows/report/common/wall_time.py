"""Where the wall time of training went, by run: steps that count, and what was lost by cause."""

from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table

CAUSES = {
    "restore": "restoring",
    "compile": "compiling",
    "open": "opening files",
    "checkpoint": "checkpoints",
    "again": "steps done again",
    "stopped": "stopped",
    "unknown": "unknown",
}
"""Cause in goodput.jsonl -> its heading; training/logs/goodput.py says what each of them is."""


def wall_time_table(run: Run) -> Table:
    """Seconds since a run first began: those of its steps, and those lost by cause."""
    rows = []
    for (condition, seed), totals in sorted(run.wall_time.items()):
        lost = totals["lost_seconds"]
        rows.append(
            {
                "run": f"{condition}-seed{seed}",
                "wall_seconds": totals["wall_seconds"],
                "productive_seconds": totals["productive_seconds"],
                "goodput": 100 * totals["goodput"],
                **{cause: lost.get(cause) for cause in CAUSES},
            }
        )
    columns = (
        Column("run", "Run", text=True),
        Column("wall_seconds", "seconds in all", 1),
        Column("productive_seconds", "steps that count", 1),
        Column("goodput", "goodput, %", 1),
        *(Column(cause, heading, 1) for cause, heading in CAUSES.items()),
    )
    return Table("wall_time", columns, tuple(rows))
