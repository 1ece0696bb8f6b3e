"""How much of a checkpoint is read, in parameters, and what the rest is: the first thing that an audit says.

A parameter is an entry of the model's weights. Quantised weights are packed, several in a byte or an integer, and
their scales and zero points are no parameters of their own: what is stored is counted as what it stands for.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench_shadows.diagnostics.weights.families import Shaped
from bench_shadows.diagnostics.weights.weights import LeftOut, Weights

SCALE = "scale of a quantised tensor"  # the reason of families.py, and of what only unpacks another tensor
# Parts of the names of tensors that only unpack another one.
_HELPERS = (
    *(
        "weight_scale",
        "weight_scale_2",
        "weight_scale_inv",
        "weight_global_scale",
        "input_scale",
        "input_global_scale",
    ),
    *("weight_shape", "weight_zero_point", "weight_g_idx", "g_idx", "qzeros", "scales", "absmax", "nested_absmax"),
    *("quant_map", "nested_quant_map", "SCB", "weight_format"),
)


@dataclass(frozen=True)
class Coverage:
    """What is read of a checkpoint and what is left out."""

    tensors: int
    parameters: int
    read_tensors: int
    read_parameters: int
    left: tuple[LeftOut, ...]

    @property
    def share(self) -> float:
        """Of the parameters that are read; 0 where there are none."""
        return self.read_parameters / self.parameters if self.parameters else 0.0

    def by_reason(self) -> list[tuple[str, int, int]]:
        """(reason, tensors, parameters), most parameters first."""
        tensors, parameters = Counter[str](), Counter[str]()
        for one in self.left:
            tensors[one.reason] += 1
            parameters[one.reason] += one.parameters
        order = sorted(tensors, key=lambda reason: (-parameters[reason], -tensors[reason], reason))
        return [(reason, tensors[reason], parameters[reason]) for reason in order]

    def as_json(self) -> dict[str, Any]:
        """The figures, as audit.json has them."""
        return {
            "tensors": self.tensors,
            "parameters": self.parameters,
            "read_tensors": self.read_tensors,
            "read_parameters": self.read_parameters,
            "left_out": [
                {"reason": reason, "tensors": tensors, "parameters": parameters}
                for reason, tensors, parameters in self.by_reason()
            ],
        }


def coverage(weights: Weights) -> Coverage:
    """Counts tensors and parameters of a checkpoint, read and left out."""
    packed = packed_weights(weights.tensors, weights.config)
    left = []
    for one in weights.left_out:
        method, parameters = packed.get(one.tensor, ("", 0 if one.reason == SCALE else one.parameters))
        left.append(replace(one, reason=f"quantised: {method}" if method else one.reason, parameters=parameters))
    read = {name for stack in weights.stacks for name in stack.tensors}
    parameters = weights.read_parameters
    return Coverage(
        tensors=len(read) + len(left),
        parameters=parameters + sum(one.parameters for one in left),
        read_tensors=len(read),
        read_parameters=parameters,
        left=tuple(left),
    )


def packed_weights(tensors: Mapping[str, Shaped], config: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """tensor -> (how it is quantised, parameters it stands for) of everything packed, and of what unpacks it: 0.

    Args:
      tensors: name -> anything with shape and dtype.
      config: config.json; its `quantization_config` names the method and the bits where the names do not.
    """
    settings = config.get("quantization_config")
    settings = settings if isinstance(settings, Mapping) else {}
    found: dict[str, tuple[str, int]] = {}
    for name, leaf in tensors.items():
        entries, kind = math.prod(leaf.shape), _kind(leaf)
        stem, _, last = name.rpartition(".")
        if name.endswith("_blocks") and kind == "uint8":
            found[name] = ("MXFP4", 2 * entries)
            _helpers(found, tensors, "MXFP4", [name.removesuffix("_blocks") + "_scales"])
        elif last == "qweight" and kind == "int32":
            method = _gptq_or_awq(stem, leaf, tensors, settings)
            found[name] = (method, entries * 32 // _bits(settings))
            _helpers(found, tensors, method, [f"{stem}.{part}" for part in ("qzeros", "scales", "g_idx")])
        elif last == "weight_packed":
            method = "NVFP4" if f"{stem}.weight_global_scale" in tensors else "compressed-tensors"
            size = np.dtype(kind).itemsize * 8 if kind in ("uint8", "int32") else 8
            found[name] = (method, entries * size // (4 if method == "NVFP4" else _bits(settings)))
            _helpers(found, tensors, method, [f"{stem}.{part}" for part in _HELPERS])
        elif last == "weight" and kind == "uint8" and f"{stem}.weight_scale_2" in tensors:
            found[name] = ("NVFP4", 2 * entries)
            _helpers(found, tensors, "NVFP4", [f"{stem}.{part}" for part in _HELPERS])
        elif kind == "uint8" and _beside(name, tensors):
            found[name] = ("bitsandbytes, 4 bits", 2 * entries)
            _helpers(found, tensors, "bitsandbytes, 4 bits", _beside(name, tensors))
        elif kind == "int8" and f"{stem}.SCB" in tensors:
            found[name] = ("bitsandbytes, 8 bits", entries)
            _helpers(
                found, tensors, "bitsandbytes, 8 bits", [f"{stem}.{part}" for part in ("SCB", "weight_format")]
            )
        elif kind in ("int8", "uint8", "int32") and len(leaf.shape) >= 2 and name not in found:
            found[name] = (_named(settings) or kind, entries)
    return found


def _kind(leaf: Shaped) -> str:
    return leaf.dtype if isinstance(leaf.dtype, str) else np.dtype(leaf.dtype).name


def _helpers(
    found: dict[str, tuple[str, int]], tensors: Mapping[str, Shaped], method: str, names: list[str]
) -> None:
    found |= {name: (method, 0) for name in names if name in tensors}


def _beside(name: str, tensors: Mapping[str, Shaped]) -> list[str]:
    """What bitsandbytes keeps of a weight of 4 bits: `weight.absmax`, `weight.quant_state.bitsandbytes__nf4`."""
    parts = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
    states = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")
    return [other for part in (*parts, *states) if (other := f"{name}.{part}") in tensors]


def _gptq_or_awq(stem: str, leaf: Shaped, tensors: Mapping[str, Shaped], settings: Mapping[str, Any]) -> str:
    """By the config's word, or by the axis that is packed: GPTQ packs the inputs, AWQ the outputs."""
    named = _named(settings)
    if named:
        return named
    scales = tensors.get(f"{stem}.scales")
    return "AWQ" if scales is not None and scales.shape[-1] != leaf.shape[-1] else "GPTQ"


def _named(settings: Mapping[str, Any]) -> str:
    method = settings.get("quant_method")
    if not isinstance(method, str):
        return ""
    return method.upper() if method in ("gptq", "awq", "hqq", "aqlm") else method[:40]


def _bits(settings: Mapping[str, Any]) -> int:
    """Bits of a packed weight; 4, which nearly all have, where the config does not say."""
    bits = settings.get("bits", settings.get("w_bit"))
    groups = settings.get("config_groups")
    if isinstance(groups, Mapping):
        first: Any = next(iter(groups.values()), None)
        weights = first.get("weights") if isinstance(first, Mapping) else None
        bits = weights.get("num_bits") if isinstance(weights, Mapping) else bits
    return bits if type(bits) is int and 1 <= bits <= 32 else 4
