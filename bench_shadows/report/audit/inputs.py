"""What an audit's page is made of: the files of its folder, read once, with a note for what is not there."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.errors import RunError
from bench_shadows.files import read_json
from bench_shadows.report.audit.scores import Score, read_scores
from bench_shadows.report.common.frame import Frame, read_frame
from bench_shadows.report.common.run import SPECTRUM

MATRIX = ("model", "component", "module", "layer", "tensor")
NORMS = ("alpha_hat", "frobenius_norm", "spectral_norm")
DIAGNOSTICS = (*MATRIX, "rows", "columns", *SPECTRUM, *NORMS, "status")
MOVED = (
    *("relative_change", "correlation", "mean_change", "change_variance", "scale", "update_sparsity"),
    *("update_rank", "subspace_overlap", "delta_effective_rank", "delta_alpha"),
)
CHANGES = (*MATRIX, "reference", *MOVED, "status")
COMPONENTS = ("decoder", "encoder", "vision", "projector")
TOWER = 8  # matrices of one model below which a component has no figures of its own


@dataclasses.dataclass(frozen=True)
class Audit:
    """All that an audit's page shows. Empty frames and tuples stand for what is not there; `notes` says which."""

    about: Mapping[str, Any]
    """audit.json."""
    diagnostics: Frame
    """With `plain` (the module without an expert's number) and `rank_share`, effective rank over full rank."""
    changes: Frame
    """With `plain`, `pair` (model, reference) and `rank_percent`, delta effective rank over effective rank."""
    findings: tuple[Mapping[str, Any], ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...]

    @property
    def models(self) -> tuple[Mapping[str, Any], ...]:
        """The audited models as audit.json describes them."""
        return tuple(model for model in self.about.get("models") or () if isinstance(model, Mapping))

    @property
    def names(self) -> list[str]:
        """The models in the order they were named; those with matrices only after those that are described."""
        named = [str(model.get("name")) for model in self.models]
        return named + [name for name in self.diagnostics.values("model") if name not in named]

    @property
    def subjects(self) -> list[str]:
        """The models that the audit is about: neither updates of adapters nor bases of others alone."""
        aside = {str(model.get("name")) for model in self.models if model.get("role") == "update"}
        bases = {base for _, base in self.pairs} - {model for model, _ in self.pairs}
        return [name for name in self.names if name not in aside | bases] or self.names

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(model, reference) of everything that was compared, in the order of the models."""
        found = {(str(model), str(base)) for model, base in self.changes["pair"]}
        return sorted(found, key=lambda pair: (self.names.index(pair[0]) if pair[0] in self.names else 0, pair))

    @property
    def components(self) -> list[str]:
        """Components with matrices, the decoder first."""
        found = self.diagnostics.values("component")
        return [name for name in COMPONENTS if name in found] + [name for name in found if name not in COMPONENTS]

    @property
    def towers(self) -> list[str]:
        """Components with matrices enough for a figure; all where none has."""
        frame = self.diagnostics
        large = [
            name
            for name in self.components
            if max(len(frame.where(component=name, model=model)) for model in self.names) >= TOWER
        ]
        return large or self.components

    @property
    def main(self) -> str:
        """The component that speaks for the models: the decoder where there is one."""
        return self.components[0] if self.components else COMPONENTS[0]

    def of_kind(self, kind: str, **equal: Any) -> list[Mapping[str, Any]]:
        """The findings of a kind whose fields have these values."""
        chosen = [finding for finding in self.findings if finding.get("kind") == kind]
        return [finding for finding in chosen if all(finding.get(key) == value for key, value in equal.items())]


def read_audit(folder: Path) -> Audit:
    """Reads an audit's folder. audit.json and diagnostics.parquet must be there; what else is missing is a note.

    Raises RunError for a folder that holds no audit and for unreadable files, DataError for scores that are wrong.
    """
    notes: list[str] = []
    about = _json(folder / "audit.json", Mapping)
    if about is None:
        raise RunError(
            f"{folder}: no audit.json in it; expected the folder that `bench-shadows audit --out` wrote"
        )
    if not (folder / "diagnostics.parquet").is_file():
        raise RunError(f"{folder}: no diagnostics.parquet in it; run the audit again, it goes on where it stopped")
    findings = _json(folder / "findings.json", list)
    if findings is None:
        notes.append("findings.json is not there: depth of modification, inertness and anomalies are not named.")
    diagnostics = _with_plain(read_frame(folder / "diagnostics.parquet", DIAGNOSTICS))
    full = np.minimum(diagnostics["rows"], diagnostics["columns"])
    ranked = {**diagnostics.columns, "rank_share": diagnostics["effective_rank"] / full}
    changes = Frame({name: np.zeros(0) for name in CHANGES})
    if (folder / "changes.parquet").is_file():
        changes = read_frame(folder / "changes.parquet", CHANGES)
    scores = next((path for path in sorted(folder.glob("scores.*")) if path.is_file()), None)
    return Audit(
        about=about,
        diagnostics=Frame(ranked),
        changes=_with_pairs(_with_plain(changes), diagnostics),
        findings=tuple(finding for finding in findings or () if isinstance(finding, Mapping)),
        scores=tuple(read_scores(scores)) if scores else (),
        notes=tuple(notes),
    )


def plain(module: str) -> str:
    """A module's name without the number of an expert: `mlp.experts.7.up_proj` -> `mlp.experts.up_proj`."""
    return re.sub(r"(?<=\.)\d+\.", "", module)


def _json(path: Path, kind: Any) -> Any:
    """A JSON file of a kind, None where it is not there."""
    if not path.is_file():
        return None
    try:
        value = read_json(path)
    except (ValueError, OSError) as error:
        raise RunError(f"{path}: not readable as JSON ({error}); remove it and run the audit again") from error
    if not isinstance(value, kind):
        raise RunError(f"{path}: expected {'an object' if kind is Mapping else 'a list'}; run the audit again")
    return value


def _with_plain(frame: Frame) -> Frame:
    return Frame({**frame.columns, "plain": np.array([plain(name) for name in frame["module"]], dtype=object)})


def _with_pairs(changes: Frame, diagnostics: Frame) -> Frame:
    """Changes with their pair, and delta effective rank in percent of the model's effective rank."""
    names = ("model", "component", "module", "layer", "tensor")
    ranks = dict(zip(_rows(diagnostics, names), diagnostics["effective_rank"], strict=True))
    own = np.array([ranks.get(row, np.nan) for row in _rows(changes, names)], dtype=float)
    pairs = np.empty(len(changes), dtype=object)
    pairs[:] = _rows(changes, ("model", "reference"))
    percent = 100 * changes["delta_effective_rank"].astype(float) / np.where(own > 0, own, np.nan)
    return Frame({**changes.columns, "pair": pairs, "rank_percent": percent})


def _rows(frame: Frame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows as tuples that can be compared: a missing number is None."""
    columns = [[None if value != value else value for value in frame[name].tolist()] for name in names]
    return list(zip(*columns, strict=True))


def share(frame: Frame) -> float | None:
    """Percent of the fitted matrices with alpha in [2, 6]; None where nothing is fitted."""
    known = frame["in_range"][np.isfinite(frame["in_range"])]
    return 100 * float(known.mean()) if len(known) else None


def median(values: np.ndarray) -> float | None:
    """Median of the finite values, None without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
