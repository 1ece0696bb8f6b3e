"""What the conditions of a study of prompts read: data/samples.parquet, counted by task, with examples."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench_shadows.errors import RunError
from bench_shadows.report.common.run import Run, read_run

COLUMNS = ("split", "id", "group", "task", "baseline", "deduplicated", "answer")
_AGAIN = "remove it and run `bench-shadows prepare` again"
_LENGTH = 2_000  # characters of an example


@dataclasses.dataclass(frozen=True)
class Example:
    """A training sample whose prompt was repeated: what stands before its answer in both conditions."""

    id: str
    task: str
    """GROUP/TASK."""
    baseline: str
    deduplicated: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Samples:
    """All of samples.parquet that a report shows; empty where the file is not there."""

    counts: Mapping[tuple[str, str], tuple[int, int]] = dataclasses.field(default_factory=dict)
    """(split, GROUP/TASK) -> (samples, those whose two texts differ)."""
    examples: tuple[Example, ...] = ()
    """The first one of every task."""

    def count(self, split: str) -> tuple[int, int]:
        """(samples, those whose two texts differ) of a split."""
        found = [pair for (name, _), pair in self.counts.items() if name == split]
        return sum(pair[0] for pair in found), sum(pair[1] for pair in found)


@dataclasses.dataclass(frozen=True)
class PromptRun(Run):
    """A study of prompts as its page shows it: a run, and the samples that it reads."""

    samples: Samples = dataclasses.field(default_factory=Samples)


def read_prompt_run(folder: Path) -> PromptRun:
    """Reads the run folder of a study of prompts; what is missing becomes a note, as in `read_run`.

    Raises RunError for a folder that is no run, and for a file that is there and cannot be read or lacks columns.
    """
    run = read_run(folder)
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    notes, samples = list(run.notes), Samples()
    if not run.duplicates:
        notes.append("data/duplicates.json is not there: how often prompts were repeated is unknown.")
    if (path := folder / "data" / "samples.parquet").is_file():
        samples = read_samples(path)
    else:
        notes.append("data/samples.parquet is not there: samples are not counted and none is shown.")
    return PromptRun(**fields | {"notes": tuple(notes)}, samples=samples)


def read_samples(path: Path) -> Samples:
    """Counts and examples of samples.parquet, a block of rows in memory at a time.

    Raises RunError for a file that cannot be read or lacks one of `COLUMNS`.
    """
    counts: Counter[tuple[str, str, bool]] = Counter()
    examples: dict[str, Example] = {}
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise RunError(f"{path}: lacks the columns {', '.join(missing)}; {_AGAIN}")
            for block in file.iter_batches(columns=list(COLUMNS)):
                _add(block, counts, examples)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
    pairs = {
        (split, task): (counts[split, task, True] + counts[split, task, False], counts[split, task, True])
        for split, task, _ in counts
    }
    return Samples(pairs, tuple(examples[task] for task in sorted(examples)))


def _add(block: pa.RecordBatch, counts: Counter[tuple[str, str, bool]], examples: dict[str, Example]) -> None:
    """Counts a block's samples and takes the first example of every task that has none yet."""
    differs = pc.not_equal(block["baseline"], block["deduplicated"]).to_pylist()
    splits, groups, tasks = (block[name].to_pylist() for name in ("split", "group", "task"))
    names = [f"{group}/{task}" for group, task in zip(groups, tasks, strict=True)]
    counts.update(zip(splits, names, differs, strict=True))
    for at, task in enumerate(names):
        if differs[at] and splits[at] == "train" and task not in examples:
            [row] = block.slice(at, 1).to_pylist()
            texts = {name: str(row[name])[:_LENGTH] for name in ("baseline", "deduplicated", "answer")}
            examples[task] = Example(id=str(row["id"]), task=task, **texts)
