"""FLOPs of a token, an image and a row by our own formula, and the share of a device's peak."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    ModelConfig,
    TrainConfig,
    VisionConfig,
)
from bench_shadows.kinds.prompts import KIND as PROMPTS
from bench_shadows.model.decoder import Remat, parameters, with_parameters
from bench_shadows.model.network import build_network
from bench_shadows.parameters import count_parameters
from bench_shadows.training.compile.budget import run_budget
from bench_shadows.training.logs.throughput import (
    flops_per_row,
    flops_per_token,
    model_flops_utilization,
    peak_flops,
    recomputed_flops_per_row,
)

PAPER = ModelConfig()


def test_the_paper_s_model_costs_4_76_gflop_a_token_and_5_56_by_the_full_convention() -> None:
    assert flops_per_token(PAPER, 4096) == pytest.approx(4.76e9, abs=5e6)
    assert flops_per_token(PAPER, 4096, causal=False) == pytest.approx(5.56e9, abs=5e6)


def test_without_attention_it_is_six_for_each_weight_of_a_product() -> None:
    model = ModelConfig(
        num_layers=1, hidden_size=4, intermediate_size=8, num_heads=2, num_kv_heads=1, vocab_size=10
    )
    weights = 4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 8 + 4 * 10
    assert flops_per_token(model, 0) == 6 * weights


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v5", 459e12),
        ("TPU v6 lite", 918e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("cpu", None),
        ("Tesla T4", None),
    ],
)
def test_peaks_by_kind_of_device(kind: str, peak: float | None) -> None:
    assert peak_flops(kind) == peak


def test_mfu_is_arithmetic_done_over_arithmetic_possible() -> None:
    rate = 0.4 * 4 * 197e12 / (4096 * flops_per_token(PAPER, 4096))
    assert model_flops_utilization(rate, Config(), "TPU v5 lite", 4) == pytest.approx(0.4)
    assert model_flops_utilization(rate, Config(), "cpu", 4) is None


ROWS, POSITIONS = 2, 16
SMALL = Config(
    data=DataConfig(seq_len=POSITIONS),
    model=ModelConfig(
        num_layers=3, hidden_size=32, intermediate_size=128, num_heads=4, num_kv_heads=2, vocab_size=64
    ),
)
SEEING = dataclasses.replace(
    SMALL,
    conditions=ConditionsConfig(names=PROMPTS.conditions),
    vision=VisionConfig(
        image_size=12, patch_size=4, num_layers=2, hidden_size=16, intermediate_size=48, num_heads=2
    ),
)


def products(jaxpr: Any) -> int:
    """Floating-point operations of all matrix products of a traced program, loops as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * inner
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                if hasattr(part := getattr(part, "jaxpr", part), "eqns"):
                    total += times * products(part)
    return total


def traced(config: Config, scan_layers: bool) -> int:
    """What forward and backward of the layers (without the output matrix) compute under a policy."""
    remat = config.train.remat
    network = nnx.eval_shape(lambda: build_network(config, rngs=nnx.Rngs(0), scan_layers=scan_layers, remat=remat))
    size = config.vision.image_size
    tokens = jax.ShapeDtypeStruct((ROWS, POSITIONS), jnp.int32)
    images = jax.ShapeDtypeStruct((ROWS, size, size, 3), jnp.uint8) if size else None
    gradient = jax.grad(lambda params, *batch: with_parameters(network, params)(*batch).sum())
    return products(jax.make_jaxpr(gradient)(parameters(network), tokens, images).jaxpr)


@pytest.mark.parametrize("scan_layers", [True, False])
@pytest.mark.parametrize("remat", ["full", "attention", "gate", "gate_up", "none"])
@pytest.mark.parametrize("config", [SMALL, SEEING], ids=["text", "images"])
def test_recomputation_is_what_the_policies_repeat(config: Config, remat: Remat, scan_layers: bool) -> None:
    config = dataclasses.replace(config, train=TrainConfig(remat=remat))
    model = config.model
    tokens, head = ROWS * POSITIONS, 6 * model.vocab_size * model.hidden_size
    # The reference attention computes the masked half, too, and keeps no scores under a policy but `none`.
    scores = 2 * model.num_layers * model.hidden_size * POSITIONS * (remat != "none")
    once = flops_per_row(config, causal=False) - POSITIONS * head
    if config.vision.image_size:  # putting patches at their places: a product forward, one back for the patches
        once += 4 * POSITIONS * config.vision.image_tokens * model.hidden_size
    assert traced(config, scan_layers) == ROWS * (once + recomputed_flops_per_row(config)) + tokens * scores


def test_a_budget_counts_every_weight() -> None:
    for config in (SMALL, SEEING):
        network = nnx.eval_shape(lambda config=config: build_network(config, rngs=nnx.Rngs(0)))
        assert count_parameters(config) == sum(leaf.size for leaf in jax.tree.leaves(parameters(network)))
    assert count_parameters(Config()) == pytest.approx(659e6, rel=1e-3)
    rows = SEEING.steps * SEEING.train.batch_size
    assert run_budget(SEEING)["flops"] == rows * flops_per_row(SEEING)
