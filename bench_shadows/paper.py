"""What the paper fixes and prints, for any floor to read: Benchmark Shadows, arXiv:2604.07363.

Its figures are shown as the paper's, beside a run's own, never among them.
"""

from collections.abc import Iterable

CITATION = (
    "Benchmark Shadows: Data Alignment, Parameter Footprints, and Generalization in Large Language Models, "
    "arXiv:2604.07363"
)

BASELINE = "A"
"""The condition that the others are compared with: broad coverage."""

MODULES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)
"""The projections of a layer that are analysed, in the order a block applies them."""
V_PROJ, UP_PROJ = "self_attn.v_proj", "mlp.up_proj"
"""Where the paper finds the marks of training most, and hardly."""
MATRICES = 32 * len(MODULES)
"""Of its model: every module of every layer, no embedding and no head."""

TOKENS_A_PARAMETER = 1_820
"""That a run reads: about 1.2 trillion tokens (section 4.1) for a decoder of 659 M parameters."""

IN_RANGE = (2.0, 6.0)
"""The interval of alpha that it takes for well trained, both ends included."""

FRACTIONS = (1 / 36, 10 / 36, 20 / 36, 30 / 36, 1.0)
"""Points of a run that are analysed: 2k, 20k, 40k, 60k, 72k of 72k steps."""
BEFORE, AFTER, END = FRACTIONS[1], FRACTIONS[2:], FRACTIONS[-1]
"""The last point before the phase shift, the points after it, and the end."""

TABLE_1_COLUMNS = ("2k", "20k", "40k", "60k", "72k")
TABLE_1 = {
    "A": ((60.7, 81.7, 79.0, 79.5, 78.6), "Stable"),
    "B": ((62.1, 57.6, 57.6, 61.2, 61.2), "Stuck"),
    "C": ((58.9, 79.9, 81.7, 80.4, 81.3), "Recover"),
    "D": ((61.2, 77.2, 78.1, 77.7, 77.2), "Gap"),
}
"""Percent of its matrices with alpha in range by training step, and its own word for the trend."""


def spans(layers: Iterable[int]) -> str:
    """Layers as the paper writes them: `2–20`, `0, 3–5`."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
