"""Checkpoints of our own runs: found wherever in a run a user points, and beside what was exported from them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pyarrow.parquet as pq
import pytest
from checkpoint_files import save_model

from bench_shadows.audit.audit import measure
from bench_shadows.audit.sources import open_source
from bench_shadows.errors import RunError
from bench_shadows.files import hash_file, write_json

LAYERS, WIDTH = 3, 16
SHAPES = {"self_attn": {"q_proj": (16, 16), "k_proj": (16, 8), "v_proj": (16, 8), "o_proj": (16, 16)}}
SHAPES |= {"mlp": {"gate_proj": (16, 40), "up_proj": (16, 40), "down_proj": (40, 16)}}


def parameters(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    layers = {
        part: {
            name: {"kernel": rng.normal(size=(LAYERS, *shape)).astype(np.float32)} for name, shape in some.items()
        }
        for part, some in SHAPES.items()
    }
    return {"embed_tokens": {"embedding": np.ones((30, WIDTH), np.float32)}, "layers": layers}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, with digests."""
    folder = tmp_path / "study" / "runs" / "A-seed0"
    for step in (5, 10):
        path = folder / "checkpoints" / str(step)
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path / "params", parameters(step))
        files = [file for file in path.rglob("*") if file.is_file()]
        write_json(path / "digests.json", {str(file.relative_to(path)): hash_file(file) for file in files})
    return folder


@pytest.mark.parametrize("place", ["", "checkpoints", "checkpoints/10", "checkpoints/10/params"])
def test_a_run_its_step_and_its_parameters_are_one_checkpoint(run: Path, place: str) -> None:
    source = open_source(str(run / place))
    assert (source.name, source.format, source.weights.family) == (
        "A-seed0 step 10",
        "orbax",
        "a run of bench_shadows",
    )
    assert source.path == run / "checkpoints" / "10" / "params"
    assert sum(len(stack.layers) for stack in source.weights.stacks) == LAYERS * 7


def test_a_study_has_several_and_a_damaged_one_is_refused(run: Path) -> None:
    with pytest.raises(RunError, match="a study of 1 runs"):
        open_source(str(run.parents[1]))
    path = run / "checkpoints" / "10" / "params"
    largest = max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    raw = bytearray(largest.read_bytes())
    raw[len(raw) // 2] ^= 1
    largest.write_bytes(raw)
    with pytest.raises(RunError, match="is not what was written"):
        open_source(str(run))


def test_a_run_beside_its_export_has_not_moved(run: Path, tmp_path: Path) -> None:
    """The same numbers, stacked [in, out] there and one by one [out, in] here."""
    exported = {
        f"model.layers.{layer}.{part}.{name}.weight": np.ascontiguousarray(entry["kernel"][layer].T)
        for part, entries in parameters(10)["layers"].items()
        for name, entry in entries.items()
        for layer in range(LAYERS)
    }
    model = save_model(tmp_path / "exported", exported, {"model_type": "llama", "num_hidden_layers": LAYERS})
    result = measure([str(run), str(model)], tmp_path / "out", baseline_of=[(str(model), str(run))])
    assert [source["format"] for source in result["models"]] == ["orbax", "safetensors"]
    rows = pq.read_table(tmp_path / "out" / "changes.parquet").to_pylist()
    assert len(rows) == LAYERS * 7
    assert {(row["status"], row["relative_change"]) for row in rows} == {("ok", 0.0)}
    assert result["pairs"][0]["reshaped"] == []


def test_a_checkpoint_without_digests_is_not_verified(run: Path, tmp_path: Path) -> None:
    checked = measure([str(run)], tmp_path / "checked")["models"][0]
    assert not any("Not verified" in notice for notice in checked["notices"])
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run").rglob("digests.json"):
        path.unlink()
    found = measure([str(tmp_path / "run")], tmp_path / "out")["models"][0]
    assert sum("Not verified" in notice for notice in found["notices"]) == 1
