"""FLOPs of a token by our own formula, and the share of a device's peak."""

import pytest

from bench_shadows.config import ModelConfig
from bench_shadows.training.throughput import flops_per_token, model_flops_utilization, peak_flops

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
    rate = 0.4 * 4 * 197e12 / flops_per_token(PAPER, 4096)
    assert model_flops_utilization(rate, PAPER, 4096, "TPU v5 lite", 4) == pytest.approx(0.4)
    assert model_flops_utilization(rate, PAPER, 4096, "cpu", 4) is None
