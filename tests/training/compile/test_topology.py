"""A pod that is not there says whether the step fits it. Needs libtpu (extra: tpu), no TPU."""

import dataclasses
from typing import Any

import pytest
from tiny_run import CONFIG, with_train

from bench_shadows.config import Config
from bench_shadows.errors import ConfigError
from bench_shadows.training.logs.throughput import peak_flops

pytest.importorskip("libtpu")
from bench_shadows.training.compile import topology, topology_text

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def config(**train: object) -> Config:
    """Two layers as wide as the paper's, with rows of 512 tokens."""
    model = dataclasses.replace(
        CONFIG.model,
        num_layers=2,
        hidden_size=1024,
        intermediate_size=4096,
        num_heads=8,
        num_kv_heads=4,
        vocab_size=32_768,
    )
    data = dataclasses.replace(CONFIG.data, seq_len=512)
    fields = {"batch_size": 32, "micro_batch_size": 4, "loss_chunk": 1024} | train
    return dataclasses.replace(
        with_train(compute_dtype="bfloat16", scan_layers=True, **fields), model=model, data=data
    )


def test_a_small_model_fits_and_moves_what_it_must() -> None:
    report = topology.compile_report(config(remat="attention"), "v5e:2x2")
    assert report["fits"], report["problem"]
    assert report["devices"] == 4
    assert report["mesh"] == {"replica": 1, "fsdp": 4, "tensor": 1}
    # 12 bytes of state for each weight, over four devices; what is not sharded is small
    memory, weights = report["memory"], report["run"]["parameters"]
    assert sum(memory["state"].values()) == pytest.approx(12 * weights / 4, rel=0.02)
    # ... beside which the accumulators of the gradients must fit, in float32
    assert sum(memory["state"].values()) + memory["state"]["weights"] <= memory["peak"] < memory["available"]
    lines = "\n".join(topology_text.describe(report))
    assert "fits" in lines
    assert "at the peak" in lines
    only_whats_expected(report)


def only_whats_expected(report: dict[str, Any]) -> None:
    """Weights are gathered and gradients scattered in 16 bits; nothing of the size of an activation moves."""
    large = [one for one in report["collectives"] if one["bytes"] > 1e6]
    moved = {(one["kind"], one["dtype"]): one for one in large}
    layers, turns, fsdp = 2, report["micro_batches"], report["mesh"]["fsdp"]
    layer, embedding = 15 * 1024 * 1024, 32_768 * 1024  # weights of the matrices
    assert set(moved) <= {("all-gather", "bf16"), ("all-gather", "f32"), ("reduce-scatter", "bf16")}
    # Each matrix of a layer for the forward and the backward pass of each micro-batch; the embedding once a step,
    # in the dtype that the compiler likes.
    gathered = sum(one["bytes"] for one in large if one["kind"] == "all-gather")
    assert gathered - 2 * turns * layers * layer * 2 in (embedding * 2, embedding * 4)
    # Each gradient once in a micro-batch, the embedding's as table and as head in one; none is reduced whole.
    gradients = turns * (layers * layer + embedding) * 2
    assert moved["reduce-scatter", "bf16"]["bytes"] == pytest.approx(gradients / fsdp, rel=0.01)


def test_what_does_not_fit_is_said_with_the_compilers_figures() -> None:
    report = topology.compile_report(config(batch_size=4096, micro_batch_size=1024, remat="none"), "v5e:2x2")
    assert not report["fits"]
    assert "does not fit" in topology_text.describe_fit(report)
    assert "of 15.75G" in topology_text.describe_fit(report)
    assert "at the peak" not in "\n".join(topology_text.describe(report))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e-16", r"v5e-16.*v5e:16x16"),
        ("v3:2x2", "no such TPU slice"),
        ("v5e:4x4x4", "2 dimensions and at most 256"),
        ("v5e:32x32", "2 dimensions and at most 256"),
        ("v5e:3x5", "not divisible"),
        ("v4:2x2", "3 dimensions"),
    ],
)
def test_a_slice_that_is_none_is_refused_with_names_that_work(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topology.devices_of(name)


@pytest.mark.parametrize(
    ("name", "kind", "chips"),
    [
        ("v4:2x2x2", "TPU v4", 8),
        ("v5e:4x8", "TPU v5 lite", 32),
        ("v5e:1x1", "TPU v5 lite", 1),
        ("v5p:2x2x2", "TPU v5", 8),
        ("v6e:2x4", "TPU v6 lite", 8),
    ],
)
def test_a_device_is_a_chip(name: str, kind: str, chips: int) -> None:
    devices = topology.devices_of(name)
    assert {device.device_kind for device in devices} == {kind}
    assert len(devices) == chips
    assert peak_flops(kind)


def test_a_batch_that_a_slice_cannot_share_is_refused_with_one_that_it_can() -> None:
    with pytest.raises(ConfigError, match=r"batch_size=16 does not divide over 32 devices; 32 would"):
        topology.compile_report(config(batch_size=16), "v5e:4x8")


def test_spectra_compile_for_the_chip() -> None:
    small = dataclasses.replace(config(), model=CONFIG.model)
    shapes = topology.diagnostics_report(small, "v5e:2x2")
    assert all(program["peak"] > 0 for program in shapes)
