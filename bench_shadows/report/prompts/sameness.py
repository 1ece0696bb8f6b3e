"""Did only the prompts differ? What the files of a study of prompts can prove, and what they cannot."""

from bench_shadows.report.common import checks as common
from bench_shadows.report.common.checks import Check
from bench_shadows.report.common.controls import ANSWERS, HALVES, SETTINGS
from bench_shadows.report.common.run import Run
from bench_shadows.report.prompts.figures import cleaned


def checks(run: Run) -> list[Check]:
    """Every check that the files allow; none where one of the conditions has no results."""
    other = cleaned(run)
    if other is None:
        return []
    order = "Order: at every step the batch of {names} has as many tokens of answers as the baseline's."
    schedule = "Schedule: the learning rate of {names} is the baseline's at every step."
    found = [
        common.initial_weights(run),
        _samples(run, other),
        _cleaning(run),
        *common.promise(run, ANSWERS, [other], HALVES, order),
        *common.promise(run, SETTINGS, [other], HALVES, schedule),
        common.budget(run),
        common.skipped_steps(run),
    ]
    return [check for check in found if check is not None]


def _samples(run: Run, other: str) -> Check:
    """Rows, image places and answer tokens of both conditions' data."""
    rows, tokens = (run.statistics.get(name) or {} for name in ("rows", "tokens"))
    if not all(name in rows and name in tokens for name in (run.reference, other)):
        return Check(None, "Samples: data/statistics.json does not count the rows and tokens of both conditions.")
    base, mine = tokens[run.reference], tokens[other]
    broken = ["rows"] if rows[run.reference] != rows[other] else []
    broken += [f"tokens of {key}s" for key in ("image", "answer") if base.get(key) != mine.get(key)]
    if broken:
        return Check(False, f"Samples: the conditions do not have the same {' and '.join(broken)}.")
    return Check(
        True,
        f"Samples: both conditions have the same {rows[other]:,} samples, with the same images and "
        f"{mine.get('answer', 0):,} tokens of answers; prompts have {base.get('prompt', 0):,} tokens in "
        f"{run.reference} and {mine.get('prompt', 0):,} in {other}.",
    )


def _cleaning(run: Run) -> Check | None:
    """That the intervention was made: repetition before, none after."""
    found = run.duplicates
    if not found:
        return None
    before, after = found.get("repeating", 0), found.get("repeating_after", 0)
    text = f"{before:,} of {found.get('samples', 0):,} training samples repeat a prompt before cleaning"
    return Check(before > 0 and after == 0, f"Intervention: {text}, {after:,} after it.")


def limits(run: Run) -> list[str]:
    """What no file of the run can prove."""
    return [
        *common.general_limits(run),
        "That repetition is all that cleaning takes away. It also makes prompts shorter, so that answers stand at "
        "earlier positions behind fewer tokens; no condition has prompts of the same length without repetition.",
    ]
