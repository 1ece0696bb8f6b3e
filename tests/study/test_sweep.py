"""A sweep: its studies are checked before anything starts, and what is equal is made once."""

import shlex
from pathlib import Path

import pytest
from tiny_prompt_study import write_prompt_config
from tiny_study import write_config

from bench_shadows.config_file import load
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import read_json
from bench_shadows.sweep import plan_sweep, run_sweep


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def test_every_value_is_a_study_and_every_field_varies_alone(config: Path) -> None:
    varied = ["conditions.repetition_factor=2,5,10", "conditions.phase=0.25,0.5"]
    factor, phase = plan_sweep(config, {"train.samples": "720"}, varied)
    assert [point.label for point in factor.points] == ["2", "5", "10"]
    assert factor.points[0].config == load(config, {"train.samples": "720", "conditions.repetition_factor": "2"})
    assert phase.points[0].config.conditions.repetition_factor == 10
    # The config as it is belongs to both: one study.
    assert factor.points[2].folder == phase.points[1].folder == "conditions.repetition_factor=10"


def test_fields_that_go_together_change_together(config: Path) -> None:
    names = "conditions.repetition_factor:conditions.repetition_share"
    [curve] = plan_sweep(config, {}, [f"{names}=2:0.5,5:0.2"])
    assert [
        (point.config.conditions.repetition_factor, point.config.conditions.repetition_share)
        for point in curve.points
    ] == [(2, 0.5), (5, 0.2)]
    assert curve.points[1].label == "5, 0.2"


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ([], "nothing is varied"),
        (["conditions.phase"], "expected FIELD=VALUE"),
        (["conditions.phase=0.5,"], "expected FIELD=VALUE"),
        (["conditions.phase:train.samples=0.5"], "expected FIELD=VALUE"),
        (["conditions.fase=0.5"], "no such field"),
        (["conditions.repetition_factor=2,20"], "more than 1"),
        (["conditions.phase=0.5,0.50"], "names a value twice"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(config: Path, varied: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_sweep(config, {}, varied, config.parent / "out", [])
    assert not (config.parent / "out").exists()


def test_the_commands_that_the_sweep_config_names_can_be_run() -> None:
    path = Path(__file__).parents[2] / "configs" / "sweep.py"
    lines = path.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    commands = [shlex.split(line) for line in lines if line.strip().startswith("bench-shadows sweep")]
    assert len(commands) == 5
    for words in commands:
        options = [word.partition("=")[::2] for word in words if word.startswith("--")]
        overrides = {
            name.removeprefix("--config."): text for name, text in options if name.startswith("--config.")
        }
        [curve] = plan_sweep(path, overrides, [text for name, text in options if name == "--vary"])
        assert len({point.config for point in curve.points}) >= 3


def test_a_folder_of_something_else_is_refused(config: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(RunError, match="no sweep's folder"):
        run_sweep(config, {}, ["conditions.phase=0.5"], tmp_path / "thesis", [])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(RunError, match="a run's folder"):
        run_sweep(config, {}, ["conditions.phase=0.5"], tmp_path / "run", [])


@pytest.mark.slow  # three tiny studies, each with its report
@pytest.mark.timeout(900)
def test_what_is_equal_is_made_once_and_the_sweep_resumes(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, overrides = config.parent / "out", {"conditions.names": "A,C"}
    varied = ["conditions.repetition_factor=5,10", "conditions.phase=0.25"]
    page = run_sweep(config, overrides, varied, out, ["bench-shadows", "sweep"])
    said = capsys.readouterr().err
    five, ten, phase = (
        out / f"conditions.{name}" for name in ("repetition_factor=5", "repetition_factor=10", "phase=0.25")
    )
    digests = "checkpoints/72/digests.json"

    # Another factor: A's text, plan and weights are the same; C's are not.
    assert (
        "of conditions.repetition_factor=5 are used again: corpus/parts, tokenizer.json, rows, documents" in said
    )
    assert "A-seed0 is that of conditions.repetition_factor=5, not trained again" in said
    assert (five / "runs/A-seed0" / digests).samefile(ten / "runs/A-seed0" / digests)
    assert read_json(five / "runs/C-seed0" / digests) != read_json(ten / "runs/C-seed0" / digests)

    # Another phase cuts the text elsewhere: the sources are read once, and every run is trained.
    assert "of conditions.repetition_factor=10 are used again: corpus/parts\n" in said
    assert said.count("not trained again") == 1
    assert read_json(phase / "runs/A-seed0" / digests) != read_json(five / "runs/A-seed0" / digests)
    assert all((study / "report" / "index.html").is_file() for study in (five, ten, phase))

    before = page.read_bytes()
    run_sweep(config, overrides, varied, out, ["bench-shadows", "sweep"])
    said = capsys.readouterr().err
    assert said.count("train C-seed0: nothing has changed") == 3
    assert page.read_bytes() == before


@pytest.mark.slow  # two tiny studies, each with its report
@pytest.mark.timeout(900)
def test_what_is_not_cleaned_is_trained_once_in_a_sweep_of_the_removal_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run_sweep(write_prompt_config(tmp_path), {}, ["prompts.minimum=16,48"], out, ["bench-shadows", "sweep"])
    said = capsys.readouterr().err
    first, second = (out / f"prompts.minimum={value}" / "runs" for value in (16, 48))
    digests = "checkpoints/36/digests.json"
    assert "baseline-seed0 is that of prompts.minimum=16, not trained again" in said
    assert (first / "baseline-seed0" / digests).samefile(second / "baseline-seed0" / digests)
    assert said.count("not trained again") == 1
    cleaned = [read_json(runs / "deduplicated-seed0" / digests) for runs in (first, second)]
    assert cleaned[0] != cleaned[1]
