"""Flags reach XLA where their platform is, and no flag that XLA would die of."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench_shadows.training.compile import xla_flags
from bench_shadows.training.compile.xla_flags import GPU, known_names, set_flags

TPU_DEFAULTS = {
    "xla_tpu_enable_latency_hiding_scheduler": "true",
    "xla_tpu_enable_async_collective_fusion": "true",
    "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
    "xla_tpu_overlap_compute_collective_tc": "true",
    "xla_tpu_enable_data_parallel_all_reduce_opt": "true",
    "xla_tpu_enable_windowed_einsum_for_all_gather": "true",
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "AUTO",
    "xla_enable_async_all_gather": "AUTO",
    "xla_enable_async_collective_permute": "AUTO",
}
"""What MaxText's benchmarks/xla_flags_library.py sets for TPUs, and libtpu has by now."""
STARTS = "import jax; jax.numpy.zeros(3).block_until_ready()"


def start(flags: str) -> int:
    """The exit code of a process that uses JAX with these flags."""
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.run([sys.executable, "-c", STARTS], env=environment, capture_output=True).returncode


def test_xla_takes_every_flag_of_ours_and_dies_of_an_unknown_one() -> None:
    assert start(" ".join(f"--{name}={value}" for name, value in GPU.items())) == 0
    assert start("--xla_gpu_no_such_flag=true") != 0


def test_flags_that_jaxlib_does_not_know_are_found() -> None:
    names = list(GPU)
    assert known_names([*names, "xla_gpu_no_such_flag", "xla_gpu_enable_latency"], "jaxlib") == set(names)
    assert known_names(names, "no_such_package") == set()


def test_a_machine_without_a_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_flags, "_has_gpu", lambda: False)
    environment = {"XLA_FLAGS": "--xla_dump_to=x"}
    set_flags(environment)
    assert environment == {"XLA_FLAGS": "--xla_dump_to=x"}


def test_the_users_values_win_flag_by_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_flags, "_has_gpu", lambda: True)
    mine, *others = GPU
    environment = {"XLA_FLAGS": f"--{mine}=false --xla_dump_to=x", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5"}
    set_flags(environment)
    words = environment["XLA_FLAGS"].split()
    assert words == [
        *(f"--{name}={GPU[name]}" for name in others),
        f"--{mine}=false",
        "--xla_dump_to=x",
    ]
    assert environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.5"


def test_a_gpu_that_is_not_to_be_used_gets_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_flags, "_has_gpu", lambda: True)
    environment = {"JAX_PLATFORMS": "cpu"}
    set_flags(environment)
    assert environment == {"JAX_PLATFORMS": "cpu"}


def test_a_flag_that_this_xla_does_not_know_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(xla_flags, "_has_gpu", lambda: True)
    monkeypatch.setattr(xla_flags, "GPU", {"xla_gpu_no_such_flag": "true", **GPU})
    environment: dict[str, str] = {}
    set_flags(environment)
    assert "no_such_flag" not in environment["XLA_FLAGS"]
    output = capsys.readouterr()
    assert "does not know xla_gpu_no_such_flag" in output.out + output.err


@pytest.mark.peers
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu (extra: tpu)")
def test_what_is_left_out_for_tpus_is_libtpus_default(tmp_path: Path) -> None:
    import jax

    from bench_shadows.training.compile.topology import devices_of

    sharding = jax.sharding.SingleDeviceSharding(devices_of("v5e:2x2")[0])
    program = jax.jit(lambda x: x @ x, in_shardings=sharding, out_shardings=sharding)
    lowered = program.lower(jax.ShapeDtypeStruct((128, 128), "float32"))
    lowered.compile(compiler_options={"xla_dump_to": str(tmp_path)})
    (settings,) = tmp_path.glob("*tpu_comp_env.txt")
    found = dict(line.split(": ", 1) for line in settings.read_text().splitlines() if ": " in line)
    assert {name: found[name] for name in TPU_DEFAULTS} == TPU_DEFAULTS
