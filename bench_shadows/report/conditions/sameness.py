"""Did only the data differ? What the files of a run can prove, what they break, and what they cannot say."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.report.common.estimates import estimate, write_number
from bench_shadows.report.common.run import SPECTRUM, Frame, Run
from bench_shadows.report.common.tables import BASELINE
from bench_shadows.report.conditions.controls import BATCHES, HALVES, SETTINGS, SPIKES, compare, skipped
from bench_shadows.report.conditions.corpus import phase_statistics


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that must be equal between conditions; `holds` is None where it cannot be said."""

    holds: bool | None
    sentence: str


def checks(run: Run) -> list[Check]:
    """Every check that the files allow, in the order of a run; none where there is no A or nothing to compare."""
    if BASELINE not in run.conditions or len(run.conditions) < 2:
        return []
    found = [
        initial_weights(run),
        *_plans(run),
        *_schedule(run),
        *_batches(run),
        budget(run),
        skipped_steps(run),
    ]
    return [check for check in found if check is not None]


def verdict(found: Sequence[Check], reference: str = BASELINE) -> str:
    """What the checks say together, in one sentence."""
    broken = sum(check.holds is False for check in found)
    unknown = sum(check.holds is None for check in found)
    if unknown == len(found):
        return (
            f"It cannot be said: that takes condition {reference}, another one, and what the stages leave of both."
        )
    if broken:
        return (
            f"No: {broken} of {len(found)} checks {'is' if broken == 1 else 'are'} broken. What a figure of this "
            "page shows may come from there."
        )
    held = len(found) - unknown
    text = f"As far as the files can show: yes. {held} of {len(found)} checks hold and none is broken"
    return f"{text}; {unknown} cannot be made." if unknown else f"{text}."


def general_limits(run: Run) -> list[str]:
    """What no file of any study can prove."""
    found = [
        "That two initial weight matrices are the same, entry by entry: their spectra and the loss of the model "
        "that they make up are compared, which a permutation of a layer's features would pass.",
        "That a resumed run went on to the same bits. The tests of the project hold this for its code; "
        "provenance.json describes the machine of the study's first start only.",
    ]
    revision = run.provenance.get("revision")
    if not revision:
        found.append("Which version of the code ran: provenance.json has no git revision.")
    elif str(revision).endswith("+changes"):
        found.append(
            f"Which code ran exactly: revision {str(revision)[:12]} with changes that were not committed."
        )
    return found


def limits(run: Run) -> list[str]:
    """What no file of the run can prove."""
    found = general_limits(run)
    if "D" in run.conditions:
        found.append(
            "That the rewriting of D changed frequency and form alone. It also changes length, so that D's rows "
            "hold more documents; the section on data has the counts."
        )
    mixture = _mixture(run)
    return [*found, mixture] if mixture else found


def in_words(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def initial_weights(run: Run) -> Check:
    """Spectra and held-out losses at step 0, to the last digit."""
    suites = [suite for suite in run.evaluation.values("suite") if suite != "shadow"]  # is measured from A
    tables = (
        (run.diagnostics, ("component", "module", "layer"), SPECTRUM),
        (run.evaluation.where(suite=suites), ("suite", "task", "metric"), ("value",)),
    )
    compared, different = [0, 0], set()
    for index, (frame, keys, values) in enumerate(tables):
        start = frame.where(step=0)
        for seed in start.values("seed"):
            base = _rows(start.where(seed=seed, condition=run.reference), keys, values)
            for name in start.where(seed=seed).values("condition"):
                mine = _rows(start.where(seed=seed, condition=name), keys, values)
                if name == run.reference or not base:
                    continue
                shared = base.keys() & mine.keys()
                compared[index] += len(shared)
                if any(not np.array_equal(base[key], mine[key], equal_nan=True) for key in shared):
                    different.add(str(name))
    if different:
        text = f"{in_words(sorted(different))} did not begin with {run.reference}'s of the same seed."
        return Check(False, f"Initial weights: {text}")
    if not all(compared):
        return Check(None, "Initial weights: not compared, there is no diagnosis or no evaluation of step 0.")
    return Check(
        True,
        f"Initial weights: {compared[0]:,} spectra and {compared[1]:,} held-out results of step 0 are those of "
        f"{run.reference} with the same seed, to the last digit.",
    )


def _rows(frame: Frame, keys: Sequence[str], values: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    table = np.stack([frame[name] for name in values], axis=1) if len(frame) else np.zeros((0, len(values)))
    # A matrix that belongs to no layer has NaN there, which is not equal to itself.
    names = list(zip(*(map(str, frame[key].tolist()) for key in keys), strict=True))
    return dict(zip(names, table.astype(np.float64), strict=True))


def _plans(run: Run) -> list[Check]:
    """Hashes of the plans: the second half is A's for C and D, B's whole plan is."""
    phases = phase_statistics(run)
    found = []
    data = [name for name in run.conditions if name in ("C", "D")]
    for names, halves, text in (
        (data, ("second",), "Order of the second half: the rows of {names} are A's, in A's order ({count})."),
        (["B"] if "B" in run.conditions else [], HALVES, "Order of both halves: B's rows are A's ({count})."),
    ):
        if not names:
            continue
        pairs, different = 0, set()
        for (name, seed), mine in phases.items():
            base = phases.get((BASELINE, seed), {})
            for half in halves if name in names else ():
                ours, theirs = (part.get(half, {}).get("plan_sha256") for part in (mine, base))
                pairs += bool(ours and theirs)
                if ours and theirs and ours != theirs:
                    different.add(name)
        if different:
            found.append(Check(False, f"Order of rows: that of {in_words(sorted(different))} is not A's."))
        elif not pairs:
            found.append(Check(None, f"Order of rows of {in_words(names)}: no hashes of the plans to compare."))
        else:
            count = f"{pairs} SHA-256 of plans compared" if pairs > 1 else "by the SHA-256 of the plan"
            found.append(Check(True, text.format(names=in_words(names), count=count)))
    return found


def _schedule(run: Run) -> list[Check]:
    data = [name for name in run.conditions if name in ("C", "D")]
    text = "Schedule: the learning rate of {names} is A's at every step."
    found = promise(run, SETTINGS, data, HALVES, text)
    if "B" in run.conditions:
        means = [estimate(part[1]) for half in HALVES if (part := compare(run, "learning_rate", "B", half))]
        if len(means) == 2 and means[0] is not None and means[1] is not None:
            first, second = (write_number(part.mean, 0, signed=True) for part in means if part is not None)
            text = f"B's mean learning rate against A's: {first} % in the first half, {second} % in the second."
            found.append(Check(means[1].mean > 0, text))
    return found


def _batches(run: Run) -> list[Check]:
    """That what was planned was read: the token statistics of the batches that training saw."""
    data = [name for name in run.conditions if name in ("C", "D")]
    text = "Batches: in the second half those of {names} have A's token statistics at every step."
    found = promise(run, BATCHES, data, ("second",), text)
    if "B" in run.conditions:
        text = "Batches: B's have A's token statistics at every step of both halves."
        found += promise(run, BATCHES, ["B"], HALVES, text)
    return found


def promise(
    run: Run, controls: Mapping[str, Any], names: Sequence[str], halves: Sequence[str], text: str
) -> list[Check]:
    """The sentence if it holds for every control, else what breaks it or what is not recorded."""
    broken, absent = [], []
    for name in names:
        for key, (label, _) in controls.items():
            results = [compare(run, key, name, half) for half in halves]
            if any(result is not None and not result[0] for result in results):
                broken.append(f"{label} of {name}")
            elif None in results:
                absent.append(f"{label} of {name}")
    where = " and ".join(halves)
    if not names:
        return []
    if broken:
        text = f"Not as designed: {', '.join(broken)}, not equal to {run.reference}'s ({where} half)."
        return [Check(False, text)]
    if absent:
        text = f"Not recorded for {run.reference} and the other ({where} half): {', '.join(absent)}."
        return [Check(None, text)]
    return [Check(True, text.format(names=in_words(names)))]


def budget(run: Run) -> Check | None:
    """Steps and tokens of every run."""
    ends = {
        (name, seed): (int(metrics["step"][-1]), int(np.nan_to_num(metrics["tokens"][-1])))
        for (name, seed), metrics in run.metrics.items()
        if "tokens" in metrics
    }
    if len(ends) < 2:
        return None
    if len(set(ends.values())) == 1:
        steps, tokens = next(iter(ends.values()))
        return Check(True, f"Budget: every run made {steps:,} steps and read {tokens:,} tokens.")
    text = ", ".join(f"{name}-seed{seed} {steps:,}" for (name, seed), (steps, _) in sorted(ends.items()))
    return Check(False, f"Budget: the runs have not made the same steps: {text}.")


def skipped_steps(run: Run) -> Check | None:
    """Steps that the loop left out because of a spike."""
    counts = {
        f"{name}-seed{seed}": skipped(metrics)
        for (name, seed), metrics in sorted(run.metrics.items())
        if SPIKES in metrics
    }
    if not counts:
        return None
    if not any(counts.values()):
        return Check(True, "Steps: none was skipped.")
    text = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return Check(False, f"Steps: updates were skipped because of spikes, so that their data left no mark: {text}.")


def _mixture(run: Run) -> str | None:
    """Domains of the first half: the share of the tokens that would have to change domain to make it A's."""
    phases = phase_statistics(run)
    moved: dict[str, list[float]] = {}
    for (name, seed), mine in sorted(phases.items()):
        base = phases.get((BASELINE, seed), {})
        ours, theirs = (part.get("first", {}).get("domain_shares") for part in (mine, base))
        if name in ("C", "D") and ours and theirs:
            apart = sum(abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) for key in ours.keys() | theirs.keys())
            moved.setdefault(name, []).append(50 * apart)
    if not moved:
        return None
    text = ", ".join(f"{name} {write_number(estimate(values), 1)} %" for name, values in moved.items())
    return (
        "That concentration is all that sets the first halves apart: their domains are not held equal. Share of "
        f"the tokens that lies in other domains than A's: {text}."
    )
