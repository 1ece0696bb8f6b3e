"""What a sweep compares: a few measures of each study at the end, by condition and seed, and as a tidy table."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from bench_shadows.kinds import kind_of
from bench_shadows.report.common.estimates import estimate, paired
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.phases import phase_statistics
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import Column, Table, at_end, by_seed, decoder

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


def _score(suite: str, task: str, metric: str, scale: float = 1.0) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        frame: Frame = at_end(run.evaluation.where(suite=suite, task=task, metric=metric))
        return {seed: scale * value for seed, value in by_seed(frame.where(condition=condition), "value").items()}

    return read


def _removed(run: Run, condition: str) -> BySeed:
    """Characters of the training samples' texts that cleaning takes away, percent: the same of every seed."""
    removed, characters = run.duplicates.get("characters_removed"), run.duplicates.get("characters")
    if removed is None or not characters:
        return {}
    return dict.fromkeys(run.seeds, 0.0 if condition == run.reference else 100 * removed / characters)


def _phase(phase: str, key: str, scale: float = 1.0) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        found = {
            seed: phases.get(phase, {}).get(key)
            for (name, seed), phases in phase_statistics(run).items()
            if name == condition
        }
        return {seed: scale * value for seed, value in found.items() if isinstance(value, int | float)}

    return read


WEIGHTS = (
    Measure("share_percent", "share of alpha in [2, 6], %", "in [2, 6], %", 1, _end("in_range", 100)),
    Measure("v_proj_alpha", "alpha of v_proj, mean", "v_proj alpha", 2, _end("alpha", module="self_attn.v_proj")),
    Measure("effective_rank", "effective rank, mean", "eff. rank", 2, _end("effective_rank")),
)
MEASURES = (
    *WEIGHTS,
    Measure(
        "bits_per_byte", "held-out bits per byte", "bits/byte", 3, _score("likelihood", "all", "bits_per_byte")
    ),
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


def _accuracy(suite: str, task: str) -> Callable[[Run, str], BySeed]:
    return _score(suite, task, "exact_match", 100)


def _answers(suite: str) -> Callable[[Run, str], BySeed]:
    return _score(suite, "all", "answer_loss_nats_per_token")


PROMPT_MEASURES = (
    Measure("removed", "prompt text removed, %", "removed, %", 1, _removed),
    *WEIGHTS,
    Measure("multimodal", "accuracy, multimodal, %", "multimodal, %", 1, _accuracy("groups", "multimodal")),
    Measure("documents", "accuracy, documents, %", "documents, %", 1, _accuracy("groups", "documents")),
    Measure(
        "instructions", "accuracy, instructions, %", "instructions, %", 1, _accuracy("groups", "instructions")
    ),
    Measure("language", "accuracy, language, %", "language, %", 1, _accuracy("groups", "language")),
    Measure("accuracy", "accuracy, all groups, %", "all, %", 1, _accuracy("groups", "all")),
    Measure(
        "accuracy_repeated",
        "accuracy, all groups,\nprompts repeated, %",
        "all, repeated, %",
        1,
        _accuracy("groups_repeated", "all"),
    ),
    Measure("answer_loss", "loss of answers, nats/token", "answer loss", 3, _answers("groups")),
    Measure(
        "answer_loss_repeated",
        "loss of answers, nats/token,\nprompts repeated",
        "loss, repeated",
        3,
        _answers("groups_repeated"),
    ),
)


@dataclasses.dataclass(frozen=True)
class Values:
    """One measure of one condition at one point of a curve."""

    point: str
    condition: str
    reference: str
    """The condition that differences are measured from."""
    measure: Measure
    mine: BySeed
    base: BySeed
    """The reference condition's, same study."""

    @property
    def is_reference(self) -> bool:
        """Whether these are the reference condition's own."""
        return self.condition == self.reference

    @property
    def differences(self) -> BySeed:
        """Minus the reference, seed by seed."""
        return {seed: self.mine[seed] - self.base[seed] for seed in sorted(self.mine.keys() & self.base.keys())}


def collect(studies: Mapping[str, Run]) -> list[Values]:
    """Every measure of every condition of the studies of one curve (label of the point -> its run)."""
    found = []
    for label, run in studies.items():
        for measure in run.config.kind.measures():
            base = measure.read(run, run.reference)
            for condition in run.conditions:
                mine = measure.read(run, condition)
                if mine:
                    found.append(Values(label, condition, run.reference, measure, mine, base))
    return found


def tidy(curves: Mapping[str, list[Values]]) -> Table:
    """A row for each varied field, value, condition and measure."""
    every = [(field, values) for field, found in curves.items() for values in found]
    references = list(dict.fromkeys(values.reference for _, values in every)) or [kind_of(()).conditions[0]]
    rows = [
        {
            "field": field,
            "value": values.point,
            "condition": values.condition,
            "measure": values.measure.key,
            "mean": estimate(values.mine.values()),
            f"minus_{values.reference}": None if values.is_reference else paired(values.mine, values.base),
        }
        for field, values in every
    ]
    texts = [Column(name, name.capitalize(), text=True) for name in ("field", "value", "condition", "measure")]
    against = [Column(f"minus_{name}", f"Minus {name}", signed=True) for name in references]
    return Table("sweep", (*texts, Column("mean", "Mean"), *against), tuple(rows))


def grid(values: list[Values], against_reference: bool) -> Table:
    """As the page shows a curve: a row for each value and condition, the measures across."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    columns = [Column("value", "Value", text=True), Column("condition", "Condition", text=True)]
    for measure in dict.fromkeys(one.measure for one in values):
        columns.append(Column(measure.key, measure.head, measure.digits, signed=against_reference))
    for one in values:
        if not (against_reference and one.is_reference):
            cell = paired(one.mine, one.base) if against_reference else estimate(one.mine.values())
            row = rows.setdefault((one.point, one.condition), {"value": one.point, "condition": one.condition})
            row[one.measure.key] = cell
    return Table("sweep", tuple(columns), tuple(rows.values()))
