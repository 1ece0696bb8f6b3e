"""An exported network with an image encoder is transformers' LLaVA, and the audit sees all three parts of both."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved_study import CONFIG, write_study

from bench_shadows.config import ConditionsConfig, Config, VisionConfig
from bench_shadows.data.samples.encoding import encode
from bench_shadows.diagnostics.analyse import Identity, diagnose
from bench_shadows.diagnostics.weights.weights import open_weights
from bench_shadows.export import export
from bench_shadows.model.decoder import with_parameters
from bench_shadows.training.checkpoints.saved import find
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import build_decoder

VISION = VisionConfig(
    image_size=24, patch_size=8, num_layers=3, hidden_size=24, intermediate_size=40, num_heads=3, norm_eps=1e-4
)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)
TURNS = [("Read the text.", "benchmark"), ("Where does it fall?", "where its data was narrow")]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A run of a study of prompts, its weights larger than at birth."""
    config = dataclasses.replace(
        CONFIG,
        conditions=ConditionsConfig(names=("baseline", "deduplicated")),
        vision=VISION,
        data=dataclasses.replace(CONFIG.data, seq_len=96),
        model=dataclasses.replace(CONFIG.model, tie_embeddings=request.param),
    )
    return write_study(tmp_path_factory.mktemp("study"), config, scale=1.5), config


@pytest.fixture(scope="module")
def exported(run: tuple[Path, Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run[0], tmp_path_factory.mktemp("exported") / "model")


def test_a_checkpoint_and_its_export_are_the_same_matrices_of_decoder_encoder_and_projector(
    run: tuple[Path, Config], exported: Path
) -> None:
    folder, config = run
    ours, theirs = open_weights(folder / "checkpoints" / "5" / "params"), open_weights(exported)
    assert (ours.family, ours.notices) == ("a run of bench_shadows", ())
    assert (theirs.family, theirs.notices) == ("LLaVA", ())
    tables = {}
    for opened in (ours, theirs):
        tables[opened.family] = {
            (row["component"], row["module"], row["layer"]): row
            for row in diagnose(opened, Identity("model"), "float64")
        }
    one, other = tables.values()
    attention = [f"self_attn.{name}_proj" for name in "qkvo"]
    assert one.keys() == {
        *(("decoder", name, layer) for name in attention for layer in range(config.model.num_layers)),
        *(("decoder", f"mlp.{name}_proj", layer) for name in ("gate", "up", "down") for layer in range(2)),
        *(("vision", name, layer) for name in attention for layer in range(VISION.num_layers)),
        *(("vision", f"mlp.{name}_proj", layer) for name in ("up", "down") for layer in range(3)),
        *(("projector", name, None) for name in ("linear_1", "linear_2")),
    }
    assert one.keys() == other.keys()
    for place, row in one.items():
        assert row["alpha"] == pytest.approx(other[place]["alpha"], rel=1e-9), place
        assert row["effective_rank"] == pytest.approx(other[place]["effective_rank"], rel=1e-9), place
        assert {row["rows"], row["columns"]} == {other[place]["rows"], other[place]["columns"]}
    assert "vision.position_embedding" in ours.skipped
    assert ours.skipped["vision.patch_embedding.kernel"] == "patch embedding"


def test_a_text_only_model_of_prompts_is_a_llama_with_the_chat_template(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, conditions=ConditionsConfig(names=("baseline", "deduplicated")))
    out = export(write_study(tmp_path / "study", config), tmp_path / "out")
    assert json.loads((out / "config.json").read_text())["model_type"] == "llama"
    assert sorted(path.name for path in out.iterdir()) == [
        *("chat_template.jinja", "config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_transformers_sees_the_same_logits(run: tuple[Path, Config], exported: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder, config = run
    theirs, loaded = transformers.LlavaForConditionalGeneration.from_pretrained(exported, output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    processor = transformers.AutoProcessor.from_pretrained(exported)
    saved = find(folder)
    ours = with_parameters(build_decoder(config, build_mesh(config)), jax.tree.map(jnp.asarray, saved.params()))
    dialogues = [[TURNS[0]], [TURNS[1]]]
    rows = [tokens.ids.astype(np.int32) for tokens in encode(dialogues, [9, 9], saved.tokenizer().encode_batch)]
    said = [processor.apply_chat_template(_messages(turns), tokenize=False) for turns in dialogues]
    for row, text, image in zip(rows, said, IMAGES, strict=True):
        inputs = processor(images=image, text=text, return_tensors="pt")
        assert inputs["input_ids"][0].tolist() == row.tolist()
        np.testing.assert_allclose(inputs["pixel_values"][0].permute(1, 2, 0), image / 63.75 - 4, atol=1e-5)
        with torch.no_grad():
            expected = theirs.eval()(**inputs).logits.numpy()
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(ours.logits(row[None], image[None]), expected, atol=1e-4)


def _messages(turns: list[tuple[str, str]]) -> list[dict[str, object]]:
    asked = [{"type": "image"}, {"type": "text", "text": turns[0][0]}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": turns[0][1]}]
