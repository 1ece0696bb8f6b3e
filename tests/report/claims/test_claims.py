"""Claims: what is in the tables is found, what is not there is not, and what cannot be said is not said."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_run import small_config, write_run
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))
import calibrate_claims
import simulated_studies
from simulated_studies import NONE, PAPER, simulate

from bench_shadows.config import ConditionsConfig, DiagnosticsConfig
from bench_shadows.report.claims.judge import CLAIMS, judge, write_claims
from bench_shadows.report.claims.verdict import LEVEL, Claim, register
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run
from bench_shadows.report.conditions.gallery import GALLERY

NAMES = [f"C{number}" for number in range(1, 10)]


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def with_effects() -> Run:
    return simulate(PAPER, 12, 10, generator())


def claims(run: Run) -> dict[str, Claim]:
    return {claim.id: claim for claim in judge(run)}


def change(run: Run, table: str, edit: Callable[[Frame], Frame]) -> Run:
    return dataclasses.replace(run, **{table: edit(getattr(run, table))})


def only(frame: Frame, keep: np.ndarray) -> Frame:
    return Frame({name: column[keep] for name, column in frame.columns.items()})


def blank(frame: Frame, where: np.ndarray) -> Frame:
    """The frame with every measured number of some rows missing."""
    keys = {"step", "seed", "layer"}
    return Frame(
        {
            name: np.where(where, np.nan, column) if column.dtype == float and name not in keys else column
            for name, column in frame.columns.items()
        }
    )


def without(run: Run, **equal: object) -> Run:
    """The run without the rows of a condition, a seed or a step, in all its tables."""
    for table in ("diagnostics", "changes", "evaluation"):
        for name, value in equal.items():
            run = change(run, table, lambda frame, name=name, value=value: only(frame, frame[name] != value))
    return run


def test_every_claim_is_registered_in_its_docstring() -> None:
    registered = [register(claim) for claim in CLAIMS]
    assert [one.id for one in registered] == NAMES
    for one in registered:
        assert all((one.title, one.statement, one.statistic, one.test, one.threshold)), one.id
        assert one.min_seeds >= 3
        assert one.figure in {picture.name for picture in GALLERY}


def test_a_claim_is_judged_by_its_own_numbers(with_effects: Run) -> None:
    for claim in judge(with_effects):
        for part in claim.parts:
            values = list(part.values.values())
            low, high = part.interval or (math.nan, math.nan)
            assert min(low, high) <= (part.effect or 0.0) <= max(low, high)
            assert len(values) == len(claim.seeds) == 10
        assert claim.reason.endswith(".")


def test_the_share_of_the_paper_is_seen_part_by_part(with_effects: Run) -> None:
    parts = {part.name: part for part in claims(with_effects)["C1"].parts}
    assert parts["B − A"].effect == pytest.approx(-20.3, abs=4)
    assert (parts["B − A"].p or 1) < 1e-3
    first = parts["D − A after the phase shift"].effect
    assert first == pytest.approx(-1.4, abs=5)


def test_a_claim_that_nothing_supports_is_not_reproduced() -> None:
    verdicts = {name: claim.verdict for name, claim in claims(simulate(NONE, 12, 10, generator())).items()}
    assert "reproduced" not in verdicts.values()
    assert verdicts["C1"] == verdicts["C5"] == verdicts["C9"] == "not reproduced"


def test_c_in_ds_place_turns_the_shortfall_round(with_effects: Run) -> None:
    def swap(frame: Frame) -> Frame:
        other = {"C": "D", "D": "C"}
        names = np.array([other.get(name, name) for name in frame["condition"]], object)
        return Frame({**frame.columns, "condition": names})

    before, after = claims(with_effects)["C2"], claims(change(with_effects, "diagnostics", swap))["C2"]
    assert after.effect == pytest.approx(-(before.effect or 0.0))


def test_the_order_of_seeds_and_of_rows_changes_nothing(with_effects: Run) -> None:
    order = generator()

    def shuffle(frame: Frame) -> Frame:
        renamed = {name: column for name, column in frame.columns.items()}
        renamed["seed"] = (7 * frame["seed"]) % 10
        return only(Frame(renamed), order.permutation(len(frame)))

    mixed = with_effects
    for table in ("diagnostics", "changes", "evaluation"):
        mixed = change(mixed, table, shuffle)
    for before, after in zip(judge(with_effects), judge(mixed), strict=True):
        assert after.verdict == before.verdict
        assert after.effect == pytest.approx(before.effect)
        assert after.p_against == pytest.approx(before.p_against)


def test_matrices_without_a_fit_are_left_out_and_the_rest_still_counts(with_effects: Run) -> None:
    lost = generator().random(len(with_effects.diagnostics)) < 0.1
    run = change(with_effects, "diagnostics", lambda frame: blank(frame, lost))
    for before, after in zip(judge(with_effects), judge(run), strict=True):
        assert after.seeds == before.seeds, after.id
        assert after.effect is not None
        assert math.isfinite(after.effect)


def test_a_seed_whose_fits_failed_does_not_count(with_effects: Run) -> None:
    def lose(frame: Frame) -> Frame:
        return blank(frame, (frame["seed"] == 3) & (frame["condition"] == "D"))

    found = claims(change(with_effects, "diagnostics", lose))
    for name in ("C1", "C2", "C3", "C4", "C6", "C7", "C8"):
        assert found[name].seeds == (0, 1, 2, 4, 5, 6, 7, 8, 9), name
    assert found["C5"].seeds == tuple(range(10))


def test_one_seed_has_effects_but_no_interval_and_no_verdict() -> None:
    for claim in judge(simulate(PAPER, 12, 1, generator())):
        assert claim.verdict == "too few seeds"
        assert (claim.interval, claim.p, claim.p_corrected, claim.p_against) == (None, None, None, None)
        assert claim.effect is not None or claim.id == "C3"  # what repeats from seed to seed needs three
        assert "Measured on 1 seed;" in claim.reason or claim.id == "C3"


def test_with_few_seeds_what_is_clear_is_said_and_the_rest_is_not_called_undecided() -> None:
    found = claims(simulate(NONE, 32, 3, generator()))
    assert found["C7"].verdict == "not reproduced"
    assert (found["C7"].p_against_corrected or 1) <= LEVEL
    assert "B's profile" in found["C7"].reason
    unclear = [claim for claim in found.values() if claim.min_seeds > 3 and claim.verdict != "not reproduced"]
    assert unclear
    for claim in unclear:
        assert claim.verdict == "too few seeds"
        assert claim.p is not None
        assert "Measured on 3 seeds" in claim.reason


@pytest.mark.parametrize(
    ("condition", "silent"),
    [
        ("A", NAMES),
        ("B", ["C1", "C5", "C7", "C8"]),
        ("C", ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"]),
        ("D", NAMES),
    ],
)
def test_a_missing_condition_is_named(with_effects: Run, condition: str, silent: list[str]) -> None:
    found = claims(without(with_effects, condition=condition))
    assert [name for name, claim in found.items() if claim.verdict == "not measured"] == silent
    assert all(f"condition {condition}" in found[name].reason for name in silent)


@pytest.mark.parametrize(
    ("table", "silent"),
    [
        ("diagnostics", ["C1", "C2", "C3", "C4", "C6", "C7", "C8"]),
        ("changes", ["C5"]),
        ("evaluation", ["C9"]),
    ],
)
def test_a_missing_table_is_named(with_effects: Run, table: str, silent: list[str]) -> None:
    empty = change(
        with_effects, table, lambda frame: Frame({name: column[:0] for name, column in frame.columns.items()})
    )
    found = claims(empty)
    assert [name for name, claim in found.items() if claim.verdict == "not measured"] == silent
    assert all(f"{table}.parquet" in found[name].reason for name in silent)


def test_a_missing_point_of_the_run_is_named(with_effects: Run) -> None:
    config = with_effects.config
    late = dataclasses.replace(config, diagnostics=DiagnosticsConfig(fractions=(0.5, 1.0)))
    found = claims(dataclasses.replace(with_effects, config=late))
    assert found["C1"].verdict == found["C9"].verdict == "not measured"
    assert "10/36" in found["C1"].reason
    unfinished = claims(without(with_effects, step=config.steps))
    assert "end" in unfinished["C2"].reason


def test_a_suite_that_was_not_evaluated_is_named(with_effects: Run) -> None:
    run = change(with_effects, "evaluation", lambda frame: only(frame, frame["suite"] != "rare_words"))
    found = claims(run)
    assert found["C9"].verdict == "not measured"
    assert "rare_words" in found["C9"].reason


def test_two_layers_have_no_profile() -> None:
    found = claims(simulate(PAPER, 2, 5, generator()))
    assert found["C5"].verdict == found["C7"].verdict == "not measured"
    assert "4 layers" in found["C7"].reason


def test_claims_json_can_be_checked_by_hand(tmp_path: Path) -> None:
    write_run(tmp_path, small_config(seeds=range(3)))
    written = json.loads(write_claims(tmp_path).read_text(encoding="utf-8"))
    assert [claim["id"] for claim in written["claims"]] == NAMES
    assert written["config_sha256"]
    assert written["versions"]["jax"]
    share = written["claims"][0]
    gap = next(part for part in share["parts"] if part["name"] == "C − A at 10/36")
    observed = share["observed"]
    for seed, value in gap["values"].items():
        c, a = (observed[f"share in [2, 6], %, {name}, 10/36"][seed] for name in "CA")
        assert value == pytest.approx(c - a)
    test = stats.ttest_1samp(list(gap["values"].values()), gap["claimed"][1], alternative="less")
    assert gap["p"] == pytest.approx(test.pvalue)
    assert gap["effect"] == pytest.approx(np.mean(list(gap["values"].values())))


def test_the_papers_effects_are_found_with_the_registered_seeds() -> None:
    """The short form of scripts/calibrate_claims.py: at fourteen seeds, for the claims that need no more."""
    random = np.random.default_rng(0)
    studies = [judge(simulate(PAPER, 32, 14, random)) for _ in range(16)]
    for name, registered in calibrate_claims.DOCUMENTS.registered.items():
        if registered.min_seeds <= 14:
            assert calibrate_claims.rate(studies, name, "reproduced") >= 0.8, name
        assert calibrate_claims.rate(studies, name, "not reproduced") <= 0.05, name


def test_what_is_not_there_is_found_in_one_study_of_twenty_at_most() -> None:
    random = np.random.default_rng(1)
    none = [judge(simulate(NONE, 12, 4, random)) for _ in range(60)]
    for name in NAMES:
        assert calibrate_claims.rate(none, name, "reproduced") <= 0.05, name


@pytest.mark.parametrize("name", ["C2", "C4", "C9"])
def test_a_claim_at_its_threshold_is_called_either_way_in_one_study_of_twenty_at_most(name: str) -> None:
    """The hardest case: one part exactly where true becomes false."""
    yes, no = calibrate_claims.at_the_threshold(name, 12, 4, 100)
    assert yes <= 0.05
    assert no <= 0.05


def test_the_noise_of_a_simulated_study_is_measured_as_it_was_put_in() -> None:
    noise = simulated_studies.SMALL_RUNS
    run = simulate(NONE, 12, 60, generator())
    run = dataclasses.replace(
        run, config=dataclasses.replace(run.config, conditions=ConditionsConfig(seeds=tuple(range(60))))
    )
    measured = simulated_studies.measure(run)
    for column, groups in noise.spreads.items():
        for put_in, found in zip(groups, measured.spreads[column], strict=True):
            assert found.matrix_own == pytest.approx(put_in.matrix_own, rel=0.1, abs=1e-3)
            assert found.matrix_shared == pytest.approx(put_in.matrix_shared, rel=0.2, abs=0.02)
    assert measured.fixed == pytest.approx(noise.fixed, abs=0.1)
    assert measured.evaluation["score"] == pytest.approx(noise.evaluation["score"], rel=0.4)


def test_where_rewriting_changed_too_little_the_claims_that_read_d_are_withheld(with_effects: Run) -> None:
    report = {"withheld": "rewriting changed 0.0% of the words of the first half"}
    found = claims(dataclasses.replace(with_effects, documents={**with_effects.documents, "rewriting": report}))
    withheld = {name for name, claim in found.items() if claim.verdict == "not measured"}
    assert {"C1", "C2", "C4", "C6", "C9"} <= withheld
    assert all(found[name].reason == f"withheld: {report['withheld']}" for name in withheld)
    kept = claims(with_effects)
    assert all(found[name].effect == kept[name].effect for name in found.keys() - withheld)
