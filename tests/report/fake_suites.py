"""Results of the suites that aim at what concentration does: positions, rare words, canonical text, exercises."""

from collections.abc import Iterator
from typing import Any

import numpy as np

POSITIONS = ("1-15", "16-31", "32-63", "64-127")
BANDS = ("all", "1-3", "4-15", "16-63")
GENERATORS = {"narrow": ("chain_sum", "simple_equations"), "broad": ("word_sorting", "maze")}
GAINS = {"A": 0.0, "B": 0.01, "C": 0.03, "D": 0.12}


def suites(data: str, fraction: float, condition: str, draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Rows (suite, task, metric, value, count) of one checkpoint; D gains on canonical text."""
    learned, gain = 1 - float(np.exp(-4 * fraction)), GAINS[data]

    def row(suite: str, task: str, metric: str, value: float | None, count: int) -> dict[str, Any]:
        return {"suite": suite, "task": task, "metric": metric, "value": value, "count": count}

    def noise(scale: float) -> float:
        return float(scale * draw.standard_normal())

    for index, task in enumerate(POSITIONS):
        yield row(
            "position", task, "loss_nats_per_token", 6.5 - (1.6 + 0.15 * index) * learned + noise(0.02), 3000
        )
    for index, task in enumerate(BANDS):
        yield row("rare_words", task, "accuracy", 0.5 + learned * (0.04 + 0.03 * index - gain) + noise(0.01), 400)
    for task, sign in (("original", 1.0), ("rewritten", -1.0)):
        yield row("canonical", task, "bits_per_byte", 3.4 - learned + sign * gain * learned + noise(0.01), 4000)
    for kind, generators in GENERATORS.items():
        sign = 1.0 if kind == "narrow" else -0.5
        for task in (kind, *(f"{kind}/{generator}" for generator in generators)):
            yield row("exercises", task, "exact_match", max(0.0, 0.1 * learned + sign * gain + noise(0.01)), 64)
            loss = 4 - learned - sign * gain + noise(0.02)
            yield row("exercises", task, "answer_loss_nats_per_token", loss, 300)
    for task in ("likelihood", "exercises"):
        score = None if condition == "A" else learned * gain + noise(0.01)
        yield row("shadow", task, "score", score, 4000)
