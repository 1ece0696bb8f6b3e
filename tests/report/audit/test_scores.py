"""Scores come from CSV or YAML, and what is wrong with them is named by line."""

import dataclasses
from pathlib import Path

import pytest

from bench_shadows.errors import DataError
from bench_shadows.report.audit.scores import (
    PAPER_TABLE_2,
    PERCEPTION,
    REASONING,
    Score,
    read_scores,
)

CSV = "benchmark,group,model,score,maximum\nMMMU,reasoning,one,58.0,\nOCRBench,perception,one,861,1000\n"
YAML = """
- {benchmark: MMMU, group: reasoning, model: one, score: 58.0}
- benchmark: OCRBench
  group: perception
  model: one
  score: 861
  maximum: 1000
"""


def written(folder: Path, text: str, name: str = "scores.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_csv_and_yaml_say_the_same(tmp_path: Path) -> None:
    expected = [Score("MMMU", "reasoning", "one", 58.0), Score("OCRBench", "perception", "one", 861.0, 1000.0)]
    assert read_scores(written(tmp_path, CSV)) == expected
    assert read_scores(written(tmp_path, "\ufeff" + CSV)) == expected
    assert read_scores(written(tmp_path, YAML, "scores.yaml")) == expected
    assert expected[1].percent == pytest.approx(86.1)


def test_a_score_that_is_missing_is_none(tmp_path: Path) -> None:
    (missing,) = read_scores(
        written(tmp_path, 'benchmark,group,model,score,note\nWeMath,reasoning,"a, b",–,none\n')
    )
    assert (missing.score, missing.percent, missing.model) == (None, None, "a, b")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "benchmark,group,model,scroe\n", r"line 1: unknown column 'scroe'; did you mean score\?"),
        ("s.csv", "benchmark,model,score\na,b,1\n", "line 1: lacks group"),
        (
            "s.csv",
            "benchmark,group,model,score\na,b,c,1\na,b,d,high\n",
            "line 3: score must be a number, got 'high'",
        ),
        ("s.csv", "benchmark,group,model,score\na,b,c,nan\n", "line 2: score must be a number"),
        ("s.csv", "benchmark,group,model,score\na,b,c,881\n", r"line 2: score 881 lies outside of \[0, 100\]"),
        ("s.csv", "benchmark,group,model,score,maximum\na,b,c,1,0\n", "line 2: maximum must be above 0"),
        ("s.csv", "benchmark,group,model,score\na,,c,1\n", "line 2: group is empty"),
        (
            "s.csv",
            "benchmark,group,model,score\na,b,c,1\na,b,c,2\n",
            "line 3: c has a score in a already, in line 2",
        ),
        (
            "s.csv",
            "benchmark,group,model,score\na,b,c,1\na,x,d,2\n",
            "line 3: a has group 'x' here and 'b' in line 2",
        ),
        ("s.csv", "benchmark,group,model,score\na,b,c,1,2,3\n", "line 2: more cells"),
        ("s.csv", "benchmark,group,model,score\n", "no scores in it"),
        ("s.yaml", "- {benchmark: a, group: b, model: c, score: 1}\n- [1]\n", "line 2: expected a mapping"),
        ("s.yaml", "a: 1\n", "line 1: expected a list of mappings"),
        ("s.yaml", "- {benchmark: a, group: b, score: 1}\n", "line 1: lacks model"),
        ("s.yaml", "- {benchmark: a", "not YAML"),
        ("s.yaml", "", "no scores in it"),
        ("s.json", "[]", "read from .csv, .yaml or .yml"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(DataError, match=message) as caught:
        read_scores(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00")
    for name, said in (("s.csv", "cannot be read"), ("absent.csv", "no such file")):
        with pytest.raises(DataError, match=said):
            read_scores(tmp_path / name)


def test_the_papers_table_2_ships_with_the_package() -> None:
    table = read_scores(PAPER_TABLE_2)
    of = {(score.benchmark, score.model): score for score in table}
    assert len({score.benchmark for score in table}) == 32
    assert len({score.model for score in table}) == 3
    assert of["DynaMath", "AndesVL-4B-Instruct"].score == 21.2
    assert of["OCRBench", "Qwen3-VL-4B-Instruct"].percent == pytest.approx(88.1)
    assert of["WeMath", "Qwen3-VL-4B-Instruct"].score is None
    # what section 5.3 calls perception-oriented and reasoning-heavy by name
    groups = {score.benchmark.split(" (")[0]: score.group for score in table}
    assert {groups[name] for name in ("ChartQA", "DocVQA", "AI2D", "RealWorldQA", "OCRBench")} == {PERCEPTION}
    assert {groups[name] for name in ("MMMU-Pro", "MathVision", "DynaMath")} == {REASONING}
    assert dataclasses.asdict(table[0])["maximum"] == 100
