"""Without lm-evaluation-harness the command says how to get it."""

import sys
from pathlib import Path

import pytest
from saved_study import write_study

from bench_shadows.errors import ConfigError
from bench_shadows.evaluation.harness import run_harness


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # as Python has it where an import was refused
    with pytest.raises(ConfigError, match="the extra `harness`"):
        run_harness(write_study(tmp_path / "study"), ["arc_easy"])
    assert not (tmp_path / "study" / "harness").exists()
