"""A folder is a floor, and a floor has rooms: imports go one way, down."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bench_shadows"
BASE = {
    *("", "errors", "files", "foreign", "interrupts", "json_lines", "progress", "declared"),
    *("config", "config_file", "config_text", "validation", "kinds", "paper", "parameters"),
}
# What each floor may import besides itself and the base.
BELOW = {
    "data": set(),
    "diagnostics": set(),
    "model": {"data", "diagnostics"},
    "training": {"data", "diagnostics", "model"},
    "evaluation": {"data", "diagnostics", "model", "training"},
    # The report measures nothing: it reads tables, so it needs no floor but the base.
    "report": set(),
    "provenance": set(),
    "analysis": {"data", "diagnostics", "model", "training", "evaluation"},
    "study": {"data", "diagnostics", "model", "training", "evaluation", "report", "provenance", "analysis"},
    "sweep": {"data", "report", "study", "training"},
    "audit": {"diagnostics", "training", "report"},
    "export": {"data", "model", "training"},
    "commands": {"data", "evaluation", "report", "study", "export", "sweep", "audit", "training"},
    "main": {"commands"},
    "console": {"main"},
}
# What each room of a floor may import of its own floor, besides itself: a folder, or a file that belongs to none.
DATA = {
    "special_tokens": set(),
    "corpus": set(),
    "rewriting": {"corpus"},
    # Rows of Condition D are filled with rewritten documents.
    "rows": {"corpus", "rewriting", "special_tokens"},
    "statistics": {"corpus", "rows"},
    "samples": {"corpus", "rows", "statistics", "special_tokens"},
    "fingerprint": set(),
    "prepare": {"corpus", "fingerprint"},
    "prepare_documents": {"corpus", "rows", "rewriting", "statistics", "fingerprint"},
    "prepare_samples": {"corpus", "rows", "samples", "statistics", "special_tokens"},
}
TRAINING = {
    # Behind: devices and logs know nothing of a step; checkpoints and the compiler's figures are of one.
    "devices": set(),
    "logs": {"spikes"},
    "checkpoints": {"devices", "step"},
    "compile": {"devices", "logs", "step"},
    # In front: what a step is made of, what a run opens for its steps, and the two loops over them.
    "noise_scale": set(),
    "optimizer": set(),
    "spikes": set(),
    "step": {"devices", "noise_scale", "optimizer", "spikes"},
    "fingerprint": set(),
    "opening": {"devices", "logs", "checkpoints", "compile", "fingerprint", "step"},
    "loop": {"devices", "opening", "optimizer", "step"},
    "population": {"devices", "step", "opening", "optimizer", "loop"},
}
PAGES = ("conditions", "prompts", "audit", "sweep")
REPORT = {
    "common": set(),
    "claims": {"common"},
    # A page knows no other page.
    **{page: {"common", "claims"} for page in PAGES},
}
ROOMS = {"data": DATA, "training": TRAINING, "report": REPORT}
FILES = sorted(PACKAGE.rglob("*.py"))


def floor_of(module: str) -> str:
    """`bench_shadows.data.rows` -> `data`; `bench_shadows` -> the empty name."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file the import is.

    Of a kind of study what it imports when it is loaded: its methods are doors to rooms of all floors.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if floor(path) == "kinds" else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def floor(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = floor(path)
    allowed = BASE if own in BASE else BASE | BELOW[own] | {own}
    reached = {floor_of(name) for name in imports(path) if name.split(".")[0] == "bench_shadows"}
    known = BASE | set(BELOW)
    # `from bench_shadows import __version__` names no floor.
    assert {name for name in reached if name in known or (PACKAGE / name).exists()} <= allowed


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_of_a_floor_import_down(name: str) -> None:
    rooms = ROOMS[name]
    up = set()
    for path in sorted((PACKAGE / name).rglob("*.py")):
        inside = path.relative_to(PACKAGE / name).with_suffix("").parts
        if inside == ("__init__",):
            continue
        assert inside[0] in rooms, f"{path.relative_to(PACKAGE)}: say in this test what it may import"
        parts = [found.split(".") for found in imports(path)]
        reached = {part[2] for part in parts if part[:2] == ["bench_shadows", name] and len(part) > 2}
        file = path.relative_to(PACKAGE).as_posix()
        up |= {(file, room) for room in reached - rooms[inside[0]] - {inside[0]}}
    assert not up


def test_every_door_of_a_kind_leads_somewhere() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (PACKAGE / "kinds").glob("*/__init__.py")]
    places = [place for text in texts for place in re.findall(r'door\("([\w.]+)"\)', text)]
    assert places
    for place in places:
        module, _, name = place.rpartition(".")
        there = (PACKAGE / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert re.search(rf"^(def |class )?{name}\b", there, re.MULTILINE), place


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_on_their_floors(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    if floor(path) in BASE | {"data", "report"} and path.name != "loader.py":
        assert not roots & {"jax", "flax", "optax", "orbax", "grain"}
    assert not roots & {"tensorflow", "torch", "pickle"}
