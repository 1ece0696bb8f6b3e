"""What the parts of several hosts do in a lone process, and which variables are refused."""

from pathlib import Path

import numpy as np
import pytest
from tiny_run import CONFIG, some_rows

from bench_shadows.data.rows.loader import Batch
from bench_shadows.errors import ConfigError
from bench_shadows.training.devices import distributed
from bench_shadows.training.devices.distributed import VARIABLES
from bench_shadows.training.devices.feeding import host_rows, place
from bench_shadows.training.devices.sharding import build_mesh


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_lone_process_waits_for_nobody(tmp_path: Path) -> None:
    with distributed.together(), distributed.watched("training", stall_minutes=1e-9):
        assert (distributed.host(), distributed.hosts()) == (0, 1)
        assert distributed.on_first_host("work", lambda: {"made": 1}) == {"made": 1}
        distributed.wait_for_all("all", seconds=0)
        assert not distributed.preemption(1)
        assert [distributed.first_host_says(step, flag) for step, flag in ((1, True), (10, False))] == [
            True,
            False,
        ]
        assert distributed.own_folder(tmp_path) == tmp_path


def test_an_error_in_a_lone_process_passes() -> None:
    with pytest.raises(ZeroDivisionError), distributed.together():
        raise ZeroDivisionError


def test_this_machine_alone_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_NUM_PROCESSES", "1")
    distributed.initialize()
    assert distributed.hosts() == 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (("", "2", "0"), "JAX_NUM_PROCESSES, JAX_PROCESS_ID without JAX_COORDINATOR_ADDRESS"),
        (("host:1", "2", ""), "without JAX_PROCESS_ID: set all three"),
        (("host:1", "2", "2"), "JAX_NUM_PROCESSES=2 and JAX_PROCESS_ID=2: expected N hosts"),
        (("host:1", "two", "0"), "JAX_NUM_PROCESSES=two"),
    ],
)
def test_variables_that_name_no_host_are_refused(
    variables: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, variables, strict=True):
        if value:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        distributed.initialize()


@pytest.mark.parametrize("accumulation", [1, 2, 8])
def test_a_host_with_all_devices_reads_the_batch_in_its_order(accumulation: int) -> None:
    mesh = build_mesh(CONFIG)
    rows = some_rows(8)
    places = host_rows(8, accumulation, mesh)
    assert places.tolist() == list(range(8))
    images = np.arange(8 * 4 * 4 * 3, dtype=np.uint8).reshape(8, 4, 4, 3)
    placed = place(Batch(rows[places], images[places]), accumulation, mesh)
    micro_batches = accumulation, 8 // accumulation
    assert np.array_equal(placed.tokens, rows.reshape(*micro_batches, -1))
    assert np.array_equal(placed.images, images.reshape(*micro_batches, 4, 4, 3))
    assert place(Batch(rows[places]), accumulation, mesh).images is None
