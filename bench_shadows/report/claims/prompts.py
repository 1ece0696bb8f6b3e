"""C11: repeated prompts are redundant and make no regime, read from all three tables of a study of prompts."""

import math

import numpy as np

from bench_shadows.kinds.prompts import KIND
from bench_shadows.paper import END, UP_PROJ, V_PROJ
from bench_shadows.report.claims.spectra import log_alpha, repeated, shares_of
from bench_shadows.report.claims.tables import Matrices, at_fraction, matrices, require_depth, score
from bench_shadows.report.claims.verdict import Evidence, NotMeasuredError, Part
from bench_shadows.report.common.estimates import difference, mean
from bench_shadows.report.common.run import Run

NEAR = math.log(1.05)
CORRELATION = 0.9
TENTH = 0.1
GROUPS = {"instructions": 0.0, "documents": 0.0, "multimodal": 0.0}
"""Groups of tasks that the paper finds improved -> points above which they are."""
UNAFFECTED = 2.7  # points


def prompt_repetition(run: Run) -> Evidence:
    """C11: Repeated prompts make no regime, yet removing them helps.

    Claim: Removing repeated prompts leaves the histogram of alpha as it is. Over depth v_proj's alpha stays highly
    correlated, but where prompts are repeated it is elevated at a few layers; up_proj's alpha and delta effective
    rank hardly change. Scores of multimodal, document and instruction tasks rise, those of language tasks hardly
    change (section 6, Figure 13, Table 3).

    Statistic: At the end, decoder matrices only, `deduplicated` against `baseline` of the same seed. Eleven parts:
    the share of matrices with alpha in [2, 6], in points; alpha over all matrices, geometric mean of ratios; the
    part of v_proj's profile over depth (log alpha less its mean) that both conditions share, less 0.9 times each
    one's own (above 0: a correlation above 0.9); baseline / deduplicated, alpha of v_proj, at the eighth of the
    layers where it is largest in the mean of the *other half* of the seeds, against the median of the others; the
    square of how far v_proj's log alpha moves, less up_proj's; up_proj's alone; how far delta effective rank
    (since the initial weights) differs, root mean square over matrices in percent of what training itself moves;
    accuracy on held-out samples with clean prompts, in points, for four groups of tasks. Profiles, moves and ranks
    are those that repeat from seed to seed (mean products over pairs of seeds, as in C3): noise of single fits
    neither lowers a correlation nor looks like a difference.

    Test: One-sided t-tests over seeds, paired by seed, of the jackknife pseudo-values where products of seeds are
    meant; two where a region has two ends (equivalence). All parts must pass.

    Threshold: The share moves by less than 5 points, a quarter of the one broad shift in Table 1 (B − A, −20.3);
    alpha of all matrices and of up_proj by less than 5 %, a fit's own standard error at the paper's width. v_proj
    is higher at its few layers (a ratio above 1: seeds that choose wrong layers lower it, and a larger bound would
    be missed by what is true) and moves beyond up_proj by as much as 5 % at an eighth of the layers are, 1.7 %
    over all. Delta effective rank moves by less than a tenth. Accuracy rises: above 0 (the paper: +2.1 points of
    instruction following, +2.7 and +10.8 of documents, +2.0 of multimodal tasks); language tasks move by less than
    2.7 points, twice what the paper calls largely unaffected (−1.3). Beyond Table 3 the paper has words, not
    numbers: our choice.

    Seeds: 30, at the paper's 224 matrices and 1,000 held-out samples of each group.

    Figure: v_proj_alpha
    """
    baseline, cleaned = KIND.conditions
    alpha = log_alpha(run, *KIND.conditions)
    require_depth(alpha, "A profile")
    shares = shares_of(run, KIND.conditions, END)
    moved = alpha.by_seed(mean(alpha[cleaned] - alpha[baseline], (1, 2)))
    v_proj, up_proj = alpha.of(V_PROJ), alpha.of(UP_PROJ)
    of_v_proj, of_up_proj = (repeated(module[cleaned] - module[baseline]) for module in (v_proj, up_proj))
    few = _elevated((v_proj[baseline] - v_proj[cleaned])[:, 0])
    rank, change = _rank(run)
    scores = _scores(run)
    gains = {name: difference(found[cleaned], found[baseline]) for name, found in scores.items()}

    def root(name: str, values: np.ndarray, low: float = -math.inf, high: float = math.inf) -> Part:
        return Part(name, alpha.by_seed(values), "%", low, high, scale="root")

    def accuracy(group: str, low: float, high: float = math.inf) -> Part:
        return Part(f"accuracy of {group}, deduplicated − baseline", gains[group], "points", low, high)

    apart = "delta effective rank: what differs, of what training moves"
    shared = f"v_proj: profile that both share, less {CORRELATION} of their own"
    return Evidence(
        (
            Part("share in [2, 6]", difference(shares[cleaned], shares[baseline]), "points", -5.0, 5.0),
            Part("alpha, deduplicated / baseline", moved, "times", -NEAR, NEAR, scale="ratio"),
            root(shared, _shared_profile(v_proj), low=0.0),
            Part("v_proj: baseline / deduplicated at few layers", alpha.by_seed(few), "times", 0.0, scale="ratio"),
            root("v_proj moves beyond up_proj", of_v_proj - of_up_proj, low=NEAR**2 / 8),
            root("up_proj moves by", of_up_proj, high=NEAR**2),
            Part(apart, change, "%", high=TENTH**2, scale="root"),
            *(accuracy(name, bound) for name, bound in GROUPS.items()),
            accuracy("language", -UNAFFECTED, UNAFFECTED),
        ),
        {f"share in [2, 6], %, {name}, end": found for name, found in shares.items()}
        | {f"mean log alpha, {name}, end": alpha.by_seed(mean(alpha[name], (1, 2))) for name in alpha.conditions}
        | {"correlation of v_proj over depth, end": v_proj.by_seed(_correlation(v_proj))}
        | {f"mean delta effective rank, {name}, end": found for name, found in rank.items()}
        | {
            f"accuracy of {group}, %, {name}, end": found
            for group, conditions in scores.items()
            for name, found in conditions.items()
        },
    )


def _centred(module: Matrices) -> np.ndarray:
    """Profiles over depth less their mean, of layers that both conditions have: [condition, seed, 1, layer]."""
    values = np.where(np.isfinite(module.values).all(axis=0), module.values, np.nan)
    return values - mean(values, 3)[..., None]


def _shared_profile(module: Matrices) -> np.ndarray:
    """Covariance of both conditions' profiles less CORRELATION times their variance, as pseudo-values [seed].

    Both are made of what repeats from seed to seed. Of profiles b and d, 4 bd = (b + d)^2 − (b − d)^2, and twice
    the mean of their squares is half of (b + d)^2 + (b − d)^2.
    """
    first, second = _centred(module)
    total, apart = repeated(first + second), repeated(first - second)
    return ((total - apart) - CORRELATION * (total + apart)) / 4


def _correlation(module: Matrices) -> np.ndarray:
    """Pearson's correlation of both profiles, noise of single fits included: [seed]."""
    first, second = _centred(module)[:, :, 0]
    size = np.sqrt(mean(first**2, 1) * mean(second**2, 1))
    return mean(first * second, 1) / np.where(size > 0, size, np.nan)


def _elevated(moves: np.ndarray) -> np.ndarray:
    """How much higher `moves` [seed, layer] is at the few layers that the other half of the seeds chooses: [seed].

    Seeds take turns to be in one half or the other. What the other half says is independent of a seed's own noise:
    layers are not chosen for the noise that is then measured. (To let all other seeds choose would not do: nearly
    all of them choose for nearly all of them, and the values would be far more alike than a t-test assumes.)
    """
    few, found = max(1, round(moves.shape[1] / 8)), np.full(len(moves), np.nan)
    for half, other in ((0, 1), (1, 0)):
        if len(chosen_by := moves[other::2]):
            said = mean(chosen_by, 0)
            order = np.argsort(-np.where(np.isfinite(said), said, -np.inf), kind="stable")
            found[half::2] = mean(moves[half::2, order[:few]], 1) - np.nanmedian(moves[half::2, order[few:]], 1)
    return found


def _rank(run: Run) -> tuple[dict[str, dict[int, float]], dict[int, float]]:
    """(mean delta effective rank by condition; square of what differs, by that of what training moves)."""
    frame = run.changes.where(reference="init", component="decoder") if len(run.changes) else run.changes
    delta = matrices(run, frame, "delta_effective_rank", KIND.conditions, END, "changes")
    baseline, cleaned = (delta[name] for name in KIND.conditions)
    moved = float(np.nanmean(baseline**2)) if len(delta.seeds) else math.nan
    if moved == 0:
        raise NotMeasuredError("Training did not move the effective rank of any matrix.")
    return (
        {name: delta.by_seed(mean(delta[name], (1, 2))) for name in KIND.conditions},
        delta.by_seed(repeated(cleaned - baseline) / moved),
    )


def _scores(run: Run) -> dict[str, dict[str, dict[int, float]]]:
    """group -> condition -> seed -> percent of held-out samples that are answered right, prompts clean."""
    here = at_fraction(run, run.evaluation, END, "evaluation")
    scores = {}
    for group in (*GROUPS, "language"):
        scores[group] = {name: score(here, name, "groups", group, "exact_match", 100) for name in KIND.conditions}
        if not any(value for found in scores[group].values() for value in found.values()):
            raise NotMeasuredError(f"No held-out sample of {group} was answered right: nothing of it was learned.")
    return scores
