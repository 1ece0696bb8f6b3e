"""A dry run: what a study would do, by arithmetic, before anything is made."""

import os
from pathlib import Path

import pytest

from bench_shadows.commands.dry_run import Rate, describe, measure_rate
from bench_shadows.config import Config
from bench_shadows.config_file import load
from bench_shadows.config_text import WIDTH

RATE = Rate("2 cores", "float32", 350e9, 0.3)


def said(config: Config, out: Path, rate: Rate = RATE) -> str:
    """The lines as one."""
    return " ".join(" ".join(describe(config, "x", out, rate)).split())


def test_the_figures_are_those_of_the_study(tmp_path: Path) -> None:
    text = said(load("laptop", {"conditions.seeds": "0,1,2"}), tmp_path / "new")
    for fact in (
        "prepare, train, diagnose, evaluate, report",
        "12: A, B, C, D; seeds 0, 1, 2",
        "180 a run, each of 32 rows of 128 tokens",
        "737,280 a run, 8,847,360 in total",
        "1,607,296: 0.46 tokens a parameter (the paper: 1,820)",
        "checkpoints at most 1.85 GB, rows 4.42 MB",
    ):
        assert fact in text


def test_the_time_is_the_arithmetic_of_a_run_at_the_stated_rate(tmp_path: Path) -> None:
    """7.54e12 FLOP at 105 GFLOP/s are 72 s; a laptop run was measured at 62 to 85 s."""
    text = said(load("laptop"), tmp_path)
    assert "training about 1 min 12 s a run, 4 min 47 s in total" in text
    assert "7.54e12 FLOP a run at 30% of the 350 GFLOP/s at which 2 cores multiplied float32 matrices" in text


def test_what_no_machine_here_can_do_takes_years(tmp_path: Path) -> None:
    text = said(load("paper"), tmp_path)
    assert "1.23 trillion a run, 4.92 trillion in total" in text
    assert "2,100 years a run" in text


def test_recomputation_counts(tmp_path: Path) -> None:
    plain, full = (said(load("laptop", {"train.remat": remat}), tmp_path) for remat in ("none", "full"))
    assert "1 min 12 s a run" in plain
    assert "1 min 12 s a run" not in full


def test_a_study_that_is_there_goes_on(tmp_path: Path) -> None:
    assert "is there" not in said(load("laptop"), tmp_path)
    (tmp_path / "config.json").touch()
    assert "is there: what is finished in it is not done again" in said(load("laptop"), tmp_path)


def test_a_teacher_behind_an_endpoint_has_tokens_to_write(tmp_path: Path) -> None:
    assert "to be written" not in said(load("laptop"), tmp_path)
    text = said(load("laptop", {"data.rewriter": "endpoint", "data.teacher.model": "somebody"}), tmp_path)
    assert "368,640 tokens to be written by somebody" in text


@pytest.mark.parametrize("name", ["laptop", "paper", "prompt_repetition"])
def test_all_lines_fit(name: str, tmp_path: Path) -> None:
    seeds = ",".join(map(str, range(60)))
    assert max(map(len, describe(load(name, {"conditions.seeds": seeds}), name, Path("results/x"), RATE))) <= WIDTH


def test_the_rate_is_measured_on_this_machine() -> None:
    rate = measure_rate(load("laptop"))
    assert rate.flops > 1e9
    if os.environ.get("JAX_PLATFORMS", "cpu") == "cpu":
        assert (rate.dtype, rate.utilisation) == ("float32", 0.3)
