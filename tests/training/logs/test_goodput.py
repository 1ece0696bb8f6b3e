"""Wall time is accounted for over processes that came and went."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bench_shadows.training.logs.goodput import WallTime
from bench_shadows.training.logs.step_lines import StepLines


class Clock:
    """Wall and monotonic time, moved by hand; each process has another zero of the latter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "time", lambda: 1e9 + self.now)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "clock_gettime", lambda clock: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def steps(clock: Clock, wall: WallTime, folder: Path, first: int, last: int, seconds: float = 1.0) -> None:
    """Steps that take so long each, written as the loop writes them."""
    with StepLines(folder / "metrics.jsonl", first - 1) as lines:
        for step in range(first, last + 1):
            clock.now += seconds
            lines.write({"step": step, "step_seconds": wall.count(step), "time": time.time()})


def totals(folder: Path) -> dict[str, Any]:
    last = json.loads((folder / "goodput.jsonl").read_text().splitlines()[-1])
    return {**last, **last["lost_seconds"]}


def test_an_undisturbed_run_loses_what_is_no_step(clock: Clock, tmp_path: Path) -> None:
    with WallTime(tmp_path) as wall:
        with wall.lost("restore"):
            clock.now += 2
        wall.begin(0)
        with wall.lost("compile"):
            clock.now += 8
        with wall.lost("open"):
            clock.now += 1
        steps(clock, wall, tmp_path, 1, 10)
        with wall.lost("checkpoint"):
            clock.now += 3
        steps(clock, wall, tmp_path, 11, 20)
        assert wall.goodput == pytest.approx(20 / 34)
        clock.now += 6
    found = totals(tmp_path)
    assert (found["event"], found["step"]) == ("end", 20)
    assert found["productive_seconds"] == pytest.approx(20)
    causes = ("restore", "compile", "open", "checkpoint", "again", "stopped", "unknown")
    assert [found[cause] for cause in causes] == pytest.approx([2, 8, 1, 3, 0, 0, 6])


def test_a_killed_process_leaves_lost_steps_and_a_gap(clock: Clock, tmp_path: Path) -> None:
    wall = WallTime(tmp_path)
    wall.begin(0)
    steps(clock, wall, tmp_path, 1, 10)  # killed after step 10; the checkpoint of step 6 is sound
    clock.now += 100
    with WallTime(tmp_path) as wall:
        wall.begin(6)
        steps(clock, wall, tmp_path, 7, 20)
        assert wall.goodput == pytest.approx(20 / 124)
    found = totals(tmp_path)
    assert found["wall_seconds"] == pytest.approx(124)
    assert (found["again"], found["stopped"], found["unknown"]) == pytest.approx((4, 100, 0))


def test_a_process_killed_before_it_cut_the_lines_counts_them_once(clock: Clock, tmp_path: Path) -> None:
    wall = WallTime(tmp_path)
    wall.begin(0)
    steps(clock, wall, tmp_path, 1, 10)
    clock.now += 5
    WallTime(tmp_path).begin(6)  # and killed
    clock.now += 5
    wall = WallTime(tmp_path)
    wall.begin(4)  # step 6 was damaged besides
    assert totals(tmp_path)["again"] == pytest.approx(6)
    assert totals(tmp_path)["stopped"] == pytest.approx(10)


def test_without_its_own_file_the_metrics_tell_when_the_run_began(clock: Clock, tmp_path: Path) -> None:
    wall = WallTime(tmp_path)
    wall.begin(0)
    steps(clock, wall, tmp_path, 1, 10)
    (tmp_path / "goodput.jsonl").unlink()
    clock.now += 10
    wall = WallTime(tmp_path)
    wall.begin(10)
    assert wall.goodput == pytest.approx(0.5)


def test_a_run_that_never_began_writes_nothing(clock: Clock, tmp_path: Path) -> None:
    with WallTime(tmp_path) as wall, wall.lost("restore"):
        clock.now += 2
    assert not list(tmp_path.iterdir())


def test_a_wall_clock_that_is_set_changes_nothing_on_the_same_machine(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WallTime(tmp_path) as wall:
        wall.begin(0)
        steps(clock, wall, tmp_path, 1, 10)
    clock.now += 10
    monkeypatch.setattr(time, "time", lambda: 1e9 + clock.now - 7200)
    wall = WallTime(tmp_path)
    wall.begin(10)
    assert wall.goodput == pytest.approx(0.5)


def test_a_wall_clock_behind_the_last_line_is_said(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with WallTime(tmp_path) as wall:
        wall.begin(0)
        steps(clock, wall, tmp_path, 1, 10)
    clock.now += 10
    monkeypatch.setattr("bench_shadows.training.logs.goodput._boot", lambda: "another machine")
    monkeypatch.setattr(time, "time", lambda: 1e9 + clock.now - 7200)
    wall = WallTime(tmp_path)
    wall.begin(10)
    assert wall.goodput == pytest.approx(1.0)
    assert capsys.readouterr().err.count("the wall clock is 1 h 59 min behind the last line") == 1
