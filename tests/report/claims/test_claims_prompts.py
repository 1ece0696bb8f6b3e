"""C11: what repeated prompts do is told from what they do not, and from the noise of fits and scores."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))
import calibrate_claims
from simulated_prompt_studies import NOTHING, PROMPTS, PromptEffects, simulate_prompts

from bench_shadows.report.claims import verdict
from bench_shadows.report.claims.judge import PROMPT_CLAIMS, as_json, judge
from bench_shadows.report.claims.verdict import Claim, register
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run

LAYERS, SEEDS = 32, 40


def study(effects: PromptEffects, seeds: int = SEEDS, layers: int = LAYERS) -> Run:
    return simulate_prompts(effects, layers, seeds, np.random.default_rng(3))


def claim(run: Run) -> Claim:
    [found] = judge(run)
    return found


def part(found: Claim, beginning: str) -> verdict.TestedPart:
    [one] = [part for part in found.parts if part.name.startswith(beginning)]
    return one


def changed(**effects: object) -> Claim:
    """A study with the paper's effects but for one."""
    return claim(study(dataclasses.replace(PROMPTS, **effects)))  # type: ignore[arg-type]


def without(frame: Frame, **equal: object) -> Frame:
    keep = np.ones(len(frame), bool)
    for name, value in equal.items():
        keep &= frame[name] == value
    return Frame({name: column[~keep] for name, column in frame.columns.items()})


def test_it_is_registered_in_its_docstring() -> None:
    [registered] = map(register, PROMPT_CLAIMS)
    assert registered.id == "C11"
    assert all((registered.statement, registered.statistic, registered.test, registered.threshold))
    assert 3 <= registered.min_seeds <= SEEDS
    assert registered.figure == "v_proj_alpha"


def test_what_the_paper_reports_is_reproduced() -> None:
    found = claim(study(PROMPTS))
    assert found.verdict == "reproduced", found.reason
    assert len(found.parts) == 11
    assert part(found, "accuracy of instructions").effect == pytest.approx(2.08, abs=1)
    assert part(found, "v_proj: baseline").effect == pytest.approx(1.2, abs=0.1)


def test_where_removal_does_nothing_nothing_is_reproduced() -> None:
    found = claim(study(NOTHING))
    assert found.verdict != "reproduced"
    assert part(found, "share").effect == pytest.approx(0, abs=1)
    helped = [part.p or 0.0 for part in found.parts if part.claimed == (0.0, None) and "accuracy" in part.name]
    assert min(helped) > 0.01


@pytest.mark.parametrize(
    ("effect", "beginning"),
    [
        ({"centre": 0.3}, "alpha, deduplicated"),  # a broad shift
        ({"scattered": 0.4}, "v_proj: profile"),  # another profile over depth
        ({"raised": 0.0, "scattered": 0.0}, "v_proj: baseline"),  # no layer that sticks out
        ({"up_proj": 0.6}, "up_proj moves by"),
        ({"rank": 0.3}, "delta effective rank"),  # another regime
        ({"scores": {**PROMPTS.scores, "instructions": -3.0}}, "accuracy of instructions"),
        ({"scores": {**PROMPTS.scores, "language": -6.0}}, "accuracy of language"),
    ],
)
def test_a_study_in_which_one_part_is_otherwise_does_not_reproduce_it(
    effect: dict[str, object], beginning: str
) -> None:
    found = changed(**effect)
    assert found.verdict != "reproduced"
    assert (part(found, beginning).p or 0.0) > 0.05


def test_one_layer_up_and_one_down_is_not_elevated() -> None:
    """v_proj lowered at a few layers by the repeated prompts moves as far, the other way."""
    found = changed(raised=-0.25, scattered=0.0)
    assert (part(found, "v_proj moves beyond").p or 1.0) < 0.025
    assert (part(found, "v_proj: baseline").p or 0.0) > 0.05


def test_a_seed_whose_fits_failed_and_a_layer_without_one_are_left_out() -> None:
    run = study(PROMPTS, seeds=8)
    frame = run.diagnostics
    lost = (frame["seed"] == 3) & (frame["condition"] == "baseline")
    lost |= (frame["layer"] == 5) & (frame["module"] == "self_attn.v_proj")
    alpha = Frame({**frame.columns, "alpha": np.where(lost, np.nan, frame["alpha"])})
    found = claim(dataclasses.replace(run, diagnostics=alpha))
    assert found.seeds == (0, 1, 2, 4, 5, 6, 7)
    assert all(np.isfinite(list(part.values.values())).all() for part in found.parts)


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_one_or_two_seeds_there_is_no_verdict(seeds: int) -> None:
    assert claim(study(PROMPTS, seeds=seeds)).verdict == "too few seeds"


@pytest.mark.parametrize(
    ("table", "equal", "said"),
    [
        ("diagnostics", {"condition": "deduplicated"}, "condition deduplicated"),
        ("changes", {"reference": "init"}, "changes.parquet"),
        ("evaluation", {"task": "instructions"}, "groups, instructions"),
        ("evaluation", {"suite": "groups"}, "evaluation.parquet"),
    ],
)
def test_what_is_not_there_is_named(table: str, equal: dict[str, str], said: str) -> None:
    run = study(PROMPTS, seeds=3)
    found = claim(dataclasses.replace(run, **{table: without(getattr(run, table), **equal)}))
    assert found.verdict == "not measured"
    assert said in found.reason


def test_three_layers_have_no_profile() -> None:
    assert "4 layers" in claim(study(PROMPTS, seeds=3, layers=3)).reason


def test_claims_json_holds_what_the_parts_were_made_of() -> None:
    [written] = as_json(study(PROMPTS, seeds=4))["claims"]
    share = written["parts"][0]["values"]
    observed = written["observed"]
    for seed, value in share.items():
        after, before = (
            observed[f"share in [2, 6], %, {name}, end"][seed] for name in ("deduplicated", "baseline")
        )
        assert value == pytest.approx(after - before)


def test_at_its_thresholds_it_is_called_either_way_in_one_study_of_twenty_at_most() -> None:
    """The short form of scripts/calibrate_claims.py, shallower."""
    yes, no = calibrate_claims.at_the_threshold("C11", 8, 5, 60)
    assert yes <= 0.05
    assert no <= 0.05


def test_a_model_that_has_learned_nothing_of_a_group_decides_nothing() -> None:
    run = study(PROMPTS, seeds=3)
    asked = (run.evaluation["suite"] == "groups") & (run.evaluation["task"] == "instructions")
    values = np.where(asked, 0.0, run.evaluation["value"])
    found = claim(dataclasses.replace(run, evaluation=Frame({**run.evaluation.columns, "value": values})))
    assert found.verdict == "not measured"
    assert "instructions" in found.reason
