"""The page of the data alone, and the tables of its section."""

import re
import shutil
from pathlib import Path

import pytest
from fake_run import small_config, write_run

from bench_shadows.errors import RunError
from bench_shadows.report.common.estimates import Estimate
from bench_shadows.report.common.run import read_run
from bench_shadows.report.conditions import corpus, words
from bench_shadows.report.conditions.page import write_data_report


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as the prepare stage leaves it."""
    whole = write_run(tmp_path_factory.mktemp("whole"), small_config(seeds=(0, 1)))
    folder = tmp_path_factory.mktemp("prepared") / "run"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("runs", "*.parquet"))
    return folder


def test_the_data_have_a_page_before_anything_is_trained(prepared: Path) -> None:
    path = write_data_report(prepared)
    html = path.read_text(encoding="utf-8")
    assert path == prepared / "report-data" / "index.html"
    for link in re.findall(r'(?:href|src)="([^"#]+)"', html):
        assert (path.parent / link).is_file(), link
    for text in ("What each condition read", "word types", "−30.0", "549 of 666", "c&lt;sharp&gt;"):
        assert text in html
    assert "alpha" not in html
    assert not re.search(r"https?://|<script", html)


def test_the_same_files_give_the_same_page(prepared: Path, tmp_path: Path) -> None:
    again = shutil.copytree(prepared, tmp_path / prepared.name, ignore=shutil.ignore_patterns("report-data"))
    assert write_data_report(again).read_bytes() == write_data_report(prepared).read_bytes()


def test_a_run_that_is_not_prepared_has_none(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "run")
    (folder / "data" / "statistics.json").unlink()
    with pytest.raises(RunError, match="prepare"):
        write_data_report(folder)


def test_a_measure_stands_with_half_of_its_interval(prepared: Path) -> None:
    run = read_run(prepared)
    rows = {row["measure"]: row for row in corpus.phase_table(run).rows}
    assert rows["types"]["A_first"] == Estimate(943, 5, 2)
    assert rows["positions"]["A_first"].half_width is None
    assert "intervals.types.1" not in rows
    shown = {row["measure"]: row for row in corpus.page_rows(corpus.phase_table(run)).rows}
    assert shown["token types"]["D"] == "820 ± 5"
    assert "B" not in shown["token types"]
    assert shown["share of the second half's trigrams that are new then"]["C"] == "0.520"


def test_what_rewriting_did_to_words_is_a_ratio_or_a_difference(prepared: Path) -> None:
    table = words.word_table(read_run(prepared))
    types = next(row for row in table.rows if row["measure"] == "types")
    assert types["change_percent"].mean == pytest.approx(-30)
    assert types["change_percent"].half_width == pytest.approx(2)
    entropy = next(row for row in table.rows if row["measure"] == "unigram_entropy_bits")
    assert entropy["change"] == Estimate(-0.3, None, 1)
    assert list(words.page_tables(table)) == ["all", "en text", "code"]
    assert "change" in table.to_csv().splitlines()[0]
