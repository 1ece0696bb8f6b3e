"""A released model that is no transformer: the voice detector Silero, convolutions and an LSTM."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_minilm import WHEELS, fetched

from bench_shadows.audit.audit import audit
from bench_shadows.diagnostics.weights.weights import open_weights

pytestmark = [pytest.mark.peers, pytest.mark.network, pytest.mark.slow]

WHEELS["silero-vad==6.2.3"] = "silero_vad"


@pytest.fixture(scope="module")
def detector() -> Path:
    return fetched("silero-vad==6.2.3") / "data" / "silero_vad_16k.safetensors"


def test_only_the_lstm_is_read_and_the_convolutions_are_counted(detector: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    sizes = {name: tensor.size for name, tensor in load_file(detector).items()}
    lstm = sum(size for name, size in sizes.items() if name.startswith("lstm_cell.weight"))
    convolved = sum(size for name, size in sizes.items() if "conv" in name and name.endswith(".weight"))
    (model,) = audit([str(detector)], tmp_path)["models"]
    found = model["coverage"]
    assert (found["tensors"], found["parameters"]) == (len(sizes), sum(sizes.values()))
    assert (found["read_tensors"], found["read_parameters"]) == (2, lstm)
    assert found["left_out"][0] == {"reason": "convolution", "tensors": 6, "parameters": convolved}


def test_every_alpha_of_the_lstm_is_weightwatchers(detector: Path, tmp_path: Path) -> None:
    torch, weightwatcher = (pytest.importorskip(name) for name in ("torch", "weightwatcher"))
    audit([str(detector)], tmp_path)
    rows = pq.read_table(tmp_path / "diagnostics.parquet").to_pylist()
    ours = [row["alpha"] for row in rows]
    weights = open_weights(detector)
    matrices = [matrix for stack in weights.stacks for matrix in np.asarray(weights.read(stack))]
    assert len(matrices) == len(ours)
    model = torch.nn.Sequential(*(torch.nn.Linear(*matrix.shape[::-1], bias=False) for matrix in matrices))
    with torch.no_grad():
        for layer, matrix in zip(model, matrices, strict=True):
            layer.weight.copy_(torch.from_numpy(matrix.copy()))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = weightwatcher.WeightWatcher(model=model).analyze()
    theirs = table.sort_values("layer_id")["alpha"].to_numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
