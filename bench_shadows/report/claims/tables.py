"""Tables as arrays for the claims: [condition, seed, module, layer], NaN where a matrix has no value."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bench_shadows.report.claims.verdict import NotMeasuredError
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import by_seed, fraction_label

LEAST_FITTED = 0.5  # a seed of which a condition has fewer matrices with a value than this share does not count


@dataclasses.dataclass(frozen=True)
class Matrices:
    """A value of every matrix at one point of the run, for several conditions and the seeds that all have."""

    values: np.ndarray  # float64 [condition, seed, module, layer], NaN for missing
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]
    modules: tuple[str, ...]

    def __getitem__(self, condition: str) -> np.ndarray:
        """One condition: float64 [seed, module, layer]."""
        return self.values[self.conditions.index(condition)]

    def of(self, prefix: str) -> "Matrices":
        """The modules whose name begins with `prefix`; raises NotMeasuredError if there is none."""
        keep = [index for index, name in enumerate(self.modules) if name.startswith(prefix)]
        if not keep:
            raise NotMeasuredError(f"No matrix of {prefix} was analysed.")
        return dataclasses.replace(
            self, values=self.values[:, :, keep], modules=tuple(self.modules[i] for i in keep)
        )

    def by_seed(self, values: np.ndarray) -> dict[int, float]:
        """seed -> value, from an array [seed]."""
        return {seed: float(value) for seed, value in zip(self.seeds, values, strict=True)}


def matrices(
    run: Run, frame: Frame, value: str, conditions: Sequence[str], fraction: float, table: str = "diagnostics"
) -> Matrices:
    """`value` of every matrix at a fraction of the run. `frame` holds the rows of one component or reference.

    Raises NotMeasuredError where the table is empty, the fraction was not analysed, or a condition is not there.
    """
    here = at_fraction(run, frame, fraction, table)
    present = here.values("condition")
    if absent := [name for name in conditions if name not in present]:
        raise NotMeasuredError(
            f"{table}.parquet has no condition {' and '.join(absent)} at {fraction_label(fraction)} of the run."
        )
    axes = [np.unique(here[name], return_inverse=True) for name in ("condition", "seed", "module", "layer")]
    known, every_seed, modules, _ = (keys for keys, _ in axes)
    full = np.full([len(keys) for keys, _ in axes], np.nan)
    full[tuple(places for _, places in axes)] = here[value]
    full = full[[known.tolist().index(name) for name in conditions]]
    # A seed counts where every condition has at least half of the matrices.
    kept = (np.isfinite(full).mean(axis=(2, 3)) >= LEAST_FITTED).all(axis=0)
    return Matrices(full[:, kept], tuple(conditions), tuple(every_seed[kept].astype(int).tolist()), tuple(modules))


def at_fraction(run: Run, frame: Frame, fraction: float, table: str) -> Frame:
    """The rows of one analysed fraction; raises NotMeasuredError where there are none."""
    if not len(frame):
        raise NotMeasuredError(f"{table}.parquet is not there or has nothing for it.")
    near = [step for there, step in run.points if abs(there - fraction) < 1e-6]
    here = frame.where(step=near[0]) if near else Frame({})
    if not len(here):
        raise NotMeasuredError(f"{table}.parquet has nothing at {fraction_label(fraction)} of the run.")
    return here


def require_depth(found: Matrices, what: str) -> None:
    """Raises NotMeasuredError for a model too shallow for a profile over its layers."""
    if (layers := found.values.shape[3]) < 4:
        raise NotMeasuredError(f"{what} over depth needs 4 layers at least; the model has {layers}.")


def upper(layers: int) -> slice:
    """The upper layers: the last third of the depth, two at least."""
    return slice(layers - max(2, round(layers / 3)), layers)


def score(here: Frame, condition: str, suite: str, task: str, metric: str, scale: float = 1.0) -> dict[int, float]:
    """seed -> a result at one point of the run, times `scale`; raises NotMeasuredError where there is none."""
    found = by_seed(here.where(condition=condition, suite=suite, task=task, metric=metric), "value", scale)
    if not found:
        raise NotMeasuredError(
            f"evaluation.parquet has no {metric} of {suite}, {task}, for condition {condition}."
        )
    return found


def average(parts: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean of several values, seed by seed, over the seeds that all have."""
    seeds = sorted(set.intersection(*(set(part) for part in parts)))
    return {seed: float(np.mean([part[seed] for part in parts])) for seed in seeds}
