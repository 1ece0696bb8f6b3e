"""What the analysed checkpoints of a run folder give: the rows of its three tables.

The rows of one checkpoint are kept beside its run as soon as they are known, with the hash of what they were made
from, so that a killed stage goes on with the next checkpoint.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from etils import epath

from bench_shadows import __version__
from bench_shadows.config import Config
from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.weights.weights import Weights, open_weights
from bench_shadows.evaluation.shadow import shadow_rows
from bench_shadows.evaluation.table import SCHEMA, Row
from bench_shadows.files import hash_file, hash_json
from bench_shadows.progress import Progress
from bench_shadows.training.checkpoints.checkpoints import checkpoint_folder, restore_params, sound_digest
from bench_shadows.training.compile.compile_cache import use_compile_cache

SCHEMAS = {
    "diagnostics": analyse.DIAGNOSTICS_SCHEMA,
    "changes": analyse.CHANGES_SCHEMA,
    "evaluation": SCHEMA,
}


class Point(NamedTuple):
    """One analysed checkpoint: the initial weights (step 0) or a fraction of a run."""

    condition: str
    seed: int
    step: int
    fraction: float

    @property
    def model(self) -> str:
        """The run, as its folder is called."""
        return f"{self.condition}-seed{self.seed}"


class Analysis:
    """The analysed checkpoints of a run folder. Raises RunError for one that is missing or damaged."""

    def __init__(self, config: Config, folder: Path):
        use_compile_cache()
        self.config, self.folder = config, folder
        fractions = (0.0, *config.diagnostics.fractions)
        steps = (0, *config.analysed_steps)
        # In this order the reference condition comes first: the others of the same seed are measured from it.
        self.points = [
            Point(condition, seed, step, fraction)
            for seed in config.conditions.seeds
            for condition in sorted(config.conditions.names)
            for step, fraction in zip(steps, fractions, strict=True)
        ]
        self.digests = {point: sound_digest(self._checkpoints(point), point.step) for point in self.points}

    def made_from(self, stage: str) -> str:
        """Hash of everything that the tables of `diagnose` or `evaluate` depend on."""
        parts: list[Any] = [[point.model, point.step, digest] for point, digest in self.digests.items()]
        return hash_json([parts, self._precision if stage == "diagnose" else self._evaluation_inputs()])

    def diagnose(self) -> dict[str, str]:
        """Writes diagnostics.parquet and changes.parquet; returns their hashes."""
        diagnostics: dict[Point, list[Row]] = {}
        changes: list[Row] = []
        with Progress("diagnose", len(self.points), "checkpoints") as progress:
            for point in self.points:
                made_from = [self.digests[point], self._precision]
                diagnostics[point] = self._once(point, "diagnostics", made_from, partial(self._diagnosis, point))
                references = dict(self._references(point))
                made_from += [f"{name} {self.digests[other]}" for name, other in references.items()]
                changes += self._once(
                    point, "changes", made_from, partial(self._changes, point, references, diagnostics)
                )
                progress.add()
        rows = list(itertools.chain.from_iterable(diagnostics.values()))
        return self._write("diagnostics", rows) | self._write("changes", changes)

    def evaluate(self) -> dict[str, str]:
        """Writes evaluation.parquet; returns its hash."""
        suites = self.config.kind.suites(self.config, self.folder)

        def compute(point: Point) -> Iterator[Row]:
            identity = {"model": point.model, "condition": point.condition, "seed": point.seed, "step": point.step}
            params = restore_params(self._checkpoints(point), point.step)
            for row in suites.rows(params, last=point.step == self.config.steps):
                yield identity | row

        table: list[Row] = []
        inputs = self._evaluation_inputs()
        with Progress("evaluate", len(self.points), "checkpoints") as progress:
            for point in self.points:
                table += self._once(point, "evaluation", [self.digests[point], inputs], partial(compute, point))
                progress.add()
        return self._write("evaluation", [*table, *shadow_rows(table)])

    @property
    def _precision(self) -> Any:
        return self.config.diagnostics.precision

    def _evaluation_inputs(self) -> list[Any]:
        return self.config.kind.evaluation_inputs(self.config, self.folder / "data")

    def _checkpoints(self, point: Point) -> epath.Path:
        return checkpoint_folder(self.config, self.folder / "runs" / point.model)

    def _weights(self, point: Point) -> Weights:
        return open_weights(str(self._checkpoints(point) / str(point.step) / "params"))

    def _references(self, point: Point) -> Iterator[tuple[str, Point]]:
        """What a checkpoint's changes are measured from: its first weights, those before, the reference."""
        if point.step:
            own = [other for other in self.points if other.model == point.model and other.step < point.step]
            yield "init", own[0]
            yield "previous", own[-1]
            name = self.config.kind.conditions[0]
            baseline = point._replace(condition=name)
            if baseline != point and baseline in self.digests:
                yield name, baseline

    def _diagnosis(self, point: Point) -> list[Row]:
        return analyse.diagnose(self._weights(point), _identity(point), self._precision)

    def _changes(
        self, point: Point, references: dict[str, Point], diagnostics: dict[Point, list[Row]]
    ) -> Iterator[Row]:
        weights = self._weights(point)
        for name, other in references.items():
            yield from analyse.compare(
                weights, diagnostics[point], self._weights(other), diagnostics[other], name, _identity(point)
            )

    def _once(
        self, point: Point, table: str, made_from: list[Any], compute: Callable[[], Iterable[Row]]
    ) -> list[Row]:
        """The rows of one checkpoint: those kept beside the run if made from the same, else computed and kept."""
        path = self.folder / "runs" / point.model / "tables" / f"{table}-{point.step}.parquet"
        key, digest = b"made_from", hash_json([__version__, SCHEMAS[table].names, *made_from]).encode()
        if path.is_file() and (kept := pq.read_table(path)).schema.metadata.get(key) == digest:
            return kept.to_pylist()
        rows = list(compute())
        analyse.write_table(path, rows, SCHEMAS[table].with_metadata({key: digest}))
        return rows

    def _write(self, table: str, rows: list[Row]) -> dict[str, str]:
        path = self.folder / f"{table}.parquet"
        analyse.write_table(path, rows, SCHEMAS[table])
        return {path.name: hash_file(path)}


def _identity(point: Point) -> analyse.Identity:
    return analyse.Identity(point.model, point.condition, point.seed, point.step, point.fraction)
