"""Plan + rows -> batches, through Grain. The whole state is one integer, the step."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grain
import numpy as np

from bench_shadows.data.rows.row_store import NAMES, RowStore, documents_of
from bench_shadows.errors import RunError
from bench_shadows.kinds.kind import Images

READ_OPTIONS = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
"""One thread, four batches ahead: an element is a batch already, and more threads take cores from training."""


class Batch(NamedTuple):
    """What a host reads for one step."""

    tokens: np.ndarray
    """int32 [H, seq_len]."""
    images: np.ndarray | None = None
    """uint8 [H, S, S, 3], zeros for rows without an image; None in a study of documents."""
    documents: np.ndarray | None = None
    """int32 [H, seq_len], which of the row's documents each token belongs to; None where all see each other."""


class _Batches:
    """A random-access source whose element `step` is this host's part of the batch of that step."""

    def __init__(
        self,
        store: RowStore,
        images: Images | None,
        plan: np.ndarray,
        batch_size: int,
        places: np.ndarray | slice,
        start: int | None,
    ):
        self._start = start
        self._store, self._images, self._plan = store, images, plan
        self._batch_size, self._places = batch_size, places

    def __len__(self) -> int:
        return len(self._plan) // self._batch_size

    def __getitem__(self, step: int) -> Batch:
        begin = int(step) * self._batch_size
        rows = self._plan[begin : begin + self._batch_size][self._places]
        images = self._images.read(rows) if self._images is not None else None
        tokens = self._store.read(rows)
        documents = documents_of(tokens, self._start) if self._start is not None else None
        return Batch(tokens.view(np.int32), images, documents)


def batches(
    rows_folder: Path | str,
    plan: np.ndarray,
    batch_size: int,
    start_step: int = 0,
    places: np.ndarray | None = None,
    names: Sequence[str] = NAMES,
    images: Images | None = None,
    start: int | None = None,
) -> Iterator[Batch]:
    """Batches of the plan from `start_step` (0-based) to its end.

    Args:
      rows_folder: RUN/data/rows.
      plan: integers [steps * batch_size], global row ids; a memory map will do.
      batch_size: rows of the global batch.
      places: of the rows in a batch that this host reads, integers [H] in [0, batch_size); default: all.
      names: the row sets that the ids count over (`Kind.row_sets`).
      images: of these rows (`Kind.images`).
      start: the token that documents begin with (`Tokenizer.start`), where they are told apart.
    Yields:
      A Batch of H rows, in the order of `places`. Starting costs the same at any step. Closing the generator
      stops the reading thread.
    """
    if len(plan) % batch_size:
        raise RunError(f"plan of {len(plan)} positions is not a whole number of batches of {batch_size} rows")
    store = RowStore.open(rows_folder, names)
    if len(plan) and int(plan.max()) >= len(store):
        raise RunError(
            f"{rows_folder}: the plan names row {int(plan.max())}, there are {len(store)}; prepare again"
        )
    source = _Batches(store, images, plan, batch_size, slice(None) if places is None else places, start)
    stream = iter(grain.MapDataset.source(source)[start_step:].to_iter_dataset(READ_OPTIONS))
    try:
        yield from stream
    finally:
        stream.close()
