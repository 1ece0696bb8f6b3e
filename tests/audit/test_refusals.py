"""What an audit cannot be of is named in one line: other formats, no matrices, another audit's folder."""

import gzip
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import save_model, write_safetensors

from bench_shadows.audit.audit import as_json, audit, measure
from bench_shadows.diagnostics.weights import formats
from bench_shadows.errors import BenchShadowsError, ConfigError, DataError, RunError

CONFIG = {"model_type": "llama", "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 1}


def decoder(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = [f"self_attn.{name}_proj" for name in "qkvo"]
    return {f"model.layers.0.{name}.weight": rng.normal(0, 0.1, (16, 16)).astype(np.float32) for name in names} | {
        "model.embed_tokens.weight": rng.normal(size=(32, 16)).astype(np.float32)
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", decoder(), CONFIG)


def torch_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "called"),
    [
        ("tf_model.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file, as Keras and TensorFlow save weights"),
        ("model.onnx", b"\x08\x09\x12\x07pytorch\x1a\x05" + bytes(40), "an ONNX model"),
        ("renamed.bin1", b"\x08\x09\x12\x07pytorch\x1a\x05" + bytes(40), "an ONNX model"),
        (
            "flax_weights",
            b"\x81\xa6params\x81\xa5dense" + bytes(40),
            "a msgpack file, as Flax saves",
        ),
        ("model.gguf", b"GGUF\x03\x00\x00\x00" + bytes(40), "a GGUF file, quantised weights of llama.cpp"),
        ("weights", pickle.dumps({"a": list(range(50))}), "a pickle, and loading one runs code from it"),
        ("weights.zip", None, "a zip archive, as torch.save writes it: a pickle"),
        ("model.tar.gz", gzip.compress(bytes(9000)), "a gzip archive: unpack it"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        ("config.json", json.dumps(CONFIG).encode(), "a model's settings, not its weights: name its folder"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "b"}}', "an index of weight files, not weights"),
        ("README.md", b"# A model\n\nIt is good.\n", "a text file, not weights"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, name: str, content: bytes | None, called: str) -> None:
    path = tmp_path / name
    if content is None:
        torch_zip(path)
    else:
        path.write_bytes(content)
    with pytest.raises(RunError) as raised:
        measure([str(path)], tmp_path / "out")
    text = str(raised.value)
    assert called in text
    assert "header" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "content", "called"),
    [
        ("tf_model.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "tf_model.h5 is an HDF5 file"),
        ("model.Q4_K_M.gguf", b"GGUF\x03" + bytes(40), "is a GGUF file"),
    ],
)
def test_a_folder_of_another_format_is_named(tmp_path: Path, name: str, content: bytes, called: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=called):
        measure([str(tmp_path)], tmp_path / "out")


def test_weights_are_called_nothing_else(model: Path) -> None:
    assert formats.what_is(model / "model.safetensors") is None


def test_no_matrix_is_an_error_that_says_what_the_file_is(tmp_path: Path) -> None:
    packed = {
        f"model.layers.0.self_attn.{name}_proj.{part}": ("I32", np.zeros(shape, np.int32))
        for name in "qk"
        for part, shape in {"qweight": (2, 16), "qzeros": (1, 2), "g_idx": (16,)}.items()
    }
    norm = {"model.norm.weight": ("F32", np.ones(16, np.float32))}
    write_safetensors(tmp_path / "model.safetensors", packed | norm)
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "gptq", "bits": 4}}')
    with pytest.raises(RunError) as raised:
        measure([str(tmp_path)], tmp_path / "out")
    assert str(raised.value) == (
        f"{tmp_path}: 0 matrices to read: 7 tensors, quantised: GPTQ (97% of the parameters), norm (3% of the "
        "parameters); name the folder of a model's weights"
    )
    assert raised.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_scores_that_are_not_there_are_said_first(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scores\.csv: no such file; expected a table of scores"):
        measure([str(model)], tmp_path / "out", scores=tmp_path / "scores.csv")


def test_the_audit_of_another_model_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", decoder(1), CONFIG)
    out = tmp_path / "out"
    measure([str(model)], out)
    measure([str(model)], out, reference=str(other))  # more of the same
    measure([str(model), str(other)], out)
    before = (out / "audit.json").read_bytes()
    for chosen in (model, other):
        with pytest.raises(ConfigError, match="would be lost; choose another --out") as raised:
            measure([str(chosen)], out)
        assert raised.value.exit_code == 2
    assert (out / "audit.json").read_bytes() == before


def test_a_folder_of_something_else_is_not_written_into(model: Path, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    with pytest.raises(ConfigError, match="it holds report, which no audit wrote"):
        measure([str(model)], tmp_path)


def test_json_holds_the_findings(model: Path, tmp_path: Path) -> None:
    result = measure([str(model)], tmp_path / "out", reference=str(save_model(tmp_path / "b", decoder(2), CONFIG)))
    printed = as_json(result, tmp_path / "out")
    assert printed["findings"] == json.loads((tmp_path / "out" / "findings.json").read_text())
    assert {one["kind"] for one in printed["findings"]} >= {"modification", "range", "inertness"}
    assert printed["models"] == result["models"]


def test_nothing_that_matches_is_the_headline(model: Path, tmp_path: Path) -> None:
    from bench_shadows.audit.audit import summary

    renamed = {f"stem.{i}.proj.weight": tensor for i, tensor in enumerate(decoder().values())}
    other = save_model(tmp_path / "other", renamed)
    audit([str(other)], tmp_path / "out", reference=str(model))
    first = summary(tmp_path / "out")[0]
    assert first.startswith("0 of 5 matrices of other could be compared with plain: no name is alike: stem.0.proj")
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert page.index("0 of 5 matrices") < page.index("<dt>What was read")


def test_identical_checkpoints_are_the_headline(model: Path, tmp_path: Path) -> None:
    from bench_shadows.audit.audit import summary

    twin = save_model(tmp_path / "twin", decoder(), CONFIG)
    audit([str(twin)], tmp_path / "out", reference=str(model))
    assert summary(tmp_path / "out")[0] == "twin is identical to plain: all entries of 4 matrices are equal."


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    for name in ("missing", "hub/name-that-is-not-there-anywhere/x"):
        with pytest.raises(BenchShadowsError) as raised:
            measure([str(tmp_path / name)], tmp_path / "out")
        assert "\n" not in str(raised.value)
