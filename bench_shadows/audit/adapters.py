"""Adapters of peft: an update B A s of some matrices of a base, and no model without it.

With its base an adapter becomes two things in the tables: the merged model, W + s B A as peft merges it but not
rounded, and the update s B A by itself, whose spectrum is its own. Without a base there is the update alone. Read:
LoRA, with rsLoRA's scale, patterns of ranks and alphas by plain names, and modules that were saved whole. Other
kinds, and DoRA, whose update is not s B A, are refused by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.audit.sources import Source
from bench_shadows.diagnostics.weights.safetensors import Tensor, short, some
from bench_shadows.diagnostics.weights.weights import Weights, open_weights, safetensors
from bench_shadows.errors import RunError
from bench_shadows.files import read_json

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_NOT_READ = ("use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "target_parameters")
RELATIVE_CUT = (
    "alpha is fitted to eigenvalues above 1e-5 of the largest: the limit that WeightWatcher sets, and audits of "
    "models keep, is 1e-5 itself, and the eigenvalues of an update may all be smaller"
)


class Update:
    """s B A of one matrix, [outputs, inputs] or [inputs, outputs]; computed in float32 when it is used."""

    def __init__(self, a: Tensor, b: Tensor, scale: float, inputs_first: bool):
        self._a, self._b, self._scale, self._inputs_first = a, b, scale, inputs_first
        shape = b.shape[0], a.shape[1]
        self.shape = shape[::-1] if inputs_first else shape
        self.ndim, self.dtype = 2, np.dtype(np.float32)

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self._a.shape[0]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        a, b = (np.asarray(tensor.map()).astype(np.float32) for tensor in (self._a, self._b))
        product = self._scale * (b @ a)
        return (product.T if self._inputs_first else product).astype(dtype or np.float32, copy=False)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter, open: shapes are known, values are read later."""

    given: str
    name: str
    path: Path
    config: Mapping[str, Any]
    updates: Mapping[str, Update]
    """Name of the matrix in the base -> its update."""
    whole: Mapping[str, Tensor]
    """Name in the base -> what the adapter has in its place (`modules_to_save`)."""
    files: tuple[Path, ...]
    notices: tuple[str, ...]

    @property
    def base(self) -> str | None:
        """What its config names as its base, where that is a folder here."""
        named = self.config.get("base_model_name_or_path")
        return named if isinstance(named, str) and named and Path(named).is_dir() else None

    @property
    def described(self) -> str:
        """`LoRA of rank 8, alpha 16`."""
        ranks = sorted({update.rank for update in self.updates.values()})
        return f"LoRA of rank {', '.join(map(str, ranks))}, alpha {self.config.get('lora_alpha')}"


def find_adapter(given: str) -> Adapter | None:
    """The adapter that a folder or a file holds; None where it holds none, or a model beside it.

    Raises RunError for adapters that cannot be read.
    """
    path = Path(given)
    folder = path if path.is_dir() else path.parent
    if not path.exists() or (path.is_file() and path.suffix != ".safetensors"):
        return None
    if path.is_dir():
        present = list(path.glob("*.safetensors"))
        files = [file for file in present if file.name.startswith("adapter_model")]
        if not files or len(files) < len(present):
            return None
    elif not (folder / CONFIG).is_file() or not path.name.startswith("adapter_model"):
        return None
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: an adapter without {CONFIG}: its scale is not known; put the file beside it")
    return _open(given, path, folder)


def _open(given: str, path: Path, folder: Path) -> Adapter:
    try:
        config = read_json(folder / CONFIG)
    except (ValueError, OSError) as error:
        raise RunError(f"{folder / CONFIG}: not JSON ({short(error)}); fetch it again") from error
    if not isinstance(config, dict):
        raise RunError(f"{folder / CONFIG}: not a JSON object; fetch it again")
    if config.get("peft_type") != "LORA":
        raise RunError(f"{given}: an adapter of the kind {short(config.get('peft_type'))}; only LoRA is read")
    if flags := [name for name in _NOT_READ if config.get(name)]:
        raise RunError(
            f"{given}: a LoRA adapter with {', '.join(flags)}, whose update is not s B A: it is not read"
        )
    found = safetensors.open_files(path)
    inputs_first = bool(config.get("fan_in_fan_out"))
    updates, whole, strange = {}, {}, []
    for name, tensor in found.tensors.items():
        plain = name.removeprefix(_PREFIX)
        if name.endswith(_B):
            continue
        if not name.endswith(_A):
            (strange.append(name) if "lora_" in name else whole.update({plain: tensor}))
            continue
        module, other = plain.removesuffix(_A), found.tensors.get(name.removesuffix(_A) + _B)
        if other is None or len(tensor.shape) != 2 or len(other.shape) != 2 or other.shape[1] != tensor.shape[0]:
            strange.append(name)
            continue
        scale = _scale(given, config, module, tensor.shape[0])
        updates[f"{module}.weight"] = Update(tensor, other, scale, inputs_first)
    if not updates:
        raise RunError(f"{given}: an adapter without a pair of lora_A and lora_B; it has {some(found.tensors)}")
    notices = list(found.notices)
    if strange:
        notices.append(
            f"{len(strange)} tensors of the adapter are no pair of matrices and left out: {some(strange)}"
        )
    name = folder.absolute().name if path.is_dir() else path.stem
    return Adapter(given, name, path, config, updates, whole, found.files, tuple(notices))


def _scale(given: str, config: Mapping[str, Any], module: str, rank: int) -> float:
    """lora_alpha / r, or / sqrt(r) with rsLoRA; patterns are plain ends of names."""
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern")
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        plain = pattern.removeprefix("^").removesuffix("$")
        if set(plain) & set("*+?[](){}|\\^$"):
            raise RunError(f"{given}: alpha_pattern {short(pattern)} is a regular expression, and not read")
        if module == plain or module.endswith(f".{plain}"):
            alpha = value
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise RunError(f"{given}: {CONFIG} gives no number for lora_alpha; expected one, such as 16")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def alone(adapter: Adapter) -> Source:
    """The update by itself, under the names that its own give."""
    weights = open_weights(dict(adapter.updates))
    notices = (adapter.described, *adapter.notices, *weights.notices, RELATIVE_CUT)
    weights = replace(weights, name=adapter.given, files=adapter.files, notices=notices)
    name = f"{adapter.name} (update)"
    return Source(adapter.given, name, adapter.path, "safetensors", weights, role="update")


def with_base(adapter: Adapter, base: Source) -> tuple[Source, Source]:
    """The merged model and the update, with the base's names, layers and cuts.

    Raises RunError for an adapter that does not fit the base.
    """
    names = _in_base(adapter, base.weights)
    notices = [f"{base.name} with an adapter in it: {adapter.described}", *adapter.notices]
    if saved := [name for name in adapter.whole if name in base.weights.tensors]:
        notices.append(f"{len(saved)} tensors that the adapter saved whole are in the merged model: {some(saved)}")
    load = base.weights._load

    def merged(wanted: list[str]) -> Mapping[str, Any]:
        arrays = dict(load(wanted))
        for name in wanted:
            if name in adapter.whole and adapter.whole[name].shape == tuple(base.weights.tensors[name].shape):
                arrays[name] = np.asarray(adapter.whole[name].map())
            if name in names:
                arrays[name] = np.asarray(arrays[name]).astype(np.float32) + np.asarray(names[name])
        return arrays

    def updates(wanted: list[str]) -> Mapping[str, Any]:
        return {name: np.asarray(names[name]) for name in wanted}

    files = (*base.weights.files, *adapter.files)
    whole = replace(
        base.weights, name=adapter.given, _load=merged, files=files, notices=(*base.weights.notices, *notices)
    )
    stacks = []
    for stack in base.weights.stacks:
        kept = [i for i, name in enumerate(stack.tensors) if name in names]
        if kept:
            stacks.append(
                replace(
                    stack,
                    layers=tuple(stack.layers[i] for i in kept),
                    tensors=tuple(stack.tensors[i] for i in kept),
                    slots=tuple(stack.slots[i] for i in kept) if stack.slots else (),
                    dtype="float32",
                )
            )
    used = {name for stack in stacks for name in stack.tensors}
    skipped = {name: base.weights.skipped.get(name, "not a matrix that is read") for name in names.keys() - used}
    alone = replace(
        base.weights,
        name=f"{adapter.given} (update)",
        stacks=tuple(stacks),
        skipped=skipped,
        _load=updates,
        tensors=names,
        files=adapter.files,
        notices=(RELATIVE_CUT,),
    )
    return (
        Source(adapter.given, adapter.name, adapter.path, "safetensors", whole, role="merged"),
        Source(adapter.given, f"{adapter.name} (update)", adapter.path, "safetensors", alone, role="update"),
    )


def _in_base(adapter: Adapter, base: Weights) -> dict[str, Update]:
    """The updates by the names of the base's tensors, which may be wrapped otherwise."""
    found, lost = {}, []
    for name, update in adapter.updates.items():
        ends = [other for other in base.tensors if other.endswith(f".{name}") or name.endswith(f".{other}")]
        match = name if name in base.tensors else ends[0] if len(ends) == 1 else None
        if match is None:
            lost.append(name)
            continue
        if tuple(base.tensors[match].shape) != update.shape:
            raise RunError(
                f"{adapter.given}: the update of {short(name)} is {list(update.shape)}, and the matrix of "
                f"{base.name} {list(base.tensors[match].shape)}; name the base that the adapter was trained on"
            )
        found[match] = update
    if lost:
        raise RunError(
            f"{adapter.given}: {len(lost)} of {len(adapter.updates)} updates have no matrix in {base.name}: "
            f"{some(lost)}; name the base that the adapter was trained on"
        )
    return found
