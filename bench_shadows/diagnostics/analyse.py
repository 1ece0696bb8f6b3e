"""From the matrices of a checkpoint to the rows of diagnostics.parquet and changes.parquet.

`diagnose` computes every spectrum once; `compare` reads what needs one (delta effective rank, delta alpha) from
its rows. What cannot be computed is null and `status` says why; nothing is left out and nothing crashes the
rest.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.diagnostics import change, power_law, rank, spectrum, update
from bench_shadows.diagnostics.modification import DEEP_CHANGE, DEEP_CORRELATION
from bench_shadows.diagnostics.weights.weights import Stack, Weights
from bench_shadows.files import atomic_path
from bench_shadows.paper import IN_RANGE

Row = dict[str, Any]

SMALLEST_DIMENSION = 8  # below it no alpha, as in WeightWatcher; its upper limits (15,000; 50,000) we do not keep
FITS_AT_ONCE = 32  # spectra in one call of the fit, so that every size of spectrum is one program
SMALLEST_PROGRAM = 128  # shorter spectra are filled up to it: compiling costs more than zeros do

UNKNOWN_ORIENTATION = "rows and columns cannot be told apart"  # of a square matrix that is far away both ways

_IDENTITY = [
    ("model", pa.string()),
    ("condition", pa.string()),
    ("seed", pa.int64()),
    ("step", pa.int64()),
    ("fraction", pa.float64()),
    ("component", pa.string()),
    ("module", pa.string()),
    ("layer", pa.int64()),
    ("tensor", pa.string()),
]
METRICS = (
    *("alpha", "sigma", "ks_distance", "x_min", "x_min_over_mean", "spikes"),
    *("effective_rank", "stable_rank", "participation_ratio", "lambda_max"),
    *("alpha_hat", "frobenius_norm", "spectral_norm"),
)
DIAGNOSTICS_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        ("rows", pa.int64()),
        ("columns", pa.int64()),
        ("dtype", pa.string()),
        *((name, pa.int64() if name == "spikes" else pa.float64()) for name in METRICS),
        ("in_range", pa.bool_()),
        ("status", pa.string()),
    ]
)
_FITTED = ("alpha", "sigma", "ks_distance", "x_min", "x_min_over_mean", "spikes", "alpha_hat")  # need a power law
CHANGE_METRICS = (
    *(*change.Change._fields, "update_rank", "subspace_overlap"),
    *("delta_effective_rank", "delta_alpha"),
)
CHANGES_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        ("reference", pa.string()),
        *((name, pa.float64()) for name in CHANGE_METRICS),
        ("status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Identity:
    """Which checkpoint a row is about; an audit has a model's name only."""

    model: str
    condition: str | None = None
    seed: int | None = None
    step: int | None = None
    fraction: float | None = None


def diagnose(
    weights: Weights,
    identity: Identity,
    precision: spectrum.Precision = "auto",
    advance: Callable[[int], None] = lambda matrices: None,
    relative_cut: bool = False,
) -> list[Row]:
    """Rows of diagnostics.parquet, one for each matrix of a checkpoint.

    Args:
      weights: from `weights.open_weights`; stacks are read one after the other.
      identity: the columns that name the checkpoint.
      precision: of the spectra; `auto` is float64 on a CPU, float32 elsewhere. Fits are float64 everywhere.
      advance: told how many matrices were done, for a progress line.
      relative_cut: whether alpha's smallest eigenvalue is 1e-5 of the largest, for updates, which are small; else
        it is 1e-5, as in WeightWatcher.
    """
    spectra: list[np.ndarray] = []
    rows: list[Row] = []
    for stack in weights.stacks:
        array = weights.read(stack)
        shape = {"rows": stack.shape[0], "columns": stack.shape[1], "dtype": stack.dtype}
        found = spectrum.eigenvalues(array, precision)
        spectra.extend(found)
        for i, row in enumerate(_identified(stack, identity)):
            rows.append(row | shape | {"status": _flaw(array, i, found[i])})
        advance(len(stack.layers))
    scales = [max(values[-1], 0) if relative_cut else 1.0 for values in spectra]
    described = describe([values / (scale or 1.0) for values, scale in zip(spectra, scales, strict=True)])
    for row, values, scale in zip(rows, described, scales, strict=True):
        values |= _norms(values, scale)
        flaw, outcome = row.pop("status"), power_law.Outcome(values.pop("outcome"))
        if flaw in ("not finite", "all zero"):
            values = dict.fromkeys(values)
        elif min(row["rows"], row["columns"]) < SMALLEST_DIMENSION:
            flaw = flaw or "smaller than 8"
            values |= dict.fromkeys(_FITTED)
        alpha = values["alpha"]
        row |= values | {"in_range": None if alpha is None else IN_RANGE[0] <= alpha <= IN_RANGE[1]}
        row["status"] = flaw or outcome.text
    return rows


def _norms(values: Row, scale: float) -> Row:
    """Norms of a matrix whose eigenvalues were divided by `scale`; alpha-hat, alpha times log10(lambda_max)."""
    largest, x_min, alpha = (values[name] for name in ("lambda_max", "x_min", "alpha"))
    if largest is None:
        return dict.fromkeys(("alpha_hat", "frobenius_norm", "spectral_norm"))
    largest *= scale
    return {
        "lambda_max": largest,
        "x_min": None if x_min is None else x_min * scale,
        "alpha_hat": alpha * math.log10(largest) if alpha is not None and largest > 0 else None,
        "frobenius_norm": math.sqrt(largest * (values["stable_rank"] or 0)),
        "spectral_norm": math.sqrt(largest),
    }


def describe(spectra: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Power law, ranks and norms of spectra of any lengths: METRICS and `outcome` of each, unknown ones None.

    Spectra are filled up with leading zeros to a power of two and fitted `FITS_AT_ONCE` at a time, in float64, on
    the CPU where there is one: a whole model compiles one small program for each size.
    """
    results: list[dict[str, Any]] = [{} for _ in spectra]
    by_size: dict[int, list[int]] = {}
    for i, eigenvalues in enumerate(spectra):
        by_size.setdefault(max(SMALLEST_PROGRAM, 1 << (len(eigenvalues) - 1).bit_length()), []).append(i)
    with jax.enable_x64(True), jax.default_device(spectrum.host()):
        for size, members in by_size.items():
            for start in range(0, len(members), FITS_AT_ONCE):
                chosen = members[start : start + FITS_AT_ONCE]
                padded, sizes = np.zeros((FITS_AT_ONCE, size)), np.ones(FITS_AT_ONCE)
                for slot, i in enumerate(chosen):
                    padded[slot, size - len(spectra[i]) :] = spectra[i]
                    sizes[slot] = len(spectra[i])
                values = {name: np.asarray(array) for name, array in _describe(padded, sizes).items()}
                for slot, i in enumerate(chosen):
                    results[i] = {name: _known(array[slot]) for name, array in values.items()}
                    if results[i]["outcome"] != power_law.Outcome.OK:
                        results[i]["spikes"] = None
    return results


@jax.jit
def _describe(eigenvalues_LxN: jax.Array, sizes_L: jax.Array) -> dict[str, jax.Array]:
    law = power_law.fit(eigenvalues_LxN)
    return {
        "alpha": law.alpha,
        "sigma": law.sigma,
        "ks_distance": law.ks_distance,
        "x_min": law.x_min,
        "x_min_over_mean": rank.x_min_over_mean(law.x_min, eigenvalues_LxN, sizes_L),
        "spikes": law.spikes,
        "effective_rank": rank.effective_rank(eigenvalues_LxN),
        "stable_rank": rank.stable_rank(eigenvalues_LxN),
        "participation_ratio": rank.participation_ratio(eigenvalues_LxN),
        "lambda_max": rank.lambda_max(eigenvalues_LxN),
        "outcome": law.outcome,
    }


def compare(
    weights: Weights,
    rows: Sequence[Row],
    reference: Weights,
    reference_rows: Sequence[Row],
    name: str,
    identity: Identity,
    precision: spectrum.Precision = "auto",
) -> list[Row]:
    """Rows of changes.parquet, one for each matrix of a checkpoint, measured from a reference checkpoint.

    Args:
      weights, rows: the checkpoint and its rows of `diagnose`.
      reference, reference_rows: the same of the reference.
      name: what the reference is called in the table: `init`, `previous`, `A`, or a base model's name.
      identity, precision: as in `diagnose`; the precision is that of the rank of the update.
    """
    own, known = _by_matrix(rows), _by_matrix(reference_rows)
    result = []
    for stack in weights.stacks:
        metrics, status = _stack_change(weights, stack, reference, precision)
        for i, row in enumerate(_identified(stack, identity)):
            values: Row = {field: _known(array[i]) for field, array in metrics.items()}
            here, there = own.get(_matrix(row), {}), known.get(_matrix(row), {})
            if status[i] == "ok":
                if here.get("status") == "not finite" or there.get("status") == "not finite":
                    status[i], values = "not finite", {}
                values["delta_effective_rank"] = _difference(here, there, "effective_rank")
                values["delta_alpha"] = _difference(here, there, "alpha")
            row |= {"reference": name} | {field: values.get(field) for field in CHANGE_METRICS}
            result.append(row | {"status": status[i]})
    return result


def write_table(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    """Writes rows as Parquet with exactly the schema's columns, atomically; ValueError for other fields."""
    rows = list(rows)
    strange = {name for row in rows for name in set(row) ^ set(schema.names)}
    if strange:
        raise ValueError(f"{path}: columns {sorted(strange)} differ from the schema")
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


def _stack_change(
    weights: Weights, stack: Stack, reference: Weights, precision: spectrum.Precision
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Metrics [L] and status of every layer of a stack, from whatever stacks of the reference hold its layers."""
    own = (*change.Change._fields, "update_rank", "subspace_overlap")
    metrics = {name: np.full(len(stack.layers), np.nan) for name in own}
    status = [f"not in the reference {reference.name}"] * len(stack.layers)
    for other in (other for other in reference.stacks if other.key == stack.key):
        places = {layer: place for place, layer in enumerate(other.layers)}
        shared = [i for i, layer in enumerate(stack.layers) if layer in places]
        # One [in, out], the other [out, in]; where one is not known, by the shape.
        known = None not in (stack.inputs_first, other.inputs_first)
        turned = other.inputs_first != stack.inputs_first if known else other.shape != stack.shape
        fits = (other.shape[::-1] if turned else other.shape) == stack.shape
        for i in shared:
            status[i] = "ok" if fits else f"shape {stack.shape} against {other.shape} in the reference"
        if fits and shared:
            current, before = weights.read(stack), reference.read(other)
            before = before.swapaxes(1, 2) if turned else before
            if stack.layers != other.layers:
                current, before = (
                    current[np.array(shared)],
                    before[np.array([places[stack.layers[i]] for i in shared])],
                )
            both_ways = not known and stack.shape[0] == stack.shape[1]
            found, before, told = (_either_way if both_ways else _one_way)(current, before)
            for i, is_told in zip(shared, told, strict=True):
                status[i] = "ok" if is_told else UNKNOWN_ORIENTATION
            found["update_rank"] = update.update_rank(current, before, precision)
            outputs_first = [array.swapaxes(1, 2) if stack.inputs_first else array for array in (current, before)]
            found["subspace_overlap"] = update.subspace_overlap(*outputs_first)
            for field, values in found.items():
                metrics[field][shared] = np.where(told, values, np.nan)
    return metrics, status


# Metrics [L], the reference as it was taken, [L] whether anything is told.
Changed = tuple[dict[str, np.ndarray], Any, np.ndarray]


def _one_way(current: Any, before: Any) -> Changed:
    return change.changes(current, before)._asdict(), before, np.ones(len(current), bool)


def _either_way(current: Any, before: Any) -> Changed:
    """Of the changes of square matrices as they are and transposed the smaller, and which of them tell anything.

    A matrix that is far from its reference both ways may be another one, or the same in a third order: nothing is
    said of it.
    """
    one, two = (change.changes(current, array)._asdict() for array in (before, before.swapaxes(1, 2)))
    better = np.less(two["relative_change"], one["relative_change"])
    chosen = {field: np.where(np.asarray(better), np.asarray(two[field]), np.asarray(one[field])) for field in one}
    far = (chosen["relative_change"] >= DEEP_CHANGE) & (np.abs(chosen["correlation"]) < DEEP_CORRELATION)
    return chosen, np.where(better[:, None, None], before.swapaxes(1, 2), before), ~far


def _identified(stack: Stack, identity: Identity) -> Iterable[Row]:
    for layer, tensor in zip(stack.layers, stack.tensors, strict=True):
        yield asdict(identity) | {
            "component": stack.component,
            "module": stack.module,
            "layer": layer,
            "tensor": tensor,
        }


def _flaw(stack: np.ndarray | jax.Array, i: int, eigenvalues: np.ndarray) -> str | None:
    """What keeps matrix i of a stack from being analysed; None for nothing."""
    if np.isnan(eigenvalues).any():
        return "not finite"
    if eigenvalues[-1] == 0:
        return "all zero"
    if np.sum(eigenvalues > 1e-6 * eigenvalues[-1]) == 1:  # of rank one: worth a look at the entries
        entries = np.asarray(stack[i], np.float32)
        return "constant matrix" if entries.min() == entries.max() else None
    return None


def _matrix(row: Row) -> tuple[str, str, int | None]:
    return row["component"], row["module"], row["layer"]


def _by_matrix(rows: Sequence[Row]) -> dict[tuple[str, str, int | None], Row]:
    return {_matrix(row): row for row in rows}


def _difference(here: Row, there: Row, name: str) -> float | None:
    one, two = here.get(name), there.get(name)
    return None if one is None or two is None else one - two


def _known(value: Any) -> Any:
    """A NumPy scalar as a Python one; None where it is not finite."""
    value = value.item()
    return value if isinstance(value, int) or math.isfinite(value) else None
