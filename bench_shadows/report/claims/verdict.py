"""How a claim becomes a verdict: parts that can be false, their t-tests over seeds, Holm's correction.

A claim has one or more parts. A part is one number for each seed and the region where the claim says that their
mean lies: above or below a threshold, or within a margin (an equivalence: "no difference was found" is not
"equal"). Seeds are the only independent repetitions, and there are few of them: three to a dozen. A permutation of
signs cannot reach 2.5 % with fewer than six and Holm's correction needs more; a percentile bootstrap of five
values covers too rarely. So Student's t it is: exact for normal values at any number of seeds, and each value is a
mean over tens to hundreds of matrices. scripts/calibrate_claims.py measures how exact on noise as in real runs.
"""

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from bench_shadows.report.common.estimates import MISSING, significant

# Of every one-sided test, after Holm's correction. Half of 5 %, so that it agrees with the page's 95 % intervals
# and that values which are not quite normal still give less than one false verdict in twenty.
LEVEL = 0.025
COVERAGE = 1 - 2 * LEVEL  # of the intervals: each end is the bound of a one-sided test
SEEDS_FOR_TEST = 3

Verdict = Literal["reproduced", "not reproduced", "undecided", "too few seeds", "not measured"]
Scale = Literal["plain", "ratio", "root"]


@dataclasses.dataclass(frozen=True)
class Part:
    """One statement that can be false: the mean over seeds of `values` lies in the open interval (low, high).

    `values` are on the scale of the test. `scale` says how a reader sees them: `ratio` for logarithms of ratios
    (shown as the ratio), `root` for squares of logarithms (shown as 100 times the root, with their sign: percent),
    `plain` as they are.
    """

    name: str
    values: Mapping[int, float]
    unit: str
    low: float = -math.inf
    high: float = math.inf
    scale: Scale = "plain"

    def show(self, value: float) -> float:
        """A value on the scale of the test as a reader sees it."""
        if self.scale == "ratio":
            return math.exp(value)
        return math.copysign(100 * math.sqrt(abs(value)), value) if self.scale == "root" else value


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a claim found in the tables: its parts, the first one the headline, and what they were made of."""

    parts: tuple[Part, ...]
    observed: Mapping[str, Mapping[int, float]]
    """name with condition and point of the run -> seed -> value: enough to compute every part again by hand."""


class NotMeasuredError(Exception):
    """A claim's table, condition, fraction or task is not there; the message says which."""


@dataclasses.dataclass(frozen=True)
class TestedPart:
    """A part with its test. `effect`, `interval` and `claimed` are as a reader sees them; `values` are not."""

    name: str
    unit: str
    scale: Scale
    claimed: tuple[float | None, float | None]
    values: Mapping[int, float]
    effect: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_against: float | None


@dataclasses.dataclass(frozen=True)
class Registration:
    """What stands in a claim function's docstring: see `register`."""

    id: str
    title: str
    statement: str
    statistic: str
    test: str
    threshold: str
    min_seeds: int
    figure: str | None


@dataclasses.dataclass(frozen=True)
class Claim(Registration):
    """A claim of the paper and what this run says about it.

    `effect` and `interval` (95 %, not corrected: its ends are the bounds of one-sided tests) belong to the
    first of `parts`. `p` is for the claim: the chance of values as clear as these, were the claim false (the
    largest over its parts: all must hold). `p_against` is for its contrary (the smallest, times the number of
    parts: one that fails is enough). Both are corrected by Holm's method over the claims that were tested.
    From three seeds on the tests are valid, and what is clear is said. `min_seeds` is what it takes to find the
    paper's effects in four of five studies: what is not clear below it is `too few seeds`, from it on `undecided`.
    """

    seeds: tuple[int, ...]
    effect: float | None
    unit: str
    interval: tuple[float, float] | None
    p: float | None
    p_corrected: float | None
    p_against: float | None
    p_against_corrected: float | None
    verdict: Verdict
    reason: str
    parts: tuple[TestedPart, ...]
    observed: Mapping[str, Mapping[int, float]]


def register(function: Callable) -> Registration:
    """The registration of a claim: its docstring is the only place where it is written.

    The first line is `C1: title`; then a paragraph for each of Claim, Statistic, Test, Threshold, Seeds (a number
    first) and, where the page has one, Figure (a name of report/gallery.GALLERY).
    """
    heading, *paragraphs = textwrap.dedent("    " + (function.__doc__ or "")).strip().split("\n\n")
    name, _, title = " ".join(heading.split()).partition(": ")
    pairs = (" ".join(paragraph.split()).partition(": ") for paragraph in paragraphs)
    fields = {key.lower(): text for key, _, text in pairs}
    return Registration(
        id=name,
        title=title.rstrip("."),
        statement=fields["claim"],
        **{key: fields[key] for key in ("statistic", "test", "threshold")},
        min_seeds=int(fields["seeds"].split()[0].rstrip(".,;:")),
        figure=fields["figure"].rstrip(".") if "figure" in fields else None,
    )


def t_test(part: Part) -> TestedPart:
    """One-sided t-tests of a part's values (finite ones; two seeds at least, else no interval and no p).

    `p`: of the values, if the mean lay outside the claimed region (two one-sided tests where the region has two
    ends: Schuirmann 1987). `p_against`: if it lay inside, corrected for two ends.
    """
    values = np.array([value for value in part.values.values() if math.isfinite(value)])
    low, high = (part.show(end) if math.isfinite(end) else None for end in (part.low, part.high))
    untested = TestedPart(part.name, part.unit, part.scale, (low, high), part.values, None, None, None, None)
    if len(values) < 2:
        return dataclasses.replace(untested, effect=part.show(float(values[0])) if len(values) else None)
    freedom, mean = len(values) - 1, float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(freedom, 1 - LEVEL)) * error

    def below(end: float) -> float:
        """p of the mean being above `end`, were it below: small where the mean is clearly above."""
        if error == 0:
            return 0.0 if mean > end else 1.0
        return float(stdtr(freedom, (end - mean) / error))

    inside = [below(part.low)] if math.isfinite(part.low) else []
    inside += [1 - below(part.high)] if math.isfinite(part.high) else []
    return dataclasses.replace(
        untested,
        effect=part.show(mean),
        interval=(part.show(mean - half), part.show(mean + half)),
        p=max(inside),
        p_against=min(1.0, len(inside) * min(1 - p for p in inside)),
    )


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for how many they are (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[int(index)] = largest
    return corrected


def examine(registration: Registration, evidence: Evidence | NotMeasuredError) -> Claim:
    """The claim with its p-values before correction, and the verdict that it has if nothing is clear."""
    empty = dict.fromkeys(("effect", "interval", "p", "p_corrected", "p_against", "p_against_corrected"))
    common = dataclasses.asdict(registration) | empty
    if isinstance(evidence, NotMeasuredError):
        return Claim(
            **common, seeds=(), unit="", parts=(), observed={}, verdict="not measured", reason=str(evidence)
        )
    # A seed counts where every part has a value.
    finite = ({seed for seed, value in part.values.items() if math.isfinite(value)} for part in evidence.parts)
    seeds = sorted(set.intersection(*finite))
    kept = ({seed: part.values[seed] for seed in seeds} for part in evidence.parts)
    parts = tuple(
        t_test(dataclasses.replace(part, values=values)) for part, values in zip(evidence.parts, kept, strict=True)
    )
    common |= {key: getattr(parts[0], key) for key in ("effect", "interval", "unit")}
    common |= {"seeds": tuple(seeds), "parts": parts, "observed": evidence.observed}
    if len(seeds) >= SEEDS_FOR_TEST:
        common["p"] = max(part.p for part in parts if part.p is not None)
        least = min(part.p_against for part in parts if part.p_against is not None)
        common["p_against"] = min(1.0, len(parts) * least)
    unclear = f"Neither shown nor excluded: {write_part(_weakest(parts))}."
    if len(seeds) >= registration.min_seeds:
        return Claim(**common, verdict="undecided", reason=unclear)
    found = "no seed" if not seeds else "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    reason = f"Measured on {found}; to find what the paper reports takes {registration.min_seeds}."
    if len(seeds) >= SEEDS_FOR_TEST:
        reason = f"{unclear} {reason}"
    return Claim(**common, verdict="too few seeds", reason=reason)


def correct(claims: Sequence[Claim]) -> list[Claim]:
    """Corrects the p-values for how many claims were tested, and gives a verdict to those that are clear.

    Two families, for and against: of a claim and its contrary one is true, so that false verdicts of either kind
    together stay below one in twenty.
    """
    tested = [claim.id for claim in claims if claim.p is not None]
    supports = holm([claim.p for claim in claims if claim.p is not None])
    refutes = holm([claim.p_against for claim in claims if claim.p_against is not None])
    corrected = {name: pair for name, *pair in zip(tested, supports, refutes, strict=True)}
    return [_decide(claim, *corrected.get(claim.id, (None, None))) for claim in claims]


def _decide(claim: Claim, support: float | None, refute: float | None) -> Claim:
    claim = dataclasses.replace(claim, p_corrected=support, p_against_corrected=refute)
    if support is not None and support <= LEVEL:
        count = len(claim.parts)
        how = f"All {count} parts hold; the least clear" if count > 1 else "It holds"
        reason = f"{how}: {write_part(_weakest(claim.parts))}."
        return dataclasses.replace(claim, verdict="reproduced", reason=reason)
    if refute is not None and refute <= LEVEL:
        worst = min(claim.parts, key=lambda part: 1.0 if part.p_against is None else part.p_against)
        reason = f"What the claim says is excluded: {write_part(worst)}."
        return dataclasses.replace(claim, verdict="not reproduced", reason=reason)
    return claim


def _weakest(parts: Sequence[TestedPart]) -> TestedPart:
    return max(parts, key=lambda part: 0.0 if part.p is None else part.p)


def write_part(part: TestedPart) -> str:
    """`D − A at the end −1.2 points (−2.0 to −0.4), claimed below −0.45`."""
    text = f"{part.name} {significant(part.effect)}{f' {part.unit}' if part.unit else ''}"
    if part.interval is not None:
        text += f" ({interval(part)})"
    return f"{text}, claimed {claimed(part, lambda value: f'{value:.3g}'.replace('-', '−'))}"


def interval(part: Claim | TestedPart) -> str:
    """`low to high`, or a dash."""
    return MISSING if part.interval is None else " to ".join(map(significant, part.interval))


def claimed(part: TestedPart, write: Callable[[float], str] = significant) -> str:
    """Where the claim says that a part lies, in words."""
    low, high = part.claimed
    if low is not None and high is not None:
        return f"between {write(low)} and {write(high)}"
    if low is not None:
        return f"above {write(low)}"
    return MISSING if high is None else f"below {write(high)}"
