"""The text-only model of the comparison is trained and asked on the samples without an image, and on no others."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from tiny_prompt_study import write_prompt_config

from bench_shadows.config_file import load
from bench_shadows.data.prepare import prepare
from bench_shadows.validation import problems

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_text_only.py"
TASKS = "counting=2,arithmetic=1,extraction=1"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_text_only", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_studies_have_the_same_samples_without_an_image(script: ModuleType, tmp_path: Path) -> None:
    config = load(write_prompt_config(tmp_path), {"prompts.tasks": TASKS})
    prepare(config, tmp_path / "run" / "data")
    own = script.text_only(config, tmp_path / "run")
    assert list(problems(own)) == []
    assert (own.steps, own.warmup_steps, own.analysed_steps) == (
        config.steps,
        config.warmup_steps,
        config.analysed_steps,
    )
    assert own.train.batch_size * 2 == config.train.batch_size  # half of the samples have no image
    prepare(own, tmp_path / "text" / "data")
    samples = [script.read_samples(tmp_path / name) for name in ("run", "text")]
    assert samples[0] == samples[1]
    assert len(samples[0]["train"]) * 2 == config.prompts.samples
    assert script.common(*samples) == "training 32 of 32 and 32; held-out 4 of 4 and 4"


def test_ratios_are_of_the_same_run(script: ModuleType) -> None:
    runs = [(condition, seed) for condition in ("baseline", "deduplicated") for seed in (0, 1)]
    ours = {(*run, metric): 2.0 + place for place, run in enumerate(runs) for metric in script.METRICS}
    text = {key: value / 2 for key, value in ours.items()}
    lines = script.table(ours, text)
    assert lines[1].split() == ["baseline,", "seed", "0", "2.0000", "1.0000", "2.000"]
    assert lines[4].split() == ["deduplicated,", "seed", "1", "5.0000", "2.5000", "2.000"]
    assert lines[5].split() == ["mean", "of", "4", "runs", "2.000"]
