"""The score card: how the page shows the claims. The verdicts themselves come from report/claims/judge.py."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from bench_shadows.kinds import kinds
from bench_shadows.report.claims.verdict import COVERAGE, Claim, TestedPart, claimed, interval
from bench_shadows.report.common.estimates import MISSING, estimate, significant
from bench_shadows.report.common.tables import Column, Table

# verdict -> (class of its badge, sign, how a sentence counts it: one, several)
VERDICTS = {
    "reproduced": ("good", "✓", "is reproduced", "are reproduced"),
    "not reproduced": ("bad", "✗", "is not reproduced", "are not reproduced"),
    "undecided": ("open", "~", "is undecided", "are undecided"),
    "too few seeds": ("none", "…", "has too few seeds", "have too few seeds"),
    "not measured": ("none", MISSING, "was not measured", "were not measured"),
}
FURTHER = {
    "C4": ("up_proj",),
    "C9": ("deciles", "rare_words", "narrow_and_broad", "shadow"),
    "C11": ("apart", "delta_effective_rank", "groups"),
}
"""Figures besides a claim's own that bear on it."""
_NAMES_A_CONDITION = re.compile(
    rf"(.+?), ({'|'.join(name for kind in kinds() for name in kind.conditions)})(, .+)?"
)
INTERVAL = f"{100 * COVERAGE:.0f} %"
ONE_SIDED = f"{100 * (1 - COVERAGE) / 2:.2g} %"


def sentence(claims: Sequence[Claim]) -> str:
    """How many claims have which verdict."""
    if len(claims) == 1:
        return f"{claims[0].id} {VERDICTS[claims[0].verdict][2]}."
    found = Counter[str](claim.verdict for claim in claims)
    parts = [
        f"{found[verdict]} {one if found[verdict] == 1 else several}"
        for verdict, (_, _, one, several) in VERDICTS.items()
        if found[verdict]
    ]
    return f"Of {len(claims)} claims {', '.join(parts)}."


def probability(value: float | None) -> str:
    """A p-value: two significant digits, `< 0.001` below that."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 1e-3 else significant(value, 2)


WIDTH, HEIGHT, EDGE = 170, 22, 6  # pixels of a bar


def bar(part: TestedPart) -> Markup:
    """A part as a line of its own scale: claimed region shaded, its threshold, the effect and its interval."""
    if part.effect is None or not math.isfinite(part.effect):
        return Markup("")
    neutral = 1.0 if part.scale == "ratio" else 0.0
    bounds = [bound for bound in part.claimed if bound is not None]
    ends = [part.effect, neutral, *bounds, *(part.interval or ())]

    def scaled(value: float) -> float:
        return math.log(max(value, 1e-12)) if part.scale == "ratio" else value

    low, high = min(map(scaled, ends)), max(map(scaled, ends))
    room = 0.12 * (high - low) or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (scaled(value) - low) / (high - low), 1)

    left = EDGE if part.claimed[0] is None else place(part.claimed[0])
    right = WIDTH - EDGE if part.claimed[1] is None else place(part.claimed[1])
    middle = HEIGHT / 2
    marks = [
        f'<rect class="claimed" x="{left}" y="2" width="{round(right - left, 1)}" height="{HEIGHT - 4}"/>',
        f'<line class="neutral" x1="{place(neutral)}" x2="{place(neutral)}" y1="0" y2="{HEIGHT}"/>',
        *(f'<line class="bound" x1="{place(end)}" x2="{place(end)}" y1="2" y2="{HEIGHT - 2}"/>' for end in bounds),
    ]
    if part.interval is not None:
        first, last = map(place, part.interval)
        marks.append(f'<line class="interval" x1="{first}" x2="{last}" y1="{middle}" y2="{middle}"/>')
    marks.append(f'<circle class="effect" cx="{place(part.effect)}" cy="{middle}" r="3.6"/>')
    label = f"{significant(part.effect)}, interval {interval(part)}, claimed {claimed(part)}"
    head = Markup(
        '<svg class="bar" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">'
    ).format(label, WIDTH, HEIGHT, WIDTH, HEIGHT)
    return head + Markup("".join(marks)) + Markup("</svg>")  # numbers only: nothing from outside in the marks


# ---- tables


def tables(claims: Sequence[Claim]) -> list[Table]:
    """For the CSV: a row for each claim, for each part of each, and for each value that the parts were made of."""
    of_claims, of_parts, values = [], [], []
    for claim in claims:
        low, high = claim.interval or (None, None)
        row = {name: getattr(claim, name) for name in ("id", "title", "verdict", "effect", "unit")}
        row |= {"low": low, "high": high}
        row |= {name: getattr(claim, name) for name in ("p", "p_corrected", "p_against_corrected", "min_seeds")}
        of_claims.append(row | {"seeds": len(claim.seeds), "reason": claim.reason})
        for part in claim.parts:
            low, high = part.interval or (None, None)
            row = {"claim": claim.id, "part": part.name, "effect": part.effect, "unit": part.unit}
            row |= {"low": low, "high": high, "claimed_low": part.claimed[0], "claimed_high": part.claimed[1]}
            of_parts.append(row | {"p": part.p, "p_against": part.p_against})
        for name, by_seed in claim.observed.items():
            what = {"claim": claim.id, "what": name}
            values += [{**what, "seed": seed, "value": value} for seed, value in by_seed.items()]
    return [
        Table(name, tuple(Column(key, key) for key in rows[0]) if rows else (), tuple(rows))
        for name, rows in (("claims", of_claims), ("claim_parts", of_parts), ("claim_values", values))
    ]


def by_condition(claim: Claim) -> Table:
    """`observed` of a claim as the page shows it: means over seeds, a column for each condition that it names."""
    rows: dict[str, dict[str, Any]] = {}
    conditions: set[str] = set()
    for name, values in claim.observed.items():
        match = _NAMES_A_CONDITION.fullmatch(name)
        what, condition = (f"{match[1]}{match[3] or ''}", match[2]) if match else (name, "all")
        conditions.add(condition)
        rows.setdefault(what, {"what": what})[condition] = _rounded(values.values())
    columns = [Column(name, name) for name in sorted(conditions)]
    return Table("claim_values", (Column("what", "Mean over seeds", text=True), *columns), tuple(rows.values()))


def _rounded(values: Any) -> str:
    """A mean with three significant digits and its interval with as many places."""
    found = estimate(values)
    if found is None:
        return MISSING
    text = significant(found.mean)
    if found.half_width is None:
        return text
    places = len(text.partition(".")[2]) if "e" not in text else 0
    return f"{text} ± {significant(found.half_width, 2) if 'e' in text else f'{found.half_width:,.{places}f}'}"
