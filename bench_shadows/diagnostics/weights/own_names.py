"""Matrices that no family's table knows, under the words of their own names.

Two axes are a matrix. Three and more are a stack only for a reason: experts by their name, layers where every
tensor beside them shares that axis, Flax's attention by the names and shapes of its four kernels, or because the
caller said so. Recurrent cells are cut into their gates where the recurrent matrix shows how many there are.
Everything else is left out, and the reason is that nothing says what its axes are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench_shadows.diagnostics.weights.layouts import Cut, Sizes, View, fused_cuts
from bench_shadows.diagnostics.weights.names import Shaped, floating
from bench_shadows.diagnostics.weights.places import AmbiguousError, Place, readings, shared_axis

Shape = tuple[int, ...]

_CONTAINERS = {"params", "model", "layers", "blocks", "layer", "transformer", "decoder", "h"}  # say nothing
_LEAVES = {"kernel", "weight", "w", "embedding", "array"}
_LAYER_WORD = re.compile(r"(layers?|blocks?|h|\w*block)_(\d+)")
_NUMBERED = re.compile(r"(.+)_(\d+)")
_PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_COMPONENTS = {
    "projector": re.compile(r"projector|merger"),
    "vision": re.compile(r"visual|vision"),
    "encoder": re.compile(r"(^|\.)encoder\."),
}
_RECURRENT = re.compile(r"(?P<stem>.*)weight_(?P<kind>ih|hh)_l\d+(_reverse)?$")
_GATES = {4: ("input", "forget", "cell", "output"), 3: ("reset", "update", "new")}
_SMALL = 8  # an axis shorter than this beside two equal ones is a convolution's


@dataclass(frozen=True)
class _Tree:
    """All tensors that no table knows by their plain names."""

    shapes: Mapping[str, Shape]
    stems: Mapping[str, tuple[int, int]]
    """Axis and number of layers of what a table knows below a stem."""

    def below(self, stem: str) -> dict[str, Shape]:
        return {name: shape for name, shape in self.shapes.items() if name.startswith(stem)}


def places(
    rest: Mapping[str, Shaped],
    plain: Mapping[str, str],
    reasons: Mapping[str, str | None],
    said: Mapping[str, str],
    stems: Mapping[str, tuple[int, int]],
    strict: bool,
) -> tuple[list[Place], dict[str, str]]:
    """The matrices of tensors that no table knows, and why the others are left out.

    Args:
      rest: the tensors.
      plain: names without wrappers, of all tensors.
      reasons: why a tensor is no matrix, by its name and dtype alone.
      said: axes that the caller gives.
      stems: what names begin with whose siblings a table knows, and their axis and number of layers.
      strict: whether a stack with two readings raises AmbiguousError, or is left out.
    """
    found: list[Place] = []
    skipped: dict[str, str] = {}
    shapes = {plain[name]: tuple(map(int, leaf.shape)) for name, leaf in rest.items() if floating(leaf)}
    tree = _Tree(shapes, stems)
    layered = _layer_parts(tree)
    for name, leaf in rest.items():
        given = said.get(name)
        if (reason := reasons[name]) is not None and not (given and reason != "left out by the layout"):
            skipped[name] = reason
            continue
        try:
            axes = _axes(plain[name], tuple(map(int, leaf.shape)), given, tree, layered)
        except AmbiguousError as error:
            if strict:
                raise
            skipped[name] = f"two readings: {error}"
            continue
        if axes is None:
            skipped[name] = _why_not(plain[name], leaf.shape)
        else:
            found += _places_of(name, plain[name], tuple(map(int, leaf.shape)), axes, tree, layered, bool(given))
    return found, skipped


def _why_not(name: str, shape: Shape) -> str:
    if len(shape) >= 4 and not name.endswith("kernel"):
        return "convolution"
    return f"{len(shape)} dimensions, and nothing says that one of them is of layers or experts"


def _axes(name: str, shape: Shape, given: str | None, tree: _Tree, layered: Mapping[str, int]) -> str | None:
    """The letters of a tensor's axes; None where they cannot be told. Two sides of unknown order are `oi`."""
    if given and set(given) <= set("ioLES"):
        return given
    plain = "io" if name.endswith(".kernel") or name == "kernel" else "oi"
    if len(shape) == 2 and given is None:
        return plain
    at = {"L*": 0, "?L*": 1}.get(given or "")
    inner = _inner(name, shape, at, plain, tree)
    if inner is not None and at is None:
        return inner
    if at is None and name not in layered and len(shape) >= 3:
        at = _layers_axis(name, shape, tree)
        inner = _inner(name, shape, at, plain, tree)
    return None if at is None or inner is None else inner[:at] + "L" + inner[at:]


def _inner(name: str, shape: Shape, at: int | None, plain: str, tree: _Tree) -> str | None:
    """The axes without that of layers."""
    left = len(shape) - (at is not None)
    if left == 2 and at is not None:
        return plain
    if left == 3:
        if (attention := _attention(name, at, tree)) is not None:
            return attention
        if at is None and _are_experts(name, shape, tree):
            return "E" + plain
    return None


def _attention(name: str, at: int | None, tree: _Tree) -> str | None:
    """Flax's attention: query, key, value [in, heads, width] and out [heads, width, out] that fit each other."""
    parts = name.split(".")
    if len(parts) < 2 or parts[-1] not in _LEAVES or parts[-2] not in _PROJECTIONS:
        return None

    def inner(projection: str) -> Shape | None:
        shape = tree.shapes.get(".".join([*parts[:-2], projection, parts[-1]]))
        return shape if shape is None or at is None else shape[:at] + shape[at + 1 :]

    query, key, value, out = map(inner, ("query", "key", "value", "out"))
    if query is None or key is None or value is None or not len(query) == len(key) == len(value) == 3:
        return None
    if query[2] != key[2] or key[1:] != value[1:] or query[1] % key[1]:
        return None
    if out is not None and (len(out) != 3 or out[:2] != query[1:]):
        return None
    return "iio" if parts[-2] == "out" else "ioo"


def _are_experts(name: str, shape: Shape, tree: _Tree) -> bool:
    """Whether the first axis is of experts: by a word of the name, and no stack below that word has another."""
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts) if "expert" in part), None)
    if at is None:
        return False
    beside = tree.below(".".join(parts[: at + 1]))
    return all(other[0] == shape[0] for other in beside.values() if len(other) == len(shape))


def _layers_axis(name: str, shape: Shape, tree: _Tree) -> int | None:
    """The axis of layers of a tensor: that which everything below the first stem that has one shares."""
    for stem, (axis, layers) in tree.stems.items():
        if name.startswith(stem):
            return axis if shape[axis] == layers else None
    parts = name.split(".")
    for depth in range(len(parts)):
        stem = "".join(f"{part}." for part in parts[:depth])
        beside = tree.below(stem)
        stacks = [other for other in beside.values() if len(other) >= 3]
        if len(beside) < 2 or any(len(other) == 1 for other in beside.values()):
            continue
        if min(min(other) for other in stacks) < _SMALL and len({other[-1] for other in stacks}) == 1:
            continue  # kernels of convolutions are as long as each other, too
        try:
            at = shared_axis(beside, stem)
        except AmbiguousError:
            raise AmbiguousError(readings(beside, stem)) from None
        if at is not None:
            return at
    return None


def _layer_parts(tree: _Tree) -> dict[str, int]:
    """Which part of each name is its layer's number: digits alone, or a word and digits that count layers."""
    values: dict[tuple[str, ...], set[str]] = {}
    for name in tree.shapes:
        parts = name.split(".")
        for i, part in enumerate(parts[:-2]):
            if match := _NUMBERED.fullmatch(part):
                values.setdefault((*parts[:i], match[1]), set()).add(match[2])
    found = {}
    for name in tree.shapes:
        parts = name.split(".")
        for i, part in enumerate(parts):
            match = _NUMBERED.fullmatch(part)
            counts = match and len(values.get((*parts[:i], match[1]), ())) > 1
            if part.isdecimal() or _LAYER_WORD.fullmatch(part) or counts:
                found[name] = i
                break
    return found


def _places_of(
    name: str, plain: str, shape: Shape, axes: str, tree: _Tree, layered: Mapping[str, int], given: bool
) -> list[Place]:
    module, layer = _module(plain, tree, layered)
    component = next((word for word, pattern in _COMPONENTS.items() if pattern.search(plain)), "decoder")
    view = View(axes)
    known = given or plain.endswith("kernel") or axes.count("i") + axes.count("o") > 2
    first = view.inputs_first if known else None
    layers = shape[view.stacked] if view.stacked is not None else 0
    if cuts := _gates(plain, shape, tree):
        gates = [(View(axes, (), cut), f"{module}.{gate}") for gate, cut in cuts]
        return [Place(name, component, word, layer, one, one.shape(shape), False) for one, word in gates]
    result = []
    for part in range(shape[axes.index("S")]) if "S" in axes else (None,):
        for expert in range(shape[axes.index("E")]) if "E" in axes else (None,):
            picks = [(axes.index(letter), at) for letter, at in (("S", part), ("E", expert)) if at is not None]
            one = View(axes, tuple(sorted(picks)))
            words = [module, *(str(at) for at in (part, expert) if at is not None)]
            result.append(Place(name, component, ".".join(words), layer, one, one.shape(shape), first, layers))
    return result


def _module(plain: str, tree: _Tree, layered: Mapping[str, int]) -> tuple[str, int | None]:
    """The words of a name that tell which matrix it is, and its layer."""
    parts = plain.split(".")
    at = layered.get(plain)
    layer = None if at is None else int(re.findall(r"\d+$", parts[at])[0][:18])
    kept = [part for i, part in enumerate(parts) if i != at and part not in _CONTAINERS]
    if len(kept) > 1 and kept[-1] in _LEAVES:
        kept.pop()
    if kept and kept[-1] in _PROJECTIONS:
        whole = parts[: len(parts) - 2] if parts[-1] in _LEAVES else parts[:-1]
        beside = [".".join([*whole, word]) for word in ("query", "value")]
        attention = any(_ATTENTION.search(part) for part in whole) or all(tree.below(stem) for stem in beside)
        kept[-1] = _PROJECTIONS[kept[-1]] if attention else kept[-1]
    words = [part for part in kept if part not in _LEAVES] or kept
    return ".".join(words) or plain, layer


def _gates(plain: str, shape: Shape, tree: _Tree) -> list[tuple[str, Cut]]:
    """The gates of a recurrent cell's matrix, as the recurrent one, [gates * width, width], shows them."""
    match = _RECURRENT.fullmatch(plain)
    if match is None or len(shape) != 2:
        return []
    recurrent = tree.shapes.get(plain.replace("weight_ih_", "weight_hh_"))
    if recurrent is None or len(recurrent) != 2 or recurrent[0] != shape[0]:
        return []
    gates = _GATES.get(recurrent[0] // recurrent[1]) if recurrent[0] % recurrent[1] == 0 else None
    cuts = fused_cuts("gates", len(gates), shape[0], shape[1], Sizes()) if gates else None
    return list(zip(gates, cuts, strict=True)) if gates and cuts else []
