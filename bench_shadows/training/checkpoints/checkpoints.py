"""Checkpoints of a run: Orbax, written beside the training, and believed only after a digest of every file.

    checkpoints/<step>/params       the weights, an Orbax item of its own
    checkpoints/<step>/optimizer    Adam's moments
    checkpoints/<step>/meta         JSON: step, tokens, and what the run is made from
    checkpoints/<step>/digests.json SHA-256 of every file, written last

A flipped byte or zeros in a data file load silently, and in a bucket a folder has its name before it is whole. So
a checkpoint without `digests.json`, or that differs from it, is not used; it is written last and removed first.

What stays: step 0 and the analysed steps for good, of those between the last two. The same in a bucket, whose own
rules for old objects must not reach them.

With several hosts all of them save and restore, each its part; the first one writes the digests when all are done,
looks for what is sound, and removes. A checkpoint is restored onto any mesh, with any number of devices and hosts.
"""

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import SingleDeviceSharding

from bench_shadows.config import Config, differences
from bench_shadows.errors import RunError
from bench_shadows.files import hash_json
from bench_shadows.progress import say
from bench_shadows.training.checkpoints import store
from bench_shadows.training.devices.distributed import hosts, is_first_host, on_first_host, wait_for_all
from bench_shadows.training.step import State

DIGESTS = "digests.json"
METADATA_BYTES = 1_000_000
"""More than what a checkpoint holds besides its arrays: names, shapes, indices, digests."""
KEPT_INTERVALS = 2
"""Checkpoints between the analysed steps that stay: two, so that one that is found damaged costs one interval."""


def checkpoint_folder(config: Config, run: Path) -> epath.Path:
    """Where the checkpoints of RUN/runs/<run> are: in it, or in `config.train.checkpoints`/<name of RUN>/<run>."""
    if not config.train.checkpoints:
        return store.place(run / "checkpoints")
    return store.place(config.train.checkpoints) / run.absolute().parents[1].name / run.name


class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
    """The checkpoints of one run; leaving the context waits until the last save is whole.

    Args:
      folder: of the run (`checkpoint_folder`).
      made_from: what the run is a function of (JSON values); a checkpoint made from something else is refused.
      keep: steps whose checkpoints stay for good, besides step 0.
    """

    def __init__(self, folder: epath.PathLike, made_from: Mapping[str, Any], keep: Collection[int]):
        self._folder, self._made_from, self._keep = store.place(folder), dict(made_from), {0, *keep}
        self._saved: set[int] = set()
        self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint digests")
        self._finishing: Future[None] | None = None

    def __contains__(self, step: int) -> bool:
        return step in self._saved

    def resume_step(self) -> int:
        """The step to go on from, 0 for the beginning; what cannot be used any more is removed, and said.

        It is the newest sound checkpoint with no analysed one missing before it. Raises RunError for one that was
        made from another config or other data.
        """
        newest, saved = on_first_host(f"which checkpoints in {self._folder} are sound", self._sweep)
        self._saved = set(saved)
        return newest

    def _sweep(self) -> tuple[int, list[int]]:
        """The step to go on from and the steps that are there, after what cannot be used is gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in store.names(self._folder):
            if not name.isdigit():  # what a killed process left half written
                store.remove(self._folder / name)
        sound = {step for step in saved_steps(self._folder) if self._is_sound(step)}
        if sound:
            self._check_made_from(max(sound))
        missing = min(self._keep - sound - {0}, default=math.inf)  # the initial weights can always be made again
        newest = max((step for step in sound if step < missing), default=0)
        for step in saved_steps(self._folder):
            if step > newest or step not in sound:
                self._remove(step)
        return newest, saved_steps(self._folder)

    def save(self, step: int, state: State, tokens: int) -> None:
        """Copies the state and returns; files and digests are written meanwhile.

        Raises RunError where the save before this one could not be written.
        """
        self.wait()
        self._saved.add(step)
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
            if is_first_host():
                store.write_json(path / DIGESTS, store.hashes(path))
                between = [old for old in saved_steps(self._folder) if old not in self._keep]
                for old in between[:-KEPT_INTERVALS]:
                    self._remove(old)
            wait_for_all(f"the digests of {path}")

    def _is_sound(self, step: int) -> bool:
        if fault := find_fault(self._folder / str(step)):
            say(f"checkpoint not used: {fault}")
        return not fault

    def _check_made_from(self, step: int) -> None:
        path = self._folder / str(step)
        # A checkpointer would wait for the other hosts.
        meta = ocp.JsonCheckpointHandler().restore(path / "meta", ocp.args.JsonRestore())
        changes = differences(meta["made_from"], self._made_from)
        if found := "; ".join(f"{name} is {then!r} there and {now!r} now" for name, then, now in changes):
            raise RunError(f"{path}: made from something else: {found}. Undo the change or name another folder")

    def _remove(self, step: int) -> None:
        """Its digests first, so that a half-removed checkpoint is not taken for one."""
        store.remove(self._folder / str(step) / DIGESTS)
        store.remove(self._folder / str(step))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and hosts() > 1:
            return  # the others may never come to where Orbax waits for them; this process is about to end
        try:
            self.wait()
        except RunError:
            if kind is None:
                raise
        finally:
            self._thread.shutdown()
            self._orbax.close()


def saved_steps(folder: epath.PathLike) -> list[int]:
    """Steps with a checkpoint under its final name, ascending; not looked into."""
    return sorted(int(name) for name in store.names(store.place(folder)) if name.isdigit())


def written(folder: epath.PathLike) -> dict[str, str]:
    """The hash of every checkpoint's digests in a run's folder, by the path of the file."""
    paths = [store.place(folder) / str(step) / DIGESTS for step in saved_steps(folder)]
    return {str(path): hash_json(store.read_json(path)) for path in paths}


def find_fault(folder: epath.PathLike) -> str | None:
    """What is wrong with a checkpoint folder, naming the file; None when every file is as it was written."""
    path = store.place(folder)
    if not store.exists(path):
        return f"{path} is missing"
    try:
        expected = store.read_json(path / DIGESTS)
    except (OSError, ValueError):
        return f"{path} has no readable {DIGESTS}: its writing was cut off"
    try:
        actual = store.hashes(path)
    except OSError as error:
        return f"{error.filename or path} cannot be read ({error.strerror or error})"
    for name, digest in expected.items():
        if name not in actual:
            return f"{path / name} is missing"
        if actual[name] != digest:
            return f"{path / name} is not what was written (its SHA-256 differs)"
    return None


def sound_digest(folder: epath.PathLike, step: int) -> str:
    """One hash of a whole checkpoint, after every file was checked; raises RunError naming what is wrong."""
    path = store.place(folder) / str(step)
    if fault := find_fault(path):
        raise RunError(f"{fault}; run the train stage again: it goes on from the checkpoint before")
    return hash_json(store.read_json(path / DIGESTS))


def restore_params(folder: epath.PathLike, step: int) -> dict[str, Any]:
    """The weights at a step, nested dicts of float32 NumPy arrays. Raises RunError for a damaged checkpoint."""
    sound_digest(folder, step)
    path = store.place(folder) / str(step) / "params"
    handler, one = ocp.StandardCheckpointHandler(), SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), handler.metadata(path).tree
    )
    return jax.tree.map(np.asarray, handler.restore(path, args=ocp.args.StandardRestore(target)))


@contextlib.contextmanager
def _explained(folder: epath.Path, step: int) -> Iterator[None]:
    """Whatever Orbax raises while it writes, as one message that says what is kept."""
    try:
        yield
    except Exception as error:
        kept = [old for old in saved_steps(folder) if old != step and store.exists(folder / str(old) / DIGESTS)]
        reason = " ".join(str(error).split())
        raise RunError(
            f"{folder / str(step)}: the checkpoint could not be written ({type(error).__name__}: {reason}). "
            f"Kept: {f'the checkpoint of step {kept[-1]}' if kept else 'none'}. "
            "Make room and give the same command"
        ) from error


def _need_room(folder: epath.Path, state: State) -> None:
    """Raises OSError where the disk has no room for a checkpoint; Orbax would fail half way and loudly."""
    if store.is_remote(folder):
        return
    need = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / jax.process_count() + METADATA_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        detail = f"{os.strerror(errno.ENOSPC)}: it needs {need / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, detail)
