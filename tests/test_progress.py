"""What a terminal shows of long work: lines that fit it, and one line for all of a study."""

import re
import subprocess
import sys

from bench_shadows.progress import Progress, Whole

PTY = """
import fcntl, os, pty, struct, sys, termios
here, there = pty.openpty()
fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
os.dup2(there, 2)
from bench_shadows.progress import Progress
with Progress("a label of some length", 10, "checkpoints") as progress:
    progress.add(3, note="a note that is much longer than any terminal is wide" * 3)
    progress._print(progress.line())
os.write(1, os.read(here, 10_000))
"""


def test_a_line_is_cut_to_the_terminals_width() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", PTY], capture_output=True, timeout=60, check=True
    ).stdout.decode()
    lines = [line for line in re.split(r"\r|\n|\x1b\[2K", shown) if line]
    assert lines
    assert max(map(len, lines)) == 39


def test_a_study_says_stage_run_and_the_time_left_of_all() -> None:
    with Whole({"prepare": 0.2, "train": 0.6, "report": 0.2}) as whole:
        whole.stage("prepare")
        assert Progress("reading", 10, "MB").line().startswith("stage 1 of 3; reading: 0 of 10 MB")
        whole.stage("train")
        for run in range(3):
            whole.runs(run, 1, 15)
            progress = Progress(f"train A-seed{run}", 10, "steps")
            progress.add(5)
        whole._began -= 60  # a minute for a run and a half: 12.5 more, and a third of 15 for the page
        line = progress.line()
    found = re.match(
        r"stage 2 of 3, run 3 of 15, about (\d+) min \d\d s left of all; train A-seed2: 5 of 10", line
    )
    assert found, line
    assert 11 <= int(found[1]) <= 12
    assert "stage" not in progress.line()


def test_what_an_earlier_call_did_is_not_taken_for_speed() -> None:
    with Whole({"train": 1.0}) as whole:
        whole.stage("train")
        whole.runs(0, 1, 2)
        Progress("train A-seed0", 100, "steps", done=90).add(5)
        whole._began -= 5  # a second a step: 5 more here, 100 in the next run
        assert re.search("about 1 min 4[45] s left", whole.line())
