"""What a config field determines, declared once, beside the field: every fingerprint is derived from it."""

import dataclasses
import enum
import typing
from collections.abc import Iterator
from typing import Any

_KEY = "determines"


class Determines(enum.Flag):
    """What comes out otherwise when a field changes. What is made later follows from what is made before."""

    SPEED = 0
    """Nothing: where and how fast work is done, or what follows where a run would end. What has come out already
    is the same with any value, by rounding at most, so it may change while a study continues."""
    DOCUMENTS = enum.auto()
    """The documents as they are read from the sources."""
    ROWS = enum.auto()
    """Tokenizer and row sets: which documents are in them, in which form, in how many rows."""
    PLANS = enum.auto()
    """Which row a run reads at each position."""
    RUN = enum.auto()
    """A run's folder: its weights, when they are saved, and its logs."""
    DIAGNOSTICS = enum.auto()
    """The tables of spectra and changes."""
    EVALUATION = enum.auto()
    """What a checkpoint is asked and how its answers are scored."""
    PLACE = enum.auto()
    """Where files are kept: no result, but a folder has to stay with it."""


DATA = Determines.DOCUMENTS | Determines.ROWS | Determines.PLANS
"""All that RUN/data holds."""


def field(determines: Determines, default: Any) -> Any:
    """A config field with its default and what it determines."""
    return dataclasses.field(default=default, metadata={_KEY: determines})


def fields(config: type) -> Iterator[tuple[str, Determines]]:
    """(dotted name, what it determines) of every field below a config dataclass, in the order of the file.

    Raises TypeError for a field that declares nothing.
    """
    hints = typing.get_type_hints(config)
    for one in dataclasses.fields(config):
        if dataclasses.is_dataclass(group := hints[one.name]):
            yield from ((f"{one.name}.{name}", what) for name, what in fields(typing.cast(type, group)))
        elif _KEY in one.metadata:
            yield one.name, one.metadata[_KEY]
        else:
            raise TypeError(f"{config.__name__}.{one.name} does not declare what it determines")
