"""An exported checkpoint is the same model to those who load it."""

import contextlib
import dataclasses
import io
import json
import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file
from saved_study import TEXT, with_model, write_study

from bench_shadows.config import Config, to_dict
from bench_shadows.diagnostics.analyse import Identity, diagnose
from bench_shadows.diagnostics.weights.safetensors import open_files
from bench_shadows.diagnostics.weights.weights import open_weights
from bench_shadows.errors import RunError
from bench_shadows.export import export
from bench_shadows.files import write_json
from bench_shadows.model.decoder import with_parameters
from bench_shadows.model.generation import build_generate
from bench_shadows.training.checkpoints.checkpoints import restore_params
from bench_shadows.training.checkpoints.saved import find
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import build_decoder


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A study's folder with initial weights as the checkpoints of steps 3 and 5."""
    config = with_model(tie_embeddings=request.param)
    return write_study(tmp_path_factory.mktemp("study"), config), config


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


def test_checkpoints_that_lie_elsewhere_are_found(run: tuple[Path, Config], tmp_path: Path) -> None:
    folder, config = run
    elsewhere = dataclasses.replace(
        config, train=dataclasses.replace(config.train, checkpoints=str(tmp_path / "far"))
    )
    study = tmp_path / "study"
    shutil.copytree(folder.parents[1], study)
    shutil.move(study / "runs" / "A-seed0" / "checkpoints", tmp_path / "far" / "study" / "A-seed0")
    write_json(study / "config.json", to_dict(elsewhere))
    for name in ("runs/A-seed0", "runs/A-seed0/checkpoints/3"):
        assert find(study / name).digest() == find(folder.parents[1] / name).digest()


def test_bfloat16_is_the_rounded_weights(run: tuple[Path, Config], tmp_path: Path) -> None:
    folder, _ = run
    whole = load_file(export(folder, tmp_path / "whole") / "model.safetensors")
    out = export(folder, tmp_path / "half", "bfloat16")
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    half = open_files(out).tensors
    assert half.keys() == whole.keys()
    for name, tensor in half.items():
        np.testing.assert_array_equal(tensor.map(), whole[name].astype(ml_dtypes.bfloat16))


def test_what_cannot_be_exported_is_refused(run: tuple[Path, Config], tmp_path: Path) -> None:
    folder, _ = run
    with pytest.raises(RunError, match="is there already"):
        export(folder, tmp_path)
    with pytest.raises(RunError, match="not a checkpoint of a study"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(RunError, match=r"no step 4 in .*; it has the steps \[3, 5\]"):
        export(folder / "checkpoints" / "4", tmp_path / "out")
    with pytest.raises(RunError, match="no checkpoint in"):
        export(folder.parent / "B-seed0", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.peers
def test_transformers_sees_the_same_logits_and_says_the_same_words(
    run: tuple[Path, Config], tmp_path: Path
) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder, config = run
    out = export(folder, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    params = jax.tree.map(jnp.asarray, restore_params(folder / "checkpoints", 5))
    ours = with_parameters(build_decoder(config, build_mesh(config)), params)
    ids = tokenizer(TEXT)["input_ids"]
    assert tokenizer.decode(ids) == TEXT
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits.numpy()
    np.testing.assert_allclose(ours.logits(np.array([ids])), logits, atol=1e-4)
    prompts = [np.array(ids[:count]) for count in (5, 3, 9)]
    no_stop = config.model.vocab_size
    for prompt, new in zip(prompts, build_generate(config.model)(params, prompts, 8, no_stop), strict=True):
        said = theirs.generate(torch.tensor(prompt[None]), max_new_tokens=8, do_sample=False, eos_token_id=None)
        assert said[0].tolist() == [*prompt, *new]
    assert json.loads((out / "config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id


@pytest.mark.peers
def test_weightwatcher_sees_the_alphas_of_our_diagnostics(run: tuple[Path, Config], tmp_path: Path) -> None:
    weightwatcher = pytest.importorskip("weightwatcher")
    transformers = pytest.importorskip("transformers")
    folder, config = run
    ours = diagnose(open_weights(folder / "checkpoints" / "5" / "params"), Identity("ours"), "float64")
    model = transformers.AutoModelForCausalLM.from_pretrained(export(folder, tmp_path / "out"))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = weightwatcher.WeightWatcher(model=model).analyze(plot=False)
    alphas = dict(zip(theirs["longname"], theirs["alpha"], strict=True))
    assert len(ours) == 7 * config.model.num_layers
    for row in ours:
        assert row["alpha"] == pytest.approx(alphas[f"model.layers.{row['layer']}.{row['module']}"], rel=1e-6)
