"""A checkpoint is believed when every file is as it was written; anything else is named, left out and replaced."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import CONFIG, files_no_larger_than

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

MADE_FROM = {"condition": "A", "seed": 0, "plan": "abc", "train.peak_learning_rate": 0.01}
KEEP = (10, 20, 30)


@pytest.fixture(scope="module")
def state() -> State:
    return initial_state(CONFIG, 0, build_mesh(CONFIG))


def marked(state: State, step: int) -> State:
    """A state that tells its step."""
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(step, leaf.dtype), state)


def write(folder: Path, state: State, *steps: int) -> None:
    with Checkpoints(folder, MADE_FROM, KEEP) as checkpoints:
        for step in steps:
            checkpoints.save(step, marked(state, step), tokens=step * 128)


def resume(folder: Path) -> int:
    with Checkpoints(folder, MADE_FROM, KEEP) as checkpoints:
        return checkpoints.resume_step()


def largest_file(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def assert_same(one: object, two: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_a_state_comes_back_bit_for_bit(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 0, 10)
    with Checkpoints(tmp_path, MADE_FROM, KEEP) as checkpoints:
        assert checkpoints.resume_step() == 10
        assert 10 in checkpoints
        restored = checkpoints.restore(10, abstract_state(CONFIG, build_mesh(CONFIG)))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_same(restored, marked(state, 10))


def test_the_weights_come_back_alone_as_numpy(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 10)
    params = restore_params(tmp_path, 10)
    assert {type(leaf) for leaf in jax.tree.leaves(params)} == {np.ndarray}
    assert_same(params, marked(state, 10).params)


def test_what_is_saved_is_the_state_at_the_call(tmp_path: Path) -> None:
    """The next step uses the state's memory again while files are still being written."""
    overwrite = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf * 0 - 1, state), donate_argnums=0)
    with Checkpoints(tmp_path, MADE_FROM, KEEP) as checkpoints:
        for step in (10, 20, 30):
            big = State(
                {"embed_tokens": {"embedding": jnp.full((2000, 500), float(step))}}, {"count": jnp.ones(())}
            )
            checkpoints.save(step, big, tokens=0)
            jax.block_until_ready(overwrite(big))
    for step in (10, 20, 30):
        assert (restore_params(tmp_path, step)["embed_tokens"]["embedding"] == step).all()


def flip_a_byte(folder: Path) -> Path:
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def truncate(folder: Path) -> Path:
    path = largest_file(folder)
    os.truncate(path, path.stat().st_size // 2)
    return path


def delete(folder: Path) -> Path:
    path = largest_file(folder / "optimizer")
    path.unlink()
    return path


def delete_digests(folder: Path) -> Path:
    (folder / "digests.json").unlink()
    return folder


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, delete, delete_digests])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    tmp_path: Path, state: State, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, state, 0, 10, 15)
    damaged = damage(tmp_path / "15")  # type: ignore[operator]
    with pytest.raises(RunError, match="15"):
        sound_digest(tmp_path, 15)
    assert resume(tmp_path) == 10
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"checkpoint not used: {damaged}")
    assert saved_steps(tmp_path) == [0, 10], "its place is free for the one that training makes again"


def test_a_digest_is_of_the_content(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 10)
    before = sound_digest(tmp_path, 10)
    assert len(before) == 64
    flip_a_byte(tmp_path / "10")
    assert "is not what was written" in str(find_fault(tmp_path / "10"))


def test_training_goes_back_to_before_a_missing_analysed_step(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 0, 10, 20, 25)
    flip_a_byte(tmp_path / "20")
    assert resume(tmp_path) == 10
    assert saved_steps(tmp_path) == [0, 10]


def test_lost_initial_weights_cost_no_training(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 0, 10)
    flip_a_byte(tmp_path / "0")
    assert resume(tmp_path) == 10
    assert saved_steps(tmp_path) == [10]


def test_analysed_steps_stay_and_the_last_two_between(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 0, 5, 10, 12, 14, 16, 20)
    assert saved_steps(tmp_path) == [0, 10, 14, 16, 20]
    assert resume(tmp_path) == 20


@pytest.mark.parametrize("leftover", ["20.orbax-checkpoint-tmp", "15.partial"])
def test_what_a_killed_process_left_is_swept_away(tmp_path: Path, state: State, leftover: str) -> None:
    write(tmp_path, state, 10)
    (tmp_path / leftover / "params").mkdir(parents=True)
    (tmp_path / leftover / "params" / "half").write_bytes(b"x")
    assert resume(tmp_path) == 10
    assert not (tmp_path / leftover).exists()


def test_an_empty_folder_means_the_beginning(tmp_path: Path) -> None:
    assert resume(tmp_path / "new") == 0


def test_another_config_or_plan_is_refused_by_name(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 10)
    other = MADE_FROM | {"train.peak_learning_rate": 0.02, "plan": "xyz"}
    with (
        Checkpoints(tmp_path, other, KEEP) as checkpoints,
        pytest.raises(
            RunError, match=r"plan is 'abc' there and 'xyz' now; train\.peak_learning_rate is 0\.01 there"
        ),
    ):
        checkpoints.resume_step()
    assert saved_steps(tmp_path) == [10], "nothing is lost"


def test_a_disk_that_takes_no_more_is_an_error_that_says_what_is_kept(tmp_path: Path, state: State) -> None:
    write(tmp_path, state, 0, 10)
    noise = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
    big = State({"embed_tokens": {"embedding": jnp.asarray(noise)}}, {"count": jnp.ones(())})
    with (
        files_no_larger_than(16 * 1024),
        pytest.raises(RunError, match=r"could not be written .*Kept: the checkpoint of step 10.*same command"),
        Checkpoints(tmp_path, MADE_FROM, KEEP) as checkpoints,
    ):
        checkpoints.save(20, big, tokens=0)
    assert resume(tmp_path) == 10
