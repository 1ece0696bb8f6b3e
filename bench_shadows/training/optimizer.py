"""AdamW without its schedule, and the schedules of the conditions.

The rate is an input of the compiled step, computed on the host. So all conditions run one and the same program
and even there only the data, or for Condition B only this number, differs.
"""

import math
from typing import Any

import jax
import optax

from bench_shadows.config import Config, TrainConfig


def learning_rate(config: Config, condition: str, step: int) -> float:
    """The rate of the update that makes step `step` of 1 .. config.steps.

    Linear warmup from 0 (step 0, where nothing is updated) to the peak at `warmup_steps`, then a cosine that
    reaches the minimum with the last step (paper, section 4.1). Condition B: the same warmup, then the peak.
    """
    train, warmup = config.train, config.warmup_steps
    if step < warmup:
        return train.peak_learning_rate * step / warmup
    if condition == "B" or step == warmup:
        return train.peak_learning_rate
    share = min(1.0, (step - warmup) / (config.steps - warmup))
    cosine = 0.5 * (1.0 + math.cos(math.pi * share))
    return train.min_learning_rate + (train.peak_learning_rate - train.min_learning_rate) * cosine


def build_optimizer(train: TrainConfig) -> optax.GradientTransformation:
    """Gradients to directions; the step subtracts the rate times the direction.

    Clipping by global norm, Adam with bias correction, then decoupled weight decay (AdamW, arXiv 1711.05101) of
    the matrices only. Our choice: the embedding is a matrix and decays too, as it is the output matrix where the
    two are tied; norms' scales and all biases do not.
    """
    return optax.chain(
        optax.clip_by_global_norm(train.clip_norm),
        optax.scale_by_adam(train.beta1, train.beta2, train.epsilon),
        optax.add_decayed_weights(train.weight_decay, mask=decays),
    )


def decays(params: Any) -> Any:
    """A tree of bool: True at matrices. By name, because the stacked layers' vectors are two-dimensional too."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in ("scale", "bias"), params)
