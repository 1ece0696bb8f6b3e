"""Which reading of a tensor stands that a family's table knows: its axis of layers, its inputs, its cuts.

A side is the inputs' because the family says so, unless the sides say otherwise: queries, keys, values, gate and
up read the hidden states, the output and down projections write them, and a fused side has the length that heads
give it. What a library saved it saved one way round, so tensors of a kind decide together; where they decide
nothing and the family knows both ways, the orientation is not known, and nothing is cut.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_shadows.diagnostics.weights.layouts import Cut, Sizes, View, fused_cuts
from bench_shadows.diagnostics.weights.names import Shaped
from bench_shadows.diagnostics.weights.places import Place, shared_axis
from bench_shadows.diagnostics.weights.tables import Family, Rule

WHOLE_AXIS = {"L*": 0, "?L*": 1}  # what a layout says of the axis of layers alone
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "depth", "num_layers")

# Modules whose inputs, or whose outputs, are the model's hidden states: by their sides the orientation is told.
_READ_HIDDEN = {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "router"}
_WRITE_HIDDEN = {"o_proj", "down_proj"}


@dataclass(frozen=True)
class Known:
    """A tensor that the family's table knows."""

    name: str
    rule: Rule
    numbers: tuple[int, ...]
    shape: tuple[int, ...]
    readings: tuple[str, ...]
    """Its axes, with that of layers; `io` may be `oi` as well where the rule does not list axes."""
    kernel: bool


def scan_axes(
    known: Sequence[Known],
    plain: Mapping[str, str],
    tensors: Mapping[str, Shaped],
    said: Mapping[str, str],
    config: Mapping[str, Any],
) -> tuple[dict[str, int], dict[str, str]]:
    """The axis of layers of scanned tensors, by their common stem, and tensors left out for want of one.

    Raises AmbiguousError where the first two axes could both be it.
    """
    axes: dict[str, int] = {}
    skipped: dict[str, str] = {}
    stems: dict[str, list[Known]] = {}
    for one in known:
        if one.rule.scanned:
            stems.setdefault(one.rule.prefix, []).append(one)
    for stem, members in stems.items():
        given = [WHOLE_AXIS[said[one.name]] for one in members if said.get(one.name) in WHOLE_AXIS]
        siblings = {name: tuple(tensors[name].shape) for name, text in plain.items() if text.startswith(stem)}
        fixed = members[0].rule.scan if not given else given[0]
        if all(said.get(one.name) and said[one.name] not in WHOLE_AXIS for one in members):
            axes[stem] = 0  # every member's axes are given
        elif fixed is not None:
            axes[stem] = fixed
        else:
            found = shared_axis(siblings, stem, number(config, LAYERS))
            if found is None:
                names = [one.name for one in members]
                skipped |= dict.fromkeys(names, f"{stem}* share no first or second axis that could be of layers")
            else:
                axes[stem] = found
    return axes, skipped


class Table:
    """The places of the tensors that a family knows."""

    def __init__(
        self,
        family: Family | None,
        config: Mapping[str, Any],
        axes: Mapping[str, int],
        hidden: int | None,
        known: tuple[Known, ...],
    ):
        self._family, self._config, self._axes, self._hidden = family, config, axes, hidden
        self._known = [one for one in known if not one.rule.scanned or one.rule.prefix in axes]
        self._sizes = {rule.component: self._sizes_of(rule.component) for rule in (one.rule for one in known)}
        self.notices: list[str] = []
        self._order = {key: self._orientation(key) for key in dict.fromkeys(map(self._group, self._known))}

    @property
    def stems(self) -> dict[str, tuple[int, int]]:
        """Axis and number of layers of scanned tensors, by what their names begin with."""
        members = {one.rule.prefix: one for one in self._known if one.rule.scanned}
        return {stem: (at, members[stem].shape[at]) for stem, at in self._axes.items() if stem in members}

    def places(self) -> tuple[list[Place], list[str], dict[str, str]]:
        """All places, the names of fused tensors that stay whole, and what is left out."""
        places: list[Place] = []
        fused, skipped = [], {}
        first = self._first_layers()
        for one in self._known:
            reading = self._reading(one)
            if reading is None:
                skipped[one.name] = (
                    f"{one.shape} fits no layout of {one.rule.into[0].format(*one.numbers, expert='#')}"
                )
                continue
            axes, inputs_first = reading
            found = list(self._places_of(one, axes, inputs_first, first.get(one.rule.prefix, 0)))
            places += found
            if one.rule.cut and all(place.view.cut is None for place in found) and len(one.rule.into) > 1:
                fused.append(one.name)
        return places, fused, skipped

    def _places_of(self, one: Known, axes: str, inputs_first: bool | None, first_layer: int) -> Iterator[Place]:
        rule, view = one.rule, View(axes)
        layers = one.shape[view.stacked] if view.stacked is not None else 0
        layer = one.numbers[0] if rule.layered else None
        parts = range(len(rule.into)) if "S" in axes else (None,)
        experts = range(one.shape[axes.index("E")]) if "E" in axes else (None,)
        cuts: Sequence[Cut | None] = (None,)
        into = rule.into
        if rule.cut:
            sides = view.side(one.shape, "o"), view.side(one.shape, "i")
            cut = (
                None
                if inputs_first is None
                else fused_cuts(rule.cut, len(into), *sides, self._sizes[rule.component])
            )
            cuts, into = (cut, into) if cut else ((None,), (_joined(into),))
        for part in parts:
            for module, share in zip(into if part is None else into[part : part + 1], cuts, strict=True):
                for expert in experts:
                    picks = [(axes.index("S"), part)] if part is not None else []
                    picks += [(axes.index("E"), expert)] if expert is not None else []
                    name = module.format(*one.numbers, expert=expert)
                    if expert is not None and "{expert}" not in module:
                        name = f"{name}.{expert}"
                    chosen = View(axes, tuple(sorted(picks)), share)
                    shape = chosen.shape(one.shape)
                    yield Place(
                        one.name, rule.component, name, layer, chosen, shape, inputs_first, layers, first_layer
                    )

    def _first_layers(self) -> dict[str, int]:
        """Where a stem's layers begin: behind those of another with the same modules (dense before experts)."""
        starts: dict[str, int] = {}
        counts: dict[str, int] = {}
        modules: dict[str, set[tuple[str, str]]] = {}
        for one in self._known:
            if one.rule.scanned:
                stem = one.rule.prefix
                modules.setdefault(stem, set()).update((one.rule.component, name) for name in one.rule.into)
                counts.setdefault(stem, one.shape[self._axes[stem]])
        for stem in sorted(modules):
            before = [s for s in starts if modules[s] & modules[stem]]
            starts[stem] = max((starts[s] + counts[s] for s in before), default=0)
        return starts

    def _reading(self, one: Known) -> tuple[str, bool | None] | None:
        """The tensor's axes, and whether inputs come first (None: not known); None where nothing fits."""
        options = [self._with_layers(one, axes) for axes in one.readings]
        if one.readings[0] in ("io", "Eio") and not one.rule.axes and len(one.readings) == 1:
            order = self._order[self._group(one)]
            return (
                options[0] if order is not False else options[0].replace("io", "oi").replace("iLo", "oLi")
            ), order
        fits = [axes for axes in options if self._parts_fit(one, axes)]
        if len(fits) > 1:
            hidden = self._sizes[one.rule.component].hidden or self._hidden
            by_side = [axes for axes in fits if self._side(one, axes) == hidden]
            fits = by_side if len(by_side) == 1 else fits
        return (fits[0], View(fits[0]).inputs_first) if len(fits) == 1 else None

    def _with_layers(self, one: Known, axes: str) -> str:
        if not one.rule.scanned or len(axes) == len(one.shape):
            return axes
        at = self._axes[one.rule.prefix]
        return axes[:at] + "L" + axes[at:]

    def _parts_fit(self, one: Known, axes: str) -> bool:
        return "S" not in axes or one.shape[axes.index("S")] == len(one.rule.into)

    def _side(self, one: Known, axes: str) -> int | None:
        """The side that should be the hidden size."""
        role = _role(one.rule)
        return None if role is None else View(axes).side(one.shape, role)

    # Which side are the inputs ---------------------------------------------------------------------------------

    def _group(self, one: Known) -> tuple[str, bool, bool]:
        """Tensors that a library saves the same way round."""
        return one.rule.component, one.rule.experts, one.kernel

    def _orientation(self, group: tuple[str, bool, bool]) -> bool | None:
        """Inputs first, outputs first, or not known: by what the sides say, else by the family's word."""
        members = [one for one in self._known if self._group(one) == group and not one.rule.axes]
        votes = [vote for one in members if (vote := self._vote(one)) is not None]
        words = {one.rule.first for one in members}
        word: bool | None = None if len(words) != 1 or words == {"either"} else words == {"in"}
        if word is False and group[2]:
            word = True  # a kernel of JAX's, in the names of torch
        if not votes:
            return word
        if len(set(votes)) == 1:
            if word is not None and votes[0] != word:
                order = "[in, out]" if votes[0] else "[out, in]"
                self.notices.append(
                    f"matrices of the {group[0]} are stored {order}, as {len(votes)} of them show by the side "
                    "that is the hidden size; they are read so"
                )
            return votes[0]
        against = sum(vote != word for vote in votes)
        self.notices.append(
            f"{against} of {len(votes)} matrices of the {group[0]} have the hidden size on the other side than "
            "the family says; they are read as it says"
        )
        return word

    def _vote(self, one: Known) -> bool | None:
        """Whether a tensor's sides let only one reading stand, and which."""
        role = _role(one.rule)
        if one.readings[0] not in ("io", "Eio") or (role is None and not one.rule.cut):
            return None
        sizes = self._sizes[one.rule.component]
        hidden = sizes.hidden or self._hidden
        axes = self._with_layers(one, one.readings[0])
        one_side, two_side = (View(axes).side(one.shape, letter) for letter in "io")
        if one_side == two_side:
            return None

        def fits(inputs: int, outputs: int) -> bool:
            if one.rule.cut and one.rule.cut not in ("halves", "alternating"):
                whole = fused_cuts(one.rule.cut, len(one.rule.into), outputs, inputs, sizes)
                return whole is not None and (hidden is None or inputs == hidden)
            return hidden == (inputs if role == "i" else outputs)

        first, last = fits(one_side, two_side), fits(two_side, one_side)
        return None if first == last else first

    def _sizes_of(self, component: str) -> Sizes:
        names = self._family.sections.get(component, ()) if self._family else ()
        section = section_of(self._config, names)
        alone = self._family is None or len(self._family.sections) == 1
        if section is self._config and component in ("vision", "projector") and not alone:
            return Sizes()  # what stands at the top is the decoder's
        return Sizes.of(section)


def _role(rule: Rule) -> str | None:
    """Which side of a matrix is the hidden size: its inputs (i), its outputs (o), or neither."""
    if "cross" in rule.into[0] or rule.into[0].startswith("pool"):
        return None
    last = rule.into[0].rpartition(".")[2]
    return "i" if last in _READ_HIDDEN else "o" if last in _WRITE_HIDDEN else None


def _joined(modules: Sequence[str]) -> str:
    """One name for matrices that stay fused: self_attn.q_proj, self_attn.k_proj -> self_attn.q_proj+k_proj."""
    return "+".join([modules[0], *(module.rpartition(".")[2] for module in modules[1:])])


def section_of(config: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """The first section that is there; older configs keep everything at the top."""
    return next((config[name] for name in names if isinstance(config.get(name), dict)), config)


def number(section: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The first of some keys that holds a whole number above zero."""
    values = (section.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), None)
