"""What a study of prompts is, what can be seen in it and what cannot: sentences made from its tables."""

import math

import numpy as np

from bench_shadows.paper import V_PROJ
from bench_shadows.parameters import count_parameters
from bench_shadows.report.common import facts as common_facts
from bench_shadows.report.common.depth_figures import layered
from bench_shadows.report.common.estimates import Estimate, estimate, paired, write_count, write_number
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import DECODER, at_end
from bench_shadows.report.prompts import scores
from bench_shadows.report.prompts.figures import cleaned, correlation
from bench_shadows.report.prompts.tables import repetition


def facts(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what this run is: model, samples, prompts, conditions, seeds, time, device."""
    config, model, vision = run.config, run.config.model, run.config.vision
    size = write_count(count_parameters(config))
    text = f"{size} parameters: a decoder of {model.num_layers} layers of {model.hidden_size}"
    if vision.image_size:
        text += (
            f", an image encoder of {vision.num_layers} layers of {vision.hidden_size} "
            f"({vision.image_size} × {vision.image_size} pixels, {vision.image_tokens} tokens)"
        )
    found = [("model", text), ("training", training(run))]
    if text := repetition(run):
        found.append(("prompts", text))
    return [*found, ("conditions", ", ".join(run.conditions) or "none yet"), *common_facts.run_facts(run)]


def training(run: Run) -> str:
    """How many samples a run is shown, and how often each of them."""
    config = run.config
    shown = config.steps * config.train.batch_size
    text = f"{shown:,} samples in {config.steps:,} steps for each run"
    rows = run.statistics.get("rows") or {}
    have = rows.get(run.reference)
    return f"{text}, {write_number(shown / have, 1)} times through {have:,}" if have else text


def seen(run: Run) -> list[str]:
    """What this run shows, each sentence with its figures."""
    found = [_learned(run), _gain(run), _asked(run), common_facts.share_sentence(run), _profile(run)]
    return [sentence for sentence in found if sentence]


def _percent(value: Estimate, signed: bool = False) -> str:
    half = None if value.half_width is None else 100 * value.half_width
    return write_number(Estimate(100 * value.mean, half, value.seeds), 1, signed)


def _learned(run: Run) -> str | None:
    """Accuracy of each condition, and on how many tasks it is above the commonest answer's."""
    values = scores.score_values(run, "groups", "all")
    if not values:
        return None
    found = {name: estimate(mine.values()) for name, mine in values.items()}
    parts = [f"{name} {_percent(value)} %" for name, value in found.items() if value is not None]
    text = f"Held-out samples answered right, mean over the groups: {', '.join(parts)}."
    above, tasks = above_chance(run)
    return f"{text} {len(above)} of {tasks} tasks are above the commonest training answer." if tasks else text


def above_chance(run: Run) -> tuple[list[str], int]:
    """(tasks that some condition answers better than the commonest training answer does, tasks that have both).

    Better: by more than two standard errors of a share of so many samples, in the mean over seeds.
    """
    above, tasks = [], 0
    counts = at_end(run.evaluation.where(suite="tasks", metric="exact_match"))
    for task in scores.task_names(run):
        level = scores.chance(run, task)
        values = [estimate(found.values()) for found in scores.score_values(run, "tasks", task).values()]
        best = max((value.mean for value in values if value is not None), default=None)
        count = float(np.nanmax(counts.where(task=task)["count"], initial=0))
        if level is None or best is None or not count:
            continue
        tasks += 1
        if best > level + 2 * math.sqrt(max(level * (1 - level), 1 / count) / count):
            above.append(task)
    return above, tasks


def _gain(run: Run) -> str | None:
    """The differences in accuracy by group."""
    other = cleaned(run)
    parts = [
        f"{scores.GROUPS[group]} {_percent(found[other], signed=True)}"
        for group, found in scores.groups_compared(run).items()
        if other in found
    ]
    return f"Removing repeated prompts, points of accuracy: {'; '.join(parts)}." if parts else None


def _asked(run: Run) -> str | None:
    """The same difference where the held-out prompts are repeated."""
    other, parts = cleaned(run), []
    for suite, how in scores.ASKED.items():
        values = scores.score_values(run, suite, "all")
        found = paired(values.get(other or "", {}), values.get(run.reference, {}))
        if found is not None:
            parts.append(f"{_percent(found, signed=True)} points where it is asked with {how} prompts")
    return f"{other} against {run.reference}, all groups: {' and '.join(parts)}." if len(parts) == 2 else None


def _profile(run: Run) -> str | None:
    """Correlation over depth of v_proj's alpha."""
    end = at_end(layered(run.diagnostics, DECODER)).where(module=V_PROJ)
    found = correlation(end, run.reference, cleaned(run) or "")
    if found is None:
        return None
    return f"v_proj's alpha over depth: correlation of the conditions {write_number(found, 2)}, mean over seeds."


def unseen(run: Run) -> list[str]:
    """What this run cannot show, and why."""
    found = [
        "Whether the paper's benchmarks would move: none of them is asked. The groups are our reading of Table "
        "3's categories, with tasks of our own.",
        "Whether fewer tokens in front of an answer help, or fewer repetitions: cleaning makes prompts shorter, "
        "and no condition is as short and repeats.",
    ]
    counts = at_end(run.evaluation.where(suite="groups", task="all", metric="exact_match"))["count"]
    if len(counts) and np.isfinite(counts).any():
        count = int(np.nanmax(counts))
        found.append(
            f"How scores would move with other questions: all runs answer the same {count:,}, and a share near a "
            f"half has a standard error of {write_number(50 / math.sqrt(count), 1)} points from that alone, which "
            "intervals over seeds do not hold."
        )
    above, tasks = above_chance(run)
    if tasks and not above:
        found.append("Anything about answers: no task is above the commonest training answer.")
    elif len(above) < tasks:
        below = [task.replace("/", " · ") for task in scores.task_names(run) if task not in above]
        found.append(f"Anything about tasks that were not learned: {', '.join(below)}.")
    return found + common_facts.unseen(run)
