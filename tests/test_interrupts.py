"""The first Ctrl-C ends a command with exit code 130: in imports, in JAX's callbacks, at any moment of a study."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tiny_study import start, write_config

ENTRY = "from bench_shadows import interrupts, main\ninterrupts.listen()\nfrom bench_shadows.main import entry\n"
SWALLOWED = """
class Callback:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # as JAX's callbacks of the garbage collection


def work(words):
    Callback()
    time.sleep(60)
"""
CAUGHT = """
def work(words):
    try:
        signal.raise_signal(signal.SIGINT)
    except:
        pass
    time.sleep(60)
"""
TURNED = """
def work(words):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("a library failed")
"""
DONE = """
def work(words):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        kept.append(error)
"""
STUCK = """
from bench_shadows import interrupts
interrupts.PATIENCE = 0.5


def work(words):
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        time.sleep(60)
"""
IMPORTED = """
def work(words):
    import interrupted_module
"""


@pytest.mark.parametrize("work", [SWALLOWED, CAUGHT, TURNED, DONE, STUCK, IMPORTED])
def test_an_interrupt_is_not_lost(work: str, tmp_path: Path) -> None:
    (tmp_path / "interrupted_module.py").write_text(
        "import signal, time\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept:\n    pass\n"
    )
    code = f"{ENTRY}import signal, time\nkept = []\n{work}\nmain.main = work\nentry()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=50,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 130, done.stderr
    assert (
        done.stderr
        == "bench-shadows: interrupted. What was finished is kept; the same command resumes from there.\n"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_interrupts_in_the_first_ten_seconds(tmp_path: Path) -> None:
    """Twenty; INTERRUPTS=200 takes twenty minutes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process that ignores it hands that down
    config, draw = write_config(tmp_path), random.Random(0)
    codes: Counter[int] = Counter()
    for number in range(int(os.environ.get("INTERRUPTS", "20"))):
        process = start("study", f"--config={config}", f"--out={tmp_path / str(number)}")
        time.sleep(draw.uniform(0, 10))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        codes[process.returncode] += 1
        # Until the command's first line runs, the kernel or Python ends the process; a shell calls that 130.
        early = process.returncode == -signal.SIGINT and "bench_shadows/main.py" not in output
        assert early or "Traceback" not in output, output
    assert set(codes) <= {130, -signal.SIGINT}, codes
    assert codes[-signal.SIGINT] <= 0.1 * codes.total(), codes
