"""Lines of a run survive what a crash leaves in a file."""

import json
from pathlib import Path

import pytest

from bench_shadows.json_lines import read_objects
from bench_shadows.training.logs.step_lines import StepLines


def write(path: Path, *steps: int) -> None:
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in steps))


def steps(path: Path) -> list[int]:
    return [line["step"] for line in read_objects(path, "step")]


def test_later_lines_and_a_half_written_one_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write(path, 1, 2, 3, 4)
    with open(path, "a") as file:
        file.write('{"step": 5, "lo')
    with StepLines(path, after=3) as lines:
        lines.write({"step": 4, "loss": 1.0})
        lines.sync()
    assert steps(path) == [1, 2, 3, 4]
    assert [line["loss"] for line in read_objects(path, "step", "loss")] == [1.0]


def test_a_damaged_line_costs_itself_alone_and_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lines.jsonl"
    write(path, 1, 2, 3, 4, 5)
    content = bytearray(path.read_bytes())
    content[15:20] = bytes(5)  # inside the second line
    path.write_bytes(content)
    with StepLines(path, after=4):
        pass
    assert steps(path) == [1, 3, 4]
    assert "1 damaged line" in capsys.readouterr().err
    assert len(path.read_bytes().splitlines()) == 3
