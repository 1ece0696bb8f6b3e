"""An audit from files to tables and page: alone, against a base, killed and taken up, and with hostile input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from checkpoint_files import save_model

from bench_shadows.audit.audit import audit, measure, summary
from bench_shadows.audit.sources import architecture, open_source
from bench_shadows.diagnostics import analyse
from bench_shadows.errors import ConfigError, DataError, RunError

LAYERS, HIDDEN = 24, 24
CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SHAPES = {
    **{"self_attn.q_proj": (24, 24), "self_attn.k_proj": (12, 24), "self_attn.v_proj": (12, 24)},
    **{
        "self_attn.o_proj": (24, 24),
        "mlp.gate_proj": (40, 24),
        "mlp.up_proj": (40, 24),
        "mlp.down_proj": (24, 40),
    },
}
Tensors = dict[str, np.ndarray]


def decoder(seed: int = 0, prefix: str = "model.", layers: int = LAYERS, vocabulary: int = 50) -> Tensors:
    rng = np.random.default_rng(seed)
    tensors = {
        f"{prefix}layers.{i}.{name}.weight": rng.normal(0, 0.05, shape).astype(np.float32)
        for i in range(layers)
        for name, shape in SHAPES.items()
    }
    return tensors | {f"{prefix}embed_tokens.weight": rng.normal(size=(vocabulary, HIDDEN)).astype(np.float32)}


def moved(tensors: Tensors, share: float, seed: int = 1) -> Tensors:
    """Every tensor by so much of its norm, in a random direction."""
    rng = np.random.default_rng(seed)
    return {
        name: (tensor + share * tensor.std() * rng.normal(size=tensor.shape)).astype(np.float32)
        for name, tensor in tensors.items()
    }


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(out / f"{table}.parquet").to_pylist()


def findings(out: Path, kind: str, **wanted: Any) -> list[dict[str, Any]]:
    found = json.loads((out / "findings.json").read_text())
    return [f for f in found if f["kind"] == kind and all(f[name] == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", decoder(), CONFIG)


def test_one_model_becomes_tables_a_record_and_a_page(base: Path, tmp_path: Path) -> None:
    result = audit([str(base)], tmp_path)
    assert result == json.loads((tmp_path / "audit.json").read_text())
    (model,) = result["models"]
    assert (model["name"], model["family"], model["reference"]) == (
        "base",
        "Llama, Qwen, Mistral style decoder",
        None,
    )
    assert (model["matrices"], model["component_counts"]) == (LAYERS * 7, {"decoder": LAYERS * 7})
    assert model["tensors"] == LAYERS * 7 + 1
    assert model["bytes"] == (base / "model.safetensors").stat().st_size
    assert model["skipped"] == [
        {"tensor": "model.embed_tokens.weight", "reason": "embedding", "parameters": 1200}
        | {"shape": [50, 24], "dtype": "float32"}
    ]
    size = sum(tensor.size for tensor in decoder().values())
    assert model["coverage"] == {
        "tensors": LAYERS * 7 + 1,
        "parameters": size,
        "read_tensors": LAYERS * 7,
        "read_parameters": size - 1200,
        "left_out": [{"reason": "embedding", "tensors": 1, "parameters": 1200}],
    }
    assert model["config"]["num_key_value_heads"] == 2
    assert (model["notices"], model["status_counts"]) == ([], {"ok": LAYERS * 7})
    table = rows(tmp_path, "diagnostics")
    assert len(table) == LAYERS * 7
    assert {row["model"] for row in table} == {"base"}
    assert rows(tmp_path, "changes") == []
    *lines, page = summary(tmp_path)
    assert len(lines) == 10
    left = 100 * 1200 / size
    assert lines[0] == (
        f"What was read: Read 168 of 169 tensors, {100 - left:.1f} % of the parameters; "
        f"left out: embedding {left:.1f} %."
    )
    assert lines[1].startswith("What was read: 168 matrices of base (decoder 168)")
    assert Path(page).is_file()


def test_the_four_plants_are_found(tmp_path: Path) -> None:
    """A deep reparametrisation of layers 2 to 20, a change of 20 %, a fine-tune of a few steps, an inert pair."""
    start = decoder()
    fresh = decoder(seed=9)
    deep = moved(start, 0.2)
    for name in start:
        if any(f".layers.{i}." in name for i in range(2, 21)):
            deep[name] = (1.2 * fresh[name]).astype(np.float32)
    rng = np.random.default_rng(4)
    turn = np.linalg.qr(np.eye(HIDDEN) + 0.02 * rng.normal(size=(HIDDEN, HIDDEN)))[0]
    turn *= np.sign(np.diag(turn))  # a small rotation: entries move, singular values do not
    inert = {
        name: (tensor @ turn if tensor.shape[1] == HIDDEN else turn @ tensor).astype(np.float32)
        for name, tensor in start.items()
    }
    models = {
        "base": start,
        "deep": deep,
        "twenty": moved(start, 0.2),
        "tuned": moved(start, 0.003),
        "turned": inert,
    }
    paths = {name: save_model(tmp_path / name, tensors, CONFIG) for name, tensors in models.items()}
    out = tmp_path / "out"
    result = measure([str(paths[name]) for name in ("deep", "twenty", "tuned", "turned")], out, str(paths["base"]))
    assert [model["name"] for model in result["models"]] == ["deep", "twenty", "tuned", "turned", "base"]
    assert {pair["reference"] for pair in result["pairs"]} == {"base"}
    verdicts = {f["model"]: f["verdict"] for f in findings(out, "modification", module=None)}
    assert verdicts["deep"] == "deep"
    assert verdicts["twenty"] == "conservative"
    assert verdicts["tuned"] == "minimal"
    ranges = findings(out, "range", model="deep", module=None, verdict="deep")
    assert [found["layers"] for found in ranges] == [list(range(2, 21))]
    (changed,) = findings(out, "modification", model="twenty", module=None)
    assert changed["statistic"] == pytest.approx(0.2, rel=0.05)
    inertness = {f["model"]: f["verdict"] for f in findings(out, "inertness")}
    assert inertness["turned"] == "inert"
    assert inertness["deep"] == "restructured"


def test_an_anomaly_in_one_vision_query_projection_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tensors = decoder(prefix="model.language_model.", layers=8)
    for i in range(8):
        block = f"model.visual.blocks.{i}."
        qkv = rng.normal(0, 0.05, (96, 32))
        if i == 1:  # a query projection of hardly any rank
            qkv[:32] = rng.normal(0, 0.5, (32, 2)) @ rng.normal(size=(2, 32)) + rng.normal(0, 0.01, (32, 32))
        tensors |= {f"{block}attn.qkv.weight": qkv, f"{block}attn.proj.weight": rng.normal(0, 0.05, (32, 32))}
        for name, shape in {"linear_fc1": (64, 32), "linear_fc2": (32, 64)}.items():
            tensors[f"{block}mlp.{name}.weight"] = rng.normal(0, 0.05, shape)
    tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    config = {
        "model_type": "qwen3_vl",
        "text_config": CONFIG | {"num_hidden_layers": 8},
        "vision_config": {"depth": 8},
    }
    out = tmp_path / "out"
    result = measure([str(save_model(tmp_path / "vl", tensors, config, shards=2))], out)
    assert result["models"][0]["component_counts"] == {"decoder": 8 * 7, "vision": 8 * 6}
    places = {(f["component"], f["module"], tuple(f["layers"])) for f in findings(out, "anomaly")}
    assert places == {("vision", "self_attn.q_proj", (1,))}


def test_missing_extra_and_reshaped_tensors_are_reported_and_the_rest_goes_on(base: Path, tmp_path: Path) -> None:
    """A vision-language model against its text base: other wrapping, a tower more, a larger vocabulary."""
    tensors = moved(decoder(prefix="model.language_model.", vocabulary=60), 0.1)
    del tensors["model.language_model.layers.3.mlp.up_proj.weight"]
    tensors["model.language_model.layers.4.mlp.up_proj.weight"] = np.ones((44, 24), np.float32)
    tensors["model.visual.blocks.0.attn.qkv.weight"] = np.random.default_rng(0).normal(size=(96, 32))
    model = save_model(tmp_path / "vl", tensors, {"model_type": "qwen3_vl", "text_config": CONFIG})
    (pair,) = measure([str(model)], tmp_path / "out", str(base))["pairs"]
    assert pair["missing"] == [{"tensor": "model.layers.3.mlp.up_proj.weight", "shape": [40, 24]}]
    assert pair["extra"] == [{"tensor": "model.visual.blocks.0.attn.qkv.weight", "shape": [96, 32]}]
    assert sorted(pair["reshaped"], key=lambda entry: entry["tensor"]) == [
        {"tensor": "model.language_model.embed_tokens.weight", "shape": [60, 24], "reference_shape": [50, 24]},
        {
            "tensor": "model.language_model.layers.4.mlp.up_proj.weight",
            "shape": [44, 24],
            "reference_shape": [40, 24],
        },
    ]
    status = Counter(row["status"] for row in rows(tmp_path / "out", "changes"))
    assert status["ok"] == LAYERS * 7 - 2
    assert sum(status.values()) == LAYERS * 7 - 1 + 3


def test_several_baselines(base: Path, tmp_path: Path) -> None:
    instruct = save_model(tmp_path / "instruct", moved(decoder(), 0.2), CONFIG)
    thinking = save_model(tmp_path / "thinking", moved(decoder(), 0.3), CONFIG)
    models, pairs = [str(instruct), str(thinking)], [(str(thinking), str(instruct))]
    result = measure(models, tmp_path / "out", str(base), pairs)
    measured = [(pair["model"], pair["reference"]) for pair in result["pairs"]]
    assert measured == [("instruct", "base"), ("thinking", "base"), ("thinking", "instruct")]
    assert [model["name"] for model in result["models"]] == ["instruct", "thinking", "base"]
    assert Counter(row["reference"] for row in rows(tmp_path / "out", "changes")) == {
        "base": 2 * LAYERS * 7,
        "instruct": LAYERS * 7,
    }
    with pytest.raises(ConfigError, match=r"is not one of the models"):
        measure(models, tmp_path / "out", None, [("other", str(base))])
    with pytest.raises(ConfigError, match=r"cannot be its own reference"):
        measure(models, tmp_path / "out", None, [(str(thinking), str(thinking))])


def test_scores_are_checked_first_and_lie_where_the_page_looks(base: Path, tmp_path: Path) -> None:
    out, scores = tmp_path / "out", tmp_path / "mine.CSV"
    scores.write_text("benchmark,group,model,score\nMMMU,reasoning,base,ten\n")
    with pytest.raises(DataError):
        measure([str(base)], out, scores=scores)
    assert not out.exists()
    scores.write_text("benchmark,group,model,score\nMMMU,reasoning,base,10\n")
    measure([str(base)], out, scores=scores)
    assert (out / "scores.csv").read_text() == scores.read_text()
    measure([str(base)], out, scores=out / "scores.csv")
    assert (out / "scores.csv").read_text() == scores.read_text()
    measure([str(base)], out)
    assert not (out / "scores.csv").exists()


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [save_model(tmp_path / parent / "final", decoder(layers=1), CONFIG) for parent in "ab"]
    result = measure([*map(str, paths), str(paths[0])], tmp_path / "out")
    assert [model["name"] for model in result["models"]] == ["a/final", "b/final"]


def test_values_that_are_not_finite_are_a_notice(tmp_path: Path) -> None:
    tensors = decoder(layers=2)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = np.nan
    model = save_model(tmp_path / "model", tensors, CONFIG | {"num_hidden_layers": 2})
    (described,) = measure([str(model)], tmp_path / "out")["models"]
    assert described["notices"] == [
        "1 matrices hold NaN or infinite values and have no spectrum: model.layers.1.mlp.up_proj.weight"
    ]
    assert described["status_counts"] == {"ok": 13, "not finite": 1}


def test_html_in_a_models_name_and_config_is_text_on_the_page(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"[:20] + "&"
    config = CONFIG | {"num_hidden_layers": 2, "hidden_act": "<img src=x onerror=alert(2)>"}
    tensors = decoder(layers=2) | {"<b>bold</b>.weight": np.ones(3, np.float32)}
    model = save_model(tmp_path / name.replace("/", ""), tensors, config)
    audit([str(model)], tmp_path / "out", str(save_model(tmp_path / "base", decoder(1, layers=2), config)))
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<b>bold" not in page


# Resuming -----------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    diagnose = analyse.diagnose

    def counted(weights: Any, *arguments: Any, **named: Any) -> Any:
        done.append(weights.stacks[0].module)
        if len(done) == 4 and not (tmp_path / "audit.json").exists():
            raise KeyboardInterrupt
        return diagnose(weights, *arguments, **named)

    def again(*arguments: Any, **named: Any) -> Any:
        done.append("again")
        return diagnose(*arguments, **named)

    monkeypatch.setattr(analyse, "diagnose", counted)
    with pytest.raises(KeyboardInterrupt):
        measure([str(base)], tmp_path)
    (journal,) = (tmp_path / "work").glob("*.jsonl")
    with open(journal, "ab") as file:
        file.write(b'[3, [{"model": "ba')  # what a killed process leaves of a line
    monkeypatch.setattr(analyse, "diagnose", again)
    measure([str(base)], tmp_path)
    assert done.count("again") == 7 - 3
    measure([str(base)], tmp_path)
    assert done.count("again") == 7 - 3, "nothing is left to do"
    monkeypatch.setattr(analyse, "diagnose", diagnose)
    measure([str(base)], tmp_path / "fresh")
    assert rows(tmp_path, "diagnostics") == rows(tmp_path / "fresh", "diagnostics")


def test_a_file_that_changed_is_audited_again(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", decoder(layers=1), CONFIG)
    measure([str(model)], tmp_path / "out")
    before = rows(tmp_path / "out", "diagnostics")
    save_model(model, moved(decoder(layers=1), 0.5), CONFIG)
    os.utime(model / "model.safetensors", ns=(1, 1))
    measure([str(model)], tmp_path / "out")
    assert [row["alpha"] for row in before] != [row["alpha"] for row in rows(tmp_path / "out", "diagnostics")]
    assert len(list((tmp_path / "out" / "work").glob("*.jsonl"))) == 1, "the journal of what is gone is removed"


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        f"model.layers.{i}.self_attn.{name}_proj.weight": rng.normal(0, 0.02, (700, 700)).astype(np.float32)
        for i in range(6)
        for name in "qkvo"
    }
    model = save_model(tmp_path / "model", tensors, CONFIG | {"num_hidden_layers": 6})
    program = (
        "import sys; from pathlib import Path; from bench_shadows.audit.audit import measure; "
        "measure([sys.argv[1]], Path(sys.argv[2]))"
    )
    for wanted in (1, 2, 3):
        process = subprocess.Popen([sys.executable, "-c", program, str(model), str(tmp_path / "out")])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            journals = list((tmp_path / "out" / "work").glob("*.jsonl"))
            if journals and journals[0].read_bytes().count(b"\n") >= wanted:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (journal,) = (tmp_path / "out" / "work").glob("*.jsonl")
    kept = journal.read_bytes()
    assert kept.count(b"\n") >= 3
    measure([str(model)], tmp_path / "out")
    assert journal.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1]), "whole lines stayed as they were"
    measure([str(model)], tmp_path / "fresh")
    assert rows(tmp_path / "out", "diagnostics") == rows(tmp_path / "fresh", "diagnostics")


# Sources ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.safetensors", "no such file or folder, and not a name on the hub"),
        ("../nowhere/at/all", "no such file or folder, and not a name on the hub"),
        ("", "no such file or folder|no .safetensors files"),
    ],
)
def test_a_model_that_is_not_there(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=message):
        open_source(name)


def test_a_hub_that_cannot_be_reached_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"some/model: no such folder here, and .*hub"):
        open_source("some/model")


def test_the_architecture_is_read_from_a_config_that_nobody_checked() -> None:
    config = {
        "model_type": "x" * 1000,
        "hidden_size": 10**400,
        "head_dim": float("nan"),
        "architectures": ["A", {"b": 1}],
        "vision_config": {"depth": 3, "image_size": [448, 448]},
        "text_config": [],
        "quantization_config": {"quant_method": "fp8"},
    }
    assert architecture(config) == {
        "model_type": "x" * 200,
        "vision.depth": 3,
        "vision.image_size": [448, 448],
        "quant_method": "fp8",
    }
