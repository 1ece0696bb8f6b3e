"""The families of models and what they call their matrices, from the tables in `families_*.toml`."""

import functools
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Orientation = Literal["in", "out", "either"]

FILES = ("jax", "decoders", "encoders", "vision")  # in the order that decides between families that know as much
_CUTS = {"rows", "heads", "thirds", "halves", "alternating", "codegen"}


@dataclass(frozen=True)
class Rule:
    """What a family's table says of one name."""

    component: str
    into: tuple[str, ...]
    """Modules, with {0}, {1} for the name's numbers and {expert} for the place on the axis of experts."""
    cut: str | None
    axes: tuple[str, ...]
    """The tensor's axes without that of layers, one text for each number of axes; empty: two sides, as `first`."""
    first: Orientation
    """Which side of a matrix comes first: inputs, outputs, or either."""
    layered: bool
    """Whether the name's first number is a layer."""
    scanned: bool
    """Whether the tensor has an axis of layers."""
    scan: int | None
    """Which that is; None: of the first two the one that all scanned tensors share."""
    prefix: str
    """What a scanned tensor's name has in common with its siblings'."""

    @property
    def experts(self) -> bool:
        """Whether the tensor has an axis of experts."""
        return "{expert}" in self.into[0]

    def readings(self, dimensions: int) -> list[str]:
        """The axes that a tensor of so many may have, the axis of layers left out; `io` stands for both orders."""
        wanted = dimensions - self.scanned
        if self.axes:
            return [axes for axes in self.axes if len(axes) == wanted]
        return ["Eio" if self.experts else "io"] if wanted == 2 + self.experts else []


@dataclass(frozen=True)
class Family:
    """The names of one kind of models."""

    name: str
    title: str
    types: tuple[str, ...]
    rules: Mapping[str, Rule]
    sections: Mapping[str, tuple[str, ...]]
    """Component -> sections of config.json that may hold its sizes."""
    layers: tuple[str, ...]
    """The config's words for the number of layers, before the usual ones."""


@functools.cache
def families() -> tuple[Family, ...]:
    """All tables, in their order."""
    blocks: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for file in FILES:
        table = tomllib.loads(Path(__file__).with_name(f"families_{file}.toml").read_text(encoding="utf-8"))
        blocks |= table.get("blocks", {})
        entries |= table.get("families", {})
    found = []
    for name, family in entries.items():
        rules: dict[str, Rule] = {}
        for part in family["parts"]:
            for prefix, block in itertools.product(part["prefixes"], part["blocks"]):
                for key, rule in _block_rules(blocks[block], part["component"], prefix):
                    rules.setdefault(key, rule)
        sections = {part["component"]: tuple(part.get("config", ())) for part in family["parts"]}
        layers = tuple(family.get("layers", ()))
        found.append(Family(name, family["title"], tuple(family.get("types", ())), rules, sections, layers))
    return tuple(found)


def _block_rules(block: Mapping[str, Any], component: str, prefix: str) -> Iterator[tuple[str, Rule]]:
    component = block.get("component", component)
    names = dict.fromkeys(block.get("same", ())) | block.get("names", {})
    entries = [
        (key, value or key, layer) for layer in _texts(block.get("layer", ())) for key, value in names.items()
    ]
    entries += [(key, value, "") for key, value in block.get("whole", {}).items()]
    for key, value, layer in entries:
        table = value if isinstance(value, dict) else {"into": value}
        into = tuple(_texts(table["into"]))
        cut, axes = table.get("cut"), tuple(_texts(table.get("axes", ())))
        assert cut is None or cut in _CUTS, f"families: {key}: no cut {cut}"
        first = table.get("first", block.get("first", "out"))
        rule = Rule(component, into, cut, axes, first, bool(layer), False, None, "")
        yield prefix + layer + key, rule
        if layer:  # all layers in one tensor, under the name without their number
            stem = prefix + layer.replace("_#.", ".").replace("#.", "")
            yield stem + key, Rule(component, into, cut, axes, first, False, True, block.get("scan"), stem)


def _texts(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
