"""What lives at the peak, read from XLA's reports and told apart by shape."""

from pathlib import Path

import jax
from jax.sharding import NamedSharding
from tiny_run import CONFIG, with_train

from bench_shadows.training.compile.memory import PARTS, Buffer, by_part, live_at_peak, state_bytes
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import State, abstract_state

RANGES = """HloLiveRange (max 9):
  Live ranges at 3 (peak):
    fusion.7{}: 100 bytes (cumulative: 100 bytes)
    while.1{2}: 64 bytes (cumulative: 164 bytes)
    param.3{}: 40 bytes (cumulative: 204 bytes)
    tuple.9{}: 16 bytes (cumulative: 220 bytes)
  Stack trace breakdown for peak usage: 220 bytes
"""
ASSIGNMENT = """BufferAssignment:
allocation 0: size 40, parameter 5, shape |f32[10]| at ShapeIndex {}, maybe-live-out:
 value: <8 param.3 @0> (size=40,offset=0): f32[10]{0:T(8,128)}
allocation 1: size 512, preallocated-temp:
 value: <9 fusion.7{} @0> (size=128,offset=0): bf16[2,5,10]{1,0:T(8,128)(2,1)}
 value: <12 while.1{2} (phi) @0> (size=64,offset=128): f32[4,4]{1,0:T(8,128)}
 value: <13 gone @0> (size=64,offset=128): f32[4,4]{1,0:T(8,128)}
"""


def test_buffers_of_the_peak_have_the_size_that_was_assigned(tmp_path: Path) -> None:
    (tmp_path / "m.after_optimizations-live-range.txt").write_text(RANGES)
    (tmp_path / "m.after_optimizations-buffer-assignment.txt").write_text(ASSIGNMENT)
    assert live_at_peak(tmp_path) == [
        Buffer("bf16", (2, 5, 10), 128, None),
        Buffer("f32", (4, 4), 64, None),
        Buffer("f32", (10,), 40, 5),
        Buffer("", (), 16, None),
    ]


def test_without_reports_nothing_is_claimed(tmp_path: Path) -> None:
    assert live_at_peak(tmp_path) == []


def on_one_device(state: State) -> State:
    """The shapes of a run's state with the shardings of a mesh of one."""
    mesh = build_mesh(CONFIG, jax.devices()[:1])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, leaf.sharding.spec)
        ),
        state,
    )


def test_every_byte_belongs_to_one_part() -> None:
    config = with_train(micro_batch_size=4)  # 2 layers of 16 and 32, vocabulary 64, rows of 16 tokens
    state = on_one_device(abstract_state(config, build_mesh(config, jax.devices()[:1])))
    weights, moments = len(jax.tree.leaves(state.params)), len(jax.tree.leaves(state.optimizer))
    buffers = [
        Buffer("f32", (64, 16), 1, 0),
        Buffer("f32", (64, 16), 10, weights),
        Buffer("f32", (64, 16), 100, None),  # the embedding's gradient
        Buffer("f32", (2, 32, 16), 200, None),  # an accumulator
        Buffer("bf16", (16, 64), 1_000, None),  # the head
        Buffer("bf16", (2, 4, 16, 16), 10_000, None),
        Buffer("f32", (32, 64), 100_000, None),
        Buffer("s32", (1, 8, 16), 1_000_000, weights + moments),  # the batch
        Buffer("", (), 2_000_000, None),
    ]
    assert by_part(buffers, state, config) == {
        "weights": 1,
        "optimizer": 10,
        "gradients": 300,
        "sixteen_bit": 1_000,
        "activations": 10_000,
        "logits": 100_000,
        "other": 3_000_000,
    }
    assert set(PARTS) == set(by_part([], state, config))


def test_the_state_takes_twelve_bytes_for_each_weight() -> None:
    state = abstract_state(CONFIG, build_mesh(CONFIG, jax.devices()[:1]))
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    found = state_bytes(state)
    assert found["weights"] == 4 * count
    assert 8 * count < found["optimizer"] < 8 * count + 1024  # besides the moments some numbers
