"""What a task of the built-in corpus makes of one throw of the dice."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench_shadows.data.samples.builtin.chance import Dice


class Made(NamedTuple):
    """A sample without the fields that every sample has."""

    instruction: str
    """What is asked, in words that many samples share."""
    answer: str
    content: str = ""
    """What this sample asks besides: on the lines below the instruction."""
    pixels: np.ndarray | None = None
    """uint8 [size, size, 3]."""
    caption: str = ""
    """What a pipeline knows about the image before anybody looks; never the answer."""
    language: str = "en"
    check: dict[str, Any] | None = None


Make = Callable[[Dice, int], Made]
"""Makes one sample, `make(dice, size)`; `size` in pixels is 0 for a task without images."""
