"""An exported checkpoint is the same model to those who load it."""

import dataclasses
import json
import random
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from bench_shadows.config import ConditionsConfig, Config, DataConfig, ModelConfig, TrainConfig, to_dict
from bench_shadows.data.tokenizer import train_bpe
from bench_shadows.errors import RunError
from bench_shadows.export import export
from bench_shadows.files import write_json
from bench_shadows.model.decoder import with_parameters
from bench_shadows.training.checkpoints import Checkpoints, restore_params
from bench_shadows.training.sharding import build_mesh
from bench_shadows.training.step import build_decoder, initial_state

MODEL = ModelConfig(
    num_layers=2, hidden_size=32, intermediate_size=48, num_heads=4, num_kv_heads=2, vocab_size=320
)
CONFIG = Config(
    data=DataConfig(seq_len=32),
    model=MODEL,
    train=TrainConfig(samples=72, batch_size=2, micro_batch_size=2, warmup_samples=2, compute_dtype="float32"),
    conditions=ConditionsConfig(),
)
TEXT = "The shadow of a benchmark falls where its data was narrow. "


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A study's folder with initial weights as the checkpoints of steps 3 and 5."""
    study = tmp_path_factory.mktemp("study")
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, tie_embeddings=request.param))
    write_json(study / "config.json", to_dict(config))
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(300)]
    train_bpe([TEXT * 20, " ".join(words)], MODEL.vocab_size).save(study / "data" / "tokenizer.json")
    with Checkpoints(study / "runs" / "A-seed0" / "checkpoints", {}, (3, 5)) as checkpoints:
        checkpoints.resume_step()
        for step in (3, 5):
            checkpoints.save(step, initial_state(config, step, build_mesh(config)), tokens=0)
    return study / "runs" / "A-seed0", config


def test_the_last_step_is_exported_whole_unless_one_is_named(run: tuple[Path, Config], tmp_path: Path) -> None:
    folder, config = run
    last = export(folder, tmp_path / "last")
    assert sorted(path.name for path in last.iterdir()) == [
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    ]
    tensors, params = load_file(last / "model.safetensors"), restore_params(folder / "checkpoints", 5)
    kernel = params["layers"]["self_attn"]["v_proj"]["kernel"][1]
    np.testing.assert_array_equal(tensors["model.layers.1.self_attn.v_proj.weight"], kernel.T)
    assert ("lm_head.weight" in tensors) != config.model.tie_embeddings
    named = load_file(export(folder / "checkpoints" / "3", tmp_path / "named") / "model.safetensors")
    assert not np.array_equal(named["model.embed_tokens.weight"], tensors["model.embed_tokens.weight"])


def test_what_cannot_be_exported_is_refused(run: tuple[Path, Config], tmp_path: Path) -> None:
    folder, _ = run
    with pytest.raises(RunError, match="is there already"):
        export(folder, tmp_path)
    with pytest.raises(RunError, match="not a checkpoint of a study"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(RunError, match="not a checkpoint of a study"):
        export(folder / "checkpoints" / "4", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.peers
def test_transformers_sees_the_same_logits_and_says_the_same_words(
    run: tuple[Path, Config], tmp_path: Path
) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder, config = run
    out = export(folder, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    words = transformers.AutoTokenizer.from_pretrained(out)
    params = jax.tree.map(jnp.asarray, restore_params(folder / "checkpoints", 5))
    ours = with_parameters(build_decoder(config, build_mesh(config)), params)
    ids = words(TEXT)["input_ids"]
    assert words.decode(ids) == TEXT
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits.numpy()
    np.testing.assert_allclose(ours.logits(np.array([ids])), logits, atol=1e-4)
    greedy = list(ids[:5])
    for _ in range(8):
        greedy.append(int(np.argmax(ours.logits(np.array([greedy]))[0, -1])))
    generated = theirs.generate(torch.tensor([ids[:5]]), max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert generated[0].tolist() == greedy
    assert json.loads((out / "config.json").read_text())["eos_token_id"] == words.eos_token_id
