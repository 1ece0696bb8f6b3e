"""The diagnostics inside a training loop, anybody's: a few matrices at a time, beside the steps.

    with Monitor(every=20, matrices=4, steps=total) as monitor:
        for step in range(1, total + 1):
            params, ... = train_step(params, ...)
            monitor(step, params)

Every `every` steps a look is taken: `matrices` of the tree's matrices are copied on the device (one layer of a
scanned stack, never the stack), and a thread computes their spectra from the copies, with the functions that
`diagnose` uses: on the device of a GPU or TPU, on the host's cores of a CPU. The loop goes on at once, and may
donate its parameters to the next step; what a look found is delivered at a later call, when it is ready. The
copies of the matrices of the *next* look are kept until then, so that each change is one over `every` steps, of
every matrix, and twice `matrices` copies are all the memory it takes.

Which matrices a look takes is a function of the step: all get their turn, and neighbouring looks are spread over
modules and depth. A run that is interrupted and goes on with `history` gives the same values, but for the changes
of its first look, whose copies went with the process.

Parameters may be any tree that `weights.open_tree` reads (Flax NNX state or module, Linen variables, an Equinox
module), on one device or sharded. With several processes all of them call, and the first one computes and writes.
"""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.change import changes
from bench_shadows.diagnostics.looks import CHANGES, SPECTRAL, Look, aggregates
from bench_shadows.diagnostics.signatures import Row, find, matrix_of
from bench_shadows.diagnostics.weights.layouts import View
from bench_shadows.diagnostics.weights.safetensors import some
from bench_shadows.diagnostics.weights.weights import Stack, TreeOpener, Weights
from bench_shadows.progress import say

_GOLDEN = (math.sqrt(5) - 1) / 2

Copy = tuple[int, jax.Array]  # step, and the matrix as it was then, [1, rows, columns]


class Monitor:
    """Looks at the weights of a running training; see the module for how.

    Args:
      every: steps between two looks; 0 turns the monitor off.
      matrices: how many one look analyses.
      steps: planned length of the run; without it no signature that depends on the progress is told.
      write: gets each look, in order, on the thread that calls the monitor, some steps after the look's own;
        `writers.py` has what Weights & Biases, trackio, TensorBoard and clu want.
      history: looks of an earlier process of the same run.
      layout: axes of tensors that cannot be told, such as `{"blocks.*": "L*"}` for layers on the first axis;
        see `families.sort_tensors`.

    The first look says in one line which matrices are watched, and what of the tree is left out.
    A signature is said on standard error when it appears. A look that fails (for want of memory, say) has the
    reason as the status of its rows: a monitor does not end a training. An exception of `write` does.
    """

    def __init__(
        self,
        every: int = 20,
        matrices: int = 4,
        steps: int | None = None,
        write: Callable[[Look], None] = lambda look: None,
        history: Sequence[Look] = (),
        layout: Mapping[str, str] | None = None,
    ):
        self.history = list(history)
        self._newest = {matrix_of(row): row for look in history for row in look.matrices}
        self._every, self._matrices, self._steps, self._write = every, matrices, steps, write
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="monitor")
        self._pending: list[tuple[int, Future[list[Row]]]] = []
        self._turn: int | None = None
        self._open, self._introduced = TreeOpener(layout), False
        self._kept: dict[Stack, Copy] = {}

    def __call__(self, step: int, params: Any) -> None:
        """After step `step` (0: before the first), with its parameters, which are copied from; waits for nothing.

        Raises ValueError where the parameters have no matrix, RunError where a stack can be read in two ways.
        """
        if not self._every:
            return
        self._deliver(wait=False)
        before = (step - 1) // self._every if self._turn is None else self._turn
        self._turn = step // self._every
        if self._turn > before:
            self._look(step, self._turn, params)

    def flush(self) -> None:
        """Waits for what is under way and delivers it."""
        self._deliver(wait=True)

    def _look(self, step: int, turn: int, params: Any) -> None:
        opened = self._open(params)
        if not self._introduced and jax.process_index() == 0:
            say(f"monitor: {introduction(opened)}")
        self._introduced = True
        now, later = (chosen(opened.stacks, number, self._matrices) for number in (turn, turn + 1))
        copies = {matrix: (step, copy_matrix(opened, matrix)) for matrix in dict.fromkeys([*now, *later])}
        known = bool(self.history) and self.history[-1].step == step  # an earlier process looked here
        if jax.process_index() == 0 and not known:
            work = [(matrix, copies[matrix], self._kept.get(matrix)) for matrix in now]
            self._pending.append((step, self._thread.submit(measure, work)))
        self._kept = {matrix: copies[matrix] for matrix in later}

    def _deliver(self, wait: bool) -> None:
        while self._pending and (wait or self._pending[0][1].done()):
            step, future = self._pending.pop(0)
            look = Look(step, tuple(future.result()))
            self._newest |= {matrix_of(row): row for row in look.matrices}
            look = replace(
                look,
                warnings=tuple(find([*self.history, look], self._steps)),
                aggregates=aggregates(self._newest.values()),
            )
            said = {finding.signature for finding in self.history[-1].warnings} if self.history else set()
            for finding in look.warnings:
                if finding.signature not in said:
                    say(f"monitor, step {step}: {finding.text}")
            self.history.append(look)
            self._write(look)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The looks before a failure are those that may explain it; another failure must not hide it.
        with contextlib.suppress(Exception) if kind else contextlib.nullcontext():
            self.flush()
        self._thread.shutdown()


def introduction(opened: Weights) -> str:
    """One line of what a tree's matrices are: how many, in which modules and layers, and what is left out."""
    components: dict[str, list[Stack]] = {}
    for stack in opened.stacks:
        components.setdefault(stack.component, []).append(stack)
    parts = []
    for component, stacks in components.items():
        modules = Counter(stack.module for stack in stacks)
        numbers = sorted({layer for stack in stacks for layer in stack.layers if layer is not None})
        depth = f", layers {numbers[0]} to {numbers[-1]}" if numbers else ""
        count = sum(len(stack.layers) for stack in stacks)
        parts.append(f"{count} matrices of the {component} ({some(modules, 8)}{depth})")
    left: Counter[str] = Counter()
    for one in opened.left_out:
        left[one.reason] += one.parameters
    total = sum(left.values()) + opened.read_parameters
    away = [f"{reason} {count / max(total, 1):.1%}" for reason, count in left.most_common()]
    notes = "".join(f"; {notice}" for notice in opened.notices)
    return f"{', '.join(parts) or 'no matrix'}; of its parameters left out: {some(away, 6) or 'nothing'}{notes}"


def chosen(stacks: Sequence[Stack], turn: int, count: int) -> list[Stack]:
    """The matrices of look number `turn`, as stacks of one: all in turn, neighbours far apart in module and depth.

    The stride through the list is its golden section (the next number without a common divisor), so that any few
    looks in a row are spread evenly over it. Raises ValueError where there is no matrix.
    """
    places = [(stack, i) for stack in stacks for i in range(len(stack.layers))]
    if not places:
        raise ValueError("the parameters have no matrix: nothing that is named and shaped like a layer's weights")
    size = len(places)
    stride = next(s for s in range(round(_GOLDEN * size), 2 * size) if math.gcd(s, size) == 1)
    taken = min(count, size)
    picked = [places[(turn * taken + i) * stride % size] for i in range(taken)]
    return [stack.one(i) for stack, i in picked]


def copy_matrix(opened: Weights, matrix: Stack) -> jax.Array:
    """A matrix of a live tree as an array of its own on the device, [1, rows, columns]; not waited for.

    A sharded one is gathered, on every device; of a stack only the layer moves.
    """
    leaf: Any = opened.tensors[matrix.tensors[0]]
    sharding = getattr(leaf, "sharding", None)
    gathered = NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else None
    view = matrix.view
    places = dict(view.picks) | ({} if view.stacked is None else {view.stacked: matrix.slots[0]})
    copy = _copier(gathered, tuple(places))(leaf, tuple(map(np.int32, places.values())))
    alone = View(view.axes, tuple((axis, 0) for axis, _ in view.picks), view.cut)
    return copy if alone in (View("Lio"), View("Loi")) else _taker(alone)(copy)


@functools.cache
def _copier(sharding: NamedSharding | None, axes: tuple[int, ...]) -> Callable[..., Any]:
    def copy(leaf: jax.Array, places: tuple[jax.Array, ...]) -> jax.Array:
        for axis, place in zip(axes, places, strict=True):
            leaf = jax.lax.dynamic_index_in_dim(leaf, place, axis)
        return jnp.array(leaf)

    return jax.jit(copy, out_shardings=sharding)


@functools.cache
def _taker(view: View) -> Callable[[jax.Array], Any]:
    return jax.jit(view.take)


def measure(work: Sequence[tuple[Stack, Copy, Copy | None]]) -> list[Row]:
    """The rows of a look (see `Look`) from (matrix, its copy, its earlier copy or None); waits for the device."""
    # The copies as checkpoints of their own, read as any other; named by number, since layers may share a tensor.
    matrices = [
        replace(matrix, tensors=(str(i),), view=View("Lio" if matrix.view.inputs_first else "Loi"), slots=(0,))
        for i, (matrix, _, _) in enumerate(work)
    ]
    now = _checkpoint(matrices, [array for _, (_, array), _ in work])
    before = _checkpoint(matrices, [earlier and earlier[1] for _, _, earlier in work])
    try:
        spectra = analyse.diagnose(now, analyse.Identity("monitor"), "float32")
        moved = [
            _moved(now.read(matrix), before.read(matrix)) if earlier else {}
            for matrix, (_, _, earlier) in zip(matrices, work, strict=True)
        ]
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        spectra, moved = [{"status": f"failed: {reason}"}] * len(work), [{}] * len(work)
    return [
        {
            **{"component": matrix.component, "module": matrix.module, "layer": matrix.layers[0]},
            **{"tensor": matrix.tensors[0], "rows": matrix.shape[0], "columns": matrix.shape[1]},
            **{name: found.get(name) for name in (*SPECTRAL, "in_range", "status")},
            **{"since": earlier and earlier[0]},
            **{name: change.get(name) for name in CHANGES},
        }
        for (matrix, _, earlier), found, change in zip(work, spectra, moved, strict=True)
    ]


def _checkpoint(matrices: Sequence[Stack], arrays: Sequence[jax.Array | None]) -> Weights:
    local = {str(i): array.addressable_data(0) for i, array in enumerate(arrays) if array is not None}
    return Weights("monitor", tuple(matrices), {}, lambda names: {name: local[name] for name in names})


def _moved(array: Any, reference: Any) -> Row:
    found = changes(array, reference)
    values = {name: float(getattr(found, name)[0]) for name in CHANGES}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
