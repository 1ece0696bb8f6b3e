"""The command line: one line and the right exit code for whatever is typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench_shadows import __version__
from bench_shadows.config import to_dict
from bench_shadows.config_file import load
from bench_shadows.config_text import COMMON
from bench_shadows.errors import ConfigError
from bench_shadows.files import cache_folder

CONFIGS = Path(__file__).parents[1] / "configs"


def bench_shadows(*words: str) -> subprocess.CompletedProcess[str]:
    code = "from bench_shadows.main import entry; entry()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["stuy", "--config=x"], 'did you mean "study"'),
        (["--verison"], 'no such option before the command; did you mean "--version"'),
        (["--out=x", "study", "--config=laptop"], "no such option before the command"),
        (["study"], "--config"),
        (["study", "--config=laptop", "now"], "a word too many"),
        (["study", "--config=lapton"], 'did you mean "laptop"'),
        (["study", "--config=nowhere.py"], "no such file"),
        (["config", "lapton"], 'did you mean "laptop"'),
        (["config", "laptop", "--config.train.sampels=3"], 'did you mean "samples"'),
        (["config", "--json"], "name a config"),
        (["export", "x", "--out=y", "--config.train.samples=3"], "export takes no config"),
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


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_is_help(words: list[str]) -> None:
    done = bench_shadows(*words)
    assert done.returncode == 0
    assert "study" in done.stdout
    assert "--config=laptop" in done.stdout
    assert done.stderr == ""


def test_the_help_of_study_names_the_commonest_fields_each_with_its_meaning() -> None:
    done = bench_shadows("study", "--help")
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  ")}
    for name in COMMON:
        assert lines[name], name
    assert "--out" in lines
    assert "bench-shadows config" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_version_is_printed() -> None:
    done = bench_shadows("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"bench-shadows {__version__}\n", "")


def test_config_without_a_name_lists_what_there_is() -> None:
    done = bench_shadows("config")
    assert done.returncode == 0
    assert all(f"  {path.stem} " in done.stdout for path in CONFIGS.glob("*.py"))


def test_config_prints_a_config_as_it_would_be_run() -> None:
    done = bench_shadows("config", "laptop", "--config.train.samples=3_200")
    assert done.returncode == 0
    assert "* train.samples = 3_200  (default: 300_000_000)" in done.stdout.splitlines()
    plain = bench_shadows("config", "laptop", "--config.train.samples=3_200", "--json")
    assert json.loads(plain.stdout) == to_dict(load("laptop", {"train.samples": "3200"}))


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "somewhere"
    done = bench_shadows("study", "--config=laptop", "--dry-run", f"--out={out}", "--config.conditions.seeds=0,1")
    assert done.returncode == 0, done.stderr
    assert "8: A, B, C, D; seeds 0, 1" in done.stdout
    assert "737,280 a run, 5,898,240 in total" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        Path("/proc/nothing/here"),
        tmp_path / ("x" * 300),
    ):
        done = bench_shadows("study", "--config=laptop", f"--out={out}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "no folder can be there" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_report_without_a_run_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = bench_shadows("report", "--config=laptop", f"--out={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "has no run to report on" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("nowhere/*.jsonl", "matches no file"),
        (
            "gs://bench-shadows-test/x.jsonl?endpoint_override=127.0.0.1:9&scheme=http&retry_limit_seconds=1",
            "listed",
        ),
    ],
)
def test_a_wrong_source_is_one_line_and_exit_code_2(source: str, complaint: str, tmp_path: Path) -> None:
    done = bench_shadows(
        "prepare", "--config=laptop", f"--config.data.sources={source}", f"--out={tmp_path / 'run'}"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "config.data.sources" in done.stderr
    assert complaint in done.stderr


def test_a_machine_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "BENCH_SHADOWS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    with pytest.raises(ConfigError, match="Set HOME, or BENCH_SHADOWS_CACHE"):
        cache_folder()
    monkeypatch.setenv("BENCH_SHADOWS_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
