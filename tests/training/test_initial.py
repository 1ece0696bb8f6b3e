"""Continued pretraining starts from the very weights of a Hugging Face folder."""

import dataclasses
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved_study import with_model, write_study
from tiny_run import CONFIG, write_data

from bench_shadows.config_file import defaults
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.export import export
from bench_shadows.model.decoder import with_parameters
from bench_shadows.training.checkpoints.checkpoints import restore_params
from bench_shadows.training.checkpoints.saved import find
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.loop import train
from bench_shadows.training.step import build_decoder, initial_state


def test_step_0_is_the_exported_run_bit_by_bit_and_its_weights_are_part_of_what_the_run_is(tmp_path: Path) -> None:
    source = with_model(**dataclasses.asdict(CONFIG.model) | {"vocab_size": 320})
    run = write_study(tmp_path / "study", source)
    folders = {step: export(run / "checkpoints" / str(step), tmp_path / f"model{step}") for step in (3, 5)}
    config = with_model(CONFIG, vocab_size=320, initial=str(folders[5]))
    data = write_data(tmp_path / "data", config)
    train(config, "A", 0, data, tmp_path / "run")
    start = restore_params(tmp_path / "run" / "checkpoints", 0)
    jax.tree.map(np.testing.assert_array_equal, start, find(run).params())
    changed = restore_params(tmp_path / "run" / "checkpoints", config.steps)
    assert not np.array_equal(changed["embed_tokens"]["embedding"], start["embed_tokens"]["embedding"])
    moved = (tmp_path / "model5").rename(tmp_path / "moved")
    train(with_model(config, initial=str(moved)), "A", 0, data, tmp_path / "run")
    with pytest.raises(RunError, match=r"model\.initial is"):
        train(with_model(config, initial=str(folders[3])), "A", 0, data, tmp_path / "run")


@pytest.mark.parametrize("tied", [True, False])
def test_all_seeds_begin_alike_with_an_optimizer_that_saw_nothing(tied: bool, tmp_path: Path) -> None:
    source = with_model(tie_embeddings=tied)
    folder = export(write_study(tmp_path / "study", source), tmp_path / "model")
    config = with_model(source, initial=str(folder))
    one, other = (initial_state(config, seed, build_mesh(config)) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    random = initial_state(source, 0, build_mesh(source))
    assert jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, random)
    jax.tree.map(np.testing.assert_array_equal, one.optimizer, random.optimizer)
    assert jax.tree.map(lambda leaf: leaf.sharding, one) == jax.tree.map(lambda leaf: leaf.sharding, random)


def loaded(folder: str, **layout: int) -> tuple[list[int], list[int]]:
    """The shape of one device's part of the queries' matrices, and a checksum of every parameter."""
    config = with_model(initial=folder)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **layout))
    params = initial_state(config, 0, build_mesh(config)).params
    part = params["layers"]["self_attn"]["q_proj"]["kernel"].addressable_shards[0].data
    return list(part.shape), [zlib.crc32(np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(params)]


@pytest.mark.slow
def test_devices_that_share_the_weights_read_each_its_part(tmp_path: Path) -> None:
    folder = str(export(write_study(tmp_path / "study"), tmp_path / "model"))
    code = f"import json; from test_initial import *; print(json.dumps(loaded({folder!r}, fsdp=2, tensor=2)))"
    paths = os.pathsep.join(sys.path)
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shape, checksums = json.loads(done.stdout.splitlines()[-1])
    assert shape == [2, 16, 16]
    assert loaded(folder) == ([2, 32, 32], checksums)


def test_another_architecture_and_another_tokenizer_are_refused(tmp_path: Path) -> None:
    folder = export(write_study(tmp_path / "study"), tmp_path / "model")
    config = with_model(num_layers=3, initial=str(folder))
    with pytest.raises(ConfigError, match="num_layers is 2 there and 3 here"):
        initial_state(config, 0, build_mesh(config))
    values = defaults()
    values.model.initial = str(folder)
    problems = list(_problems(values))
    assert any(f"--config.data.tokenizer={folder}/tokenizer.json" in line for line in problems)
    values.conditions.names = ("baseline", "deduplicated")
    [problem] = [line for line in _problems(values) if str(folder) in line]
    assert "leave it empty" in problem


def _problems(values: Any) -> list[str]:
    from bench_shadows.config_file import from_dict
    from bench_shadows.validation import problems

    return list(problems(from_dict(values.to_dict())))


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_that_transformers_made_says_the_same_here(tied: bool, dtype: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = with_model(tie_embeddings=tied, norm_eps=1e-5, rope_theta=50_000.0, initial=str(tmp_path))
    model = config.model
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=model.vocab_size,
            hidden_size=model.hidden_size,
            intermediate_size=model.intermediate_size,
            num_hidden_layers=model.num_layers,
            num_attention_heads=model.num_heads,
            num_key_value_heads=model.num_kv_heads,
            rms_norm_eps=model.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
            tie_word_embeddings=tied,
        )
    )
    llama.to(getattr(torch, dtype)).save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    ours = with_parameters(
        build_decoder(config, build_mesh(config)), initial_state(config, 0, build_mesh(config)).params
    )
    tokens = np.random.default_rng(0).integers(0, model.vocab_size, (2, 30))
    with torch.no_grad():
        expected = llama.float().eval()(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(ours.logits(tokens), expected, atol=1e-4)
