"""What one look of a monitor found, and what all matrices come to at that step, as values that writers take."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from bench_shadows.diagnostics.modification import plain
from bench_shadows.diagnostics.signatures import Finding, Row, Signature
from bench_shadows.paper import IN_RANGE

SPECTRAL = ("alpha", "sigma", "ks_distance", "x_min_over_mean", "spikes", "effective_rank", "stable_rank")
CHANGES = ("relative_change", "change_variance")
SIGNATURES: tuple[str, ...] = get_args(Signature)


@dataclass(frozen=True)
class Aggregates:
    """Over the newest reading of every matrix that was looked at so far, not only those of one look."""

    matrices: int
    """That have an alpha."""
    share_in_range: float
    """Of them with alpha in [2, 6]."""
    median_alpha: Mapping[str, float]
    """By module, with the component in front where that is not the decoder."""
    worst: str
    """The matrix whose alpha is farthest outside of [2, 6], or nearest to its ends where none is outside."""
    worst_alpha: float


def aggregates(newest: Iterable[Row]) -> Aggregates | None:
    """Aggregates of the newest reading of each matrix; None where none has an alpha."""
    known = [row for row in newest if row["alpha"] is not None]
    if not known:
        return None
    modules: dict[str, list[float]] = {}
    for row in known:
        modules.setdefault(plain(_module(row)), []).append(row["alpha"])
    worst = max(known, key=lambda row: max(IN_RANGE[0] - row["alpha"], row["alpha"] - IN_RANGE[1]))
    return Aggregates(
        matrices=len(known),
        share_in_range=sum(bool(row["in_range"]) for row in known) / len(known),
        median_alpha={module: float(np.median(values)) for module, values in sorted(modules.items())},
        worst=name_of(worst),
        worst_alpha=worst["alpha"],
    )


def name_of(row: Row) -> str:
    """`self_attn.v_proj.3`, and with its component in front where that is not the decoder."""
    return f"{_module(row)}{'' if row['layer'] is None else '.' + str(row['layer'])}"


def _module(row: Row) -> str:
    return row["module"] if row["component"] == "decoder" else f"{row['component']}.{row['module']}"


@dataclass(frozen=True)
class Look:
    """What one look found. It is delivered some steps late, and says itself which step it belongs to."""

    step: int
    matrices: tuple[Row, ...]
    """A row for each matrix: its name and shape, the columns of diagnostics.parquet in `SPECTRAL`, `in_range` and
    `status`, and the columns of changes.parquet in `CHANGES`, measured from step `since`. What is not known is
    None."""
    warnings: tuple[Finding, ...] = ()
    """The signatures that the run shows at this step."""
    aggregates: Aggregates | None = None
    """Over all matrices that were looked at up to this step."""

    def scalars(self) -> dict[str, float]:
        """Known values by name, as metrics writers take them.

        Of each matrix `monitor/alpha/self_attn.v_proj.3` and its like (`monitor/alpha/vision.self_attn.v_proj.3`
        outside of the decoder); of all of them `monitor/share_in_range`, `monitor/median_alpha/self_attn.v_proj`
        and `monitor/worst_alpha`; and `monitor/warning/support_collapse` and its like, 1 where the run shows the
        signature at this step and 0 where it does not.
        """
        values: dict[str, float] = {}
        if (seen := self.aggregates) is not None:
            values |= {"monitor/share_in_range": seen.share_in_range, "monitor/worst_alpha": seen.worst_alpha}
            values |= {f"monitor/median_alpha/{module}": alpha for module, alpha in seen.median_alpha.items()}
        shown = {finding.signature for finding in self.warnings}
        values |= {f"monitor/warning/{_identifier(name)}": float(name in shown) for name in SIGNATURES}
        return values | {
            f"monitor/{name}/{name_of(row)}": row[name]
            for name in (*SPECTRAL, *CHANGES)
            for row in self.matrices
            if row[name] is not None and math.isfinite(row[name])
        }

    def texts(self) -> dict[str, str]:
        """Sentences by name: the warnings, and which matrix is the worst."""
        values = {f"monitor/warning/{_identifier(one.signature)}": one.text for one in self.warnings}
        if self.aggregates is not None:
            values["monitor/worst"] = f"{self.aggregates.worst}: alpha {self.aggregates.worst_alpha:.2f}"
        return values

    def as_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Look":
        """The look that `as_json` gave."""
        seen = value.get("aggregates")
        return cls(
            value["step"],
            tuple(value["matrices"]),
            tuple(Finding(**item) for item in value["warnings"]),
            None if seen is None else Aggregates(**seen),
        )


def _identifier(signature: str) -> str:
    return re.sub(r"\W", "_", signature)
