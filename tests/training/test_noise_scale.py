"""The gradient noise scale, against problems whose noise is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import some_rows, with_train

from bench_shadows.data.rows.loader import Batch
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.noise_scale import noise, weighted_square
from bench_shadows.training.step import build_step, initial_state

STEPS, MICRO_BATCHES, ROWS = 2_000, 8, 4
CURVATURES = jnp.array([1.0, 3.0, 0.5, 2.0])
AT = jnp.array([0.4, -0.2, 0.3, 0.1])
DEVIATIONS = jnp.array([0.5, 1.0, 0.25, 2.0])


def estimates(key: jax.Array, weights_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One step on 1/2 sum(curvature * (x - row)^2) at `AT`; rows are normal around 0 with `DEVIATIONS`."""
    rows_NxMxD = DEVIATIONS * jax.random.normal(key, (MICRO_BATCHES, ROWS, AT.size))
    means = (CURVATURES * (AT - rows_NxMxD)).mean(axis=1)  # one row's noise / ROWS
    # a micro-batch of weight w is as if its rows had been w / ROWS times as many
    means = CURVATURES * AT + (means - CURVATURES * AT) * jnp.sqrt(ROWS / weights_N)[:, None]
    sums = {"x": means * weights_N[:, None]}
    squares = jax.vmap(weighted_square)(sums, weights_N).sum()
    weight = weights_N.sum()
    norm = jnp.linalg.norm(sums["x"].sum(axis=0) / weight)
    return noise(squares, norm, weight, MICRO_BATCHES, MICRO_BATCHES * ROWS)


@pytest.mark.parametrize(
    "weights", [[4.0] * 8, [1.0, 7.0, 2.0, 6.0, 4.0, 4.0, 3.0, 5.0]], ids=["equal", "unequal"]
)
def test_a_quadratic_s_noise_scale_is_found_within_a_tenth(weights: list[float]) -> None:
    keys = jax.random.split(jax.random.key(0), STEPS)
    square, variance = jax.vmap(estimates, in_axes=(0, None))(keys, jnp.array(weights))
    true_square = jnp.sum((CURVATURES * AT) ** 2)
    true_variance = jnp.sum((CURVATURES * DEVIATIONS) ** 2)
    np.testing.assert_allclose(variance.mean(), true_variance, rtol=0.05)
    np.testing.assert_allclose(square.mean(), true_square, rtol=0.1)
    np.testing.assert_allclose(variance.mean() / square.mean(), true_variance / true_square, rtol=0.1)


def test_the_mean_of_single_steps_ratios_would_not_do() -> None:
    """Why numerator and denominator are smoothed apart: the square is below zero by chance."""
    square, _ = jax.vmap(estimates, in_axes=(0, None))(
        jax.random.split(jax.random.key(0), STEPS), jnp.full(8, 4.0)
    )
    assert (square < 0).mean() > 0.1


def test_a_step_s_estimates_are_those_of_its_rows_gradients() -> None:
    """With micro-batches of one row, the variance is the sample variance of the rows' gradients."""
    config = with_train(micro_batch_size=1)
    mesh, rows = build_mesh(config), some_rows(8)
    _, metrics = build_step(config, mesh)(
        initial_state(config, 0, mesh), place(Batch(rows), 8, mesh), np.float32(1e-2)
    )
    # Without momentum, Adam keeps a step's gradient as it was.
    single = with_train(batch_size=1, micro_batch_size=1, beta1=0.0, clip_norm=1e9)
    step = build_step(single, mesh)
    gradients = []
    for row in rows:
        state, alone = step(initial_state(single, 0, mesh), place(Batch(row[None]), 1, mesh), np.float32(0))
        assert "grad_variance" not in alone
        moments = jax.tree.leaves(state.optimizer.inner[1].mu)
        gradients.append(np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in moments]))
    variance = np.var(gradients, axis=0, ddof=1).sum()
    square = (np.mean(gradients, axis=0) ** 2).sum() - variance / len(rows)
    np.testing.assert_allclose(metrics["grad_variance"], variance, rtol=1e-4)
    np.testing.assert_allclose(metrics["grad_square"], square, rtol=1e-4)
