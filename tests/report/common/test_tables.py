"""Tables are exact aggregates: what has no fit is never counted, what has too few seeds has no interval."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from fake_run import small_config, write_run
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.errors import RunError
from bench_shadows.report.common import tables
from bench_shadows.report.common.estimates import Estimate, estimate, half_width, paired, write_count, write_number
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.conditions import corpus

finite = st.floats(-1e6, 1e6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three seeds, a tenth of the fits missing."""
    return read_run(write_run(tmp_path_factory.mktemp("run"), small_config(seeds=(0, 1, 2)), missing_fits=0.1))


def test_the_share_is_k_of_n_fitted_matrices(run: Run) -> None:
    table = tables.share_table(run)
    assert len(table.rows) == 4 * 5
    for row in table.rows:
        mine = run.diagnostics.where(condition=row["condition"], step=row["step"])
        alpha = mine["alpha"]
        assert row["fitted"] + row["missing_fits"] == len(alpha) == 3 * 28
        assert row["missing_fits"] == np.isnan(alpha).sum() > 0
        assert row["in_range"] == ((alpha >= 2) & (alpha <= 6)).sum()
        shares = []
        for seed in (0, 1, 2):
            fitted = alpha[(mine["seed"] == seed) & np.isfinite(alpha)]
            shares.append(100 * np.mean((fitted >= 2) & (fitted <= 6)))
        assert row["share_percent"].mean == pytest.approx(np.mean(shares))
        assert row["share_percent"].half_width is not None


def test_the_baseline_differs_from_itself_by_nothing_at_all(run: Run) -> None:
    rows = tables.share_table(run).rows
    assert all(row["minus_A"] is None for row in rows if row["condition"] == "A")
    assert all(row["minus_A"].seeds == 3 for row in rows if row["condition"] != "A")


@given(st.lists(finite, min_size=3, max_size=8))
def test_the_interval_is_students(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    assert found.half_width is not None
    spread = scipy.stats.sem(values)
    expected = spread * scipy.stats.t.ppf(0.975, len(values) - 1)
    assert found.half_width == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert min(values) - 1e-6 <= found.mean <= max(values) + 1e-6


@given(st.lists(finite, max_size=2))
def test_fewer_than_three_seeds_have_no_interval(values: list[float]) -> None:
    found = estimate([*values, math.nan])
    assert found is None if not values else found is not None and found.half_width is None


def test_missing_values_are_left_out_column_by_column() -> None:
    values = np.array([[1.0, 1.0], [2.0, np.nan], [3.0, 3.0], [np.nan, np.nan]])
    widths = half_width(values)
    assert widths[0] == pytest.approx(scipy.stats.t.ppf(0.975, 2) / math.sqrt(3))
    assert math.isnan(widths[1])


def test_differences_are_paired_over_the_seeds_that_both_have() -> None:
    found = paired({0: 1.0, 1: 5.0, 2: 3.0}, {1: 4.0, 2: 1.0, 7: 9.0})
    assert found == Estimate(1.5, None, 2)
    assert paired({0: 1.0}, {1: 1.0}) is None


@given(st.floats(1e-6, 1e6))
def test_variation_over_depth_does_not_depend_on_scale(scale: float) -> None:
    def one(values: list[float]) -> float:
        layers = np.arange(len(values), dtype=float)
        frame = {
            "condition": np.array(["A"] * len(values), dtype=object),
            "module": np.array(["mlp.up_proj"] * len(values), dtype=object),
            "reference": np.array(["init"] * len(values), dtype=object),
            "seed": np.zeros(len(values)),
            "step": np.ones(len(values)),
            "layer": layers,
            "change_variance": np.array(values),
        }
        empty = Frame({"condition": np.zeros(0)})
        run = Run("r", small_config(("A",)), {}, {}, {}, empty, Frame(frame), empty, {}, empty, ())
        return tables.depth_variation_table(run).rows[0]["A"].mean

    assert one([scale * value for value in (4.0, 1.0, 1.0, 3.0)]) == pytest.approx(one([4.0, 1.0, 1.0, 3.0]))
    assert one([scale] * 4) == pytest.approx(0, abs=1e-12)


def test_what_has_no_value_is_named_with_its_reason(run: Run) -> None:
    rows = tables.missing_table(run.diagnostics, run.changes).rows
    assert len(rows) == np.isnan(run.diagnostics["alpha"]).sum() > 0
    assert {(row["what"], row["status"]) for row in rows} == {("alpha", "fewer than 8 eigenvalues in the tail")}
    assert all(row["tensor"].startswith("layers/") for row in rows)


def test_held_out_differences_are_to_a_and_all_stands_last(run: Run) -> None:
    table = tables.evaluation_table(run, "t", "likelihood", "bits_per_byte", "Domain")
    assert [row["task"] for row in table.rows][-1] == "all"
    for row in table.rows:
        assert row["D_minus_A"].mean == pytest.approx(row["D"].mean - row["A"].mean)
        assert "A_minus_A" not in row
    frequency = tables.evaluation_table(run, "t", "frequency", "loss_nats_per_token", "Decile")
    assert [row["task"] for row in frequency.rows] == [f"decile-{decile}" for decile in range(1, 11)]
    assert tables.order_tasks(["64-127", "all", "1-15", "16-31"]) == ["1-15", "16-31", "64-127", "all"]


def test_csv_keeps_full_precision_and_leaves_missing_empty(run: Run) -> None:
    table = tables.share_table(run)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert len(rows) == len(table.rows)
    for written, row in zip(rows, table.rows, strict=True):
        assert float(written["share_percent"]) == row["share_percent"].mean
        assert float(written["share_percent_half_width_95"]) == row["share_percent"].half_width
        assert written["share_percent_seeds"] == "3"
        assert (written["minus_A"] == "") == (row["condition"] == "A")


@pytest.mark.parametrize(
    ("fraction", "label"),
    [(1 / 36, "1/36"), (10 / 36, "10/36"), (0.5, "18/36"), (1.0, "end"), (0.3, "30.0%"), (0.001, "0.1%")],
)
def test_points_of_the_run_are_named_as_the_papers(fraction: float, label: str) -> None:
    assert tables.fraction_label(fraction) == label


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (None, 2, False, "–"),
        (math.nan, 2, False, "–"),
        (-1.234, 2, False, "−1.23"),
        (0.001, 2, True, "0.00"),
        (-0.001, 2, True, "0.00"),
        (1.5, 1, True, "+1.5"),
        (12345, None, False, "12,345"),
        (Estimate(2.0, 0.25, 3), 2, True, "+2.00 ± 0.25"),
        (Estimate(2.0, None, 1), 1, False, "2.0"),
        ("equal", 1, True, "equal"),
        (True, None, False, "yes"),
    ],
)
def test_numbers_are_written_the_same_way_everywhere(
    value: object, digits: int | None, signed: bool, text: str
) -> None:
    assert write_number(value, digits, signed) == text


def test_large_counts_have_a_unit() -> None:
    assert [write_count(value) for value in (12, 884_736, 659e6, 1.2288e12)] == ["12", "885 k", "659 M", "1.2 T"]


def test_what_the_conditions_read_is_a_mean_over_seeds(run: Run) -> None:
    rows = {row["measure"]: row for row in corpus.phase_table(run).rows}
    assert rows["types"]["D_first"].mean < rows["types"]["A_first"].mean == rows["types"]["D_second"].mean
    assert rows["distinct_rows"]["C_first"] == Estimate(350.0, None, 3)
    shown = [row["measure"] for row in corpus.page_rows(corpus.phase_table(run)).rows]
    assert "token types" in shown
    assert not [name for name in shown if "sha256" in name or "decile" in name]


def test_the_mixture_of_every_part_sums_to_a_hundred_percent(run: Run) -> None:
    table = corpus.mixture_table(run, "mixture", ["domain"])
    for split in corpus.SPLITS:
        assert sum(row[split] for row in table.rows) == pytest.approx(100)


def test_a_torn_line_and_a_repeated_step_of_the_metrics_are_handled(tmp_path: Path) -> None:
    write_run(tmp_path, small_config(("A",)))
    path = tmp_path / "runs/A-seed0/metrics.jsonl"
    lines = path.read_text().splitlines()
    again = lines[40].replace('"loss": ', '"loss": 1')
    path.write_text("\n".join([*lines[:50], again, *lines[50:-1], lines[-1][:25]]) + "\n")
    found = read_run(tmp_path)
    steps = found.metrics["A", 0]["step"]
    assert steps.tolist() == list(range(1, 216))
    assert found.metrics["A", 0]["loss"][40] > 10
    assert any("1 unreadable line(s) of runs/A-seed0" in note for note in found.notes)
    assert any("ends at step 215 of 216" in note for note in found.notes)


@pytest.mark.parametrize("name", ["diagnostics.parquet", "changes.parquet", "evaluation.parquet"])
def test_a_damaged_table_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, small_config(("A",)))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(RunError, match=rf"{name}: cannot be read .* remove it and run its stage again"):
        read_run(tmp_path)


def test_a_table_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_run(tmp_path, small_config(("A",)))
    table = pq.read_table(tmp_path / "diagnostics.parquet")
    pq.write_table(table.drop_columns(["alpha", "in_range"]), tmp_path / "diagnostics.parquet")
    with pytest.raises(RunError, match=r"lacks the columns alpha, in_range"):
        read_run(tmp_path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.json in it"):
        read_run(tmp_path)
