"""A sweep: one study for every value of a field, what is equal shared between them, and a page that compares them.

    OUT/sweep.json                          what is varied, and which folder has which value
    OUT/conditions.repetition_factor=2/     a study, complete and resumable by itself
    OUT/conditions.repetition_factor=5/ ...
    OUT/report/index.html                   the effect against the value, relative to condition A

Every field is varied alone, the others stay as the config has them. A run whose rows, plan, model and optimisation
are those of a finished sibling's is not trained again: its checkpoints are linked. So condition A is trained once
in a sweep of the repetition factor; in a sweep of the phase, whose rows differ, it is trained for every value. Of
a study of prompts `baseline` is trained once in a sweep of the removal threshold, which changes the cleaned alone.
"""

import dataclasses
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_shadows.config import Config, determined
from bench_shadows.config_file import load
from bench_shadows.declared import Determines
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import atomic_path, exclusive, make_folder, write_json
from bench_shadows.progress import duration, say
from bench_shadows.report.sweep.page import FILE, write_sweep
from bench_shadows.study import Study
from bench_shadows.training.fingerprint import run_fingerprint

READ = "corpus/parts"
"""Of RUN/data: the sources as they were read, before anything was removed or drawn."""
REPLIES = "rewritten"
"""Of RUN/data: what the teacher behind an endpoint replied."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a varied field (or of several that go together) and the study that belongs to it."""

    values: tuple[tuple[str, str], ...]
    """(field, text) as on the command line."""
    config: Config
    folder: str

    @property
    def label(self) -> str:
        """The values as the page shows them."""
        return ", ".join(text for _, text in self.values)


@dataclasses.dataclass(frozen=True)
class Curve:
    """What one --vary asks for."""

    fields: tuple[str, ...]
    points: tuple[Point, ...]


def run_sweep(
    path: Path, overrides: Mapping[str, str], varied: Sequence[str], out: Path, command: Sequence[str]
) -> Path:
    """Runs (or goes on with) the studies of a sweep, one after the other; returns the page that compares them.

    Args:
      path: the config file; overrides: dotted field -> text, for every study.
      varied: `FIELD=VALUE,VALUE,...`, or `FIELD:FIELD=VALUE:VALUE,...` for fields that change together.
      out: the sweep's folder.
      command: as it was given, for the record.
    Raises:
      ConfigError: before anything starts, for a field, a value or a combination that cannot be.
      RunError: `out` is something else than a sweep's folder, or a study in it was made from another config.
    """
    curves = plan_sweep(path, overrides, varied)
    _claim(out)
    with exclusive(out / ".sweep.lock", f"a sweep in {out}"):
        write_json(out / FILE, _description(curves, command))
        points = {point.folder: point for curve in curves for point in curve.points}
        began = time.monotonic()
        studies: list[Study] = []
        for number, (folder, point) in enumerate(points.items(), start=1):
            say(f"sweep: study {number} of {len(points)}, {folder}")
            own = [f"--config.{name}={text}" for name, text in {**overrides, **dict(point.values)}.items()]
            words = ["bench-shadows", "study", f"--config={path}", *own, f"--out={out / folder}"]
            study = Study(point.config, out / folder, words)
            _run(study, studies)
            studies.append(study)
            page = write_sweep(out)
        say(f"sweep: complete, {duration(time.monotonic() - began)} in this call; the page: {page}")
    return page


def plan_sweep(path: Path, overrides: Mapping[str, str], varied: Sequence[str]) -> list[Curve]:
    """The curves and points of a sweep, every config checked; equal configs share one folder."""
    if not varied:
        raise ConfigError(
            "sweep: nothing is varied; name a field and its values: --vary=conditions.phase=0.25,0.5"
        )
    folders: dict[Config, str] = {}
    curves = []
    for text in varied:
        fields, rows = _parse(text)
        points = []
        for row in rows:
            values = tuple(zip(fields, row, strict=True))
            config = load(path, {**overrides, **dict(values)})
            name = re.sub(r"[^\w.=,+-]+", "_", ",".join(f"{field}={value}" for field, value in values))
            if config not in folders and name in folders.values():
                raise ConfigError(f"--vary={text}: two values would lie in the folder {name}")
            points.append(Point(values, config, folders.setdefault(config, name)))
        if len({point.config for point in points}) < len(points):
            raise ConfigError(f"--vary={text}: names a value twice")
        curves.append(Curve(fields, tuple(points)))
    return curves


def _parse(text: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """`a=1,2` -> (a,), [(1,), (2,)]; `a:b=1:x,2:y` -> (a, b), [(1, x), (2, y)]."""
    name, equals, values = text.partition("=")
    fields = tuple(field.strip() for field in name.split(":"))
    limit = len(fields) - 1  # a single field's values may hold a colon
    rows = [tuple(part.strip() for part in value.split(":", limit)) for value in values.split(",")]
    whole = all(len(row) == len(fields) and all(row) for row in rows)
    if not (equals and all(fields) and whole and len(set(fields)) == len(fields)):
        raise ConfigError(
            f"--vary={text}: expected FIELD=VALUE,VALUE,... or FIELD:FIELD=VALUE:VALUE,VALUE:VALUE,..., as in "
            "--vary=conditions.repetition_factor:conditions.repetition_share=5:0.2,10:0.1"
        )
    return fields, rows


def _claim(out: Path) -> None:
    make_folder(out)
    if (out / "config.json").exists():
        raise RunError(f"{out} is a run's folder; name another one for the sweep with --out")
    if out.exists() and not (out / FILE).exists() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise RunError(f"{out} is not empty and no sweep's folder; name another one with --out")


def _description(curves: Sequence[Curve], command: Sequence[str]) -> dict[str, Any]:
    return {
        "version": 1,
        "command": list(command),
        "curves": [
            {
                "fields": list(curve.fields),
                "points": [{"label": point.label, "folder": point.folder} for point in curve.points],
            }
            for curve in curves
        ],
    }


def _run(study: Study, finished: Sequence[Study]) -> None:
    """One study with what its finished siblings have of it already."""
    _share_data(study, finished)
    study.prepare()
    _share_runs(study, finished)
    study.train()
    study.diagnose()
    study.evaluate()
    study.report()


# ---- what is equal is shared


def _share_data(study: Study, finished: Sequence[Study]) -> None:
    """Links what the prepare stage would make again from the same sources in the same way.

    A sibling's prepare stage was held against its sources in this same call: what it made is of their content.
    """
    data = study.folder / "data"
    if data.exists():
        return
    found: dict[str, Path] = {}  # what is used again -> the data of the newest sibling that has it
    for other in finished:
        for name in _reusable(study.config, other.config):
            if (other.folder / "data" / name).exists():
                found[name] = other.folder / "data"
    if not found:
        return
    with atomic_path(data) as temporary:
        for name, there in found.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if name == REPLIES else _link  # replies are added to: no link
            copy(there / name, temporary / name)
    for there in dict.fromkeys(found.values()):
        names = [name for name in found if found[name] == there]
        say(f"sweep: of {there.parent.name} are used again: {', '.join(names)}")


def _reusable(mine: Config, other: Config) -> Iterator[str]:
    """What of RUN/data two studies have in common: documents as they were read, a teacher's replies, rows."""

    def same(what: Determines) -> bool:
        return determined(mine, what) == determined(other, what)

    if same(Determines.DOCUMENTS):
        yield READ
    if mine.data.rewriter == other.data.rewriter == "endpoint":
        yield REPLIES  # in folders by the teacher's settings: they cannot be taken for another's
    if same(Determines.DOCUMENTS | Determines.ROWS):
        yield from mine.kind.follows_from_rows


def _share_runs(study: Study, finished: Sequence[Study]) -> None:
    """Links every run that a sibling has trained from the same rows, plan, model and optimisation.

    The train stage holds each checkpoint against what it must be made from, as in any folder that it goes on with.
    """
    for name, key in _runs(study):
        for other in finished if not (study.folder / "runs" / name).exists() else ():
            if dict(_runs(other)).get(name) == key:
                with atomic_path(study.folder / "runs" / name) as temporary:
                    shutil.copytree(other.folder / "runs" / name, temporary, copy_function=_link_checkpoint)
                say(f"sweep: {name} is that of {other.folder.name}, not trained again")
                break


def _runs(study: Study) -> Iterator[tuple[str, dict[str, Any]]]:
    """(run, what it is a function of) for every condition and seed of a prepared study."""
    for seed in study.config.conditions.seeds:
        for condition in study.config.conditions.names:
            yield f"{condition}-seed{seed}", run_fingerprint(study.config, condition, seed, study.folder / "data")


def _link_checkpoint(source: str, target: str) -> None:
    """Checkpoints are never written to again and may be large: linked. Logs and tables are copied."""
    if f"{os.sep}checkpoints{os.sep}" in source:
        _link(Path(source), Path(target))
    else:
        shutil.copy2(source, target)


def _link(source: Path, target: Path) -> None:
    """A hard link to a file, or a folder of them; a copy where the file system has no links."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=lambda one, other: _link(Path(one), Path(other)))
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
