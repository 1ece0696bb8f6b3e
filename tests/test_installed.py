"""Installed is enough: the wheel's commands work in an empty folder, without a checkout."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files; what the package depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-index", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(CHECKOUT)]
    subprocess.run([*pip, *wheel], check=True)
    (built,) = folder.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-index", "--no-deps", f"--target={folder / 'package'}", built], check=True
    )
    return folder / "package"


def run(installed: Path, empty: Path, *words: str) -> str:
    """What the installed command prints in a folder that holds nothing, and leaves as it is."""
    done = subprocess.run(
        [installed / "bin" / "bench-shadows", *words],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list(empty.iterdir()) == []
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_enough(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert run(installed, tmp_path, "--version") == f"bench-shadows {version}\n"
    assert str(installed / "bench_shadows" / "configs" / "laptop.py") in run(
        installed, tmp_path, "config", "laptop"
    )
    assert "Token ids in a row." in run(installed, tmp_path, "config", "laptop")
    plan = run(installed, tmp_path, "study", "--config=laptop", "--dry-run")
    assert "4: A, B, C, D; seed 0" in plan
    assert "results/laptop" in plan


@pytest.mark.slow
def test_the_wheel_holds_every_config_and_puts_nothing_beside_the_package(installed: Path) -> None:
    shipped = {path.name for path in (installed / "bench_shadows" / "configs").glob("*.py")}
    assert shipped == {path.name for path in (CHECKOUT / "configs").glob("*.py")}
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"bin", "bench_shadows"}
