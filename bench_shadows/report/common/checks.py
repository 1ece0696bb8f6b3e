"""What the files of any study can prove about its conditions: the checks, and what they say together."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_shadows.paper import BASELINE
from bench_shadows.report.common.controls import SPIKES, compare, skipped
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import SPECTRUM, Run


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that must be equal between conditions; `holds` is None where it cannot be said."""

    holds: bool | None
    sentence: str


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
    revision = str(run.provenance.get("revision") or "")
    if not revision:
        found.append("Which version of the code ran: provenance.json has no git revision.")
    elif revision.endswith("+changes"):
        found.append(f"Which code ran exactly: revision {revision[:12]} with changes that were not committed.")
    return found


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
            for name in run.others:
                mine = _rows(start.where(seed=seed, condition=name), keys, values)
                shared = base.keys() & mine.keys()
                compared[index] += len(shared)
                if any(not np.array_equal(base[key], mine[key], equal_nan=True) for key in shared):
                    different.add(name)
    if different:
        names = in_words(sorted(different))
        return Check(False, f"Initial weights: {names} did not begin with {run.reference}'s of the same seed.")
    if not all(compared):
        return Check(None, "Initial weights: not compared, there is no diagnosis or no evaluation of step 0.")
    return Check(
        True,
        f"Initial weights: {compared[0]:,} spectra and {compared[1]:,} held-out results of step 0 are those of "
        f"{run.reference} with the same seed, to the last digit.",
    )


def _rows(frame: Frame, keys: Sequence[str], values: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    table = np.stack([frame[name] for name in values], axis=1)
    # A matrix that belongs to no layer has NaN there, which is not equal to itself.
    names = zip(*(map(str, frame[key].tolist()) for key in keys), strict=True)
    return dict(zip(names, table, strict=True))


def promise(
    run: Run, controls: Mapping[str, Any], names: Sequence[str], halves: Sequence[str], text: str
) -> list[Check]:
    """The sentence if it holds for every control, else what breaks it or what is not recorded."""
    if not names:
        return []
    broken, absent = [], []
    for name in names:
        for key, (label, _) in controls.items():
            results = [compare(run, key, name, half) for half in halves]
            if any(result is not None and not result[0] for result in results):
                broken.append(f"{label} of {name}")
            elif None in results:
                absent.append(f"{label} of {name}")
    base, where = run.reference, " and ".join(halves)
    if broken:
        return [Check(False, f"Not as designed: {', '.join(broken)}, not equal to {base}'s ({where} half).")]
    if absent:
        return [Check(None, f"Not recorded for {base} and the other ({where} half): {', '.join(absent)}.")]
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
    counted = {key: skipped(metrics) for key, metrics in sorted(run.metrics.items()) if SPIKES in metrics}
    if not counted:
        return None
    text = ", ".join(f"{name}-seed{seed} {count}" for (name, seed), count in counted.items() if count)
    if not text:
        return Check(True, "Steps: none was skipped.")
    return Check(False, f"Steps: updates were skipped because of spikes, so that their data left no mark: {text}.")
