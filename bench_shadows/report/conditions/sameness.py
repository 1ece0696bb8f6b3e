"""Did only the data differ? What the files of a run can prove, what they break, and what they cannot say."""

from collections.abc import Sequence

from bench_shadows.paper import BASELINE
from bench_shadows.report.common import checks as common
from bench_shadows.report.common.checks import Check
from bench_shadows.report.common.controls import BATCHES, HALVES, SETTINGS, percent_by_half
from bench_shadows.report.common.estimates import estimate, write_number
from bench_shadows.report.common.phases import phase_statistics
from bench_shadows.report.common.run import Run


def checks(run: Run) -> list[Check]:
    """Every check that the files allow, in the order of a run; none where there is no A or nothing to compare."""
    if BASELINE not in run.conditions or len(run.conditions) < 2:
        return []
    data, b = ([name for name in run.conditions if name in names] for names in (("C", "D"), ("B",)))
    schedule = "Schedule: the learning rate of {names} is A's at every step."
    same = "have A's token statistics at every step"
    batches = f"Batches: in the second half those of {{names}} {same}."
    found = [
        common.initial_weights(run),
        *_plans(run, data, ("second",), "Order of the second half: the rows of {names} are A's, in A's order"),
        *_plans(run, b, HALVES, "Order of both halves: B's rows are A's"),
        *common.promise(run, SETTINGS, data, HALVES, schedule),
        *_rate_of_b(run, b),
        # That what was planned was read: the token statistics of the batches that training saw.
        *common.promise(run, BATCHES, data, ("second",), batches),
        *common.promise(run, BATCHES, b, HALVES, f"Batches: B's {same} of both halves."),
        common.budget(run),
        common.skipped_steps(run),
    ]
    return [check for check in found if check is not None]


def limits(run: Run) -> list[str]:
    """What no file of the run can prove."""
    found = common.general_limits(run)
    if "D" in run.conditions:
        found.append(
            "That the rewriting of D changed frequency and form alone. It also changes length, so that D's rows "
            "hold more documents; the section on data has the counts."
        )
    mixture = _mixture(run)
    return [*found, mixture] if mixture else found


def _plans(run: Run, names: Sequence[str], halves: Sequence[str], text: str) -> list[Check]:
    """Hashes of the plans: those of `halves` are A's."""
    if not names:
        return []
    phases = phase_statistics(run)
    pairs, different = 0, set()
    for (name, seed), mine in phases.items():
        base = phases.get((BASELINE, seed), {})
        for half in halves if name in names else ():
            ours, theirs = (part.get(half, {}).get("plan_sha256") for part in (mine, base))
            pairs += bool(ours and theirs)
            if ours and theirs and ours != theirs:
                different.add(name)
    if different:
        return [Check(False, f"Order of rows: that of {common.in_words(sorted(different))} is not A's.")]
    if not pairs:
        return [Check(None, f"Order of rows of {common.in_words(names)}: no hashes of the plans to compare.")]
    count = f"{pairs} SHA-256 of plans compared" if pairs > 1 else "by the SHA-256 of the plan"
    return [Check(True, f"{text.format(names=common.in_words(names))} ({count}).")]


def _rate_of_b(run: Run, b: Sequence[str]) -> list[Check]:
    """That B's learning rate stays high: above A's in the second half."""
    means = percent_by_half(run, "learning_rate", "B") if b else None
    if means is None:
        return []
    first, second = (write_number(mean, 0, signed=True) for mean in means)
    text = f"B's mean learning rate against A's: {first} % in the first half, {second} % in the second."
    return [Check(means[1] > 0, text)]


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
