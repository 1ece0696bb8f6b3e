"""The stages in order: prepare, train, diagnose, evaluate, report. Each goes on where it stopped.

A stage records the hash of what it was made from. What has not changed is not made again; a folder that was
made from another config is refused, never mixed. It may grow by seeds and conditions: the runs that are there stay
as they are.

With several hosts all of them train, and the first one does everything else, while the others wait.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench_shadows import __version__
from bench_shadows.config import Config, differences, may_change, to_dict
from bench_shadows.config_file import from_dict
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import (
    TEMPORARY,
    exclusive,
    hash_file,
    hash_json,
    make_folder,
    read_json,
    remove,
    write_json,
)
from bench_shadows.progress import Whole, duration, say
from bench_shadows.provenance import collect, now
from bench_shadows.training.devices.distributed import is_first_host, on_first_host

STAGES = {"prepare": 0.08, "train": 0.8, "diagnose": 0.06, "evaluate": 0.05, "report": 0.01}
"""The stages in order, and about what share of the time each takes (measured with `laptop`): for the estimate."""

Outputs = dict[str, str]  # path under the run's folder -> SHA-256


class Study:
    """One run folder and the config that it belongs to.

    Raises RunError when the folder was made from another config, naming the fields that differ.
    """

    def __init__(self, config: Config, folder: Path, command: list[str]):
        self.config, self.folder = config, folder
        on_first_host(f"opening {folder}", partial(self._open, command))

    def run(self) -> None:
        """All stages."""
        began = time.monotonic()
        with Whole(STAGES) as whole:
            for stage in STAGES:
                whole.stage(stage)
                getattr(self, stage)()
        say(f"study: complete, {duration(time.monotonic() - began)} in this call")

    def prepare(self, beam: Sequence[str] = ()) -> None:
        """Documents, tokenizer, rows, plans and statistics, under data/; by Apache Beam where it gets options."""
        if self.config.model.initial:  # before an hour of preparing for weights that do not fit
            from bench_shadows.model.pretrained import check_architecture

            check_architecture(Path(self.config.model.initial), self.config.model, self.config.data.seq_len)
        on_first_host("prepare", partial(self._stage, "prepare", partial(self._prepare, beam)))

    def report_data(self) -> None:
        """The page of the data alone, report-data/."""
        say(f"the page of the data: {self.config.kind.write_data_report(self.folder)}")

    def rewrite(self, index: int, count: int) -> None:
        """One client's part of Condition D's rewriting by an endpoint; `prepare` takes the replies up."""
        self.config.kind.rewrite(self.config, self.folder / "data", index, count)

    def train(self, condition: str | None = None, seed: int | None = None) -> None:
        """Trains the runs that are not finished: all of the config's, or those of one condition or seed.

        Raises ConfigError for a condition or a seed that the config does not name.
        """
        conditions = _chosen("condition", condition, self.config.conditions.names)
        seeds = _chosen("seed", seed, self.config.conditions.seeds)
        runs = [(condition, seed) for seed in seeds for condition in conditions]
        size = self.config.train.population
        for first in range(0, len(runs), size):
            group = runs[first : first + size]
            if Whole.current:
                Whole.current.runs(first, len(group), len(runs))
            self._train(group, group)

    def diagnose(self) -> None:
        """diagnostics.parquet and changes.parquet, from the analysed checkpoints."""
        on_first_host("diagnose", partial(self._analyse, "diagnose"))

    def evaluate(self) -> None:
        """evaluation.parquet, from the analysed checkpoints and the held-out rows."""
        on_first_host("evaluate", partial(self._analyse, "evaluate"))

    def report(self) -> None:
        """Tables, figures and the page, from the files of the folder alone."""
        on_first_host("report", lambda: self._stage("report", self._report, self._report_inputs()))
        if is_first_host():
            say(f"the page: {self.folder / 'report' / 'index.html'}")

    def _prepare(self, beam: Sequence[str]) -> Outputs:
        from bench_shadows.data.corpus.workers import LOCAL, Engine
        from bench_shadows.data.prepare import prepare

        engine: Engine = LOCAL
        if beam:
            from bench_shadows.data.corpus.beam import BeamEngine

            engine = BeamEngine(self.folder / "data", beam)
        outputs = prepare(self.config, self.folder / "data", engine)
        return {f"data/{name}": digest for name, digest in outputs.items()}

    def _train(self, group: Sequence[tuple[str, int]], stages: Sequence[tuple[str, int]]) -> None:
        """Trains a group within the stages of all its runs, one inside the other, so that all are locked."""
        from bench_shadows.training.population import train_population

        if not stages:
            train_population(self.config, group, self.folder / "data", self.folder / "runs")
            return
        (condition, seed), *others = stages

        def work() -> Outputs:
            self._train(group, others)
            return self._checkpoints(condition, seed)

        if is_first_host():
            self._stage(f"train {condition}-seed{seed}", work)
        else:
            work()

    def _checkpoints(self, condition: str, seed: int) -> Outputs:
        from bench_shadows.training.checkpoints.checkpoints import checkpoint_folder, written

        run = self.folder / "runs" / f"{condition}-seed{seed}"
        found = written(checkpoint_folder(self.config, run)) if is_first_host() else {}
        return {path.removeprefix(f"{self.folder.absolute()}/"): digest for path, digest in found.items()}

    def _analyse(self, stage: str) -> None:
        from bench_shadows.analysis import Analysis

        analysis = Analysis(self.config, self.folder)
        self._stage(stage, getattr(analysis, stage), analysis.made_from(stage))

    def _report(self) -> Outputs:
        folder = self.config.kind.write_report(self.folder).parent
        files = [self.folder / "claims.json", *(path for path in folder.rglob("*") if path.is_file())]
        return {str(path.relative_to(self.folder)): hash_file(path) for path in sorted(files)}

    def _report_inputs(self) -> str:
        files = [*self.folder.glob("*.parquet"), *self.folder.glob("data/*.json"), self.folder / "config.json"]
        files += self.folder.glob("data/samples.parquet")
        for name in ("metrics", "monitor", "goodput"):
            files += self.folder.glob(f"runs/*/{name}.jsonl")
        return hash_json([__version__, {str(path.relative_to(self.folder)): hash_file(path) for path in files}])

    def _stage(self, name: str, work: Callable[[], Outputs], made_from: str | None = None) -> None:
        """Does a stage's work and records its time and the hashes of its outputs (by path under the folder).

        It is left out where `made_from` and all outputs are as recorded. Stages without `made_from` look for
        themselves what is there to do, and their record stays where they found nothing.
        """
        with exclusive(self.folder / f".{name.replace(' ', '-')}.lock", f"{name} in {self.folder}"):
            record = self._records().get(name)
            if record and made_from and record["made_from"] == made_from and self._as_recorded(record["outputs"]):
                say(f"{name}: nothing has changed")
                return
            began = time.monotonic()
            outputs = work()
            if record and not made_from and record["outputs"] == outputs:
                say(f"{name}: nothing has changed")
                return
            seconds = round(time.monotonic() - began, 1)
            entry = {"made_from": made_from, "outputs": outputs, "seconds": seconds, "finished": now()}
            with exclusive(self.folder / ".provenance.lock", "provenance.json", wait=True):
                path = self.folder / "provenance.json"
                provenance = read_json(path)
                provenance["stages"][name] = entry
                write_json(path, provenance)

    def _records(self) -> dict[str, Any]:
        path = self.folder / "provenance.json"
        return read_json(path)["stages"] if path.exists() else {}

    def _as_recorded(self, outputs: Outputs) -> bool:
        paths = {self.folder / name: digest for name, digest in outputs.items()}
        return all(path.is_file() and hash_file(path) == digest for path, digest in paths.items())

    def _open(self, command: list[str]) -> None:
        make_folder(self.folder)
        with exclusive(self.folder / ".open.lock", f"opening {self.folder}", wait=True):
            self._claim(command)  # one after the other: a fleet's clients start together

    def _claim(self, command: list[str]) -> None:
        path, wanted = self.folder / "config.json", to_dict(self.config)
        provenance = self.folder / "provenance.json"
        if path.exists():
            try:
                before = to_dict(from_dict(read_json(path)))
            except ConfigError as error:
                raise RunError(
                    f"{self.folder} was made by another version of bench_shadows ({error}). "
                    "Name another folder with --out, or delete this one"
                ) from error
            changed = [
                f"config.{name} was {old!r}, is {new!r}"
                for name, old, new in differences(before, wanted)
                if not may_change(self.config, name, old, new)
            ]
            if changed and self._records():
                raise RunError(
                    f"{self.folder} was made from another config: {'; '.join(changed)}. "
                    "Name another folder with --out, or delete this one"
                )
            if changed:
                say(f"{self.folder}: begins anew, no stage was finished before {'; '.join(changed)}")
                for made in (self.folder / "data").glob("*"):
                    if made.name != "rewritten":  # a teacher's replies are paid for, and belong to its settings
                        remove(made)
                remove(provenance)
            if read_json(path) != wanted:
                remove(path)
        elif self.folder.exists() and any(_is_content(file) for file in self.folder.iterdir()):
            raise RunError(f"{self.folder} is not empty and no run's folder; name another one with --out")
        if not path.exists():
            write_json(path, wanted)
        if not provenance.exists():
            write_json(provenance, collect(command) | {"stages": {}})


def _is_content(path: Path) -> bool:
    return path.suffix != TEMPORARY and not path.name.startswith(".")


def _chosen(option: str, value: Any, known: tuple[Any, ...]) -> tuple[Any, ...]:
    if value not in (None, *known):
        raise ConfigError(f"--{option}={value}: no {option} of this config; it has {', '.join(map(str, known))}")
    return known if value is None else (value,)
