"""C5 and C6: claims on how the weights moved, read from changes.parquet and, for ranks, diagnostics.parquet."""

import dataclasses
import math

import numpy as np

from bench_shadows.paper import END
from bench_shadows.report.claims.tables import Matrices, matrices, require_depth, upper
from bench_shadows.report.claims.verdict import Evidence, Part
from bench_shadows.report.common.estimates import mean
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import decoder

QUARTER = math.log(1.25)


def _logarithm(found: Matrices) -> Matrices:
    positive = np.where(found.values > 0, found.values, np.nan)
    return dataclasses.replace(found, values=np.log(positive))


def change_variance(run: Run) -> Evidence:
    """C5: Change variance over depth tracks the optimizer, not the data.

    Claim: The change variance of the layers is U-shaped and nearly the same for A, C and D, and amplified for B
    (Figure 3).

    Statistic: Variance of the entries of W(end) − W(initial) of every matrix. Five parts: B / A, geometric mean
    over matrices; |C / A − 1| in percent, mean over matrices; the same for D; the first sixth of the layers over
    the middle third and the last sixth over the middle third (one layer at least), geometric means over modules
    and A, C and D.

    Test: One-sided t-tests over seeds of the logarithms, paired by seed; all parts must pass. "The same" is an
    equivalence: a mean distance is never below zero, and noise only makes it larger, so that one bound is enough
    and errs on the safe side. Its logarithm is tested, since distances are skewed.

    Threshold: C and D less than 25 % from A, matrix by matrix, and B more than a factor of 1.25 above it (1.25 is
    the usual bound of bioequivalence); the ends above the middle by more than a factor of 1.1. The paper shows
    profiles, not numbers: our choice.

    Seeds: 5

    Figure: change_variance
    """
    frame = run.changes.where(reference="init") if len(run.changes) else run.changes
    change = _logarithm(matrices(run, frame, "change_variance", ("A", "B", "C", "D"), END, "changes"))
    require_depth(change, "A U")
    layers = change.values.shape[3]

    def factor(name: str, values: np.ndarray, low: float) -> Part:
        return Part(name, change.by_seed(values), "times", low=low, scale="ratio")

    def distance(name: str) -> Part:
        percent = 100 * mean(np.abs(np.expm1(change[name] - change["A"])), (1, 2))
        logarithm = np.log(np.where(percent > 0, percent, np.nan))
        return Part(f"distance of {name} from A", change.by_seed(logarithm), "%", high=math.log(25), scale="ratio")

    depth = mean(np.stack([change[name] for name in "ACD"]), (0, 2))
    edge, third = max(1, round(layers / 6)), layers // 3
    middle = depth[:, third : layers - third].mean(axis=1)
    least = math.log(1.1)
    return Evidence(
        (
            factor("B / A", mean(change["B"] - change["A"], (1, 2)), low=QUARTER),
            distance("C"),
            distance("D"),
            factor("first layers / middle", depth[:, :edge].mean(axis=1) - middle, low=least),
            factor("last layers / middle", depth[:, layers - edge :].mean(axis=1) - middle, low=least),
        ),
        {
            f"mean log change variance, {name}, end, since init": change.by_seed(mean(change[name], (1, 2)))
            for name in change.conditions
        },
    )


def delta_effective_rank(run: Run) -> Evidence:
    """C6: Delta effective rank over depth tracks the data: D leaves A, most in deep layers; C less.

    Claim: Delta effective rank over depth differs from A's for D, most of all in the deep layers, and less for C
    (section 4.2.3).

    Statistic: Delta effective rank of X less that of A is effective rank of X less that of A, since both start
    from the same weights; in percent of A's, absolute values, mean over matrices at the end: the deviation. Up and
    down count alike, as the paper has "sharper increases and decreases". Two parts: D's deviation over C's; D's
    over C's in the last third of the layers (two at least) against D's over C's in the other layers. C carries the
    same noise on the same matrices, so that D's excess is not noise.

    Test: One-sided t-tests over seeds of the logarithms, paired by seed; both parts must pass.

    Threshold: Above 1.25: D deviates by a quarter more than C does, and that excess is a quarter larger in the
    deep layers (our choice: the paper shows profiles, not numbers).

    Seeds: 4

    Figure: delta_effective_rank_all_modules
    """
    rank = _logarithm(matrices(run, decoder(run), "effective_rank", ("A", "C", "D"), END))
    deep = upper(rank.values.shape[3])
    deviation = {name: 100 * np.abs(np.expm1(rank[name] - rank["A"])) for name in "CD"}

    def ratio(values: dict[str, np.ndarray]) -> np.ndarray:
        both = [mean(values[name], (1, 2)) for name in "DC"]
        first, second = (np.where(found > 0, found, np.nan) for found in both)
        return np.log(first / second)

    deeper = ratio({name: found[..., deep] for name, found in deviation.items()})
    other = ratio({name: found[..., : deep.start] for name, found in deviation.items()})
    parts = {"deviation, D / C": ratio(deviation), "D / C in deep layers against the others": deeper - other}
    observed = {
        f"{name}, {where}": mean(found[..., part], (1, 2))
        for name, found in deviation.items()
        for where, part in (("deep layers", deep), ("other layers", slice(0, deep.start)))
    }
    return Evidence(
        tuple(
            Part(name, rank.by_seed(found), "times", low=QUARTER, scale="ratio") for name, found in parts.items()
        ),
        {f"deviation from A of effective rank, %, {name}, end": rank.by_seed(x) for name, x in observed.items()},
    )
