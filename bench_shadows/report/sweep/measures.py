"""What a sweep compares: a few measures of each study at the end, by condition and seed, and as a tidy table."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from bench_shadows.kinds import kind_of
from bench_shadows.paper import V_PROJ
from bench_shadows.report.common.estimates import difference, estimate, paired
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
    return lambda run, condition: by_seed(at_end(decoder(run)).where(condition=condition, **equal), value, scale)


def _score(suite: str, task: str, metric: str, scale: float = 1.0) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        frame = at_end(run.evaluation.where(suite=suite, task=task, metric=metric))
        return by_seed(frame.where(condition=condition), "value", scale)

    return read


def _phase(phase: str, key: str, scale: float = 1.0) -> Callable[[Run, str], BySeed]:
    def read(run: Run, condition: str) -> BySeed:
        found = {
            seed: phases.get(phase, {}).get(key)
            for (name, seed), phases in phase_statistics(run).items()
            if name == condition
        }
        return {seed: scale * value for seed, value in found.items() if value is not None}

    return read


def _removed(run: Run, condition: str) -> BySeed:
    """Characters of the training samples' texts that cleaning takes away, percent: the same of every seed."""
    removed, characters = run.duplicates.get("characters_removed"), run.duplicates.get("characters")
    if removed is None or not characters:
        return {}
    return dict.fromkeys(run.seeds, 0.0 if condition == run.reference else 100 * removed / characters)


def _accuracy(suite: str, task: str) -> Callable[[Run, str], BySeed]:
    return _score(suite, task, "exact_match", 100)


def _answers(suite: str) -> Callable[[Run, str], BySeed]:
    return _score(suite, "all", "answer_loss_nats_per_token")


_BITS = _score("likelihood", "all", "bits_per_byte")
_AGAIN = _phase("first", "duplicate_rows_share", 100)
_ENTROPY = _phase("first", "unigram_entropy_bits")
_NEW = _phase("second", "trigrams_not_in_first", 100)
WEIGHTS = (
    Measure("share_percent", "share of alpha in [2, 6], %", "in [2, 6], %", 1, _end("in_range", 100)),
    Measure("v_proj_alpha", "alpha of v_proj, mean", "v_proj alpha", 2, _end("alpha", module=V_PROJ)),
    Measure("effective_rank", "effective rank, mean", "eff. rank", 2, _end("effective_rank")),
)
MEASURES = (
    *WEIGHTS,
    Measure("bits_per_byte", "held-out bits per byte", "bits/byte", 3, _BITS),
    Measure("duplicate_rows", "rows shown before, %", "rows again, %", 1, _AGAIN),
    Measure("entropy_bits", "token entropy, first half, bits", "entropy, bits", 3, _ENTROPY),
    Measure("new_trigrams", "new trigrams in the second half, %", "new trigrams, %", 1, _NEW),
)
# Suite, suffix of the key, of the label and of the column's head: clean prompts, and repeated ones.
FORMS = (("groups", "", "", ""), ("groups_repeated", "_repeated", ",\nprompts repeated", ", repeated"))
PROMPT_MEASURES = (
    Measure("removed", "prompt text removed, %", "removed, %", 1, _removed),
    *WEIGHTS,
    *(
        Measure(name, f"accuracy, {name}, %", f"{name}, %", 1, _accuracy("groups", name))
        for name in ("multimodal", "documents", "instructions", "language")
    ),
    *(
        Measure(f"accuracy{key}", f"accuracy, all groups{label}, %", f"all{head}, %", 1, _accuracy(suite, "all"))
        for suite, key, label, head in FORMS
    ),
    *(
        Measure(f"answer_loss{key}", f"loss of answers, nats/token{label}", short, 3, _answers(suite))
        for (suite, key, label, _), short in zip(FORMS, ("answer loss", "loss, repeated"), strict=True)
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
        return difference(self.mine, self.base)


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
    for one in values:
        if not (against_reference and one.is_reference):
            row = rows.setdefault((one.point, one.condition), {"value": one.point, "condition": one.condition})
            row[one.measure.key] = estimate((one.differences if against_reference else one.mine).values())
    columns = [Column("value", "Value", text=True), Column("condition", "Condition", text=True)]
    columns += [
        Column(measure.key, measure.head, measure.digits, signed=against_reference)
        for measure in dict.fromkeys(one.measure for one in values)
    ]
    return Table("sweep", tuple(columns), tuple(rows.values()))
