"""Plans: for every training position of a condition, which row it reads. Pure NumPy; a condition *is* its plan.

Rows are numbered over the concatenation [first | second | rewritten]. The first phase of A and B is a
permutation of `first` rows, that of C repeats some of A's, that of D is a permutation of `rewritten` rows;
the second phase is the same permutation of `second` rows for all of them (paper, section 4.1).
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.errors import DataError, RunError
from bench_shadows.files import atomic_path

# One independent stream of random numbers for each draw: what one condition does changes no other.
_STREAMS = {"first": 0, "second": 1, "repeat": 2, "rewritten": 3}


@dataclasses.dataclass(frozen=True)
class RowCounts:
    """Rows that a plan is made from and for."""

    first: int
    second: int
    rewritten: int
    first_phase: int
    """Training positions before the phase shift: phase_steps * batch_size."""
    second_phase: int
    """Training positions after it."""


def build_plans(
    counts: RowCounts,
    seed: int,
    repetition_factor: int = 10,
    names: Sequence[str] = ("A", "C", "D"),
    repetition_share: float | None = None,
) -> dict[str, np.ndarray]:
    """The plans of one seed: {"A": ..., "C": ..., "D": ...}; B's is A's and has no array of its own.

    Args:
      counts: rows there are and positions to fill.
      seed: of the study's run; rows kept by C, and every order, follow it.
      repetition_factor: how often Condition C shows each of the rows that it repeats. The positions that
        are left over show further rows of A's, once each.
      names: conditions wanted. Leaving one out changes nothing in the others.
      repetition_share: share of A's first-phase rows that Condition C repeats, at most 1 / repetition_factor,
        which is the default and the paper's: then nothing else is shown.
    Returns:
      uint32 (uint64 past 2^32 rows) arrays [first_phase + second_phase] of global row ids.
    Raises:
      DataError where a row set has fewer rows than its phase has positions.
    """
    check_counts(counts, names)
    total = counts.first + counts.second + counts.rewritten
    dtype = np.dtype(np.uint32 if total <= 2**32 else np.uint64)
    second = _draw(seed, "second", counts.second, counts.second_phase, counts.first, dtype)
    first = _draw(seed, "first", counts.first, counts.first_phase, 0, dtype)
    halves = {"A": lambda: first, "B": lambda: first}
    repeated = count_repeated(counts.first_phase, repetition_factor, repetition_share)
    halves["C"] = lambda: repeat(first, repetition_factor, repeated, _stream(seed, "repeat"))
    halves["D"] = lambda: _draw(
        seed, "rewritten", counts.rewritten, counts.first_phase, counts.first + counts.second, dtype
    )
    wanted = dict.fromkeys("A" if name == "B" else name for name in names)
    return {name: np.concatenate((halves[name](), second)) for name in wanted}


def check_counts(counts: RowCounts, names: Sequence[str] = ("A", "C", "D")) -> None:
    """Raises DataError naming every row set that is too small, what it has and what it needs."""
    sets = [("second", counts.second, counts.second_phase)]
    if set(names) & {"A", "B", "C"}:
        sets.append(("first", counts.first, counts.first_phase))
    if "D" in names:
        sets.append(("rewritten", counts.rewritten, counts.first_phase))
    short = [f"{name} has {have:,} rows of the {need:,} it needs" for name, have, need in sets if have < need]
    if short:
        raise DataError(
            f"too little text for the budget: {'; '.join(short)}. Add text to config.data.sources, or lower "
            "config.train.samples, config.data.seq_len or config.data.held_out_rows"
        )


def count_repeated(positions: int, factor: int, share: float | None = None) -> int:
    """Rows that Condition C repeats in a phase of so many positions: floor(share * positions).

    A share of 1 / factor, however it was rounded when it was written down, is positions // factor. Raises
    ValueError where the repeated rows would need more positions than there are.
    """
    if share is None or math.isclose(share * factor, 1, rel_tol=1e-9):
        return positions // factor
    if not 0 < share * factor < 1:
        raise ValueError(f"a share of {share} shown {factor} times fills {share * factor:g} of the phase")
    return math.floor(Fraction(str(share)) * positions)  # 0.1 is a tenth, as it was written


def repeat(rows: np.ndarray, factor: int, repeated: int, generator: np.random.Generator) -> np.ndarray:
    """Condition C: as many positions as `rows` [n], `repeated` of them shown `factor` times, others of them once.

    The n - repeated * factor positions left over show that many further rows. `rows` holds no row twice.
    """
    left = len(rows) - repeated * factor
    chosen = generator.permutation(rows)[: repeated + left]
    shown = np.concatenate((np.repeat(chosen[:repeated], factor), chosen[repeated:]))
    generator.shuffle(shown)
    return shown


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS[name],)))


def _draw(seed: int, name: str, rows: int, positions: int, offset: int, dtype: np.dtype) -> np.ndarray:
    """`positions` different numbers of [offset, offset + rows) in random order."""
    ids = np.arange(offset, offset + rows, dtype=dtype)
    _stream(seed, name).shuffle(ids)
    return ids[:positions]


def plan_path(folder: Path | str, condition: str, seed: int) -> Path:
    """Where the plan of a run lies under RUN/data; B reads A's."""
    return Path(folder) / "plans" / f"{'A' if condition == 'B' else condition}-seed{seed}.npy"


def save_plan(path: Path | str, plan: np.ndarray) -> None:
    """Writes a plan as .npy, atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, plan, allow_pickle=False)


def load_plan(path: Path | str) -> np.ndarray:
    """A plan as a read-only memory map; raises RunError where the file is missing or not a plan."""
    try:
        plan = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; run the prepare stage again") from error
    except (ValueError, OSError) as error:
        raise RunError(f"{path}: not a plan ({error}); delete it and prepare again") from error
    if plan.ndim != 1 or plan.dtype.kind != "u":
        raise RunError(f"{path}: expected a list of row ids, got {plan.dtype} {plan.shape}; prepare again")
    return plan


def plan_hash(plan: np.ndarray) -> str:
    """SHA-256 of a plan's (or a part's) bytes, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(plan).data).hexdigest()


def describe(plan: np.ndarray) -> dict[str, Any]:
    """How a plan, or a phase of one, repeats its rows.

    Returns positions, distinct_rows, mean_repetitions, max_repetitions and repetitions {times: rows}.
    """
    _, times = np.unique(plan, return_counts=True)
    histogram = np.bincount(times)
    return {
        "positions": len(plan),
        "distinct_rows": len(times),
        "mean_repetitions": len(plan) / len(times) if len(times) else None,
        "max_repetitions": int(times.max()) if len(times) else None,
        "repetitions": {str(k): int(histogram[k]) for k in np.flatnonzero(histogram)},
    }
