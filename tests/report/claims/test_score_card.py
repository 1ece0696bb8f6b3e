"""The score card lays out verdicts: nothing is rounded away, nothing is drawn where it does not lie."""

import csv
import io
import re
from pathlib import Path

import pytest
from fake_run import small_config, write_run
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.files import read_json
from bench_shadows.report.claims import score_card
from bench_shadows.report.claims import verdict as claims_verdict
from bench_shadows.report.claims.judge import judge, write_claims
from bench_shadows.report.claims.verdict import Claim
from bench_shadows.report.common.estimates import significant
from bench_shadows.report.common.run import read_run

finite = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)
positive = st.floats(1e-3, 1e3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), small_config(seeds=(0, 1, 2, 3, 4)))


@pytest.fixture(scope="module")
def claims(folder: Path) -> list[Claim]:
    return judge(read_run(folder))


def part(
    effect: float, interval: tuple[float, float] | None, claimed: tuple, scale: str
) -> claims_verdict.TestedPart:
    return claims_verdict.TestedPart("x", "", scale, claimed, {}, effect, interval, None, None)  # type: ignore[arg-type]


@given(finite)
def test_three_significant_digits_are_kept(value: float) -> None:
    text = significant(value).replace("−", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.005)


def test_numbers_are_written_as_they_are_read() -> None:
    written = [significant(value) for value in (0, 0.0312, -12.34, 1234.5, 1.2e7, None, float("nan"))]
    assert written == ["0", "0.0312", "−12.3", "1,234", "1.20e+07", "–", "–"]
    assert [score_card.probability(value) for value in (0.0004, 0.0312, 1.0, None)] == [
        "< 0.001",
        "0.031",
        "1.0",
        "–",
    ]


@given(effect=positive, low=positive, high=positive, bound=positive, ratio=st.booleans(), above=st.booleans())
def test_a_bar_shows_on_which_side_of_the_threshold_the_effect_lies(
    effect: float, low: float, high: float, bound: float, ratio: bool, above: bool
) -> None:
    claimed = (bound, None) if above else (None, bound)
    ends = (min(effect, low, high), max(effect, low, high))
    html = score_card.bar(part(effect, ends, claimed, "ratio" if ratio else "plain"))
    rect = re.search(r'class="claimed" x="([\d.]+)" y="2" width="([\d.]+)"', html)
    dot = re.search(r'cx="([\d.]+)"', html)
    line = re.search(r'class="interval" x1="([\d.]+)" x2="([\d.]+)"', html)
    assert rect is not None
    assert dot is not None
    assert line is not None
    left, right = float(rect[1]), float(rect[1]) + float(rect[2])
    inside = effect > bound if above else effect < bound
    tolerance = 0.11  # places are rounded to a tenth of a pixel
    assert (left - tolerance <= float(dot[1]) <= right + tolerance) >= inside
    if abs(float(dot[1]) - (left if above else right)) > tolerance:
        assert (left <= float(dot[1]) <= right) == inside
    assert float(line[1]) - tolerance <= float(dot[1]) <= float(line[2]) + tolerance
    assert 0 <= left <= right <= score_card.WIDTH


def test_a_part_without_an_effect_has_no_bar() -> None:
    assert score_card.bar(part(float("nan"), None, (0.0, None), "plain")) == ""


def test_the_sentence_counts_every_claim_once(claims: list[Claim]) -> None:
    text = score_card.sentence(claims)
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    assert numbers[0] == len(claims) == sum(numbers[1:]) == 9


def test_the_tables_hold_every_claim_part_and_value(claims: list[Claim]) -> None:
    of_claims, of_parts, values = score_card.tables(claims)
    rows = list(csv.DictReader(io.StringIO(of_claims.to_csv())))
    assert [row["id"] for row in rows] == [f"C{number}" for number in range(1, 10)]
    for row, claim in zip(rows, claims, strict=True):
        assert row["verdict"] == claim.verdict
        assert row["effect"] == ("" if claim.effect is None else repr(claim.effect))
    assert len(of_parts.rows) == sum(len(claim.parts) for claim in claims)
    assert {row["seed"] for row in values.rows} == {0, 1, 2, 3, 4}


def test_what_a_claim_saw_is_laid_out_by_condition(claims: list[Claim]) -> None:
    table = score_card.by_condition(next(claim for claim in claims if claim.id == "C1"))
    assert [column.key for column in table.columns] == ["what", "A", "B", "C", "D"]
    assert len(table.rows) == 4
    for row in table.rows:
        assert all(re.fullmatch(r"[\d.]+ ± [\d.]+", row[name]) for name in "ABCD")


def test_the_page_and_the_file_have_the_same_verdicts(folder: Path, claims: list[Claim]) -> None:
    found = read_json(write_claims(folder))["claims"]
    assert [(claim["id"], claim["verdict"]) for claim in found] == [(claim.id, claim.verdict) for claim in claims]


def test_every_verdict_has_a_badge_and_every_further_figure_exists() -> None:
    from typing import get_args

    from bench_shadows.report.claims.verdict import Verdict
    from bench_shadows.report.conditions.gallery import GALLERY
    from bench_shadows.report.prompts.gallery import GALLERY as OF_PROMPTS

    assert set(score_card.VERDICTS) == set(get_args(Verdict))
    names = {picture.name for picture in (*GALLERY, *OF_PROMPTS)}
    assert {name for further in score_card.FURTHER.values() for name in further} <= names
