"""Spikes are what the rule says, and a skipped step leaves no trace in weights and moments."""

from collections.abc import Iterable

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from tiny_run import CONFIG, some_batch, with_train

from bench_shadows.config import Config
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.spikes import DEVIATIONS, FLOOR, WINDOW, Watched, loss_bound, watch
from bench_shadows.training.step import State, build_step, initial_state

SKIP = with_train(on_spike="skip", samples=2000 * 8)
"""The phase shift comes after 1,000 steps."""


def after(losses: Iterable[float], config: Config = SKIP, grad_norm: float = 1.0) -> Watched:
    """The optimizer's state after these losses."""
    optimizer = watch(optax.identity(), config)
    state = optimizer.init({})
    update = jax.jit(lambda state, loss, norm: optimizer.update({}, state, {}, loss=loss, grad_norm=norm)[1])
    for loss in losses:
        state = update(state, np.float32(loss), np.float32(grad_norm))
    return state


def falling(steps: int, seed: int = 0) -> np.ndarray:
    """Losses of an ordinary run."""
    noise = np.random.default_rng(seed).normal(0, 0.05, steps)
    return 3 + 4 * np.exp(-np.arange(steps) / 60) + noise


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=WINDOW), st.randoms(use_true_random=False))
def test_the_bound_is_the_rule_in_any_order_of_the_window(values: list[float], random: object) -> None:
    window = np.full(WINDOW, np.nan, np.float32)
    window[: len(values)] = values
    random.shuffle(window)  # type: ignore[attr-defined]
    bound = float(loss_bound(jnp.asarray(window)))
    if 2 * len(values) < WINDOW:
        assert bound == np.inf
        return
    median = np.nanmedian(window)
    deviation = max(1.4826 * np.nanmedian(np.abs(window - median)), FLOOR * median)
    assert bound == pytest.approx(median + DEVIATIONS * deviation, rel=1e-5)


def test_an_ordinary_run_has_no_spike_and_a_jump_is_one() -> None:
    losses = falling(500)
    assert after(losses).spikes == 0
    losses[300] += 1.5
    state = after(losses)
    assert (state.spikes, state.in_row, state.step) == (1, 0, 500)


def test_early_losses_may_jump_but_must_be_finite() -> None:
    assert after([5.0, 50.0, 5.0]).spikes == 0
    assert after([5.0, np.nan, np.inf, -np.inf]).spikes == 3
    assert after([5.0] * 3, grad_norm=np.nan).in_row == 3


def test_spikes_do_not_move_the_bound_that_found_them() -> None:
    calm = after(falling(200))
    wild = after([*falling(200), *[30.0, np.nan] * 20])
    assert wild.in_row == 40
    np.testing.assert_array_equal(wild.losses, calm.losses)
    assert wild.bound == calm.bound


def test_the_loss_may_jump_with_the_data_at_the_phase_shift() -> None:
    shift = SKIP.phase_steps
    losses = np.full(shift + 200, 2.0)
    losses[shift:] = 3.0
    assert after(losses).spikes == 0
    losses[shift - 1] = 3.0
    assert after(losses).spikes == 1, "the step before the shift is held against the first phase"


def of_step(config: Config, state: State) -> tuple[State, dict[str, jax.Array]]:
    mesh = build_mesh(config)
    return build_step(config, mesh)(state, place(some_batch(8), 1, mesh), np.float32(1e-2))


def copied(tree: object) -> object:
    return jax.tree.map(lambda leaf: np.array(leaf), tree)


@pytest.mark.parametrize("kind", ["a loss above the bound", "a weight that is not finite"])
def test_a_skipped_step_leaves_weights_and_moments_bitwise(kind: str) -> None:
    state, _ = of_step(SKIP, initial_state(SKIP, 0, build_mesh(SKIP)))
    if kind == "a loss above the bound":
        state = state._replace(optimizer=state.optimizer._replace(bound=jnp.float32(1.0)))
    else:
        scale = state.params["norm"]["scale"].at[0].set(np.nan)
        state = state._replace(params=state.params | {"norm": {"scale": scale}})
    before = copied(state)
    state, metrics = of_step(SKIP, state)
    jax.tree.map(np.testing.assert_array_equal, copied(state.params), before.params)
    jax.tree.map(np.testing.assert_array_equal, copied(state.optimizer.inner), before.optimizer.inner)
    assert (metrics["spikes"], metrics["spikes_in_row"], metrics["update_norm"]) == (1, 1, 0)
    assert state.optimizer.step == 2


def test_without_spikes_stop_and_skip_give_the_same_bits() -> None:
    states = []
    for config in (CONFIG, with_train(on_spike="skip")):
        mesh = build_mesh(config)
        step, state = build_step(config, mesh), initial_state(config, 0, mesh)
        for number in range(8):
            state, _ = step(state, place(some_batch(8, seed=number), 1, mesh), np.float32(1e-2))
        states.append(copied(state))
    jax.tree.map(np.testing.assert_array_equal, *states)
