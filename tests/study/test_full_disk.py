"""A disk that is full: one line that says what is kept, and the same command goes on when there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_study import command, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; it takes root to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_line_and_nothing_is_lost(disk: Path, tmp_path: Path) -> None:
    words = ["study", f"--config={write_config(tmp_path)}", f"--out={disk / 'run'}"]
    for size in ("60k", "500k", "2m", "6m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
        code, output = command(*words)
        assert code == 1, output
        last = output.splitlines()[-1]
        assert last.startswith("bench-shadows: ")
        assert "No space left on device" in last
        assert "same command" in last
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    code, output = command(*words)
    assert code == 0, output
    assert (disk / "run" / "report" / "index.html").is_file()
