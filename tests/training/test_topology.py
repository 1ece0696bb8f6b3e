"""A pod that is not there says whether the step fits it. Needs libtpu (extra: tpu), no TPU."""

import dataclasses

import pytest
from tiny_run import CONFIG, with_train

from bench_shadows.config import Config
from bench_shadows.errors import ConfigError

pytest.importorskip("libtpu")
from bench_shadows.training import topology

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
    fields = {"batch_size": 16, "micro_batch_size": 2, "compute_dtype": "bfloat16", "scan_layers": True} | train
    return dataclasses.replace(with_train(**fields), model=model, data=data)


def test_a_small_model_fits_and_moves_what_it_must() -> None:
    report = topology.compile_report(config(remat="attention"), "v5e:2x2")
    assert report["fits"], report["problem"]
    assert report["devices"] == 4
    assert report["mesh"] == {"replica": 1, "fsdp": 4, "tensor": 1}
    # 12 bytes of state for each weight, over four devices; what is not sharded is small
    weights = report["run"]["parameters"] * 12 / 4
    assert report["memory"]["arguments"] == pytest.approx(weights, rel=0.02)
    assert report["memory"]["peak"] < report["memory"]["available"]
    kinds = {(moved["kind"], moved["dtype"]) for moved in report["collectives"]}
    assert ("all-gather", "bf16") in kinds, "weights are cast before they travel"
    assert not any(kind == "all-to-all" for kind, _ in kinds)
    assert "fits" in "\n".join(topology.describe(report))


def test_what_does_not_fit_is_said_with_the_compilers_figures() -> None:
    report = topology.compile_report(config(batch_size=4096, micro_batch_size=1024, remat="none"), "v5e:2x2")
    assert not report["fits"]
    assert "does not fit" in topology.describe_fit(report)
    assert "of 15.75G" in topology.describe_fit(report)


def test_an_unknown_topology_is_refused_with_names_that_work() -> None:
    with pytest.raises(ConfigError, match=r"v5e-16.*v5e:16x16"):
        topology.devices_of("v5e-16")


def test_spectra_compile_for_the_chip() -> None:
    small = dataclasses.replace(config(), model=CONFIG.model)
    shapes = topology.diagnostics_report(small, "v5e:2x2")
    assert all(program["peak"] > 0 for program in shapes)
