"""Locks: one process at a time, and nothing but the lock itself is opened."""

from pathlib import Path

import pytest

from bench_shadows.errors import RunError
from bench_shadows.files import exclusive


def test_a_lock_neither_follows_a_link_nor_empties_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("lock", "loose", "folder"):
        with pytest.raises(RunError, match="a link or no file"), exclusive(tmp_path / name, "work"):
            pass
    with exclusive(tmp_path / "mine", "work"):
        pass
    assert (tmp_path / "mine").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
