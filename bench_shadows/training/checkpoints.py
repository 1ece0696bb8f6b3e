"""Checkpoints of a run: Orbax, written beside the training, and believed only after a digest of every file.

    checkpoints/<step>/params       the weights, an Orbax item of its own
    checkpoints/<step>/optimizer    Adam's moments
    checkpoints/<step>/meta         JSON: step, tokens, and what the run is made from
    checkpoints/<step>/digests.json SHA-256 of every file, written last

Orbax writes under a temporary name and renames: a folder under its step's name was whole once. But a flipped
byte or zeros in a data file load silently, so a checkpoint without `digests.json`, or that differs from it, is not
used.
"""

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from bench_shadows.errors import RunError
from bench_shadows.files import TEMPORARY, hash_file, hash_json, read_json, remove, write_json
from bench_shadows.progress import say
from bench_shadows.training.step import State

DIGESTS = "digests.json"
METADATA_BYTES = 1_000_000
"""More than what a checkpoint holds besides its arrays: names, shapes, indices, digests."""
KEPT_INTERVALS = 2
"""Checkpoints between the analysed steps that stay: two, so that one that is found damaged costs one interval."""


class Checkpoints:
    """The checkpoints of one run; leaving the context waits until the last save is whole.

    Args:
      folder: RUN/runs/<run>/checkpoints.
      made_from: what the run is a function of (JSON values); a checkpoint made from something else is refused.
      keep: steps whose checkpoints stay for good, besides step 0.
    """

    def __init__(self, folder: Path, made_from: Mapping[str, Any], keep: Collection[int]):
        self._folder, self._made_from, self._keep = folder.absolute(), dict(made_from), {0, *keep}
        self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint digests")
        self._finishing: Future[None] | None = None

    def __contains__(self, step: int) -> bool:
        return (self._folder / str(step)).is_dir()

    def resume_step(self) -> int:
        """The step to go on from, 0 for the beginning; what cannot be used any more is removed, and said.

        It is the newest sound checkpoint with no analysed one missing before it. Raises RunError for one that was
        made from another config or other data.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if not path.name.isdigit():  # what a killed process left half written or half removed
                remove(path)
        sound = {step for step in saved_steps(self._folder) if self._is_sound(step)}
        if sound:
            self._check_made_from(max(sound))
        missing = min(self._keep - sound - {0}, default=math.inf)  # the initial weights can always be made again
        newest = max((step for step in sound if step < missing), default=0)
        for step in saved_steps(self._folder):
            if step > newest or step not in sound:
                self._remove(step)
        return newest

    def save(self, step: int, state: State, tokens: int) -> None:
        """Copies the state and returns; files and digests are written meanwhile.

        Raises RunError where the save before this one could not be written.
        """
        self.wait()
        meta = {"step": step, "tokens": tokens, "made_from": self._made_from}
        with _explained(self._folder, step):
            _need_room(self._folder, state)
            self._orbax.save(
                self._folder / str(step),
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(state.params),
                    optimizer=ocp.args.StandardSave(state.optimizer),
                    meta=ocp.args.JsonSave(meta),
                ),
            )
        self._finishing = self._thread.submit(self._finish, step)

    def wait(self) -> None:
        """Until the last save is whole on disk; raises RunError where it could not be written."""
        if self._finishing is not None:
            finishing, self._finishing = self._finishing, None
            finishing.result()

    def restore(self, step: int, target: State) -> State:
        """The state at a step, laid out as `target` (jax.ShapeDtypeStruct with shardings) says."""
        items = ocp.args.Composite(
            params=ocp.args.StandardRestore(target.params), optimizer=ocp.args.StandardRestore(target.optimizer)
        )
        restored = self._orbax.restore(self._folder / str(step), args=items)
        return State(restored.params, restored.optimizer)

    def _finish(self, step: int) -> None:
        with _explained(self._folder, step):
            self._orbax.wait_until_finished()
            path = self._folder / str(step)
            write_json(path / DIGESTS, _digests(path))
        between = [old for old in saved_steps(self._folder) if old not in self._keep]
        for old in between[:-KEPT_INTERVALS]:
            self._remove(old)

    def _is_sound(self, step: int) -> bool:
        fault = find_fault(self._folder / str(step))
        if fault:
            say(f"checkpoint not used: {fault}")
        return fault is None

    def _check_made_from(self, step: int) -> None:
        path = self._folder / str(step)
        before = self._orbax.restore(path, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta["made_from"]
        names = sorted(before.keys() | self._made_from.keys())
        differing = [
            f"{name} is {before.get(name)!r} there and {self._made_from.get(name)!r} now"
            for name in names
            if before.get(name) != self._made_from.get(name)
        ]
        if differing:
            raise RunError(
                f"{path}: made from something else: {'; '.join(differing)}. Undo the change or name another folder"
            )

    def _remove(self, step: int) -> None:
        """Under a name that the next start sweeps away, so that a half-removed checkpoint is not taken for one."""
        path = self._folder / str(step)
        leaving = path.with_name(path.name + TEMPORARY)
        remove(leaving)
        os.replace(path, leaving)
        remove(leaving)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except RunError:
            if kind is None:
                raise
        finally:
            self._thread.shutdown()
            self._orbax.close()


def saved_steps(folder: Path) -> list[int]:
    """Steps with a checkpoint under its final name, ascending; not looked into."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())


def find_fault(path: Path) -> str | None:
    """What is wrong with a checkpoint folder, naming the file; None when every file is as it was written."""
    if not path.is_dir():
        return f"{path} is missing"
    try:
        expected = read_json(path / DIGESTS)
    except (OSError, ValueError):
        return f"{path} has no readable {DIGESTS}: its writing was cut off"
    for name, digest in expected.items():
        try:
            actual = hash_file(path / name)
        except OSError as error:
            return f"{path / name} cannot be read ({error.strerror})"
        if actual != digest:
            return f"{path / name} is not what was written (its SHA-256 differs)"
    return None


def sound_digest(folder: Path, step: int) -> str:
    """One hash of a whole checkpoint, after every file was checked; raises RunError naming what is wrong."""
    path = Path(folder) / str(step)
    fault = find_fault(path)
    if fault:
        raise RunError(f"{fault}; run the train stage again: it goes on from the checkpoint before")
    return hash_json(read_json(path / DIGESTS))


def restore_params(folder: Path, step: int) -> dict[str, Any]:
    """The weights at a step, nested dicts of float32 NumPy arrays. Raises RunError for a damaged checkpoint."""
    sound_digest(folder, step)
    path = (Path(folder) / str(step) / "params").absolute()
    handler, one = ocp.StandardCheckpointHandler(), SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), handler.metadata(path).tree
    )
    return jax.tree.map(np.asarray, handler.restore(path, args=ocp.args.StandardRestore(target)))


@contextlib.contextmanager
def _explained(folder: Path, step: int) -> Iterator[None]:
    """Whatever Orbax raises while it writes, as one message that says what is kept."""
    try:
        yield
    except Exception as error:
        kept = [old for old in saved_steps(folder) if old != step and (folder / str(old) / DIGESTS).exists()]
        reason = " ".join(str(error).split())
        raise RunError(
            f"{folder / str(step)}: the checkpoint could not be written ({type(error).__name__}: {reason}). "
            f"Kept: {f'the checkpoint of step {kept[-1]}' if kept else 'none'}. "
            "Make room and give the same command"
        ) from error


def _need_room(folder: Path, state: State) -> None:
    """Raises OSError where the disk has no room for a checkpoint; Orbax would fail half way and loudly."""
    need = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / jax.process_count() + METADATA_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        detail = f"{os.strerror(errno.ENOSPC)}: it needs {need / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, detail)


def _digests(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != DIGESTS)
    return {str(file.relative_to(path)): hash_file(file) for file in files}
