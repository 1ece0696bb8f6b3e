"""C9: the shadow itself, read from evaluation.parquet."""

import math

import numpy as np

from bench_shadows.paper import BEFORE, END
from bench_shadows.report.claims.tables import at_fraction, score
from bench_shadows.report.claims.verdict import Evidence, Part
from bench_shadows.report.common.estimates import difference
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run


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
    early, late = (_parts(at_fraction(run, run.evaluation, point, "evaluation")) for point in (BEFORE, END))
    score_of_d, canonical, domains, rare, tail = early
    one_percent = math.log(1.01)
    return Evidence(
        (
            Part(score_of_d, early[score_of_d], "%", low=1.0),
            Part(canonical, early[canonical], "times", high=-one_percent, scale="ratio"),
            Part(domains, early[domains], "times", low=one_percent, scale="ratio"),
            Part(rare, early[rare], "points", high=-0.5),
            Part(tail, early[tail], "nats per token", low=0.02),
        ),
        {
            f"{f'log of {name}' if name in (canonical, domains) else name}, {point}": values
            for point, parts in (("10/36", early), ("end", late))
            for name, values in parts.items()
        },
    )


def _parts(here: Frame) -> dict[str, dict[int, float]]:
    """The claim's values at one point of the run: name -> seed -> value, ratios as logarithms."""

    def minus_a(suite: str, task: str, metric: str, scale: float = 1.0) -> dict[int, float]:
        d, a = (score(here, name, suite, task, metric, scale) for name in "DA")
        return difference(d, a)

    def over_a(suite: str, task: str) -> dict[int, float]:
        d, a = (score(here, name, suite, task, "bits_per_byte") for name in "DA")
        return difference(*({seed: float(np.log(value)) for seed, value in one.items()} for one in (d, a)))

    tail, head = (minus_a("frequency", f"decile-{rank}", "loss_nats_per_token") for rank in (10, 1))
    domains, canonical = over_a("likelihood", "all"), over_a("canonical", "rewritten")
    return {
        "shadow score of D": score(here, "D", "shadow", "likelihood", "score", 100),
        "bits per byte, canonical text, D / A": canonical,
        "bits per byte, all domains, D / A": domains,
        "rare-word pairs, D − A": minus_a("rare_words", "all", "accuracy", 100),
        "rarest less commonest tokens, D − A": difference(tail, head),
    }
