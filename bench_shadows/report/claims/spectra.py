"""C1 to C4, C7 and C8: claims on the spectra of the weights, read from diagnostics.parquet.

alpha is compared as a ratio, by its logarithm: a fit's error grows with alpha, and a few alphas lie far above the
rest. A matrix without a fit in one of two conditions is left out of both.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from bench_shadows.paper import AFTER, BEFORE, END, MATRICES, V_PROJ
from bench_shadows.report.claims.tables import Matrices, average, matrices, require_depth, upper
from bench_shadows.report.claims.verdict import Evidence, Part
from bench_shadows.report.common.estimates import difference, mean
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import decoder, fraction_label

ONE_MATRIX = 100 / MATRICES  # points; the smallest step of the paper's Table 1


def share_in_range(run: Run) -> Evidence:
    """C1: A is stable, B stuck, C recovers, D keeps a gap.

    Claim: The share of matrices with alpha in [2, 6] is stable for A (near 79 %), stuck low for B (near 60 %),
    dips and recovers to A for C, and keeps a gap to A for D (Table 1).

    Statistic: The share in percent of fitted matrices at 10/36 (before the phase shift), 20/36, 30/36 and the end
    (after it); 1/36 is not read, since alpha is noisy near the initial weights. Five parts, all of which must
    hold: D − A, mean after the shift; B − A, mean of the four points; A at the end − A at 10/36; C − A at 10/36;
    C − A, mean after the shift.

    Test: One-sided t-tests over seeds, conditions paired by seed; two for "A is stable". All parts must pass, so
    the largest p counts and no correction between parts is needed (Berger 1982).

    Threshold: One matrix of the paper's 224, 0.45 points, for the gap of D (below −0.45; the paper has −1.4), the
    dip of C (below −0.45; −1.8) and its recovery (above −0.45; +1.8). For B and for A half of what separates B
    from A in the paper, 10 points: B − A below −10 (−20.3), A moves by less than 10 (−3.1).

    Seeds: 108, since the gap of D and the dip of C are three and four matrices of 224 in the paper, which had one.

    Figure: trajectories
    """
    shares = {point: shares_of(run, ("A", "B", "C", "D"), point) for point in (BEFORE, *AFTER)}

    def minus_a(name: str, *fractions: float) -> dict[int, float]:
        return average([difference(shares[point][name], shares[point]["A"]) for point in fractions])

    points, moved = "points", difference(shares[END]["A"], shares[BEFORE]["A"])
    return Evidence(
        (
            Part("D − A after the phase shift", minus_a("D", *AFTER), points, high=-ONE_MATRIX),
            Part("B − A", minus_a("B", BEFORE, *AFTER), points, high=-10),
            Part("A at the end − A at 10/36", moved, points, -10.0, 10.0),
            Part("C − A at 10/36", minus_a("C", BEFORE), points, high=-ONE_MATRIX),
            Part("C − A after the phase shift", minus_a("C", *AFTER), points, low=-ONE_MATRIX),
        ),
        {
            f"share in [2, 6], %, {name}, {fraction_label(point)}": found
            for point, conditions in shares.items()
            for name, found in conditions.items()
        },
    )


def shares_of(run: Run, conditions: Sequence[str], fraction: float) -> dict[str, dict[int, float]]:
    """condition -> seed -> percent of fitted decoder matrices with alpha in [2, 6] at a point of the run."""
    here = matrices(run, decoder(run), "in_range", conditions, fraction)
    return {name: here.by_seed(100 * mean(here[name], (1, 2))) for name in conditions}


def recoverable(run: Run) -> Evidence:
    """C2: C is recoverable and D is not.

    Claim: At the end D falls short of A's share of matrices with alpha in [2, 6] by more than C does.

    Statistic: D's shortfall minus C's: (A − D) − (A − C) = C − D, in points of the share at the end. The paper's
    |C − A| and |D − A| would not do: in its own Table 1 they are 2.7 and 1.4, since C ends above A.

    Test: One-sided t-test over seeds, C and D paired by seed.

    Threshold: Half of the paper's 4.1 points (81.3 − 77.2): above 2.05.

    Seeds: 34, at the paper's 224 matrices.

    Figure: trajectories
    """
    shares = shares_of(run, ("A", "C", "D"), END)
    return Evidence(
        (Part("D's shortfall minus C's", difference(shares["C"], shares["D"]), "points", low=2.05),),
        {f"share in [2, 6], %, {name}, end": found for name, found in shares.items()},
    )


def log_alpha(run: Run, *conditions: str) -> Matrices:
    """Logarithms of alpha of the decoder's matrices at the end."""
    found = matrices(run, decoder(run), "alpha", conditions, END)
    return dataclasses.replace(found, values=np.log(found.values))


def repeated(moves: np.ndarray) -> np.ndarray:
    """How large the part of `moves` is that repeats from seed to seed: float [seed, module, layer] -> [seed].

    The mean over pairs of seeds and over matrices of the product of both seeds' values: its expectation is the
    square of the true move, zero where nothing but noise moves a matrix, however noisy it is. The values are its
    jackknife pseudo-values: their mean is that mean, and t-tests of them err on the safe side where the true move
    is zero (scripts/calibrate_claims.py). NaN below three seeds.
    """
    count = len(moves)
    if count < 3:
        return np.full(count, np.nan)
    products = mean(moves[:, None] * moves[None], (2, 3))
    np.fill_diagonal(products, 0)
    partners = products.sum(axis=1) / (count - 1)
    return (2 * (count - 1) * partners - count * partners.mean()) / (count - 2)


def attention_separates(run: Run) -> Evidence:
    """C3: Attention projections separate the conditions, v_proj first; MLP matrices hardly do.

    Claim: At the end C and D differ from A in alpha of the attention projections, most of all v_proj, and much
    less in the MLP matrices (section 4.2.2).

    Statistic: How far C and D move alpha of a matrix away from A's, as the part of log(alpha / alpha of A) that
    repeats from seed to seed: mean products over pairs of seeds, over matrices, over C and D, a square without a
    noise floor. Matrices with fewer eigenvalues have noisier alphas: plain distances would favour attention where
    nothing differs. Three parts: the square of the attention projections; that less four times the square of the
    MLP ("much weaker": at most half as far); that of v_proj less the mean of the other attention projections'.
    They are shown as roots in percent of alpha; below zero, nothing repeats.

    Test: One-sided t-tests over the jackknife pseudo-values of the seeds; all parts must pass.

    Threshold: Attention moves by more than 5 %, a fit's own standard error at the paper's width (alpha 4, 200
    spikes); the two differences are above 0. The paper has no figures in its text.

    Seeds: 10

    Figure: alpha_all_modules
    """
    alpha = log_alpha(run, "A", "C", "D")

    def squares(prefix: str) -> np.ndarray:
        part = alpha.of(prefix)
        return (repeated(part["C"] - part["A"]) + repeated(part["D"] - part["A"])) / 2

    attention, mlp, v_proj = squares("self_attn."), squares("mlp."), squares(V_PROJ)
    others = np.mean([squares(f"self_attn.{name}_proj") for name in "qko"], axis=0)

    def part(name: str, values: np.ndarray, low: float = 0.0) -> Part:
        return Part(name, alpha.by_seed(values), "%", low=low, scale="root")

    observed = {"attention": attention, "MLP": mlp, "v_proj": v_proj, "q, k and o": others}
    return Evidence(
        (
            part("attention moves by", attention, math.log(1.05) ** 2),
            part("attention beyond twice the MLP", attention - 4 * mlp),
            part("v_proj beyond q, k and o", v_proj - others),
        ),
        {f"repeated square of {name}, end": alpha.by_seed(found) for name, found in observed.items()},
    )


def raised_upper_v_proj(run: Run) -> Evidence:
    """C4: D keeps alpha raised in the upper layers' v_proj; C does not.

    Claim: At the end alpha of v_proj in the upper layers is above A's for D; for C it is back at A's (Figure 2).

    Statistic: alpha over A's alpha, geometric mean over v_proj of the last third of the layers (two at least), at
    the end. Two parts: D above A; C at A.

    Test: One-sided t-tests over seeds of the logarithms, paired by seed; two for C (equivalence). Both parts must
    pass.

    Threshold: D more than 10 % above A; C within 10 % of A (ratio between 1/1.1 and 1.1). The paper's text has no
    numbers for it: our choice, twice a fit's standard error at its width.

    Seeds: 14

    Figure: v_proj_alpha
    """
    alpha = log_alpha(run, "A", "C", "D").of(V_PROJ)
    layers = upper(alpha.values.shape[3])
    moved = {
        name: alpha.by_seed(mean((alpha[name] - alpha["A"])[..., layers], (1, 2))) for name in alpha.conditions[1:]
    }
    bound = math.log(1.1)
    return Evidence(
        (
            Part("D / A, alpha of upper v_proj", moved["D"], "times", low=bound, scale="ratio"),
            Part("C / A, alpha of upper v_proj", moved["C"], "times", -bound, bound, scale="ratio"),
        ),
        {
            f"mean log alpha of upper v_proj, {name}, end": alpha.by_seed(mean(alpha[name][..., layers], (1, 2)))
            for name in alpha.conditions
        },
    )


def smooth_trend(run: Run) -> Evidence:
    """C7: B deforms the layer-wise profile smoothly; C and D fluctuate.

    Claim: B's alpha leaves A's along a smooth monotonic trend over depth, while C and D leave it by irregular,
    layer-specific fluctuations (section 4.2.2).

    Statistic: log(alpha / alpha of A) at the end, mean over the modules, as a profile over layers; the square of
    its rank correlation with depth (Spearman), the share of the profile that one monotonic trend explains. Chance
    alone gives 1 / (layers − 1). Two parts: B's; B's less the mean of C's and D's.

    Test: One-sided t-tests over seeds; both parts must pass.

    Threshold: Above 0.5 (most of B's profile is trend); the difference above 0.25 (our choice: the paper shows
    profiles, not numbers).

    Seeds: 4

    Figure: alpha_all_modules
    """
    alpha = log_alpha(run, "A", "B", "C", "D")
    require_depth(alpha, "A trend")

    def trend(name: str) -> dict[int, float]:
        profiles = mean(alpha[name] - alpha["A"], 1)
        return alpha.by_seed(np.array([_correlation(profile) ** 2 for profile in profiles]))

    trends = {name: trend(name) for name in alpha.conditions[1:]}
    beyond = difference(trends["B"], average([trends["C"], trends["D"]]))
    return Evidence(
        (
            Part("trend's share of B's profile", trends["B"], "", low=0.5),
            Part("B's share less C's and D's", beyond, "", low=0.25),
        ),
        {f"trend's share of the profile, {name}, end": found for name, found in trends.items()},
    )


def _correlation(profile: np.ndarray) -> float:
    """Spearman's rank correlation of a profile [layer] with depth; NaN if a layer is missing or all are equal."""
    if not np.isfinite(profile).all() or np.ptp(profile) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(profile), np.arange(len(profile)))[0, 1])


def uneven_spikes(run: Run) -> Evidence:
    """C8: The effective feature number is least even across upper layers under D.

    Claim: At the end the effective feature number varies most from layer to layer under D, in the upper layers.

    Statistic: Spikes (eigenvalues at or above x_min, our reading of the feature number): their coefficient of
    variation over the last third of the layers (two at least), mean over the modules. Three parts: D's over A's,
    over B's and over C's.

    Test: One-sided t-tests over seeds of the logarithms of the ratios, paired by seed; all parts must pass.

    Threshold: Above 1.1, a tenth more uneven than each other condition (our choice: the paper's appendix shows
    profiles, not numbers).

    Seeds: 10

    Figure: spikes_all_modules
    """
    spikes = matrices(run, decoder(run), "spikes", ("A", "B", "C", "D"), END)
    part = spikes.values[..., upper(spikes.values.shape[3])]
    centre = mean(part, 3)
    variation = np.sqrt(mean((part - centre[..., None]) ** 2, 3)) / centre
    uneven = dict(zip(spikes.conditions, mean(variation, 2), strict=True))
    logarithms = {name: np.log(np.where(found > 0, found, np.nan)) for name, found in uneven.items()}
    ratios = {name: logarithms["D"] - logarithms[name] for name in "ABC"}
    return Evidence(
        tuple(
            Part(f"unevenness, D / {name}", spikes.by_seed(found), "times", low=math.log(1.1), scale="ratio")
            for name, found in ratios.items()
        ),
        {
            f"variation of spikes over upper layers, {name}, end": spikes.by_seed(found)
            for name, found in uneven.items()
        },
    )
