"""SIGKILL, SIGTERM and damaged files, at random: scripts/kill_at_random.py in short."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_at_random.py"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_and_damaged_at_random_ends_with_the_same_bits(seed: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills=6", f"--seed={seed}", f"--out={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bitwise the undisturbed run, 240 steps" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_differs_is_told(tmp_path: Path) -> None:
    """The script's comparison can fail: the quiet run's numbers are changed behind its back."""
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import kill_at_random as script
real = script.differences
def differences(quiet, killed):
    path = quiet / script.METRICS
    path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))
    return real(quiet, killed)
script.differences = differences
sys.argv = ["kill_at_random.py", "--kills=1", "--out", {str(tmp_path / "out")!r}]
script.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "metrics.jsonl: " in done.stdout
