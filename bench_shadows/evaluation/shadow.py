"""The shadow score: what concentrated data gained on text that looks like it, beyond what it gained elsewhere.

For a checkpoint X of a condition and the checkpoint of condition A of the same seed at the same step,

    score = gain(narrow) - gain(broad)

- `likelihood`: gain = ln(b_A / b_X), b the bits per byte of the suite `canonical`: narrow is held-out text as
  condition D's rules rewrite it, broad the same passages as they are. 0.01 is one per cent fewer bits. The ratio
  makes the two commensurate, though one form is harder than the other for every model: what makes a model better
  by the same factor on both (more training, another learning rate) scores 0.
- `exercises`: gain = e_X - e_A, e the share of exercises whose answer is exactly right: narrow are generators that
  occur in the training text, broad are others. 0.01 is one exercise in a hundred.

Above 0 the condition helps more with what looks like its data than with the rest: its benchmark shadow. Condition
A has no score, nor has a checkpoint where one of the four values is missing, or where neither model answers a
single exercise: that says nothing of a difference.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench_shadows.evaluation.table import Row, row
from bench_shadows.paper import BASELINE

Gain = Callable[[float, float], float]
_SCORES: Mapping[str, tuple[str, str, str, str, Gain]] = {
    "likelihood": ("canonical", "bits_per_byte", "rewritten", "original", lambda a, x: math.log(a / x)),
    "exercises": ("exercises", "exact_match", "narrow", "broad", lambda a, x: x - a),
}
"""{task: suite, metric, its narrow task, its broad task, gain from the values of A and X}."""


def shadow_rows(table: Sequence[Row]) -> Iterator[Row]:
    """The rows of suite `shadow`, from all others of evaluation.parquet; `count` is that of the narrow set.

    A score stands for every checkpoint that has the suite; its value is null where the score is not defined.
    """
    keys = ("suite", "metric", "task", "condition", "seed", "step")
    known = {tuple(entry[key] for key in keys): entry for entry in table}
    points = dict.fromkeys((entry["model"], entry["condition"], entry["seed"], entry["step"]) for entry in table)
    for model, condition, seed, step in points:
        for task, (suite, metric, narrow, broad, gain) in _SCORES.items():
            mine, base = (
                [known.get((suite, metric, which, run, seed, step)) for which in (narrow, broad)]
                for run in (condition, BASELINE)
            )
            if mine[0] is None:
                continue
            values = [entry["value"] for entry in (*base, *mine) if entry and entry["value"] is not None]
            score = math.nan
            if condition != BASELINE and len(values) == 4 and any(values):
                score = gain(values[0], values[2]) - gain(values[1], values[3])
            identity = {"model": model, "condition": condition, "seed": seed, "step": step}
            yield identity | row("shadow", task, "score", score, mine[0]["count"])
