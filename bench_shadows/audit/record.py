"""What audit.json says: what was read of each model, what was left out and why, what pairs do not share."""

import contextlib
import resource
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_shadows.audit.choice import Pair
from bench_shadows.audit.coverage import coverage
from bench_shadows.audit.sources import Source, architecture
from bench_shadows.diagnostics.weights.safetensors import some
from bench_shadows.diagnostics.weights.weights import Weights

Row = dict[str, Any]

# Parts of a name that tell the wrapping of a model and not the tensor.
_WRAPPING = {"model", "language_model", "transformer", "gpt_neox", "bert", "roberta", "params"}


def described(source: Source, pairs: Sequence[Pair], rows: Sequence[Row]) -> dict[str, Any]:
    """A model as audit.json describes it."""
    weights, found = source.weights, coverage(source.weights)
    status = Counter(row["status"] for row in rows)
    notices = list(weights.notices)
    if broken := [row["tensor"] for row in rows if row["status"] == "not finite"]:
        notices.append(f"{len(broken)} matrices hold NaN or infinite values and have no spectrum: {some(broken)}")
    return {
        "name": source.name,
        "path": str(source.path),
        "format": source.format,
        "family": weights.family,
        "component_counts": dict(Counter(row["component"] for row in rows)),
        "config": architecture(weights.config),
        "tensors": len(weights.tensors),
        "matrices": len(rows),
        "bytes": source.bytes,
        "status_counts": dict(status),
        "skipped": [
            {"tensor": one.tensor, "reason": one.reason, "parameters": one.parameters}
            | {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}
            for one in found.left
            for leaf in (weights.tensors[one.tensor],)
        ],
        "skipped_counts": dict(Counter(one.reason for one in found.left)),
        "notices": notices,
        "role": source.role,
        "coverage": found.as_json(),
        "reference": next((base.name for model, base in pairs if model is source), None),
    }


def tensor_differences(model: Source, base: Source) -> dict[str, list[dict[str, Any]]]:
    """Tensors that a model lacks, that only it has, and that have another shape in its reference."""
    own, known = _shapes(model.weights), _shapes(base.weights)
    reshaped = [key for key in own if key in known and own[key][1] != known[key][1]]
    return {
        "missing": _listed(base.weights, [known[key][0] for key in known if key not in own]),
        "extra": _listed(model.weights, [own[key][0] for key in own if key not in known]),
        "reshaped": [
            entry | {"reference_shape": list(base.weights.tensors[known[key][0]].shape)}
            for key in reshaped
            for entry in _listed(model.weights, [own[key][0]])
        ],
    }


def _listed(weights: Weights, tensors: Sequence[str]) -> list[dict[str, Any]]:
    return [{"tensor": name, "shape": list(weights.tensors[name].shape)} for name in dict.fromkeys(tensors)]


def _shapes(weights: Weights) -> dict[Any, tuple[str, tuple[int, ...]]]:
    """Tensor and shape of everything, by what is the same in a model and in its base of another wrapping."""
    found: dict[Any, tuple[str, tuple[int, ...]]] = {}
    for stack in weights.stacks:
        shape = stack.shape[::-1] if stack.inputs_first else stack.shape
        for layer, tensor in zip(stack.layers, stack.tensors, strict=True):
            found[stack.component, stack.module, layer] = tensor, shape
    for name in weights.skipped:
        key = ".".join(part for part in name.split(".") if part not in _WRAPPING)
        found[key] = name, tuple(weights.tensors[name].shape)
    return found


def peak_memory() -> int:
    """Most bytes that this process had in memory at once, mapped files included.

    From Linux's VmHWM where there is one: getrusage counts what the parent had before it started this process.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
