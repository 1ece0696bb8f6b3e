"""C9: the shadow itself, read from evaluation.parquet."""

import math

import numpy as np

from bench_shadows.paper import BEFORE, END
from bench_shadows.report.claims.tables import at_fraction, difference
from bench_shadows.report.claims.verdict import Evidence, NotMeasuredError, Part
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import by_seed


def shadow(run: Run) -> Evidence:
    """C9: Concentrated data helps evaluations that look like it and costs broader ones.

    Claim: A model trained on canonical text gains on canonical text and pays on everything else: on other domains,
    on rare words, in the tail of the vocabulary (sections 3.2 and 4).

    Statistic: Condition D against A of the same seed at 10/36, the analysed point at which D has read nothing but
    rewritten text (values at the end are listed beside it, not tested; C is not, since nothing here looks like the
    rows that it repeats). Five parts: the shadow score of likelihoods (gain on held-out text rewritten as D's was,
    minus gain on the same text as it is: evaluation/shadow.py), in percent of bits per byte; bits per byte of the
    rewritten text, D / A; bits per byte over all held-out domains, D / A; accuracy on rare-word pairs, D − A; loss
    of the rarest tenth of tokens, D − A, less that of the commonest tenth.

    Test: One-sided t-tests over seeds, paired by seed; all parts must pass.

    Threshold: Score above 1 %; rewritten text more than 1 % better and all domains more than 1 % worse; rare words
    worse by more than half a point; the tail worse than the head by more than 0.02 nats per token. The paper has
    no such figures: our choice.

    Seeds: 9

    Figure: domains
    """
    frame = run.evaluation
    early, late = (_Values(at_fraction(run, frame, point, "evaluation")) for point in (BEFORE, END))

    def parts(values: "_Values") -> dict[str, dict[int, float]]:
        tail, head = (values.against_a("frequency", f"decile-{rank}", "loss_nats_per_token") for rank in (10, 1))
        domains, canonical = (
            [values.logarithm(name, suite, task, "bits_per_byte") for name in "DA"]
            for suite, task in (("likelihood", "all"), ("canonical", "rewritten"))
        )
        return {
            "shadow score of D": values.of("D", "shadow", "likelihood", "score", 100),
            "bits per byte, canonical text, D / A": difference(*canonical),
            "bits per byte, all domains, D / A": difference(*domains),
            "rare-word pairs, D − A": values.against_a("rare_words", "all", "accuracy", 100),
            "rarest less commonest tokens, D − A": difference(tail, head),
        }

    found = parts(early)
    score, canonical, domains, rare, tail = found
    observed = {name: f"log of {name}" if name in (canonical, domains) else name for name in found}
    return Evidence(
        (
            Part(score, found[score], "%", low=1.0),
            Part(canonical, found[canonical], "times", high=-math.log(1.01), scale="ratio"),
            Part(domains, found[domains], "times", low=math.log(1.01), scale="ratio"),
            Part(rare, found[rare], "points", high=-0.5),
            Part(tail, found[tail], "nats per token", low=0.02),
        ),
        {f"{observed[name]}, 10/36": values for name, values in found.items()}
        | {f"{observed[name]}, end": values for name, values in parts(late).items()},
    )


class _Values:
    """Results at one point of the run by condition, suite, task and metric."""

    def __init__(self, frame: Frame):
        self.frame = frame

    def of(self, condition: str, suite: str, task: str, metric: str, scale: float = 1) -> dict[int, float]:
        """seed -> value; raises NotMeasuredError where there is none."""
        found = by_seed(self.frame.where(condition=condition, suite=suite, task=task, metric=metric), "value")
        if not found:
            raise NotMeasuredError(
                f"evaluation.parquet has no {metric} of {suite}, {task}, for condition {condition}."
            )
        return {seed: scale * value for seed, value in found.items()}

    def against_a(self, suite: str, task: str, metric: str, scale: float = 1) -> dict[int, float]:
        """D − A, seed by seed."""
        return difference(self.of("D", suite, task, metric, scale), self.of("A", suite, task, metric, scale))

    def logarithm(self, condition: str, suite: str, task: str, metric: str) -> dict[int, float]:
        """seed -> logarithm of a positive value."""
        return {seed: float(np.log(value)) for seed, value in self.of(condition, suite, task, metric).items()}
