"""A program's text says what travels between devices, and how often."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench_shadows.training.hlo import Collective, collectives

LOOP = """HloModule step

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
        Collective("all-gather", "f32", count=5, bytes=5 * 8 * 4 * 4),
        Collective("reduce-scatter", "bf16", count=5, bytes=5 * 2 * 4 * 2),
        Collective("all-reduce", "f32", count=1, bytes=4),
    ]


STEP = """
import dataclasses, json, jax, jax.numpy as jnp, numpy as np
from tiny_run import CONFIG, with_train
from bench_shadows.training.hlo import collectives
from bench_shadows.training.sharding import accumulation_steps, build_mesh
from bench_shadows.training.step import abstract_state, build_step
config = with_train(micro_batch_size=1, fsdp=4, scan_layers=True)
mesh = build_mesh(config)
count = accumulation_steps(config.train, mesh)
tokens = jax.ShapeDtypeStruct((count, config.train.batch_size // count, config.data.seq_len), jnp.int32)
text = build_step(config, mesh).lower(abstract_state(config, mesh), tokens, np.float32(0)).compile().as_text()
print(json.dumps([config.model.num_layers * count, [dataclasses.astuple(one) for one in collectives(text)]]))
"""


def test_the_step_gathers_weights_and_reduces_gradients_and_moves_nothing_else() -> None:
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    layers, found = json.loads(done.stdout.splitlines()[-1])
    moved = {kind: (count, size) for kind, dtype, count, size in found if dtype == "f32"}
    # An activation that followed the weights would show as an all-to-all, a permutation or more gathers.
    assert set(moved) <= {"all-gather", "all-reduce", "reduce-scatter"}
    matrices = 7
    assert moved["all-gather"][0] <= 2 * matrices * layers + 4  # forward and backward; the embedding, the head
