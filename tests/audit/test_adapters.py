"""A LoRA adapter is no model: with its base merged model and update are measured, without it the update alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from checkpoint_files import save_model

from bench_shadows.audit.audit import audit, measure, summary
from bench_shadows.errors import ConfigError, RunError

HIDDEN, RANK, ALPHA, LAYERS = 64, 16, 32, 2
MODULES = {"self_attn.q_proj": (64, 64), "self_attn.v_proj": (32, 64), "mlp.down_proj": (64, 96)}
CONFIG = {
    **{"model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS},
    **{"num_attention_heads": 4, "num_key_value_heads": 2},
}
LORA: dict[str, Any] = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}
Tensors = dict[str, np.ndarray]


def decoder() -> Tensors:
    rng = np.random.default_rng(0)
    return {
        f"model.layers.{i}.{name}.weight": rng.normal(0, 0.05, shape).astype(np.float32)
        for i in range(LAYERS)
        for name, shape in MODULES.items()
    } | {"model.norm.weight": np.ones(HIDDEN, np.float32)}


def pairs(modules: tuple[str, ...] = ("self_attn.q_proj", "self_attn.v_proj"), rank: int = RANK) -> Tensors:
    """A and B as peft saves them."""
    rng, found = np.random.default_rng(1), {}
    for i in range(LAYERS):
        for name in modules:
            rows, columns = MODULES[name]
            stem = f"base_model.model.model.layers.{i}.{name}"
            found[f"{stem}.lora_A.weight"] = rng.normal(0, 0.05, (rank, columns)).astype(np.float32)
            found[f"{stem}.lora_B.weight"] = rng.normal(0, 0.05, (rows, rank)).astype(np.float32)
    return found


def save_adapter(folder: Path, tensors: Tensors, **config: Any) -> Path:
    save_model(folder, tensors)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(LORA | config))
    return folder


def rows(out: Path, table: str, **equal: Any) -> dict[tuple[str, int], dict[str, Any]]:
    found = pq.read_table(out / f"{table}.parquet").to_pylist()
    return {
        (row["module"], row["layer"]): row
        for row in found
        if all(row[name] == value for name, value in equal.items())
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", decoder(), CONFIG)


def expected(base: Tensors, adapter: Tensors, name: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The update and the merged matrix."""
    stem = f"base_model.model.{name.removesuffix('.weight')}"
    a, b = adapter[f"{stem}.lora_A.weight"], adapter[f"{stem}.lora_B.weight"]
    return scale * b.astype(np.float64) @ a, base[name] + scale * b.astype(np.float64) @ a


def test_with_its_base_an_adapter_is_a_merged_model_and_an_update(base: Path, tmp_path: Path) -> None:
    tensors, out = pairs(), tmp_path / "out"
    result = measure([str(save_adapter(tmp_path / "mine", tensors))], out, str(base))
    assert [(model["name"], model["role"]) for model in result["models"]] == [
        ("mine", "merged"),
        ("mine (update)", "update"),
        ("base", "model"),
    ]
    assert result["models"][0]["notices"] == ["base with an adapter in it: LoRA of rank 16, alpha 32"]
    merged, updates = rows(out, "diagnostics", model="mine"), rows(out, "diagnostics", model="mine (update)")
    moved = rows(out, "changes", model="mine", reference="base")
    assert (len(merged), len(updates), len(moved)) == (6, 4, 6)
    for (module, layer), row in moved.items():
        name = f"model.layers.{layer}.{module}.weight"
        if module == "mlp.down_proj":
            assert (row["relative_change"], row["update_sparsity"], row["update_rank"]) == (0, 1, 0)
            continue
        update, whole = expected(decoder(), tensors, name, ALPHA / RANK)
        size = np.linalg.norm(update) / np.linalg.norm(decoder()[name])
        assert row["relative_change"] == pytest.approx(size, rel=1e-5)
        assert row["update_rank"] == RANK
        singular = np.linalg.svd(update, compute_uv=False)[:RANK]
        p = singular / singular.sum()
        assert updates[module, layer]["effective_rank"] == pytest.approx(np.exp(-p @ np.log(p)), rel=1e-3)
        assert updates[module, layer]["spectral_norm"] == pytest.approx(singular[0], rel=1e-5)
        assert merged[module, layer]["lambda_max"] == pytest.approx(np.linalg.norm(whole, 2) ** 2, rel=1e-5)


def test_the_cut_of_alpha_is_relative_where_an_update_is_measured(base: Path, tmp_path: Path) -> None:
    small = {name: tensor * 1e-3 if "lora_B" in name else tensor for name, tensor in pairs().items()}
    alphas = []
    for name, tensors in (("large", pairs()), ("small", small)):
        result = measure([str(save_adapter(tmp_path / name, tensors))], tmp_path / f"{name}-out", str(base))
        assert any("1e-5 of the largest" in text for text in result["models"][1]["notices"])
        found = rows(tmp_path / f"{name}-out", "diagnostics", model=f"{name} (update)")
        assert {row["status"] for row in found.values()} == {"ok"}
        alphas.append([row["alpha"] for row in found.values()])
    np.testing.assert_allclose(alphas[0], alphas[1], rtol=1e-4)


def test_without_its_base_the_page_says_that_an_adapter_is_no_model(tmp_path: Path) -> None:
    audit([str(save_adapter(tmp_path / "mine", pairs()))], tmp_path / "out")
    first = summary(tmp_path / "out")[0]
    assert first.startswith("mine (update) is an adapter's update and no model")
    assert first in (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8").replace("&#39;", "'")
    found = rows(tmp_path / "out", "diagnostics")
    assert set(found) == {(f"self_attn.{name}_proj", i) for name in "qv" for i in range(LAYERS)}
    assert {row["rows"] for row in found.values()} == {64, 32}


def test_the_scale_is_pefts(base: Path, tmp_path: Path) -> None:
    cases: dict[str, tuple[dict[str, Any], float, float]] = {
        "plain": ({}, 2.0, 2.0),
        "rslora": ({"use_rslora": True}, 8.0, 8.0),
        "pattern": ({"alpha_pattern": {"v_proj": 8}}, 2.0, 0.5),
    }
    for name, (config, q_scale, v_scale) in cases.items():
        adapter = save_adapter(tmp_path / name, pairs(), **config)
        measure([str(adapter)], tmp_path / f"{name}-out", str(base))
        found = rows(tmp_path / f"{name}-out", "diagnostics", model=f"{name} (update)")
        for module, scale in (("self_attn.q_proj", q_scale), ("self_attn.v_proj", v_scale)):
            update, _ = expected(decoder(), pairs(), f"model.layers.1.{module}.weight", scale)
            assert found[module, 1]["frobenius_norm"] == pytest.approx(np.linalg.norm(update), rel=1e-5)


def test_a_module_that_was_saved_whole_is_in_the_merged_model(base: Path, tmp_path: Path) -> None:
    other = np.random.default_rng(5).normal(size=(64, 96)).astype(np.float32)
    tensors = pairs() | {"base_model.model.model.layers.0.mlp.down_proj.weight": other}
    result = measure([str(save_adapter(tmp_path / "mine", tensors))], tmp_path / "out", str(base))
    assert any("1 tensors that the adapter saved whole" in text for text in result["models"][0]["notices"])
    row = rows(tmp_path / "out", "diagnostics", model="mine")["mlp.down_proj", 0]
    assert row["spectral_norm"] == pytest.approx(np.linalg.norm(other, 2), rel=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "an adapter of the kind IA3; only LoRA is read"),
        ({"use_dora": True}, "a LoRA adapter with use_dora, whose update is not s B A"),
        ({"alpha_pattern": {"layers.[01].*v_proj": 4}}, "is a regular expression, and not read"),
        ({"lora_alpha": None}, "gives no number for lora_alpha"),
    ],
)
def test_other_adapters_are_refused_by_name(base: Path, tmp_path: Path, config: dict, message: str) -> None:
    adapter = save_adapter(tmp_path / "mine", pairs(), **config)
    with pytest.raises(RunError, match=message.replace("[", r"\[")):
        measure([str(adapter)], tmp_path / "out", str(base))


def test_an_adapter_of_another_base_is_refused_and_is_no_reference(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "mine", pairs())
    small = {name: tensor[:, :32] if tensor.ndim == 2 else tensor for name, tensor in decoder().items()}
    with pytest.raises(RunError, match="name the base that the adapter was trained on"):
        measure([str(adapter)], tmp_path / "out", str(save_model(tmp_path / "small", small, CONFIG)))
    with pytest.raises(RunError, match="cannot be a reference"):
        measure([str(base)], tmp_path / "out", str(adapter))
    with pytest.raises(ConfigError, match="an adapter has one base"):
        measure([str(adapter)], tmp_path / "out", str(base), [(str(adapter), str(tmp_path / "small"))])
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(RunError, match=r"without adapter_config\.json: its scale is not known"):
        measure([str(adapter)], tmp_path / "out")


def test_the_base_may_be_named_by_the_adapter(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "mine", pairs(), base_model_name_or_path=str(base))
    result = measure([str(adapter)], tmp_path / "out")
    assert [(pair["model"], pair["reference"]) for pair in result["pairs"]] == [("mine", "base")]


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_merged_model_is_what_peft_merges(kind: str, tmp_path: Path) -> None:
    torch, transformers, peft = (pytest.importorskip(name) for name in ("torch", "transformers", "peft"))
    torch.manual_seed(0)
    if kind == "llama":
        sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, **sizes))
        lora = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"], use_rslora=True)
    else:
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=64, n_embd=48, n_layer=2, n_head=4)
        )
        lora = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    model.save_pretrained(tmp_path / "base")
    wrapped = peft.get_peft_model(model, lora)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.02)
    wrapped.save_pretrained(tmp_path / "mine")
    wrapped.merge_and_unload().save_pretrained(tmp_path / "merged")
    models = [str(tmp_path / "mine"), str(tmp_path / "merged")]
    measure(models, tmp_path / "out", str(tmp_path / "base"))
    measured = {"diagnostics": ("alpha", "effective_rank"), "changes": ("relative_change", "update_rank")}
    for table, names in measured.items():
        ours, theirs = (rows(tmp_path / "out", table, model=name) for name in ("mine", "merged"))
        assert ours.keys() == theirs.keys()
        for key, row in ours.items():
            for name in names:
                assert row[name] == pytest.approx(theirs[key][name], rel=2e-3), (key, name)
    ranks = {row["update_rank"] for row in rows(tmp_path / "out", "changes", model="merged").values()}
    assert ranks <= {0, 4}
