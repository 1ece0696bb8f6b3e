from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from checkpoint_files import write_safetensors
from flax import nnx

from bench_shadows.diagnostics.weights import weights
from bench_shadows.errors import RunError


def parameters(layers: int = 3, width: int = 16) -> dict[str, Any]:
    """A decoder's parameters as a run stores them."""
    rng = np.random.default_rng(0)

    def values(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape) * 0.02, jnp.float32)

    attention = {"q_proj": (width, width), "k_proj": (width, 8), "v_proj": (width, 8), "o_proj": (width, width)}
    mlp = {"gate_proj": (width, 40), "up_proj": (width, 40), "down_proj": (40, width)}
    return {
        "embed_tokens": {"embedding": values(64, width)},
        "layers": {
            "input_layernorm": {"scale": values(layers, width)},
            "post_attention_layernorm": {"scale": values(layers, width)},
            "self_attn": {name: {"kernel": values(layers, *shape)} for name, shape in attention.items()},
            "mlp": {name: {"kernel": values(layers, *shape)} for name, shape in mlp.items()},
        },
        "norm": {"scale": values(width)},
        "lm_head": {"kernel": values(width, 64)},
    }


def save(folder: Path, tree: Any) -> Path:
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(folder / "params", tree)
    return folder / "params"


MODULES = {f"self_attn.{x}_proj" for x in "qkvo"} | {f"mlp.{x}_proj" for x in ("gate", "up", "down")}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run"), parameters())


@pytest.mark.parametrize("small", [True, False])
def test_an_orbax_checkpoint_gives_the_seven_modules_and_their_values(checkpoint, small, monkeypatch) -> None:
    monkeypatch.setattr(weights, "SMALL", weights.SMALL if small else 0)
    opened = weights.open_weights(checkpoint)
    assert {stack.module for stack in opened.stacks} == MODULES
    tree = parameters()["layers"]
    for stack in opened.stacks:
        part, name = stack.module.split(".")
        expected = np.asarray(tree[part][name]["kernel"])
        assert (stack.component, stack.layers, stack.shape) == ("decoder", (0, 1, 2), expected.shape[1:])
        assert stack.tensors == (f"layers.{stack.module}.kernel",) * 3
        assert stack.dtype == "float32"
        np.testing.assert_array_equal(opened.read(stack), expected)
    assert opened.family == "a run of bench_shadows"
    assert opened.skipped == {
        "embed_tokens.embedding": "embedding",
        "layers.input_layernorm.scale": "norm",
        "layers.post_attention_layernorm.scale": "norm",
        "lm_head.kernel": "output head",
        "norm.scale": "norm",
    }


def test_live_trees_of_any_library(tmp_path: Path) -> None:
    class Layer(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.up_proj = nnx.Linear(8, 12, use_bias=True, rngs=rngs)

    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.layers = nnx.List([Layer(rngs), Layer(rngs)])
            self.norm = nnx.RMSNorm(8, rngs=rngs)

    model = Model(nnx.Rngs(0))
    linen = {"params": {f"layers_{i}": {"up_proj": {"kernel": np.ones((8, 12))}} for i in range(2)}}
    for tree in (model, nnx.state(model), nnx.to_pure_dict(nnx.state(model)), linen):
        opened = weights.open_weights(tree)
        (stack,) = opened.stacks
        assert (stack.module, stack.layers, stack.shape) == ("up_proj", (0, 1), (8, 12))
        assert opened.read(stack).shape == (2, 8, 12)


def test_layers_in_a_list_and_empty_tensors(tmp_path: Path) -> None:
    layers = [{"mlp": {"up_proj": {"kernel": jnp.full((6, 9), float(i))}}} for i in range(3)]
    for source in ({"layers": layers}, save(tmp_path, {"layers": layers})):
        opened = weights.open_weights(source)
        (stack,) = opened.stacks
        assert (stack.module, stack.layers) == ("mlp.up_proj", (0, 1, 2))
        assert np.asarray(opened.read(stack))[:, 0, 0].tolist() == [0, 1, 2]
    assert weights.open_tree({"kernel": np.zeros((0, 4))}).skipped == {"kernel": "empty"}


def test_large_layers_make_several_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "STACK_BYTES", 2 * 6 * 9 * 4)
    tree = {f"layers.{i}.up.weight": np.full((6, 9), i, np.float32) for i in range(5)}
    opened = weights.open_tree(tree)
    assert [stack.layers for stack in opened.stacks] == [(0, 1), (2, 3), (4,)]
    assert [opened.read(stack)[-1, 0, 0] for stack in opened.stacks] == [1, 3, 4]


def test_safetensors_in_shards_with_bfloat16_and_numbered_layers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    expected = rng.normal(size=(12, 6, 9)).astype(ml_dtypes.bfloat16)
    for shard in range(2):
        tensors = {
            f"model.layers.{i}.mlp.up_proj.weight": ("BF16", expected[i]) for i in range(12) if i % 2 == shard
        }
        if shard == 0:
            tensors["model.embed_tokens.weight"] = ("F32", np.ones((4, 6), np.float32))
            tensors["model.layers.0.mlp.up_proj.bias"] = ("F32", np.ones(6, np.float32))
            tensors["model.layers.0.mlp.packed"] = ("I8", np.ones((4, 4), np.int8))
            tensors["audio.blocks.3.mixer.weight"] = ("F16", np.ones((6, 18), np.float16))
        write_safetensors(tmp_path / f"model-{shard}.safetensors", tensors)
    opened = weights.open_weights(tmp_path)
    stacks = {stack.module: stack for stack in opened.stacks}
    assert set(stacks) == {"mlp.up_proj", "audio.mixer"}
    assert stacks["mlp.up_proj"].layers == tuple(range(12)), "numbers in order, not as text"
    assert stacks["mlp.up_proj"].tensors[10] == "model.layers.10.mlp.up_proj.weight"
    assert stacks["audio.mixer"].layers == (3,)
    assert opened.notices == (
        "1 matrices are not in the table of Llama, Qwen, Mistral style decoder and stand under their own names: "
        "audio.blocks.3.mixer.weight",
    )
    array = opened.read(stacks["mlp.up_proj"])
    assert array.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(array, expected)
    assert opened.skipped == {
        "model.layers.0.mlp.packed": "quantised (int8), cannot be read",
        "model.layers.0.mlp.up_proj.bias": "bias",
        "model.embed_tokens.weight": "embedding",
    }


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        weights.open_weights(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"no \.safetensors files and no Orbax checkpoint; there is nothing"):
        weights.open_weights(tmp_path)
    (tmp_path / "_METADATA").write_text("{}")
    with pytest.raises(RunError, match="not an Orbax parameter folder"):
        weights.open_weights(tmp_path)


def test_a_tensor_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SMALL", 0)  # one tensor at a time
    folder = save(tmp_path, parameters())
    opened = weights.open_weights(folder)
    for file in folder.rglob("d/*"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot read layers\."):
        opened.read(opened.stacks[0])
