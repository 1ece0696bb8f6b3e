"""What the sections need that the pages of all studies have: charts, controls, settings, and where time went."""

import shlex
from collections.abc import Sequence
from typing import Any

from bench_shadows.config import to_dict
from bench_shadows.report.common.checks import Check, verdict
from bench_shadows.report.common.controls import NOISE_SCALE, outcomes_sentence, recorded
from bench_shadows.report.common.estimates import SEEDS_FOR_INTERVAL
from bench_shadows.report.common.explorer import payload
from bench_shadows.report.common.facts import seeds_notice
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, flatten

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


def study_context(run: Run, checks: Sequence[Check], limits: Sequence[str]) -> dict[str, Any]:
    """What these sections' templates need besides `figures` and `tables`; `limits`: what no check can prove."""
    stages, words = run.provenance.get("stages") or {}, run.provenance.get("command")
    rest = {key: value for key, value in run.provenance.items() if key not in ("stages", "command")}
    return {
        "run": run,
        "explorer": payload(run),
        "seeds_notice": seeds_notice(run),
        "enough_seeds": len(run.seeds) >= SEEDS_FOR_INTERVAL,
        "checks": checks,
        "checks_verdict": verdict(checks, run.reference),
        "limits": limits,
        "noise_recorded": any(recorded(metrics, NOISE_SCALE) for metrics in run.metrics.values()),
        "outcomes": outcomes_sentence(run),
        "settings": [(group, list(flatten(fields).items())) for group, fields in to_dict(run.config).items()],
        "provenance": list(flatten(rest).items()),
        "stages": [(name, flatten(value, "value")) for name, value in stages.items()],
        "command": shlex.join(map(str, words)) if words else "bench-shadows study --config=CONFIG.py",
    }


def wall_time_table(run: Run) -> Table:
    """Seconds since a run first began: those of its steps, and those lost by cause."""
    rows = [
        {
            "run": f"{condition}-seed{seed}",
            **totals,
            "goodput": 100 * totals["goodput"],
            **{cause: totals["lost_seconds"].get(cause) for cause in CAUSES},
        }
        for (condition, seed), totals in sorted(run.wall_time.items())
    ]
    columns = (
        Column("run", "Run", text=True),
        Column("wall_seconds", "seconds in all", 1),
        Column("productive_seconds", "steps that count", 1),
        Column("goodput", "goodput, %", 1),
        *(Column(cause, heading, 1) for cause, heading in CAUSES.items()),
    )
    return Table("wall_time", columns, tuple(rows))
