"""The page of a sweep compares studies by their files alone, and says what is not there yet."""

import dataclasses
import re
from pathlib import Path

import pytest
from fake_prompt_run import prompt_config, write_prompt_run
from fake_run import small_config, write_run

from bench_shadows.errors import RunError
from bench_shadows.files import read_json, write_json
from bench_shadows.report.common.estimates import Estimate
from bench_shadows.report.common.run import read_run
from bench_shadows.report.sweep.measures import MEASURES, PROMPT_MEASURES, collect, tidy
from bench_shadows.report.sweep.page import FILE, write_sweep

LABELS = ("2", "5", "10")


def write_studies(out: Path, seeds: tuple[int, ...], labels: tuple[str, ...] = LABELS) -> Path:
    for label in labels:
        config = small_config(("A", "C"), seeds, layers=2, steps=72)
        run = write_run(out / f"factor={label}", config)
        statistics = read_json(run / "data/statistics.json")
        for name, phases in statistics["conditions"].items():
            if name.startswith("C"):
                phases["phases"]["first"]["duplicate_rows_share"] = 1 - 1 / int(label)
        write_json(run / "data/statistics.json", statistics)
    points = [{"label": label, "folder": f"factor={label}"} for label in LABELS]
    curves = [{"fields": ["conditions.repetition_factor"], "points": points}]
    write_json(out / FILE, {"version": 1, "command": ["bench-shadows", "sweep", "--x=<1>"], "curves": curves})
    return out


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(write_studies(tmp_path_factory.mktemp("sweep"), (0, 1, 2)))


def test_the_page_has_a_figure_and_every_study_beside_the_others(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "conditions.repetition_factor" in html
    assert all(f'href="../factor={label}/report/index.html">{label}<' in html for label in LABELS)
    for link in re.findall(r'src="([^"]+)"|href="(figures/[^"]+|tables/[^"]+)"', html):
        assert (page.parent / next(filter(None, link))).is_file()
    assert "Too few seeds" not in html
    assert "This is a small run" in html
    assert "--x=&lt;1&gt;" in html
    assert not re.search(r"https?://|<script", html)


def test_differences_to_a_are_paired_by_seed_and_have_intervals(page: Path) -> None:
    lines = (page.parent / "tables/sweep.csv").read_text().splitlines()
    assert lines[0].startswith("field,value,condition,measure,mean,mean_half_width_95,mean_seeds,minus_A")
    assert len(lines) == 1 + len(LABELS) * 2 * len(MEASURES)
    out = page.parents[1]
    table = tidy({"factor": collect({label: read_run(out / f"factor={label}") for label in LABELS})})
    rows = {(row["value"], row["condition"], row["measure"]): row for row in table.rows}
    assert rows["5", "C", "duplicate_rows"]["minus_A"].mean == pytest.approx(80)
    assert rows["5", "A", "duplicate_rows"]["minus_A"] is None
    difference = rows["2", "C", "share_percent"]["minus_A"]
    assert isinstance(difference, Estimate)
    assert difference.half_width is not None


def test_one_seed_is_too_few_and_studies_without_results_are_named(tmp_path: Path) -> None:
    html = write_sweep(write_studies(tmp_path, (0,), labels=("2",))).read_text(encoding="utf-8")
    assert "Too few seeds for any verdict: one seed" in html
    assert "Without results yet: 5; 10" in html
    assert "±" not in html


def test_a_sweep_in_which_nothing_is_finished_has_a_page(tmp_path: Path) -> None:
    html = write_sweep(write_studies(tmp_path, (0,), labels=())).read_text(encoding="utf-8")
    assert "Without results yet: 2; 5; 10" in html


def test_a_study_of_prompts_is_compared_with_its_own_baseline_by_its_own_measures(tmp_path: Path) -> None:
    labels = ("0.25", "0.75")
    for label in labels:
        folder = write_prompt_run(tmp_path / f"duplication={label}", prompt_config((0, 1, 2), layers=2))
        found = read_json(folder / "data/duplicates.json")
        write_json(
            folder / "data/duplicates.json", found | {"characters_removed": float(label) * found["characters"]}
        )
    points = [{"label": label, "folder": f"duplication={label}"} for label in labels]
    curves = [{"fields": ["prompts.duplication"], "points": points}]
    write_json(tmp_path / FILE, {"version": 1, "command": ["bench-shadows", "sweep"], "curves": curves})
    page = write_sweep(tmp_path)
    html = page.read_text(encoding="utf-8")
    assert "condition baseline of the same study and seed" in html
    assert "accuracy" in html
    assert "bits per byte" not in html
    assert (page.parent / "figures/prompts-duplication-against-baseline.png").is_file()
    lines = (page.parent / "tables/sweep.csv").read_text().splitlines()
    assert "minus_baseline" in lines[0]
    assert len(lines) == 1 + len(labels) * 2 * len(PROMPT_MEASURES)
    table = tidy(
        {"duplication": collect({label: read_run(tmp_path / f"duplication={label}") for label in labels})}
    )
    rows = {(row["value"], row["condition"], row["measure"]): row for row in table.rows}
    assert rows["0.25", "deduplicated", "removed"]["minus_baseline"].mean == pytest.approx(25)
    assert rows["0.75", "baseline", "removed"]["mean"].mean == 0
    gain = rows["0.75", "deduplicated", "documents"]["minus_baseline"]
    assert isinstance(gain, Estimate)
    assert gain.half_width is not None


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"sweep\.json"):
        write_sweep(tmp_path)


def test_condition_a_has_its_own_figure_where_it_moves(page: Path, tmp_path: Path) -> None:
    assert "to condition A itself" not in page.read_text(encoding="utf-8")  # every fake A is the same
    out = write_studies(tmp_path, (0,), labels=("2",))
    other = dataclasses.replace(small_config(("A", "C"), (0,), layers=3, steps=72))
    write_run(out / "factor=5", other)
    assert (write_sweep(out).parent / "figures" / "conditions-repetition_factor-A.png").is_file()
