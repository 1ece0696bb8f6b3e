"""What a report is made of: the files of a run folder, read once, with a note for everything that is not there."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench_shadows import json_lines
from bench_shadows.config import Config
from bench_shadows.config_file import from_dict
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import read_json
from bench_shadows.paper import MODULES
from bench_shadows.report.common.frame import Frame, read_frame

KEYS = ("model", "condition", "seed", "step")
MATRIX = (*KEYS, "component", "module", "layer", "tensor", "status")
SPECTRUM = ("alpha", "sigma", "x_min", "x_min_over_mean", "spikes", "effective_rank", "in_range")
DIAGNOSTICS = (*MATRIX, *SPECTRUM)
CHANGES = (*MATRIX, "reference", "relative_change", "correlation", "change_variance", "delta_effective_rank")
EVALUATION = (*KEYS, "suite", "task", "metric", "value", "count")
MONITOR = ("alpha", "effective_rank", "relative_change", "rows", "columns")

Key = tuple[str, int]
"""Condition and seed of one training run."""
Line = TypeVar("Line")


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a report shows. Empty frames and dicts stand for files that are not there; `notes` says which."""

    name: str
    config: Config
    provenance: Mapping[str, Any]
    statistics: Mapping[str, Any]
    documents: Mapping[str, Any]
    diagnostics: Frame
    changes: Frame
    evaluation: Frame
    metrics: Mapping[Key, Mapping[str, np.ndarray]]
    """(condition, seed) -> key of metrics.jsonl -> float64 [steps], ascending in `step`."""
    monitor: Frame
    """A row for each matrix of each look of monitor.jsonl: condition, seed, step and `MONITOR`."""
    notes: tuple[str, ...]
    duplicates: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of a study of prompts: how often they were repeated, before and after, by field and by fragment."""
    wall_time: Mapping[Key, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """(condition, seed) -> the newest totals of goodput.jsonl."""

    @property
    def conditions(self) -> list[str]:
        """Conditions that anything was recorded for, the reference first."""
        found = {condition for condition, _ in self.metrics}
        for frame in (self.diagnostics, self.changes, self.evaluation):
            found.update(frame.values("condition"))
        known = self.config.kind.conditions
        return sorted(found, key=lambda name: (name not in known, name))

    @property
    def reference(self) -> str:
        """The condition that differences are measured from: A, or the samples with repeated prompts."""
        return self.config.kind.conditions[0]

    @property
    def others(self) -> list[str]:
        """The conditions that are compared with the reference."""
        return [name for name in self.conditions if name != self.reference]

    def present(self, frame: Frame) -> list[str]:
        """The conditions that a table has rows of."""
        return [name for name in self.conditions if len(frame.where(condition=name))]

    @property
    def points(self) -> list[tuple[float, int]]:
        """(fraction, step) of the analysed points of a run."""
        return list(zip(self.config.diagnostics.fractions, self.config.analysed_steps, strict=True))

    @property
    def phase_shift(self) -> int | None:
        """The step at which C and D go over to A's data; None where no condition changes its data."""
        return self.config.kind.phase_shift(self.config)

    @property
    def seeds(self) -> list[int]:
        """Seeds that anything was recorded for."""
        found = {seed for _, seed in self.metrics}
        for frame in (self.diagnostics, self.evaluation):
            found.update(int(seed) for seed in frame.values("seed"))
        return sorted(found)


def order_modules(names: Sequence[str]) -> list[str]:
    """Modules in the order of a block, unknown ones after them."""
    others = sorted(names, key=lambda name: (not name.startswith("self_attn"), name))
    return [name for name in MODULES if name in names] + [name for name in others if name not in MODULES]


def read_config(folder: Path) -> Config:
    """The settings of a run folder; raises RunError for a folder that is no run."""
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(
            f"{folder}: no config.json in it; expected the folder of a run, made by `bench-shadows study`"
        )
    try:
        return from_dict(dict(_json_object(path)))
    except ConfigError as error:
        raise RunError(f"{path}: {error}; it was written by another version: run the study again") from error


def read_run(folder: Path) -> Run:
    """Reads a run folder. Only config.json must be there; what else is missing becomes a note.

    Raises RunError for a folder that is no run, and for a file that is there and cannot be read or lacks columns.
    """
    notes: list[str] = []
    config = read_config(folder)

    def is_there(name: str, meaning: str) -> bool:
        found = (folder / name).is_file()
        if not found and meaning:
            notes.append(f"{name} is not there: {meaning}.")
        return found

    def optional(name: str, meaning: str = "") -> Mapping[str, Any]:
        return _json_object(folder / name) if is_there(name, meaning) else {}

    def table(name: str, columns: Sequence[str], meaning: str) -> Frame:
        if is_there(name, meaning):
            return read_frame(folder / name, columns)
        return Frame({column: np.zeros(0) for column in columns})

    run = Run(
        name=folder.resolve().name,
        config=config,
        provenance=optional("provenance.json", "versions, devices and hashes are unknown"),
        statistics=optional("data/statistics.json", "what each condition did to the data is unknown"),
        documents=optional("data/documents.json", "the corpus is not described"),
        duplicates=optional("data/duplicates.json"),
        diagnostics=table("diagnostics.parquet", DIAGNOSTICS, "nothing can be said about the weights"),
        changes=table("changes.parquet", CHANGES, "nothing can be said about how the weights moved"),
        evaluation=table("evaluation.parquet", EVALUATION, "nothing can be said about held-out text"),
        metrics=_read_metrics(folder / "runs", notes),
        monitor=_read_monitor(folder / "runs", notes),
        wall_time=_read_wall_time(folder / "runs"),
        notes=(),
    )
    notes.extend(_absent_runs(run))
    return dataclasses.replace(run, notes=tuple(notes))


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        value = read_json(path)
    except (ValueError, OSError) as error:
        raise RunError(f"{path}: not readable as JSON ({error}); remove it and run its stage again") from error
    if not isinstance(value, Mapping):
        raise RunError(f"{path}: expected a JSON object; remove it and run its stage again")
    return value


def _read_lines(folder: Path, name: str, parse: Callable[[Any], Line], notes: list[str]) -> dict[Key, list[Line]]:
    """(condition, seed) -> the lines of a journal that can be parsed; how many cannot be becomes a note."""
    found: dict[Key, list[Line]] = {}
    for path in sorted(folder.glob(f"*-seed*/{name}")):
        if match := re.fullmatch(r"(.+)-seed(\d+)", path.parent.name):
            lines = found[match[1], int(match[2])] = []
            broken = 0
            for _, value in json_lines.read(path):
                try:
                    lines.append(parse(value))
                except (ValueError, KeyError, TypeError):
                    broken += 1
            if broken:
                notes.append(f"{broken} unreadable line(s) of runs/{path.parent.name}/{name} were left out.")
    return found


def _read_metrics(folder: Path, notes: list[str]) -> dict[Key, dict[str, np.ndarray]]:
    """metrics.jsonl of every run; a step written twice (after a resume) counts once, the last line of it."""
    metrics = {}
    lines = _read_lines(folder, "metrics.jsonl", lambda record: (int(record["step"]), record), notes)
    for run, found in lines.items():
        if found:
            records = [record for _, record in sorted(dict(found).items())]
            names = sorted({name for record in records for name in record})
            metrics[run] = {name: np.array([_number(record.get(name)) for record in records]) for name in names}
    if not metrics:
        notes.append("No runs/*/metrics.jsonl: loss and controls over training cannot be drawn.")
    return metrics


def _read_monitor(folder: Path, notes: list[str]) -> Frame:
    """monitor.jsonl of every run; none where the monitor was off."""

    def looks(look: Any) -> list[tuple[float, ...]]:
        return [(float(look["step"]), *(_number(row[name]) for name in MONITOR)) for row in look["matrices"]]

    lines = _read_lines(folder, "monitor.jsonl", looks, notes)
    rows = [(*run, *row) for run, found in lines.items() for look in found for row in look]
    names = ("condition", "seed", "step", *MONITOR)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return Frame(
        {
            name: np.array(values, object if name == "condition" else float)
            for name, values in zip(names, columns, strict=True)
        }
    )


def _read_wall_time(folder: Path) -> dict[Key, dict[str, Any]]:
    """The last whole line of each run's goodput.jsonl: a killed process may have left half of one behind it."""

    def totals(line: Any) -> dict[str, Any]:
        numbers = {name: float(line[name]) for name in ("wall_seconds", "productive_seconds", "goodput")}
        return {**numbers, "lost_seconds": dict(line["lost_seconds"])}

    lines = _read_lines(folder, "goodput.jsonl", totals, notes=[])
    return {run: found[-1] for run, found in lines.items() if found}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _absent_runs(run: Run) -> list[str]:
    """Sentences on the conditions and runs that were asked for and left no trace, or stopped early."""
    notes = []
    asked = run.config.conditions
    absent = [name for name in asked.names if name not in run.conditions]
    if absent:
        notes.append(f"Condition {', '.join(absent)} was asked for and has no results.")
    never = [name for name in run.config.kind.conditions if name not in asked.names]
    if never:
        notes.append(f"Condition {', '.join(never)} is not part of this run.")
    if run.reference not in run.conditions:
        notes.append(
            f"Without condition {run.reference} nothing can be compared with the baseline: differences to "
            f"{run.reference} are left out."
        )
    for (condition, seed), metrics in sorted(run.metrics.items()):
        last = int(metrics["step"][-1])
        if last < run.config.steps:
            notes.append(f"Run {condition}-seed{seed} ends at step {last:,} of {run.config.steps:,}.")
    return notes
