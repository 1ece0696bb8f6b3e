"""The mesh changes where numbers lie, not what they are."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
from tiny_run import CONFIG, some_batch, some_rows, with_train

from bench_shadows.config import ConditionsConfig, VisionConfig
from bench_shadows.data.rows.loader import Batch
from bench_shadows.data.special_tokens import ASSISTANT_ID, IMAGE_ID, USER_ID
from bench_shadows.errors import ConfigError
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh, state_shardings
from bench_shadows.training.step import abstract_state, build_step, initial_state

STEPS = 5
SEEING = dataclasses.replace(
    CONFIG,
    conditions=ConditionsConfig(names=("baseline", "deduplicated")),
    vision=VisionConfig(
        image_size=8, patch_size=4, num_layers=2, hidden_size=16, intermediate_size=32, num_heads=2
    ),
)


def samples(count: int, seed: int) -> Batch:
    """Rows of an image, a prompt and an answer, of several lengths."""
    draw = np.random.default_rng(seed)
    rows = np.maximum(some_rows(count, SEEING, seed), ASSISTANT_ID + 1)
    rows[:, : SEEING.vision.image_tokens], rows[:, SEEING.vision.image_tokens] = IMAGE_ID, USER_ID
    rows[np.arange(count), draw.integers(6, 12, count)] = ASSISTANT_ID
    return Batch(rows, draw.integers(0, 256, (count, 8, 8, 3), np.uint8))


def losses(micro_batch_size: int, sees: bool = False, **layout: int) -> list[float]:
    """A few steps on all devices of this process."""
    config = with_train(SEEING if sees else CONFIG, micro_batch_size=micro_batch_size, **layout)
    mesh = build_mesh(config)
    step, state = build_step(config, mesh), initial_state(config, 0, mesh)
    found = []
    for number in range(STEPS):
        batch = samples(8, number) if sees else some_batch(8, seed=number)
        state, metrics = step(state, place(batch, accumulation_steps(config.train, mesh), mesh), np.float32(1e-2))
        found.append(float(metrics["loss"]))
    return found


def noise_estimates(micro_batch_size: int, **layout: int) -> list[float]:
    """Of one step of 16 rows, on all devices of this process."""
    config = with_train(batch_size=16, samples=12 * 16, micro_batch_size=micro_batch_size, **layout)
    mesh = build_mesh(config)
    batch = place(some_batch(16), accumulation_steps(config.train, mesh), mesh)
    _, metrics = build_step(config, mesh)(initial_state(config, 0, mesh), batch, np.float32(1e-2))
    return [float(metrics[name]) for name in ("grad_square", "grad_variance", "grad_norm")]


LOSSES = "losses(1)", "losses(1, fsdp=8)", "losses(2, fsdp=2, tensor=2)", "losses(4, tensor=8)"
OF_SAMPLES = ("losses(1, True, fsdp=4, tensor=2)",)
ESTIMATES = "noise_estimates(1)", "noise_estimates(2, fsdp=2, tensor=2)"


@pytest.fixture(scope="module")
def on_eight_devices() -> dict[str, list[float]]:
    """What those calls return in a process with eight host devices."""
    here = Path(__file__)
    calls = ", ".join(f"{call!r}: {call}" for call in LOSSES + OF_SAMPLES + ESTIMATES)
    code = (
        f"import json; from {here.stem} import *; assert jax.device_count() == 8; print(json.dumps({{{calls}}}))"
    )
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    flags += " --xla_backend_optimization_level=0"  # five steps of a small model: compiling them is the work
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_give_the_losses_of_one(on_eight_devices: dict[str, list[float]]) -> None:
    expected = losses(8)
    for call in LOSSES:
        np.testing.assert_allclose(on_eight_devices[call], expected, atol=1e-5, err_msg=call)


def test_so_do_rows_of_samples_with_images(on_eight_devices: dict[str, list[float]]) -> None:
    """Two micro-batches, whose answers are of different lengths on every device."""
    for call in OF_SAMPLES:
        np.testing.assert_allclose(on_eight_devices[call], losses(8, True), atol=1e-5, err_msg=call)


def test_a_micro_batch_is_over_all_devices_and_so_is_its_gradient_s_noise(
    on_eight_devices: dict[str, list[float]],
) -> None:
    """Two micro-batches of 8 rows in each layout."""
    expected = noise_estimates(8)
    for call in ESTIMATES:
        np.testing.assert_allclose(on_eight_devices[call], expected, rtol=1e-4, err_msg=call)


def mesh_of(fsdp: int, tensor: int = 1, replica: int = 1) -> AbstractMesh:
    return AbstractMesh((replica, fsdp, tensor), ("replica", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def test_matrices_and_their_moments_are_sharded_alike() -> None:
    state = abstract_state(CONFIG, build_mesh(CONFIG))
    shardings = state_shardings(state, mesh_of(fsdp=4, tensor=2))
    moments = shardings.optimizer.inner[1]
    for tree in (shardings.params, moments.mu, moments.nu):
        assert tree["embed_tokens"]["embedding"].spec == PartitionSpec("tensor", "fsdp")
        assert tree["layers"]["self_attn"]["q_proj"]["kernel"].spec == PartitionSpec(None, "fsdp", "tensor")
        assert tree["layers"]["mlp"]["down_proj"]["kernel"].spec == PartitionSpec(None, "tensor", "fsdp")
        assert tree["norm"]["scale"].spec == PartitionSpec()
    assert moments.count.spec == PartitionSpec()


def test_a_dimension_that_does_not_divide_stays_whole() -> None:
    shardings = state_shardings(abstract_state(CONFIG, build_mesh(CONFIG)), mesh_of(fsdp=3))
    assert shardings.params["layers"]["mlp"]["up_proj"]["kernel"].spec == PartitionSpec(None, None, "tensor")


@pytest.mark.parametrize(("fsdp", "micro", "steps"), [(1, 8, 1), (1, 2, 4), (4, 1, 2), (8, 8, 1), (2, 8, 1)])
def test_a_device_holds_at_most_the_micro_batch(fsdp: int, micro: int, steps: int) -> None:
    assert accumulation_steps(with_train(micro_batch_size=micro).train, mesh_of(fsdp)) == steps


def test_a_batch_that_cannot_be_shared_is_refused_with_what_would_do() -> None:
    with pytest.raises(ConfigError, match=r"batch_size=8 does not divide over 3 devices; 9 would"):
        accumulation_steps(CONFIG.train, mesh_of(fsdp=3))
    with pytest.raises(ConfigError, match=r"share of 12 rows .*one of \[1, 2, 3, 4, 6, 12\] would"):
        accumulation_steps(with_train(batch_size=24, micro_batch_size=8).train, mesh_of(fsdp=2))


def test_devices_that_do_not_make_the_mesh_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not divide"):
        build_mesh(with_train(tensor=2), jax.devices()[:1])


class Chip:
    """A device that `jax.make_mesh` can place; only its number matters."""

    platform, device_kind, process_index = "cpu", "chip", 0

    def __init__(self, number: int) -> None:
        self.id = number


@pytest.mark.parametrize(
    ("devices", "hidden_size", "fields", "shape"),
    [
        (256, 1024, {}, (16, 16, 1)),  # 64 rows of every matrix on each device
        (8, 1024, {}, (1, 8, 1)),
        (8, 128, {}, (4, 2, 1)),
        (6, 128, {}, (3, 2, 1)),
        (8, 32, {}, (8, 1, 1)),
        (8, 1024, {"tensor": 2}, (1, 4, 2)),
        (8, 1024, {"fsdp": 2}, (4, 2, 1)),
    ],
)
def test_weights_are_shared_by_as_many_devices_as_hold_whole_tiles(
    devices: int, hidden_size: int, fields: dict[str, int], shape: tuple[int, ...]
) -> None:
    model = dataclasses.replace(CONFIG.model, hidden_size=hidden_size)
    config = dataclasses.replace(with_train(**fields), model=model)
    mesh = build_mesh(config, [Chip(i) for i in range(devices)])  # type: ignore[misc]
    assert tuple(mesh.shape.values()) == shape
