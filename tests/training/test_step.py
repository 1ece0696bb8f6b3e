"""One compiled step: exact accumulation, the optimizer, the schedules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_run import CONFIG, some_batch, with_train

from bench_shadows.config import Config
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh
from bench_shadows.training.optimizer import build_optimizer, decays, learning_rate
from bench_shadows.training.step import Step, abstract_state, build_step, compute_dtype, initial_state

PAPER = Config()


@functools.cache
def step_of(config: Config) -> Step:
    """The same program for all tests that want it."""
    return build_step(config, build_mesh(CONFIG))


def one_step(config: Config, rate: float = 1e-2) -> tuple:
    mesh = build_mesh(CONFIG)
    batch = place(some_batch(config.train.batch_size), accumulation_steps(config.train, mesh), mesh)
    return step_of(config)(initial_state(config, 0, mesh), batch, np.float32(rate))


def test_eight_micro_batches_give_the_step_of_one() -> None:
    whole, whole_metrics = one_step(with_train(micro_batch_size=8))
    parts, parts_metrics = one_step(with_train(micro_batch_size=1))
    assert accumulation_steps(with_train(micro_batch_size=1).train, build_mesh(CONFIG)) == 8
    for name in whole_metrics:
        np.testing.assert_allclose(parts_metrics[name], whole_metrics[name], rtol=1e-6, err_msg=name)
    # Adam's first direction is the gradient's sign, which rounding may flip near 0: so moments are compared.
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, atol=1e-6), parts.optimizer, whole.optimizer
    )


def test_metrics_are_what_they_say() -> None:
    before = initial_state(CONFIG, 0, build_mesh(CONFIG))
    after, metrics = one_step(CONFIG)
    update = jax.tree.map(jnp.subtract, after.params, before.params)
    np.testing.assert_allclose(metrics["update_norm"], optax.tree.norm(update), rtol=1e-4)
    np.testing.assert_allclose(metrics["param_norm"], optax.tree.norm(after.params), rtol=1e-6)
    assert abs(metrics["loss"] - np.log(CONFIG.model.vocab_size)) < 0.2
    clipped = build_step(with_train(clip_norm=1e-3), build_mesh(CONFIG))
    batch = place(some_batch(8), 1, build_mesh(CONFIG))
    _, again = clipped(before, batch, np.float32(1e-2))
    np.testing.assert_allclose(again["grad_norm"], metrics["grad_norm"], rtol=1e-6)


def test_the_loss_falls_below_the_unigram_entropy() -> None:
    mesh, config = build_mesh(CONFIG), with_train(weight_decay=0.0)
    step, state = build_step(config, mesh), initial_state(config, 0, mesh)
    for number in range(150):
        state, metrics = step(state, place(some_batch(8, seed=number), 1, mesh), np.float32(1e-2))
    assert metrics["loss"] < 0.7 * np.log(CONFIG.model.vocab_size)


def test_a_rate_of_zero_changes_no_weight() -> None:
    before = initial_state(CONFIG, 0, build_mesh(CONFIG)).params
    after, _ = one_step(CONFIG, rate=0.0)
    jax.tree.map(np.testing.assert_array_equal, before, after.params)


def test_only_matrices_decay() -> None:
    params = initial_state(CONFIG, 0, build_mesh(CONFIG)).params
    decaying = {
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, decay in jax.tree_util.tree_leaves_with_path(decays(params))
        if decay
    }
    assert decaying == {
        "embed_tokens.embedding",
        *(f"layers.self_attn.{name}_proj.kernel" for name in "qkvo"),
        *(f"layers.mlp.{name}_proj.kernel" for name in ("gate", "up", "down")),
    }
    optimizer = build_optimizer(CONFIG.train)
    zeros = jax.tree.map(jnp.zeros_like, params)
    directions, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert not directions["norm"]["scale"].any()
    np.testing.assert_allclose(
        directions["embed_tokens"]["embedding"], 0.1 * params["embed_tokens"]["embedding"], rtol=1e-6
    )


@pytest.mark.parametrize(
    "config", [PAPER, CONFIG, with_train(warmup_samples=0)], ids=["paper", "tiny", "no warmup"]
)
def test_schedules_are_optax_s(config: Config) -> None:
    train = config.train
    cosine = optax.warmup_cosine_decay_schedule(
        0.0, train.peak_learning_rate, config.warmup_steps, config.steps, train.min_learning_rate
    )
    # optax's own reads a warmup of no steps as a rate of 0 for good
    held = optax.warmup_constant_schedule(0.0, train.peak_learning_rate, max(1, config.warmup_steps))
    for step in np.unique(np.linspace(1, config.steps, 50).astype(int)).tolist():
        for condition in "ACD":
            # optax computes in float32: near the minimum that is worth a few millionths of the peak
            tolerance = 2e-6 * train.peak_learning_rate
            assert learning_rate(config, condition, step) == pytest.approx(float(cosine(step)), abs=tolerance)
        assert learning_rate(config, "B", step) == pytest.approx(float(held(step)), rel=1e-5)


def test_the_paper_warms_up_for_400_steps_and_ends_at_its_minimum() -> None:
    assert learning_rate(PAPER, "A", 400) == learning_rate(PAPER, "B", 73_242) == 3e-4
    assert learning_rate(PAPER, "A", PAPER.steps) == pytest.approx(3e-5)


def test_initial_weights_are_those_of_the_seed() -> None:
    mesh = build_mesh(CONFIG)
    one, same = initial_state(CONFIG, 3, mesh), initial_state(with_train(samples=80, weight_decay=0.5), 3, mesh)
    jax.tree.map(np.testing.assert_array_equal, one.params, same.params)
    other = initial_state(CONFIG, 4, mesh)
    assert not np.array_equal(one.params["embed_tokens"]["embedding"], other.params["embed_tokens"]["embedding"])


def test_the_abstract_state_is_the_state() -> None:
    mesh = build_mesh(CONFIG)
    state, abstract = initial_state(CONFIG, 0, mesh), abstract_state(CONFIG, mesh)
    assert jax.tree.structure(state) == jax.tree.structure(abstract)
    for leaf, shape in zip(jax.tree.leaves(state), jax.tree.leaves(abstract), strict=True):
        assert (leaf.shape, leaf.dtype, leaf.sharding) == (shape.shape, shape.dtype, shape.sharding)


def test_auto_computes_in_float32_on_a_cpu() -> None:
    cpu = jax.devices("cpu")[0]
    assert compute_dtype("auto", cpu) == jnp.float32
    assert compute_dtype("bfloat16", cpu) == jnp.bfloat16


def test_scanned_and_unrolled_steps_agree() -> None:
    unrolled, scanned = (one_step(with_train(scan_layers=scan, remat="full"))[1] for scan in (False, True))
    for name in unrolled:
        np.testing.assert_allclose(scanned[name], unrolled[name], rtol=1e-5, err_msg=name)
