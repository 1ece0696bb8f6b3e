"""A monitor sees what `diagnose` would see, in a loop that does not wait and may donate its parameters."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics import analyse, monitor
from bench_shadows.diagnostics.change import changes
from bench_shadows.diagnostics.monitor import Look, Monitor, chosen
from bench_shadows.diagnostics.weights.weights import Stack, open_tree

WIDTH, HIDDEN, LAYERS = 24, 40, 3


def tree(seed: int = 0) -> Any:
    """Scanned stacks of three layers, as our decoder has them, beside what is no matrix."""
    rng = np.random.default_rng(seed)

    def kernel(*shape: int) -> dict[str, jax.Array]:
        return {"kernel": jnp.asarray(rng.normal(size=shape) * 0.2, jnp.float32)}

    return {
        "embed_tokens": {"embedding": jnp.ones((50, WIDTH))},
        "layers": {
            "self_attn": {"v_proj": kernel(LAYERS, WIDTH, 16)},
            "mlp": {"up_proj": kernel(LAYERS, WIDTH, HIDDEN)},
            "input_layernorm": {"scale": jnp.ones((LAYERS, WIDTH))},
        },
    }


class NnxLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.up_proj = nnx.Linear(WIDTH, HIDDEN, rngs=rngs)
        self.down_proj = nnx.Linear(HIDDEN, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.down_proj(jnp.tanh(self.up_proj(x)))


class NnxModel(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List([NnxLayer(rngs) for _ in range(LAYERS)])


class LinenModel(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(LAYERS):
            x = x + linen.Dense(WIDTH, name=f"layers_{i}")(x)
        return x


class EquinoxModel(equinox.Module):
    layers: list[equinox.nn.MLP]

    def __init__(self, key: jax.Array):
        self.layers = [equinox.nn.MLP(WIDTH, WIDTH, HIDDEN, 1, key=k) for k in jax.random.split(key, LAYERS)]


def nnx_model() -> NnxModel:
    return NnxModel(nnx.Rngs(0))


TREES = {
    "stacked dicts": tree,
    "NNX module": nnx_model,
    "NNX state": lambda: nnx.state(nnx_model()),
    "NNX pure dict": lambda: nnx.to_pure_dict(nnx.state(nnx_model())),
    "Linen variables": lambda: LinenModel().init(jax.random.key(0), jnp.ones((1, WIDTH))),
    "Equinox module": lambda: EquinoxModel(jax.random.key(0)),
}


def by_matrix(rows: Any) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["tensor"], row["layer"]): row for row in rows}


@pytest.mark.parametrize("make", TREES.values(), ids=TREES.keys())
def test_a_look_at_everything_is_what_diagnose_says(make: Any) -> None:
    params = make()
    with Monitor(every=1, matrices=99) as watching:
        watching(1, params)
    (look,) = watching.history
    expected = by_matrix(analyse.diagnose(open_tree(params), analyse.Identity("x"), "float32"))
    assert by_matrix(look.matrices).keys() == expected.keys()
    assert len(expected) >= LAYERS
    for key, row in by_matrix(look.matrices).items():
        for name in ("component", "module", "rows", "columns", "alpha", "effective_rank", "stable_rank", "status"):
            assert row[name] == expected[key][name], (key, name)
        assert (row["since"], row["relative_change"]) == (None, None)


def test_changes_are_measured_over_the_steps_between_two_looks() -> None:
    before, after = tree(0), tree(1)
    with Monitor(every=10, matrices=99) as watching:
        watching(10, before)
        watching(15, tree(2))
        watching(20, after)
    for row in watching.history[1].matrices:
        part, name = row["module"].split(".")
        arrays = [
            np.asarray(params["layers"][part][name]["kernel"][row["layer"]][None]) for params in (after, before)
        ]
        expected = changes(*arrays)
        assert row["since"] == 10
        assert row["change_variance"] == pytest.approx(float(expected.change_variance[0]), rel=1e-9)
        assert row["relative_change"] == pytest.approx(float(expected.relative_change[0]), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 10_000))
def test_every_matrix_gets_its_turn(size: int, count: int, first: int) -> None:
    stacks = [Stack("decoder", "m", tuple(range(size)), ("m",) * size, (8, 8), "float32")]
    looks = -(-size // count)
    seen = [matrix.layers[0] for turn in range(first, first + looks) for matrix in chosen(stacks, turn, count)]
    assert set(seen) == set(range(size))
    assert all(len(set(chosen(stacks, turn, count))) == min(count, size) for turn in (first, first + 1))


def test_a_few_looks_reach_all_depths_and_modules() -> None:
    modules = [f"m{i}" for i in range(7)]
    stacks = [Stack("decoder", name, tuple(range(32)), (name,) * 32, (8, 8), "float32") for name in modules]
    seen = [matrix for turn in range(7) for matrix in chosen(stacks, turn, 4)]
    assert {matrix.module for matrix in seen} == set(modules)
    depths = sorted(matrix.layers[0] for matrix in seen)
    assert np.diff(depths).max() <= 4


def test_parameters_may_be_donated_and_only_copies_of_single_matrices_stay() -> None:
    step = jax.jit(lambda params: jax.tree.map(lambda x: x * 1.01, params), donate_argnums=0)
    params = jax.tree.map(jnp.copy, tree())
    expected = by_matrix(analyse.diagnose(open_tree(tree()), analyse.Identity("x"), "float32"))
    with Monitor(every=1, matrices=2) as watching:
        for number in range(1, 7):
            watching(number, params)
            shapes = [copy.shape for _, copy in watching._kept.values()]
            assert len(shapes) == 2
            assert set(shapes) <= {(1, WIDTH, 16), (1, WIDTH, HIDDEN)}
            old, params = params, step(params)
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
    assert [look.step for look in watching.history] == [1, 2, 3, 4, 5, 6]
    for look in watching.history:
        for row in look.matrices:
            before = expected[row["tensor"], row["layer"]]
            assert row["effective_rank"] == pytest.approx(before["effective_rank"], rel=1e-4), "scale changes none"
            assert look.step == 1 or row["relative_change"] == pytest.approx(0.01, rel=1e-3)


def test_the_loop_does_not_wait_and_gets_looks_in_order_when_they_are_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready, real, written = threading.Event(), monitor.measure, []

    def slow(work: Any) -> Any:
        assert ready.wait(60)
        return real(work)

    monkeypatch.setattr(monitor, "measure", slow)
    with Monitor(every=1, matrices=2, write=written.append) as watching:
        for number in (1, 2, 3):
            watching(number, tree())
        assert not written
        ready.set()
        watching.flush()
        assert [look.step for look in written] == [1, 2, 3]
    assert written == watching.history


def test_steps_between_looks_and_a_monitor_that_is_off_do_nothing() -> None:
    watching = Monitor(every=20)
    for number in range(1, 20):
        watching(number, None)
    off = Monitor(every=0)
    off(20, None)
    assert not watching.history
    assert not off.history


def test_looks_are_not_missed_where_the_loop_calls_seldom() -> None:
    with Monitor(every=20, matrices=1) as watching:
        for number in range(7, 100, 7):
            watching(number, tree())
    assert [look.step for look in watching.history] == [21, 42, 63, 84]


def test_weights_that_are_not_finite_are_missing_with_a_reason() -> None:
    params = tree()
    params["layers"]["mlp"]["up_proj"]["kernel"] = (
        params["layers"]["mlp"]["up_proj"]["kernel"].at[1, 2, 3].set(jnp.nan)
    )
    with Monitor(every=1, matrices=99) as watching:
        watching(1, tree())
        watching(2, params)
    rows = by_matrix(watching.history[1].matrices)
    broken = rows["layers.mlp.up_proj.kernel", 1]
    assert broken["status"] == "not finite"
    assert {broken[name] for name in (*monitor.SPECTRAL, *monitor.CHANGES)} == {None}
    assert rows["layers.mlp.up_proj.kernel", 0]["status"] == "ok"
    json.dumps(watching.history[1].as_json(), allow_nan=False)
    assert not any(name.endswith("up_proj.1") for name in watching.history[1].scalars())


def test_a_look_that_fails_says_why_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError("out of\n memory")

    monkeypatch.setattr(analyse, "diagnose", fail)
    with Monitor(every=1, matrices=2) as watching:
        watching(1, tree())
    assert [row["status"] for row in watching.history[0].matrices] == ["failed: out of memory"] * 2


def test_a_tree_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="no matrix"):
        Monitor(every=1)(1, {"scale": jnp.ones(4)})


def test_a_writer_gets_plain_scalars() -> None:
    with Monitor(every=1, matrices=99) as watching:
        watching(1, tree(0))
        watching(2, tree(1))
    scalars = watching.history[1].scalars()
    row = by_matrix(watching.history[1].matrices)["layers.self_attn.v_proj.kernel", 2]
    assert scalars["monitor/alpha/self_attn.v_proj.2"] == row["alpha"]
    assert scalars["monitor/relative_change/self_attn.v_proj.2"] == row["relative_change"]
    assert all(isinstance(value, float | int) for value in scalars.values())


def test_a_look_knows_what_all_matrices_seen_so_far_come_to() -> None:
    with Monitor(every=1, matrices=2) as watching:
        for number in range(1, 6):
            watching(number, tree(number))
    seen = {}
    for look in watching.history:
        seen |= by_matrix(look.matrices)
        alphas = [row["alpha"] for row in seen.values()]
        assert look.aggregates is not None
        assert look.aggregates.matrices == len(seen)
        assert look.scalars()["monitor/share_in_range"] == np.mean([2 <= alpha <= 6 for alpha in alphas])
        assert look.aggregates.worst_alpha in alphas


def test_a_run_that_goes_on_sees_what_an_undisturbed_one_sees() -> None:
    def run(watching: Monitor, first: int, last: int) -> list[Look]:
        with watching:
            for number in range(first, last + 1):
                watching(number, tree(number))
        return watching.history

    undisturbed = run(Monitor(every=4, matrices=2), 0, 20)
    for stop in (8, 10):  # on a look's step, and between two
        kept = [
            Look.from_json(json.loads(json.dumps(look.as_json()))) for look in undisturbed if look.step <= stop
        ]
        again = run(Monitor(every=4, matrices=2, history=kept), stop, 20)
        assert [look.step for look in again] == [look.step for look in undisturbed]
        for one, two in zip(again, undisturbed, strict=True):
            if stop == 10 and one.step == 12:  # its earlier copies went with the process
                assert {row["since"] for row in one.matrices} == {None}
                assert [row["alpha"] for row in one.matrices] == [row["alpha"] for row in two.matrices]
            else:
                assert one == two


def looks_on_a_mesh(kind: jax.sharding.AxisType) -> list[dict[str, Any]]:
    """Two looks at parameters that are sharded over eight devices."""
    mesh = jax.make_mesh((4, 2), ("fsdp", "tensor"), axis_types=(kind, kind))

    def shard(leaf: jax.Array) -> jax.Array:
        spec = jax.P(None, "fsdp", "tensor") if leaf.ndim == 3 else jax.P()
        return jax.device_put(leaf, jax.NamedSharding(mesh, spec))

    with Monitor(every=1, matrices=4) as watching:
        for number in (1, 2):
            watching(number, jax.tree.map(shard, tree(number)))
    return [look.as_json() for look in watching.history]


def test_sharded_parameters_give_the_values_of_whole_ones() -> None:
    here = Path(__file__)
    kinds = "jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit"
    code = f"import json; from {here.stem} import *; print(json.dumps([*map(looks_on_a_mesh, ({kinds}))]))"
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Monitor(every=1, matrices=4) as watching:
        for number in (1, 2):
            watching(number, tree(number))
    for sharded in json.loads(done.stdout.splitlines()[-1]):
        assert [Look.from_json(value) for value in sharded] == watching.history


def test_scalars_of_a_decoder_and_an_image_encoder_have_names_of_their_own() -> None:
    with Monitor(every=1, matrices=99) as watching:
        watching(1, tree() | {"vision": tree()})
    assert {name for name in watching.history[0].scalars() if "alpha" in name and "v_proj.2" in name} == {
        "monitor/alpha/self_attn.v_proj.2",
        "monitor/alpha/vision.self_attn.v_proj.2",
    }
