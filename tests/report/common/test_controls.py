"""Controls: what the files prove about the sameness of conditions, what breaks it, and the noise scale."""

import dataclasses

import numpy as np
import pytest
from fake_run import small_config, write_run
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.report.common import checks, controls, curves
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.conditions import sameness


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three seeds of all conditions, as designed."""
    return read_run(write_run(tmp_path_factory.mktemp("run"), small_config(seeds=(0, 1, 2)), missing_fits=0.1))


def with_metric(run: Run, name: str, seed: int, key: str, values: np.ndarray) -> Run:
    metrics = {run_name: dict(found) for run_name, found in run.metrics.items()}
    metrics[name, seed][key] = values
    return dataclasses.replace(run, metrics=metrics)


def broken(run: Run) -> list[str]:
    return [check.sentence for check in sameness.checks(run) if check.holds is False]


def test_a_run_as_designed_passes_every_check(run: Run) -> None:
    found = sameness.checks(run)
    assert len(found) == 9
    assert all(check.holds for check in found)
    assert checks.verdict(found).startswith("As far as the files can show: yes. 9 of 9 checks hold")
    rows = {row["control"]: row for row in controls.controls_table(run).rows}
    assert rows["learning rate"]["C_first"] == rows["learning rate"]["D_second"] == "equal"
    assert rows["learning rate"]["B_second"].mean > 100
    assert rows["token types of a batch"]["D_first"].mean < -5
    assert rows["token types of a batch"]["D_second"] == "equal"


@pytest.mark.parametrize(
    ("key", "name", "step"), [("learning_rate", "C", 7), ("batch_types", "D", 200), ("batch_entropy_bits", "B", 3)]
)
def test_one_step_that_is_not_as_designed_is_found(run: Run, key: str, name: str, step: int) -> None:
    altered = run.metrics[name, 1][key].copy()
    altered[step] *= 1 + 1e-12
    [sentence] = broken(with_metric(run, name, 1, key, altered))
    assert f"{controls.CONTROLS[key][0]} of {name}" in sentence


@pytest.mark.parametrize(("table", "column"), [("diagnostics", "effective_rank"), ("evaluation", "value")])
def test_initial_weights_that_differ_in_the_last_digit_are_found(run: Run, table: str, column: str) -> None:
    frame = getattr(run, table)
    values = frame[column].copy()
    place = np.flatnonzero((frame["step"] == 0) & (frame["condition"] == "D") & np.isfinite(values))[0]
    values[place] = np.nextafter(values[place], np.inf)
    other = dataclasses.replace(run, **{table: Frame(dict(frame.columns) | {column: values})})
    assert broken(other) == ["Initial weights: D did not begin with A's of the same seed."]


def test_another_order_of_the_second_half_is_found(run: Run) -> None:
    conditions = dict(run.statistics["conditions"])
    phases = conditions["C-seed2"]["phases"]
    second = phases["second"] | {"plan_sha256": "77" * 32}
    conditions["C-seed2"] = {"phases": phases | {"second": second}}
    other = dataclasses.replace(run, statistics=dict(run.statistics) | {"conditions": conditions})
    assert broken(other) == ["Order of rows: that of C is not A's."]


def test_skipped_steps_and_shorter_runs_are_named(run: Run) -> None:
    spikes = np.repeat([0.0, 1.0, 2.0], 72)
    [sentence] = broken(with_metric(run, "D", 0, "spikes", spikes))
    assert sentence.endswith("D-seed0 2.")
    short = {key: values[:-1] for key, values in run.metrics["B", 1].items()}
    shorter = dataclasses.replace(run, metrics=dict(run.metrics) | {("B", 1): short})
    assert any("have not made the same steps" in sentence for sentence in broken(shorter))


def test_what_was_not_recorded_is_unknown_and_never_said_to_hold(run: Run) -> None:
    bare = dataclasses.replace(
        run,
        statistics={},
        diagnostics=run.diagnostics.where(step=216),
        metrics={name: {"step": values["step"]} for name, values in run.metrics.items()},
    )
    found = sameness.checks(bare)
    assert {check.holds for check in found} == {None}
    assert checks.verdict(found).startswith("It cannot be said")
    assert "1 cannot be made" in checks.verdict([*found[:1], *sameness.checks(run)[:1]])
    alone = {name: getattr(run, name).where(condition="A") for name in ("diagnostics", "changes", "evaluation")}
    assert sameness.checks(dataclasses.replace(bare, metrics={}, **alone)) == []
    assert checks.verdict([]).startswith("It cannot be said")


def test_limits_name_uncommitted_code_and_other_domains(run: Run) -> None:
    dirty = dataclasses.replace(run, provenance={"revision": "be614e6f00d+changes"})
    assert any("were not committed" in sentence for sentence in sameness.limits(dirty))
    assert any("lies in other domains" in sentence for sentence in sameness.limits(run))


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1, 200))
def test_the_noise_scale_is_a_ratio_of_means_not_a_mean_of_ratios(seed: int, scale: float) -> None:
    """Steps whose |G|^2 estimate is negative by chance neither vanish nor turn the sign."""
    random = np.random.default_rng(seed)
    steps = 3600
    square = 1.0 + 2.0 * random.standard_normal(steps)
    variance = scale * (1 + 0.3 * random.standard_normal(steps))
    config = small_config(("A",), steps=steps)
    nothing = Frame({"condition": np.zeros(0), "seed": np.zeros(0)})
    metrics = {"step": np.arange(1.0, steps + 1), "grad_square": square, "grad_variance": variance}
    one = Run("r", config, {}, {}, {}, nothing, nothing, nothing, {("A", 0): metrics}, nothing, ())
    _, values = curves.curve(one, "A", controls.NOISE_SCALE, points=2)
    assert (square < 0).sum() > 500
    assert values[0] == pytest.approx([scale, scale], rel=0.25)
    [row] = controls.levels_table(one).rows
    assert row["noise_scale_first"].mean == pytest.approx(float(values[0, 0]))


def test_a_gradient_that_drowns_in_noise_has_no_noise_scale(run: Run) -> None:
    drowned = with_metric(run, "A", 0, "grad_square", np.full(216, -1e-3))
    _, values = curves.curve(drowned, "A", controls.NOISE_SCALE, points=18)
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1:]).all()


def test_a_skipped_step_without_finite_norms_is_left_out_of_the_means(run: Run) -> None:
    norms = run.metrics["C", 0]["grad_norm"].copy()
    norms[3] = np.nan
    found = controls.compare(with_metric(run, "C", 0, "grad_norm", norms), "grad_norm", "C", "first")
    assert found is not None
    assert np.isfinite(found[1]).all()
    assert len(found[1]) == 3


def test_the_mean_of_every_outcome_is_given_by_half(run: Run) -> None:
    rows = {row["condition"]: row for row in controls.levels_table(run).rows}
    assert rows["D"]["noise_scale_first"].mean < rows["A"]["noise_scale_first"].mean
    assert rows["A"]["spikes"] == 0
    assert rows["A"]["grad_norm_first"].half_width is not None
