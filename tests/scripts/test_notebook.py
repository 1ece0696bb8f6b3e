"""The Colab notebook runs from top to bottom, at the size of a test, and is clean in git."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tiny_study import write_config, write_corpus

NOTEBOOK = Path(__file__).parents[2] / "scripts" / "colab.ipynb"


def outputs(notebook: Any, cell: str) -> list[Any]:
    """What a cell gave, by its id."""
    return next(one for one in notebook.cells if one.id == cell).outputs


def printed(notebook: Any, cell: str) -> str:
    return "".join(output.text for output in outputs(notebook, cell) if output.output_type == "stream")


def pictures(notebook: Any, cell: str) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook, cell))


def test_the_notebook_is_valid_and_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["settings"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of its own: study, score card, figures, the audit of a checkpoint, and the user's text."""
    from nbclient import NotebookClient

    settings = {
        "BENCH_SHADOWS_CONFIG": str(write_config(tmp_path)),
        "BENCH_SHADOWS_OVERRIDES": "--config.conditions.names=A,D --config.conditions.seeds=3",
        "BENCH_SHADOWS_TEXT": str(write_corpus(tmp_path / "mine.jsonl", documents=480)),
        "BENCH_SHADOWS_OUT": str(tmp_path / "results" / "notebook"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=1500, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    assert f"bench_shadows of {NOTEBOOK.parents[1]}" in printed(notebook, "install")
    assert printed(notebook, "device").startswith(os.environ.get("JAX_PLATFORMS", "cpu"))
    study = printed(notebook, "study")
    assert "study: complete" in study
    assert "train D-seed3: 72 of 72 steps (100%)" in study
    [card] = outputs(notebook, "card")
    table = card.data["text/markdown"]
    assert all(f"| C{number} |" in table for number in range(1, 10))
    assert "too few seeds" in table
    assert pictures(notebook, "figures") >= 5
    assert (tmp_path / "results/notebook/report.zip").is_file()
    assert "figures: " in printed(notebook, "audit")
    assert pictures(notebook, "audit") == 2
    assert "study: complete" in printed(notebook, "mine")
    assert pictures(notebook, "mine") == 3
    assert (tmp_path / "results/mine/report-data/index.html").is_file()
