"""A Hugging Face folder is a start of ours where its network is ours, and refused by name where it is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from saved_study import MODEL

from bench_shadows.config import ModelConfig
from bench_shadows.errors import BenchShadowsError, ConfigError, RunError
from bench_shadows.model.pretrained import check_architecture, digest, open_pretrained

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def write(folder: Path, tensors: dict[str, np.ndarray] | None = None, **fields: Any) -> Path:
    """A folder with Llama's config.json, `fields` in it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA | fields))
    save_file(tensors or {"model.norm.weight": np.ones(32, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {"rope_scaling": None, "attention_bias": False, "mlp_bias": False, "head_dim": 8},
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "mistral", "sliding_window": 32},
        {"vocab_size": 300},
    ],
)
def test_what_equals_llama_is_taken(fields: dict[str, Any], tmp_path: Path) -> None:
    check_architecture(write(tmp_path, **fields), MODEL, seq_len=32)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model_type": "qwen2"}, "model_type is 'qwen2', and its query, key and value projections have biases"),
        (
            {"model_type": "qwen3"},
            r"model_type is 'qwen3', and it normalises queries and keys .*\(q_norm, k_norm\)",
        ),
        ({"model_type": "opt"}, "model_type is 'opt'; expected one of llama, mistral"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "RoPE is scaled .*llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "RoPE is scaled .*linear"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"head_dim": 16}, "head_dim is 16, not hidden_size / num_attention_heads = 8"),
        ({"model_type": "mistral", "sliding_window": 31}, "sliding_window is 31, less than the rows' 32 tokens"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"hidden_size": None}, "config.json has no hidden_size"),
        ({"vocab_size": 400}, "vocab_size is 400 there and 320 here. Set --config.model.vocab_size=400"),
        (
            {"num_hidden_layers": 3, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
            "num_layers is 3 there and 2 here, norm_eps is 1e-05 there and 1e-06 here, "
            "tie_embeddings is False there and True here. Set --config.model.num_layers=3 "
            "--config.model.norm_eps=1e-05 --config.model.tie_embeddings=False",
        ),
    ],
)
def test_another_network_is_refused_by_name(fields: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_architecture(write(tmp_path, **fields), MODEL, seq_len=32)


def test_an_old_config_has_a_head_for_every_query_and_no_theta(tmp_path: Path) -> None:
    folder = write(tmp_path, num_key_value_heads=None, rope_theta=None)
    with pytest.raises(ConfigError, match="num_kv_heads is 4 there"):
        check_architecture(folder, MODEL, seq_len=32)


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"model.layers.0.self_attn.q_proj.bias": np.ones(32, np.float32)}, r"no place for .*q_proj\.bias"),
        ({"model.norm.weight": np.ones(32, np.int8)}, r"model\.norm\.weight \(I8\); expected float32"),
    ],
)
def test_tensors_that_we_have_no_place_for_are_refused(
    tensors: dict[str, np.ndarray], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=complaint):
        open_pretrained(write(tmp_path, tensors), MODEL, seq_len=32)


def test_a_tied_head_that_is_stored_must_be_the_embedding(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(320, 32)).astype(np.float32)
    both = {"model.embed_tokens.weight": table, "lm_head.weight": table.copy()}
    open_pretrained(write(tmp_path / "same", both), MODEL, seq_len=32)
    both["lm_head.weight"][3, 4] += 1
    with pytest.raises(RunError, match=r"lm_head\.weight differs from the embedding"):
        open_pretrained(write(tmp_path / "other", both), MODEL, seq_len=32)


def test_the_digest_is_of_the_weights(tmp_path: Path) -> None:
    first = digest(write(tmp_path / "one"))
    assert digest(write(tmp_path / "same", rope_theta=1.0)) == first
    assert digest(write(tmp_path / "two", {"model.norm.weight": np.zeros(32, np.float32)})) != first


def test_what_is_no_folder_of_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchShadowsError, match=r"expected a folder with config\.json"):
        check_architecture(tmp_path / "none", ModelConfig(), seq_len=32)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BenchShadowsError, match="pickle"):
        check_architecture(tmp_path, ModelConfig(), seq_len=32)
