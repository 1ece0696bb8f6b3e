"""A figure of a page: its file name, what draws it, what it shows in words, and how to read it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

NO_DIAGNOSTICS = "Not drawn: diagnostics.parquet has nothing for it."
NO_CHANGES = "Not drawn: changes.parquet has nothing for it."
GAP = "A matrix without a fit is a gap."
SEEDS = "Lines are means over seeds; the shaded band is their 95 % interval (Student's t) from three seeds on."
NESTED = "Curves that lie on each other are drawn one narrower than the other, so that all can be seen."
BARS = "From three seeds on a bar at the right shows each line's median 95 % interval over seeds."


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the page. `alt` describes it to somebody who does not see it; `absent` says what it needs."""

    name: str
    draw: Callable[[Any], Figure | None]
    alt: str
    caption: str
    absent: str = NO_DIAGNOSTICS

    @property
    def title(self) -> str:
        """Its name in words, for links."""
        return self.name.replace("_", " ")
