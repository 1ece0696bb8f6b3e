"""Where training's seconds went is on the page, from the newest totals that a run left behind."""

import json
from pathlib import Path

from fake_run import small_config, write_run

from bench_shadows.report.common.rendering import Placed
from bench_shadows.report.common.run import read_run
from bench_shadows.report.common.sections import CAUSES, wall_time_table
from bench_shadows.report.conditions.gallery import GALLERY
from bench_shadows.report.conditions.page import build_tables, render
from bench_shadows.training.logs import goodput


def totals(wall: float, compiling: float) -> str:
    lost = dict.fromkeys(CAUSES, 0.0) | {"compile": compiling, "unknown": 0.5}
    steps = wall - compiling - 0.5
    line = {"event": "end", "step": 9, "time": 0.0, "wall_seconds": wall, "productive_seconds": steps}
    return json.dumps({**line, "goodput": steps / wall, "lost_seconds": lost})


def test_the_newest_whole_line_counts(tmp_path: Path) -> None:
    run = write_run(tmp_path, small_config(("A", "B"), steps=36))
    path = run / "runs" / "A-seed0" / "goodput.jsonl"
    path.write_text("\n".join([totals(10.0, 4.0), totals(20.0, 4.5), totals(30.0, 5.0)[:-20]]))
    found = read_run(run)
    [row] = wall_time_table(found).rows
    assert (row["run"], row["wall_seconds"], row["productive_seconds"]) == ("A-seed0", 20.0, 15.0)
    assert (row["goodput"], row["compile"], row["unknown"]) == (75.0, 4.5, 0.5)
    html = render(found, {picture.name: Placed(picture) for picture in GALLERY}, build_tables(found))
    assert "tables/wall_time.csv" in html
    assert "steps done again" in html


def test_every_cause_has_a_heading() -> None:
    assert tuple(CAUSES) == (*goodput.CAUSES, "unknown")


def test_runs_without_totals_have_no_table(tmp_path: Path) -> None:
    assert wall_time_table(read_run(write_run(tmp_path, small_config(("A",), steps=36)))).rows == ()
