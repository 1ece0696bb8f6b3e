"""Which matrices a tensor holds: component, module and layer from its name, by a table for each family of models.

The family whose table knows most of a checkpoint's names is taken (`tables`); names that no table knows keep their
own words (`own_names`), and are counted. Which side of a matrix are the inputs is the family's word, unless the
sides contradict it; fused tensors are cut where the sizes leave one reading (`layouts`). Nothing is left out
without a reason, and what has two readings is read whole, or refused.
"""

import collections
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_shadows.diagnostics.weights import own_names
from bench_shadows.diagnostics.weights.names import (
    BY_NAME,
    Shaped,
    floating,
    generalised,
    inferred_hidden,
    reason_left_out,
    stripped,
    without_first_part,
)
from bench_shadows.diagnostics.weights.places import LETTERS, AmbiguousError, Place
from bench_shadows.diagnostics.weights.readings import (
    LAYERS,
    WHOLE_AXIS,
    Known,
    Table,
    number,
    scan_axes,
    section_of,
)
from bench_shadows.diagnostics.weights.safetensors import some
from bench_shadows.diagnostics.weights.tables import Family, families
from bench_shadows.errors import RunError

OWN_NAMES = "own names"  # the family of names that no table knows
KNOWN_SHARE = 0.5  # of the matrices, which a family must know to be taken


@dataclass(frozen=True)
class Sorted:
    """All tensors of a checkpoint: matrices, or left out for a reason."""

    family: str
    places: tuple[Place, ...]
    skipped: dict[str, str]
    notices: tuple[str, ...]


def sort_tensors(
    tensors: Mapping[str, Shaped],
    config: Mapping[str, Any] | None = None,
    embeddings: bool = False,
    layout: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Sorted:
    """Finds the family and every matrix.

    Args:
      tensors: name -> anything with shape and dtype.
      config: config.json, for the sizes that orientation and cuts are told by.
      embeddings: whether embeddings and output heads count as matrices.
      layout: patterns of names (`layers.*`) -> axes, in the letters of `layouts`; `L*` and `?L*` say on which axis
        layers are and leave the rest to be found, an empty text leaves the tensors out.
      strict: whether a stack with two readings is refused, or left out and said.

    Raises:
      RunError: for axes that no tensor of that name can have, and for a tree with two readings where `strict`.
    """
    config = config or {}
    plain, wrapper = stripped(tensors)
    said = _layouts(plain, tensors, layout or {})
    reasons = {name: reason_left_out(plain[name], leaf, embeddings) for name, leaf in tensors.items()}
    reasons |= {name: "left out by the layout" for name, axes in said.items() if not axes}
    candidates = [name for name, leaf in tensors.items() if len(leaf.shape) >= 2 and floating(leaf)]
    family, plain, shorter = _choose_unwrapped(config, plain, tensors, reasons, candidates)
    wrapper = " and ".join(word for word in (wrapper, shorter) if word) or None
    known = list(_known(family, plain, tensors, reasons, said) if family else ())
    notices: list[str] = []
    used = set(said.values())
    if unused := [f"{pattern}={axes}" for pattern, axes in (layout or {}).items() if axes not in used]:
        notices.append(f"the layout {some(unused)} fits no matrix or stack")
    if wrapper:
        notices.append(f"names are read without {wrapper} in them")
    try:
        axes, skipped = scan_axes(known, plain, tensors, said, config)
        table = Table(family, config, axes, inferred_hidden(plain, tensors), tuple(known))
        places, fused, more = table.places()
        skipped |= more
        rest = {
            name: tensors[name]
            for name in tensors
            if name not in skipped and name not in {place.tensor for place in places}
        }
        own, left = own_names.places(rest, plain, reasons, said, table.stems, strict)
    except AmbiguousError as error:
        raise RunError(str(error)) from error
    skipped |= left
    if family is None and own:
        notices.append(
            f"no family that is known here: {len({p.tensor for p in own})} matrices stand under their own names, "
            "and figures over depth may mix or miss modules"
        )
    elif own:
        names = list(dict.fromkeys(place.tensor for place in own))
        notices.append(
            f"{len(names)} matrices are not in the table of {family.title if family else ''} and stand under "
            f"their own names: {some(names)}"
        )
    if fused:
        notices.append(
            f"{len(fused)} fused matrices stand whole, for config.json does not give head counts that fit them: "
            f"{some(fused)}"
        )
    notices += table.notices
    if family:
        notices += _layers_missing(places, family, config)
    order = {name: i for i, name in enumerate(tensors)}
    found = sorted(_apart([*places, *own], plain), key=lambda place: order[place.tensor])
    return Sorted(
        family.title if family else OWN_NAMES,
        tuple(found),
        {name: skipped[name] for name in tensors if name in skipped},
        tuple(notices),
    )


def _layouts(plain: Mapping[str, str], tensors: Mapping[str, Shaped], layout: Mapping[str, str]) -> dict[str, str]:
    """The axes that the caller gives, by tensor; RunError for a pattern or axes that fit nothing."""
    found: dict[str, str] = {}
    for pattern, axes in layout.items():
        names = [
            name
            for name in tensors
            if len(tensors[name].shape) >= (3 if axes in WHOLE_AXIS else 2)
            and any(fnmatch.fnmatchcase(n, pattern) for n in (name, plain[name]))
        ]
        if axes and axes not in WHOLE_AXIS:
            if not set(axes) <= LETTERS or not {"i", "o"} <= set(axes) or any(axes.count(x) > 1 for x in "LES"):
                raise RunError(
                    f"layout {pattern}={axes}: a letter for each axis: i inputs, o outputs, L layers, E experts, "
                    "S parts, as in Lio; or L*, ?L* for the axis of layers alone"
                )
            if names and not any(len(tensors[name].shape) == len(axes) for name in names):
                shape = tuple(tensors[names[0]].shape)
                raise RunError(f"layout {pattern}={axes}: {len(axes)} axes, but {names[0]} is {shape}")
            names = [name for name in names if len(tensors[name].shape) == len(axes)]
        found |= dict.fromkeys(names, axes)
    return found


# The family ---------------------------------------------------------------------------------------------------


def _choose_unwrapped(
    config: Mapping[str, Any],
    plain: dict[str, str],
    tensors: Mapping[str, Shaped],
    reasons: Mapping[str, str | None],
    candidates: Sequence[str],
) -> tuple[Family | None, dict[str, str], str | None]:
    """The family, the names that it knows, and the part in front that had to be taken off for it."""
    family = _choose(config, plain, tensors, reasons, candidates)
    shorter = plain
    taken: list[str] = []
    while family is None and len(taken) < 3:
        matrices = [name for name in candidates if reasons[name] is None]
        found = without_first_part(shorter, matrices)
        if found is None:
            return None, plain, None
        shorter = found[0]
        taken.append(f"`{found[1]}`")
        family = _choose(config, shorter, tensors, reasons, candidates)
    return family, shorter if family else plain, " and ".join(taken) if family and taken else None


def _choose(
    config: Mapping[str, Any],
    plain: Mapping[str, str],
    tensors: Mapping[str, Shaped],
    reasons: Mapping[str, str | None],
    candidates: Sequence[str],
) -> Family | None:
    """The family that knows most names; config.json's type decides between equals, then the tables' order."""
    kind = config.get("model_type")
    matrices = sum(reasons[name] is None for name in candidates)
    allowed = [name for name in candidates if reasons[name] is None or reasons[name] in BY_NAME]
    counts = collections.Counter((generalised(plain[name])[0], len(tensors[name].shape)) for name in allowed)

    def known(family: Family) -> tuple[int, bool]:
        rules = family.rules
        count = sum(
            number
            for (general, dimensions), number in counts.items()
            if general in rules and rules[general].readings(dimensions)
        )
        return count, kind in family.types

    best = max(families(), key=known)
    share = known(best)[0]
    return best if share and share >= KNOWN_SHARE * matrices else None


def _known(
    family: Family,
    plain: Mapping[str, str],
    tensors: Mapping[str, Shaped],
    reasons: Mapping[str, str | None],
    said: Mapping[str, str],
) -> Iterator[Known]:
    """What the family's table knows."""
    for name, leaf in tensors.items():
        general, numbers = generalised(plain[name])
        rule = family.rules.get(general)
        if rule is None or not floating(leaf) or 0 in leaf.shape or said.get(name) == "":
            continue
        given = said.get(name, "L*")
        readings = [given] if given not in WHOLE_AXIS else rule.readings(len(leaf.shape))
        if readings and (reasons[name] is None or reasons[name] in BY_NAME):
            kernel = plain[name].endswith(".kernel")
            yield Known(name, rule, numbers, tuple(map(int, leaf.shape)), tuple(readings), kernel)


def _apart(places: Iterable[Place], plain: Mapping[str, str]) -> Iterator[Place]:
    """The same places; two that would stand under one name stand under their tensors' names."""
    places = list(places)
    counts = collections.Counter((place.component, place.module, place.layer) for place in places)
    for place in places:
        twice = counts[place.component, place.module, place.layer] > 1 and not place.layers
        yield place.renamed(plain[place.tensor]) if twice else place


def _layers_missing(places: Sequence[Place], family: Family, config: Mapping[str, Any]) -> Iterator[str]:
    """A notice for each component that has fewer layers than the config says: shards may be missing."""
    for component, names in family.sections.items():
        section = section_of(config, names)
        if section is config and component in ("vision", "projector") and len(family.sections) > 1:
            continue  # what stands at the top is the decoder's
        own = (f"{component}_layers", f"num_{component}_layers")
        expected = number(section, (*family.layers, *own, *LAYERS))
        found: set[int] = set()
        for place in places:
            if place.component == component:
                found |= set(place.all_layers)
        if expected and found and len(found) != expected:
            yield f"the config says {expected} layers of the {component}, the files have {len(found)}"
