"""Did only the data differ? What the files of a run can prove, what they break, and what they cannot say."""

from bench_shadows.paper import BASELINE
from bench_shadows.report.common.checks import (
    Check,
    budget,
    general_limits,
    in_words,
    initial_weights,
    promise,
    skipped_steps,
)
from bench_shadows.report.common.controls import BATCHES, HALVES, SETTINGS, compare
from bench_shadows.report.common.estimates import estimate, write_number
from bench_shadows.report.common.phases import phase_statistics
from bench_shadows.report.common.run import Run


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
