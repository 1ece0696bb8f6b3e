"""Checkpoints in a bucket, by the real clients against a server on this machine: the same rules as in a folder."""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gcs_server import BUCKET, environment, serving
from tiny_run import CONFIG
from tiny_study import start, write_config

from bench_shadows.errors import RunError
from bench_shadows.training.checkpoints.checkpoints import (
    Checkpoints,
    find_fault,
    restore_params,
    saved_steps,
    sound_digest,
)
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import State, abstract_state, initial_state

pytestmark = pytest.mark.peers

MADE_FROM = {"condition": "A", "train.peak_learning_rate": 0.01}
KEEP = (10, 20)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a running server; set in this process, too."""
    with serving(tmp_path_factory.mktemp("server") / "log") as variables, environment(variables):
        pytest.importorskip("gcsfs")
        yield variables


@pytest.fixture
def folder(bucket: dict[str, str], request: pytest.FixtureRequest) -> str:
    return f"gs://{BUCKET}/{request.node.name}/A-seed0"


@pytest.fixture(scope="module")
def state() -> State:
    return initial_state(CONFIG, 0, build_mesh(CONFIG))


def marked(state: State, step: int) -> State:
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(step, leaf.dtype), state)


def write(folder: str, state: State, *steps: int) -> None:
    with Checkpoints(folder, MADE_FROM, KEEP) as checkpoints:
        for step in steps:
            checkpoints.save(step, marked(state, step), tokens=0)


def resume(folder: str) -> int:
    with Checkpoints(folder, MADE_FROM, KEEP) as checkpoints:
        return checkpoints.resume_step()


def largest(folder: str) -> str:
    import gcsfs

    found = gcsfs.GCSFileSystem().find(folder, detail=True)
    return max(found, key=lambda name: found[name]["size"])


def test_a_state_comes_back_bit_for_bit(folder: str, state: State) -> None:
    write(folder, state, 0, 10)
    with Checkpoints(folder, MADE_FROM, KEEP) as checkpoints:
        assert checkpoints.resume_step() == 10
        restored = checkpoints.restore(10, abstract_state(CONFIG, build_mesh(CONFIG)))
    jax.tree.map(np.testing.assert_array_equal, restored, marked(state, 10))
    jax.tree.map(np.testing.assert_array_equal, restore_params(folder, 10), marked(state, 10).params)
    assert len(sound_digest(folder, 10)) == 64


def test_the_same_ones_stay_as_in_a_folder(folder: str, state: State) -> None:
    write(folder, state, 0, 5, 10, 12, 14, 16, 20)
    assert saved_steps(folder) == [0, 10, 14, 16, 20]


def test_a_flipped_byte_is_found_and_the_checkpoint_before_is_used(folder: str, state: State) -> None:
    import gcsfs

    write(folder, state, 0, 10, 15)
    system, damaged = gcsfs.GCSFileSystem(), largest(f"{folder}/15")
    content = bytearray(system.cat_file(damaged))
    content[len(content) // 2] ^= 1
    system.pipe_file(damaged, bytes(content))
    assert f"gs://{damaged} is not what was written" in str(find_fault(f"{folder}/15"))
    assert resume(folder) == 10
    assert saved_steps(folder) == [0, 10]


def test_one_that_a_kill_left_half_written_is_not_used(folder: str, state: State) -> None:
    import gcsfs

    write(folder, state, 0, 10, 15)
    gcsfs.GCSFileSystem().rm(f"{folder}/15/digests.json")  # the last that is written
    assert "its writing was cut off" in str(find_fault(f"{folder}/15"))
    assert resume(folder) == 10


def test_another_config_is_refused(folder: str, state: State) -> None:
    write(folder, state, 10)
    with (
        Checkpoints(folder, MADE_FROM | {"condition": "B"}, KEEP) as checkpoints,
        pytest.raises(RunError, match="condition is 'A' there and 'B' now"),
    ):
        checkpoints.resume_step()


def run(words: list[str], bucket: dict[str, str]) -> tuple[int, str]:
    process = start(*words, **bucket)
    output, _ = process.communicate(timeout=800)
    return process.returncode, output


@pytest.mark.timeout(1800)
def test_a_study_whose_checkpoints_are_in_a_bucket(bucket: dict[str, str], tmp_path: Path) -> None:
    words = ["study", f"--config={write_config(tmp_path)}", f"--out={tmp_path / 'run'}"]
    words += ["--config.conditions.names=A", f"--config.train.checkpoints=gs://{BUCKET}/study"]
    code, output = run(words, bucket)
    assert code == 0, output
    assert saved_steps(f"gs://{BUCKET}/study/run/A-seed0") == [0, 2, 20, 40, 60, 72]
    assert not (tmp_path / "run" / "runs" / "A-seed0" / "checkpoints").exists()
    code, output = run(words, bucket)
    assert code == 0, output
    assert output.count("nothing has changed") == 5, output
