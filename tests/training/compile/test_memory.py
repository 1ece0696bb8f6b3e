"""What a step keeps, by arithmetic alone; test_topology.py has it beside the compiler."""

import jax
from tiny_run import CONFIG

from bench_shadows.training.compile.topology import state_bytes
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import abstract_state


def test_the_state_takes_twelve_bytes_for_each_weight() -> None:
    state = abstract_state(CONFIG, build_mesh(CONFIG, jax.devices()[:1]))
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    found = state_bytes(state)
    assert found["weights"] == 4 * count
    assert 8 * count < found["optimizer"] < 8 * count + 1024  # besides the moments some numbers
