"""The command line: one line and the right exit code for whatever is typed."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[1] / "configs"


def bench_shadows(*words: str) -> subprocess.CompletedProcess[str]:
    code = "from bench_shadows.main import entry; entry()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["stuy", "--config=x"], 'did you mean "study"'),
        (["study"], "--config"),
        (["study", "--config=nowhere.py"], "no such file"),
        (["study", f"--config={CONFIGS / 'laptop.py'}", "--config.train.sampels=3"], 'did you mean "samples"'),
        (["study", f"--config={CONFIGS / 'laptop.py'}", "--config.train.samples"], "expected a value"),
        (["study", f"--config={CONFIGS / 'laptop.py'}", "--ot=x"], 'did you mean "--out"'),
        (["train", f"--config={CONFIGS / 'laptop.py'}", "--seed=one"], "--seed"),
        (["train", f"--config={CONFIGS / 'laptop.py'}", "--condition=E"], "no condition"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(words: list[str], complaint: str, tmp_path: Path) -> None:
    if words[0] == "train":
        words = [*words, f"--out={tmp_path}"]
    done = bench_shadows(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_is_help() -> None:
    done = bench_shadows("--help")
    assert done.returncode == 0
    assert "study" in done.stdout
