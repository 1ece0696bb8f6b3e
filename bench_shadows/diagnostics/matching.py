"""Why matrices of a model are not found in its reference, in words: a prefix, another shape, other names."""

import re
from collections import Counter
from collections.abc import Sequence


def why_apart(lost: Sequence[tuple[str, str]], known: Sequence[str]) -> str:
    """The reason that most of the matrices share.

    Args:
      lost: (tensor, status in changes.parquet) of matrices that could not be compared.
      known: tensors of the reference.
    """
    shapes = [status for _, status in lost if status.startswith("shape")]
    names = [tensor for tensor, status in lost if not status.startswith("shape")]
    parts = []
    if names:
        parts.append(_names_apart(names, known))
    if shapes:
        first = next(tensor for tensor, status in lost if status.startswith("shape"))
        count = "" if len(shapes) == len(lost) else f"{len(shapes):,} "
        parts.append(f"{count}shapes differ ({first}: {shapes[0]})")
    return "; ".join(parts)


def _names_apart(names: Sequence[str], known: Sequence[str]) -> str:
    if not known:
        return "the reference has no matrices"
    prefix, side = _prefix(names, known)
    if prefix:
        return f"names differ by the prefix `{prefix}` {side} (as {names[0]})"
    own, other = ({re.sub(r"\d+", "#", name) for name in side} for side in (names, known))
    shared = own & other
    if shared:
        return f"{len(names):,} are not in the reference, which has such names (as {names[0]})"
    return f"no name is alike: {names[0]} here, {known[0]} there"


def _prefix(names: Sequence[str], known: Sequence[str]) -> tuple[str, str]:
    """What most names have in front that the other side lacks, and which side has it; empty if nothing has."""
    for longer, shorter, side in ((names, known, "here"), (known, names, "in the reference")):
        there = set(shorter)
        found = Counter(name[: -len(rest)] for name in longer for rest in _rests(name) if rest in there)
        if found and found.most_common(1)[0][1] * 2 > min(len(names), len(known)):
            return found.most_common(1)[0][0], side
    return "", ""


def _rests(name: str) -> list[str]:
    """What is left of a dotted name without its first parts, the longest first."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(1, len(parts))]
