"""Placeholder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]

Signature = Literal["support collapse", "unsettled optimizer", "alpha out of range"]


@dataclass(frozen=True)
class Finding:
    """A signature that a run shows."""

    signature: Signature
    text: str
    """One sentence with the figures that it rests on."""


def find(looks: Sequence[Any], steps: int | None) -> list[Finding]:
    return []
