"""Which matrix a tensor is: component, module and layer from its name, by a table for each family of models.

The tables are `families.toml`. The family whose table knows most of a checkpoint's names is taken; names that no
table knows keep their own words (component, module and layer are read from them as well as can be), and are
counted. Nothing is left out without a reason.
"""

import collections
import functools
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from bench_shadows.diagnostics.safetensors import some

OWN_NAMES = "own names"  # the family of names that no table knows
KNOWN_SHARE = 0.5  # of the matrices, which a family must know to be taken

_CUT_AXES = {"rows", "heads", "alternating"}
_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")
# The config's words for heads, key-value heads and the width of a head, in the order of trust.
_HEADS = ("num_attention_heads", "n_head", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads")
_HIDDEN = ("hidden_size", "n_embd", "embed_dim", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "depth", "num_layers")

# Why a tensor is no matrix of the analysis, by its name, the first that fits. With `embeddings` the first two are.
_EMBEDDING = re.compile(r"embed(?!_out)|(^|\.)(wte|wpe|shared)(\.|$)|position_ids", re.IGNORECASE)
_HEAD = re.compile(
    r"(^|\.)(lm_head|embed_out|score|classifier|cls|vocab_projector)(\.|$)|(^|_model\.|^model\.)output\.weight$"
)
_NORM = re.compile(r"(^|[._])norm|norm($|[._\d])|layernorm|(^|\.)ln_\w+\.", re.IGNORECASE)
_SCALE = re.compile(
    r"((weight|input|output|proj)_scale|_scale_inv|[._]scales|qzeros|absmax|SCB|quant_map|zero_point)$"
)
_PATCH = re.compile(r"patch_embed|patch_conv", re.IGNORECASE)
_BIAS = re.compile(r"(^|[._])bias(es)?$|_attention_bias", re.IGNORECASE)

# Own names: parts that say nothing about which matrix it is.
_CONTAINERS = {"params", "model", "layers", "blocks", "layer", "transformer", "decoder", "h"}
_NUMBERED = re.compile(r"(layers?|blocks?|h)_(\d+)", re.IGNORECASE)  # Linen's way: layers_3
_LEAVES = {"kernel", "weight", "value", "raw_value", "w"}
_COMPONENTS = {
    "projector": re.compile(r"projector|merger"),
    "vision": re.compile(r"visual|vision"),
    "encoder": re.compile(r"(^|\.)encoder\."),
}


class Shaped(Protocol):
    """Anything with a shape and a dtype (a string where NumPy has none)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


@dataclass(frozen=True)
class Cut:
    """A share of an axis: the axis in `groups` equal parts, of each part the entries from `start` to `stop`."""

    groups: int
    start: int
    stop: int

    def apply(self, matrix: np.ndarray, axis: int) -> np.ndarray:
        """The share of a two-dimensional array's axis."""
        turned = np.moveaxis(matrix, axis, 0)
        parts = turned.reshape(self.groups, -1, turned.shape[1])[:, self.start : self.stop]
        return np.moveaxis(parts.reshape(-1, turned.shape[1]), 0, axis)

    @property
    def size(self) -> int:
        """Entries of the axis that are kept."""
        return self.groups * (self.stop - self.start)


@dataclass(frozen=True)
class Place:
    """One matrix, or a whole stack over layers (`layers` > 0), and where it is found in its tensor."""

    tensor: str
    component: str
    module: str
    layer: int | None
    shape: tuple[int, int]
    inputs_first: bool | None = False
    """[in, out], as JAX keeps kernels and GPT-2 weights; torch has [out, in]. None: not known."""
    cut: Cut | None = None
    """Of the outputs' axis, where several matrices are fused in one tensor."""
    expert: int | None = None
    """Place in the first of three axes."""
    layers: int = 0
    """Matrices in the first of three axes, one for each layer."""


@dataclass(frozen=True)
class Sorted:
    """All tensors of a checkpoint: matrices, or left out for a reason."""

    family: str
    places: tuple[Place, ...]
    skipped: dict[str, str]
    notices: tuple[str, ...]


def sort_tensors(
    tensors: Mapping[str, Shaped], config: Mapping[str, Any] | None = None, embeddings: bool = False
) -> Sorted:
    """Finds the family and every matrix.

    Args:
      tensors: name -> anything with shape and dtype.
      config: config.json, for the head counts that fused matrices are cut by.
      embeddings: whether embeddings and output heads count as matrices.
    """
    config = config or {}
    left_out = {name: _left_out(name, leaf, embeddings) for name, leaf in tensors.items()}
    parts = {name: _generalised(name) for name in tensors}
    candidates = [name for name, leaf in tensors.items() if len(leaf.shape) >= 2 and _floating(leaf)]
    family = _choose(config, [parts[name][0] for name in candidates], left_out, candidates)
    places: list[Place] = []
    skipped: dict[str, str] = {}
    unknown, fused = [], []
    for name, leaf in tensors.items():
        general, numbers = parts[name]
        rule = family.rules.get(general) if family else None
        reason = left_out[name]
        if (
            rule
            and (reason is None or reason in _BY_NAME)
            and len(leaf.shape) == 2 + rule.stacked
            and _floating(leaf)
        ):
            found = list(rule.places(name, leaf, numbers, config))
            places += found
            if rule.cut and len(found) == 1 and len(rule.into) > 1:
                fused.append(name)
        elif reason:
            skipped[name] = reason
        elif own := list(_own_places(name, leaf)):
            places += own
            unknown.append(name)
        else:
            skipped[name] = f"{len(leaf.shape)} dimensions, neither a matrix nor a stack of them"
    notices = []
    if family is None and places:
        notices.append(
            f"no family that is known here: {len(unknown)} matrices stand under their own names, "
            "and figures over depth may mix or miss modules"
        )
    elif unknown:
        notices.append(
            f"{len(unknown)} matrices are not in the table of {family.title if family else ''} and stand under "
            f"their own names: {some(unknown)}"
        )
    if fused:
        notices.append(
            f"{len(fused)} fused matrices stand whole, for config.json does not give head counts that fit them: "
            f"{some(fused)}"
        )
    if family:
        notices += _layers_missing(places, family, config)
    return Sorted(family.title if family else OWN_NAMES, tuple(places), skipped, tuple(notices))


# The tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """What a family's table says of one name."""

    component: str
    into: tuple[str, ...]
    """Modules, with {0}, {1} for the name's numbers and {expert} or {layer} for the place in the first axis."""
    cut: str | None
    inputs_first: bool
    in_layer: bool
    sections: tuple[str, ...]
    """Where in config.json its sizes stand; empty for the top."""

    @property
    def stacked(self) -> bool:
        return "{expert}" in self.into[0] or "{layer}" in self.into[0]

    def places(
        self, name: str, leaf: Shaped, numbers: tuple[int, ...], config: Mapping[str, Any]
    ) -> Iterator[Place]:
        layer = numbers[0] if self.in_layer else None
        section = _section(config, self.sections)
        inputs_first = self._inputs_first(leaf, section)
        rows, columns = (int(n) for n in leaf.shape[-2:])
        outputs = columns if inputs_first else rows
        cuts: Sequence[Cut | None] = self._cuts(outputs, section)
        into = self.into
        if len(cuts) != len(into):  # it cannot be cut: one matrix under a name of all
            cuts, into = (None,), (_joined(into),)
        for module, cut in zip(into, cuts, strict=True):
            kept = outputs if cut is None else cut.size
            shape = (rows, kept) if inputs_first else (kept, columns)
            if "{layer}" in module:
                plain = module.replace("{layer}", "")
                yield Place(name, self.component, plain, None, shape, inputs_first, cut, layers=leaf.shape[0])
                continue
            for expert in range(leaf.shape[0]) if self.stacked else (None,):
                words = module.format(*numbers, expert=expert)
                yield Place(name, self.component, words, layer, shape, inputs_first, cut, expert)

    def _inputs_first(self, leaf: Shaped, section: Mapping[str, Any]) -> bool:
        """The table's word, or the shape's: stacked experts are saved either way round."""
        hidden = _number(section, _HIDDEN)
        one, two = leaf.shape[-2:]
        if "{expert}" not in self.into[0] or hidden not in (one, two) or one == two:
            return self.inputs_first
        down = "down" in self.into[0]
        return (two == hidden) == down

    def _cuts(self, outputs: int, section: Mapping[str, Any]) -> Sequence[Cut | None]:
        """One cut for each of `into`; none at all where the sizes do not fit the config."""
        count, shares = len(self.into), [1] * len(self.into)
        heads = _number(section, _HEADS)
        kv_heads = _number(section, _KV_HEADS) or heads
        if self.cut is None:
            return (None,)
        if count == 3 and self.component != "vision":  # vision towers have as many keys as queries
            if not heads or not kv_heads or heads % kv_heads:
                return ()
            shares = [heads // kv_heads, 1, 1]
        if self.cut == "rows":
            groups = 1
        elif self.cut == "heads":
            groups = kv_heads or 0
        else:
            groups = outputs // count
        if not groups or outputs % (groups * sum(shares)):
            return ()
        unit = outputs // (groups * sum(shares))
        ends = [0, *itertools.accumulate(share * unit for share in shares)]
        return [Cut(groups, start, stop) for start, stop in itertools.pairwise(ends)]


@dataclass(frozen=True)
class _Family:
    name: str
    title: str
    types: tuple[str, ...]
    rules: Mapping[str, _Rule]
    sections: Mapping[str, tuple[str, ...]]
    """Component -> sections of the config that may hold its sizes."""


@functools.cache
def _families() -> tuple[_Family, ...]:
    tables = tomllib.loads(Path(__file__).with_name("families.toml").read_text(encoding="utf-8"))
    families = []
    for name, family in tables["families"].items():
        rules: dict[str, _Rule] = {}
        for part in family["parts"]:
            for prefix, block in itertools.product(part["prefixes"], part["blocks"]):
                for key, rule in _block_rules(tables["blocks"][block], part):
                    rules.setdefault(prefix + key, rule)
        sections = {part["component"]: tuple(part.get("config", ())) for part in family["parts"]}
        families.append(_Family(name, family["title"], tuple(family["types"]), rules, sections))
    return tuple(families)


def _block_rules(block: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[tuple[str, _Rule]]:
    layer = block.get("layer", "")
    named = dict.fromkeys(block.get("same", ())) | block.get("names", {})
    entries = [(layer + key, value or key, True) for key, value in named.items()]
    entries += [(key, value, False) for key, value in block.get("whole", {}).items()]
    for key, value, in_layer in entries:
        cut = value["cut"] if isinstance(value, dict) else None
        into = tuple(value["into"]) if isinstance(value, dict) else (value,)
        assert cut is None or cut in _CUT_AXES, f"families.toml: {key}: no cut {cut}"
        first = bool(block.get("inputs_first"))
        yield key, _Rule(part["component"], into, cut, first, in_layer, tuple(part.get("config", ())))


def _choose(
    config: Mapping[str, Any], names: Sequence[str], left_out: Mapping[str, str | None], candidates: Sequence[str]
) -> _Family | None:
    """The family that knows most names; config.json's type decides between equals, then the table's order."""
    kind = config.get("model_type")
    matrices = sum(left_out[name] is None for name in candidates)
    counts = collections.Counter(names)

    def known(family: _Family) -> tuple[int, bool]:
        return sum(counts[name] for name in counts.keys() & family.rules.keys()), kind in family.types

    best = max(_families(), key=known)
    share = known(best)[0]
    return best if share and share >= KNOWN_SHARE * matrices else None


def _generalised(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with # for its numbers and without `.weight`, and the numbers."""
    name = name.removesuffix(".weight")
    return _NUMBER.sub("#", name), tuple(int(number[:18]) for number in _NUMBER.findall(name))


def _joined(modules: Sequence[str]) -> str:
    """One name for matrices that stay fused: self_attn.q_proj, self_attn.k_proj -> self_attn.q_proj+k_proj."""
    return "+".join([modules[0], *(module.rpartition(".")[2] for module in modules[1:])])


def _section(config: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """The first section that is there; older configs keep everything at the top."""
    return next((config[name] for name in names if isinstance(config.get(name), dict)), config)


def _number(section: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The first of some keys that holds a whole number above zero."""
    values = (section.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), None)


def _layers_missing(places: Sequence[Place], family: _Family, config: Mapping[str, Any]) -> Iterator[str]:
    """A notice for each component that has fewer layers than the config says: shards may be missing."""
    for component, names in family.sections.items():
        section = _section(config, names)
        if section is config and component in ("vision", "projector") and len(family.sections) > 1:
            continue  # what stands at the top is the decoder's
        expected = _number(section, _LAYERS)
        found = {place.layer for place in places if place.component == component and place.layer is not None}
        if expected and found and len(found) != expected:
            yield f"the config says {expected} layers of the {component}, the files have {len(found)}"


# Names that no table knows -------------------------------------------------------------------------------------

_BY_NAME = ("embedding", "output head", "norm")  # reasons that a table may overrule


def _floating(leaf: Shaped) -> bool:
    return not isinstance(leaf.dtype, str) and bool(jax.dtypes.issubdtype(leaf.dtype, np.floating))


def _left_out(name: str, leaf: Shaped, embeddings: bool) -> str | None:
    """Why a tensor is no matrix of the analysis; None if it may be one."""
    dimensions = len(leaf.shape)
    if 0 in leaf.shape:
        return "empty"
    if _SCALE.search(name):
        return "scale of a quantised tensor"
    if _BIAS.search(name):
        return "bias"
    if not _floating(leaf):
        kind = leaf.dtype if isinstance(leaf.dtype, str) else np.dtype(leaf.dtype).name
        packed = dimensions >= 2 and kind not in ("bool", "int64")
        return f"quantised ({kind}), cannot be read" if packed else f"{kind} is not a floating dtype"
    if dimensions >= 4 or _PATCH.search(name):
        return "patch embedding" if _PATCH.search(name) else "convolution"
    if _NORM.search(name):
        return "norm"
    if _EMBEDDING.search(name):
        return None if embeddings and dimensions == 2 else "embedding"
    if _HEAD.search(name):
        return None if embeddings and dimensions == 2 else "output head"
    return "a vector" if dimensions == 1 else "a number" if dimensions == 0 else None


def _own_places(name: str, leaf: Shaped) -> Iterator[Place]:
    """Matrices of a tensor that no table knows, under the words of its name."""
    parts = _NUMBERED.sub(r"\1.\2", name).split(".")
    numbers = [part for part in parts if part.isdecimal()]
    first = parts.index(numbers[0]) if numbers else None  # the layer; other numbers tell matrices apart
    kept = [p for i, p in enumerate(parts) if i != first and p not in _CONTAINERS and p not in _LEAVES]
    component = next((word for word, pattern in _COMPONENTS.items() if pattern.search(name)), "decoder")
    module, layer = ".".join(kept) or name, int(numbers[0][:18]) if numbers else None
    shape, inputs_first = (int(leaf.shape[-2]), int(leaf.shape[-1])), parts[-1] == "kernel"
    if len(leaf.shape) == 2:
        yield Place(name, component, module, layer, shape, inputs_first)
    elif len(leaf.shape) == 3 and "expert" in name:
        for expert in range(leaf.shape[0]):
            yield Place(name, component, f"{module}.{expert}", layer, shape, inputs_first, expert=expert)
    elif len(leaf.shape) == 3 and parts[-1] in _LEAVES and not numbers:
        yield Place(name, component, module, None, shape, inputs_first, layers=leaf.shape[0])
