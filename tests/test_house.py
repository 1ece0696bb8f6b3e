"""Where things are: few names on the top level, rooms of a size to live in, no name that several files share."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bench_shadows"
TOP = {"pyproject.toml", "bench_shadows", "configs", "scripts", "tests", "README.md", "LICENSE"}
OF_A_PAGE = {"page.py", "tables.py", "figures.py", "summary.py", "gallery.py"}
"""What each page's folder in report/ may have of its own."""
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def test_the_top_level_has_no_more_than_it_needs() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: what is tracked is unknown")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = {line.partition("/")[0] for line in listed.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP


def test_no_name_is_that_of_more_than_two_modules() -> None:
    own = {
        path for path in MODULES if path.parts[0] == "report" and len(path.parts) == 3 and path.name in OF_A_PAGE
    }
    names = Counter(path.name for path in MODULES if path not in own)
    assert {name for name, count in names.items() if count > 2} == set()


def test_no_folder_holds_more_than_20_modules() -> None:
    sizes = Counter(path.parent.as_posix() for path in MODULES)
    assert {folder: count for folder, count in sizes.items() if count > 20} == {}


def test_tests_are_in_the_folder_of_what_they_test() -> None:
    """A folder of tests is one of the package, or named after a module of it or after `scripts`."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    tested = (
        {folder for path in MODULES for folder in path.parents}
        | {path.with_suffix("") for path in MODULES}
        | {Path("scripts")}
    )
    assert folders <= tested


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by their names alone."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert {name for name, count in names.items() if count > 1} == set()
