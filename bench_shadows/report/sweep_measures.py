"""What a sweep compares: a few measures of each study at the end, by condition and seed, and as a tidy table."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from bench_shadows.report.corpus import phase_statistics
from bench_shadows.report.estimates import estimate, paired
from bench_shadows.report.inputs import Frame, Run
from bench_shadows.report.tables import BASELINE, Column, Table, at_end, by_seed, decoder

BySeed = dict[int, float]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of every run: `read` gives it by seed for one condition of a study."""

    key: str
    label: str
    head: str
    """The label, short enough to head a column."""
    digits: int
    read: Callable[[Run, str], BySeed]


def _end(value: str, scale: float = 1.0, **equal: Any) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        frame = at_end(decoder(run)).where(condition=condition, **equal)
        return {seed: scale * mean for seed, mean in by_seed(frame, value).items()}

    return read


def _bits(run: Run, condition: str) -> BySeed:
    frame: Frame = at_end(run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte"))
    return by_seed(frame.where(condition=condition), "value")


def _phase(phase: str, key: str, scale: float = 1.0) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        found = {
            seed: phases.get(phase, {}).get(key)
            for (name, seed), phases in phase_statistics(run).items()
            if name == condition
        }
        return {seed: scale * value for seed, value in found.items() if isinstance(value, int | float)}

    return read


MEASURES = (
    Measure("share_percent", "share of alpha in [2, 6], %", "in [2, 6], %", 1, _end("in_range", 100)),
    Measure("v_proj_alpha", "alpha of v_proj, mean", "v_proj alpha", 2, _end("alpha", module="self_attn.v_proj")),
    Measure("effective_rank", "effective rank, mean", "eff. rank", 2, _end("effective_rank")),
    Measure("bits_per_byte", "held-out bits per byte", "bits/byte", 3, _bits),
    Measure(
        "duplicate_rows", "rows shown before, %", "rows again, %", 1, _phase("first", "duplicate_rows_share", 100)
    ),
    Measure(
        "entropy_bits",
        "token entropy, first half, bits",
        "entropy, bits",
        3,
        _phase("first", "unigram_entropy_bits"),
    ),
    Measure(
        "new_trigrams",
        "new trigrams in the second half, %",
        "new trigrams, %",
        1,
        _phase("second", "trigrams_not_in_first", 100),
    ),
)


@dataclasses.dataclass(frozen=True)
class Values:
    """One measure of one condition at one point of a curve."""

    point: str
    condition: str
    measure: Measure
    mine: BySeed
    base: BySeed
    """Condition A's, same study."""

    @property
    def differences(self) -> BySeed:
        """Minus A, seed by seed."""
        return {seed: self.mine[seed] - self.base[seed] for seed in sorted(self.mine.keys() & self.base.keys())}


def collect(studies: Mapping[str, Run]) -> list[Values]:
    """Every measure of every condition of the studies of one curve (label of the point -> its run)."""
    found = []
    for label, run in studies.items():
        for measure in MEASURES:
            base = measure.read(run, BASELINE)
            for condition in run.conditions:
                mine = measure.read(run, condition)
                if mine:
                    found.append(Values(label, condition, measure, mine, base))
    return found


def tidy(curves: Mapping[str, list[Values]]) -> Table:
    """A row for each varied field, value, condition and measure."""
    rows = [
        {
            "field": field,
            "value": values.point,
            "condition": values.condition,
            "measure": values.measure.key,
            "mean": estimate(values.mine.values()),
            "minus_A": paired(values.mine, values.base) if values.condition != BASELINE else None,
        }
        for field, found in curves.items()
        for values in found
    ]
    texts = [Column(name, name.capitalize(), text=True) for name in ("field", "value", "condition", "measure")]
    return Table("sweep", (*texts, Column("mean", "Mean"), Column("minus_A", "Minus A", signed=True)), tuple(rows))


def grid(values: list[Values], against_baseline: bool) -> Table:
    """As the page shows a curve: a row for each value and condition, the measures across."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in values:
        if against_baseline and one.condition == BASELINE:
            continue
        cell = paired(one.mine, one.base) if against_baseline else estimate(one.mine.values())
        row = rows.setdefault((one.point, one.condition), {"value": one.point, "condition": one.condition})
        row[one.measure.key] = cell
    columns = [Column("value", "Value", text=True), Column("condition", "Condition", text=True)]
    columns += [Column(m.key, m.head, m.digits, signed=against_baseline) for m in MEASURES]
    return Table("sweep", tuple(columns), tuple(rows.values()))
