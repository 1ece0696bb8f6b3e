"""Trees that libraries make themselves, live and from their files: the same matrices as taken out by hand."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import zoo
from flax import linen, nnx, serialization
from flax.training.train_state import TrainState
from test_zoo import read

from bench_shadows.audit.sources import open_source
from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.monitor import Monitor
from bench_shadows.diagnostics.weights.weights import open_tree, open_weights
from bench_shadows.errors import RunError

FEATURES, HEADS, WIDTH, LAYERS = 24, 3, 8, 6


class Block(linen.Module):
    """Linen's own attention and two dense layers."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + linen.MultiHeadDotProductAttention(HEADS, qkv_features=HEADS * WIDTH, name="self_attn")(x)
        return x + linen.Dense(FEATURES, name="down")(jnp.tanh(linen.Dense(2 * FEATURES, name="up")(x)))


class Decoder(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(LAYERS):
            x = Block(name=f"block_{i}")(x)
        return x


class NnxBlock(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.attn = nnx.MultiHeadAttention(HEADS, FEATURES, qkv_features=HEADS * WIDTH, rngs=rngs, decode=False)


class NnxDecoder(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List([NnxBlock(rngs) for _ in range(LAYERS)])


@pytest.fixture(scope="module")
def params() -> Any:
    return Decoder().init(jax.random.key(0), jnp.ones((1, 2, FEATURES)))["params"]


def by_hand(params: Any) -> dict[tuple[str, int], np.ndarray]:
    """Every matrix of the Linen decoder, [in, out]."""
    found = {}
    for i in range(LAYERS):
        block = params[f"block_{i}"]
        for name, short in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            found[f"self_attn.{short}", i] = np.asarray(block["self_attn"][name]["kernel"]).reshape(FEATURES, -1)
        found["self_attn.o_proj", i] = np.asarray(block["self_attn"]["out"]["kernel"]).reshape(-1, FEATURES)
        found |= {(name, i): np.asarray(block[name]["kernel"]) for name in ("up", "down")}
    return found


def same(
    found: dict[tuple[str, str, int | None], np.ndarray], expected: dict[tuple[str, int], np.ndarray]
) -> None:
    assert {key[1:] for key in found} == expected.keys()
    for (_, module, layer), matrix in found.items():
        assert layer is not None
        np.testing.assert_array_equal(matrix.T, expected[module, layer], err_msg=f"{module} {layer}")


def test_linens_attention_is_four_matrices_a_layer(params: Any) -> None:
    same(read(open_tree({"params": params})), by_hand(params))


def test_nnx_attention_from_a_module_its_state_and_its_dict() -> None:
    model = NnxDecoder(nnx.Rngs(0))
    expected = {
        (f"attn.{short}", i): np.asarray(getattr(layer.attn, name).kernel[...]).reshape(shape)
        for i, layer in enumerate(model.layers)
        for name, short, shape in (
            ("query", "q_proj", (FEATURES, -1)),
            ("key", "k_proj", (FEATURES, -1)),
            ("value", "v_proj", (FEATURES, -1)),
            ("out", "o_proj", (-1, FEATURES)),
        )
    }
    for tree in (model, nnx.state(model), nnx.to_pure_dict(nnx.state(model))):
        same(read(open_tree(tree)), expected)


@pytest.fixture
def state(params: Any) -> TrainState:
    tx = optax.adam(1e-3)
    return TrainState.create(apply_fn=lambda *a: None, params=params, tx=tx)


def test_of_a_train_state_only_the_parameters_are_read(state: TrainState, params: Any) -> None:
    opened = open_tree(state)
    same(read(opened), by_hand(params))
    assert opened.skipped["opt_state.0.mu.block_0.up.kernel"] == "optimizer state"


def test_a_checkpoint_managers_folder_gives_its_newest_step(
    state: TrainState, params: Any, tmp_path: Path
) -> None:
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        for step in (100, 200):
            manager.save(step, args=ocp.args.StandardSave(state.replace(step=step)))
        manager.wait_until_finished()
    for place, name in (("", "run step 200"), ("100", "run step 100"), ("200/default", "run step 200")):
        source = open_source(str(tmp_path / "run" / place))
        assert source.name == name
        same(read(source.weights), by_hand(params))
        assert {r for n, r in source.weights.skipped.items() if n.startswith("opt_state")} == {"optimizer state"}


def test_a_checkpoint_of_nnx_variables_has_no_value_in_its_names(tmp_path: Path) -> None:
    state = nnx.state(NnxDecoder(nnx.Rngs(0)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
    opened = open_weights(tmp_path / "state")
    assert {stack.module for stack in opened.stacks} == {f"attn.{x}_proj" for x in "qkvo"}
    assert all(not tensor.endswith(".value") for stack in opened.stacks for tensor in stack.tensors)


def test_flaxs_msgpack_is_read_tensor_by_tensor(state: TrainState, params: Any, tmp_path: Path) -> None:
    path = tmp_path / "flax_model.msgpack"
    for tree in (state, {"params": params}, params):
        path.write_bytes(serialization.to_bytes(tree))
        for place in (path, tmp_path):
            source = open_source(str(place))
            assert source.format == "msgpack"
            same(read(source.weights), by_hand(params))


def test_a_large_array_in_chunks_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 400)
    kernel = np.arange(24 * 40, dtype=np.float32).reshape(24, 40)
    path = tmp_path / "m.msgpack"
    path.write_bytes(serialization.msgpack_serialize({"up": {"kernel": kernel}}))
    opened = open_weights(path)
    np.testing.assert_array_equal(opened.read(opened.stacks[0])[0], kernel)


def test_a_msgpack_file_that_was_cut_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = serialization.msgpack_serialize({"a": {"kernel": np.ones((3, 4), np.float32), "n": 7, "x": None}})
    path = tmp_path / "m.msgpack"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(RunError, match=str(path)):
            open_weights(path)
    for extra in (b"\x00", b"\xc1"):
        path.write_bytes(whole + extra)
        with pytest.raises(RunError, match="behind its end"):
            open_weights(path)


# The monitor --------------------------------------------------------------------------------------------------


TREES = ("MaxText", "MaxText, not scanned", "levanter", "Gemma, scanned", "big_vision, scanned", "Linen")


@pytest.mark.parametrize("name", TREES)
def test_the_monitors_alphas_are_those_of_the_matrices_taken_out_by_hand(name: str) -> None:
    layout = zoo.LAYOUTS[name]
    model = zoo.matrices(layout.kv_heads, layout.gated)
    tree = jax.tree.map(jnp.asarray, zoo.nested(layout.write(model)))
    with Monitor(every=1, matrices=99) as watching:
        watching(1, tree)
    rows = {(row["module"], row["layer"]): row for row in watching.history[0].matrices}
    assert rows.keys() == model.keys()
    alone = open_tree({f"m{i}": {"kernel": jnp.asarray(matrix)} for i, matrix in enumerate(model.values())})
    expected = {row["tensor"]: row for row in analyse.diagnose(alone, analyse.Identity("x"), "float32")}
    for i, key in enumerate(model):
        for figure in ("alpha", "effective_rank", "stable_rank"):
            assert rows[key][figure] == pytest.approx(expected[f"m{i}.kernel"][figure], rel=1e-5), (key, figure)


def collapsed(model: zoo.Matrices, module: str, layers: range) -> zoo.Matrices:
    """The same model, in some layers' matrices hardly more than two directions left."""
    found = dict(model)
    for layer in layers:
        u, s, vt = np.linalg.svd(model[module, layer], full_matrices=False)
        s[2:] *= 0.02
        found[module, layer] = ((u * s) @ vt).astype(np.float32)
    return found


@pytest.mark.parametrize("name", TREES)
def test_a_collapse_of_the_value_projection_is_found_under_its_own_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "LAYERS", 6)
    layout = zoo.LAYOUTS[name]
    model = zoo.matrices(layout.kv_heads, layout.gated)
    after = collapsed(model, "self_attn.v_proj", range(4, 6))
    with Monitor(every=1, matrices=99) as watching:
        watching(1, zoo.nested(layout.write(model)))
        watching(2, zoo.nested(layout.write(after)))
    first, second = watching.history
    assert not first.warnings
    assert [finding.signature for finding in second.warnings] == ["support collapse"]
    ranks = {(row["module"], row["layer"]): row["effective_rank"] for row in first.matrices}
    fallen = {
        (row["module"], row["layer"])
        for row in second.matrices
        if ranks[row["module"], row["layer"]] > 2 * row["effective_rank"]
    }
    assert fallen == {("self_attn.v_proj", 4), ("self_attn.v_proj", 5)}


def test_the_first_look_says_what_is_watched(capsys: pytest.CaptureFixture[str], state: TrainState) -> None:
    with Monitor(every=1, matrices=2) as watching:
        watching(1, state)
        watching(2, state)
    lines = [line for line in capsys.readouterr().err.splitlines() if "monitor" in line]
    assert len(lines) == 1
    assert (
        "36 matrices of the decoder (self_attn.q_proj" in lines[0]
        or "36 matrices of the decoder (down" in lines[0]
    )
    assert "layers 0 to 5" in lines[0]
    assert "left out: optimizer state 6" in lines[0]


# What cannot be told ------------------------------------------------------------------------------------------


def test_a_stack_with_two_readings_is_refused_with_both_unless_the_caller_says_which() -> None:
    rng = np.random.default_rng(0)
    tree = {"blocks": {name: {"kernel": rng.normal(size=(3, 12, side)).astype(np.float32)}
            for name, side in (("one", 16), ("two", 20))}}  # fmt: skip
    with pytest.raises(RunError, match=r"3 layers of \[12, (16|20)\] or, on the second axis, 12 layers of \[3, "):
        open_tree(tree)
    with pytest.raises(RunError, match="say which with the layout"):
        Monitor(every=1)(1, tree)
    first = open_tree(tree, layout={"blocks.*": "L*"})
    assert {(stack.layers, stack.shape) for stack in first.stacks} == {
        ((0, 1, 2), (12, 16)),
        ((0, 1, 2), (12, 20)),
    }
    second = open_tree(tree, layout={"blocks.*": "iLo"})
    assert {(len(stack.layers), stack.shape) for stack in second.stacks} == {(12, (3, 16)), (12, (3, 20))}
    with Monitor(every=1, matrices=99, layout={"blocks.*": "L*"}) as watching:
        watching(1, tree)
    assert len(watching.history[0].matrices) == 6


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"blocks.*": "xyz"}, "a letter for each axis"),
        ({"blocks.*": "io"}, r"2 axes, but blocks\.one\.kernel is \(3, 12, 16\)"),
        ({"blocks.*": "LLio"}, "a letter for each axis"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(layout: dict[str, str], message: str) -> None:
    with pytest.raises(RunError, match=message):
        open_tree({"blocks": {"one": {"kernel": np.ones((3, 12, 16), np.float32)}}}, layout=layout)


def test_two_tensors_of_one_name_are_an_error() -> None:
    with pytest.raises(RunError, match=r"two tensors are called a\.b"):
        open_tree({"a": {"b": np.ones((8, 8), np.float32)}, "a.b": np.ones((8, 8), np.float32)})


def test_value_is_a_projection_and_not_a_wrapper() -> None:
    attention = {name: jnp.ones((8, 8)) for name in ("query", "key", "value", "out")}
    opened = open_tree({"layers": {"0": {"attn": attention}}})
    assert {stack.module for stack in opened.stacks} == {f"attn.{x}_proj" for x in "qkvo"}
    boxed = linen.LogicallyPartitioned(jnp.ones((8, 12)), names=("in", "out"))
    assert open_tree({"up": {"kernel": boxed}}).stacks[0].tensors == ("up.kernel",)
