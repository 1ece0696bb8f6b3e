"""A program's text says what travels between devices, and how often."""

import json
import os
import subprocess
import sys

import pytest

from bench_shadows.training.compile.hlo import Collective, collectives

LOOP = """HloModule step, num_partitions=8

%fused (p: f32[8,4]) -> f32[8,4] {
  %p = f32[8,4]{1,0} parameter(0)
  ROOT %inner = f32[8,4]{1,0} all-gather(%p), channel_id=7, dimensions={0}
}

%all-reduce-scatter.1 (q: bf16[16,4]) -> bf16[2,4] {
  %q = bf16[16,4]{1,0} parameter(0)
  %whole = bf16[16,4]{1,0} all-reduce(%q), channel_id=1, to_apply=%add
  ROOT %part = bf16[2,4]{1,0} dynamic-slice(%whole, %c), dynamic_slice_sizes={2,4}
}

%condition (s: (s32[], f32[8,4])) -> pred[] {
  %limit = s32[] constant(5)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

%body (s: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %start = (f32[1,4]{1,0}, f32[8,4]{1,0}) all-gather-start(%x), channel_id=7, dimensions={0}
  %middle = f32[8,4]{1,0} fusion(%start), kind=kLoop, calls=%fused
  %scatter = bf16[2,4]{1,0} fusion(%y), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %out = (s32[], f32[8,4]) tuple(%i, %middle)
}

ENTRY %main (a: f32[8,4]) -> f32[] {
  %loop = (s32[], f32[8,4]) while(%init), condition=%condition, body=%body
  ROOT %norm = f32[] all-reduce(%square), channel_id=1, to_apply=%add
}
"""


def test_loops_count_as_often_as_they_run_and_a_split_collective_once() -> None:
    assert collectives(LOOP) == [
        Collective("all-gather", "f32", count=5, bytes=5 * 8 * 4 * 4, sent=5 * 8 * 4 * 4 * 7 // 8),
        Collective("reduce-scatter", "bf16", count=5, bytes=5 * 2 * 4 * 2, sent=5 * 2 * 4 * 2 * 7),
        Collective("all-reduce", "f32", count=1, bytes=4, sent=2 * 4 * 7 // 8),
    ]


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("replica_groups={{0,1},{2,3}}", 2),
        ("replica_groups=[2,4]<=[4,2]T(1,0)", 4),
        ("replica_groups=mesh['x'=16,'y'=1,'z'=16], device_ids=([16,16]T(1,0)) {'x'}, dimensions={1}", 16),
        ("replica_groups=mesh['x'=8,'y'=2] {'x':(2)4,'y'}", 8),
        ("replica_groups={}", 32),
    ],
)
@pytest.mark.parametrize(
    ("kind", "times_the_result"),
    [("all-gather", (1, 0)), ("all-reduce", (2, 0)), ("reduce-scatter", (1, 1)), ("all-to-all", (1, 0))],
)
def test_a_ring_sends_all_but_ones_own_part(
    groups: str, size: int, kind: str, times_the_result: tuple[int, int]
) -> None:
    line = f"  %c = f32[320] {kind}(%p), {groups}"
    text = f"HloModule m, num_partitions=32\n\nENTRY %e (p: f32[320]) -> f32[320] {{\n{line}\n}}\n"
    (found,) = collectives(text)
    passes, is_a_part = times_the_result
    assert found.sent == passes * (size - 1) * 320 * 4 // (1 if is_a_part else size)


STEP = """
import dataclasses, json, sys, jax, jax.numpy as jnp, numpy as np
from tiny_run import CONFIG, with_train
from bench_shadows.training.compile.hlo import collectives
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import abstract_batch, abstract_state, build_step
config = with_train(batch_size=16, samples=192, warmup_samples=32, micro_batch_size=1, fsdp=4, scan_layers=True,
                    remat="full", loss_chunk=16)
model = dataclasses.replace(config.model, num_layers=3, hidden_size=128, intermediate_size=512, vocab_size=1000)
config = dataclasses.replace(config, model=model, data=dataclasses.replace(config.data, seq_len=32))
mesh = build_mesh(config)
assert tuple(mesh.shape.values()) == (2, 4, 1)
state, batch = abstract_state(config, mesh), abstract_batch(config, mesh)
text = build_step(config, mesh).lower(state, batch, np.float32(0)).compile().as_text()
print(json.dumps({
    "micro_batches": batch.tokens.shape[0],
    "layers": sum(4 * leaf.size for leaf in jax.tree.leaves(state.params["layers"]) if leaf.ndim == 3),
    "embedding": 4 * state.params["embed_tokens"]["embedding"].size,
    "collectives": [dataclasses.astuple(one) for one in collectives(text)],
}))
"""
"""3 layers of the paper's proportions on 2 x 4 devices, two micro-batches, two chunks of the loss in each."""


def test_the_step_gathers_weights_and_reduces_gradients_and_moves_nothing_else() -> None:
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    flags += " --xla_backend_optimization_level=0"  # of the code that is not run
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    moved = {(kind, dtype): (count, size) for kind, dtype, count, size, _ in found["collectives"]}
    # An activation that left its device would show as another kind, or as one more gather.
    assert set(moved) == {("all-gather", "f32"), ("reduce-scatter", "f32"), ("all-reduce", "f32")}
    turns, matrices, fsdp = found["micro_batches"], 7, 4
    layers, embedding = found["layers"], found["embedding"]
    # Every matrix of every layer twice for a micro-batch (forward and backward), the embedding once for the step.
    assert moved["all-gather", "f32"] == (turns * 2 * 3 * matrices + 1, turns * 2 * layers + embedding)
    # Every gradient once for a micro-batch, the embedding's as table and as head in one; what a device keeps of
    # them is summed over the replicas. Vectors and numbers are the rest.
    kept = turns * (layers + embedding) // fsdp
    assert moved["reduce-scatter", "f32"] == (turns * (3 * matrices + 1), kept)
    assert kept <= moved["all-reduce", "f32"][1] <= 1.01 * kept
