"""Held-out likelihood: bits per byte by domain, loss by the token's frequency in training and by its position.

Letters: N rows, B rows at once, T positions, V vocabulary.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from bench_shadows.config import Config
from bench_shadows.data.rows.row_store import documents_of
from bench_shadows.data.statistics.statistics import DECILES
from bench_shadows.evaluation.table import Row, row
from bench_shadows.model.decoder import with_parameters
from bench_shadows.model.loss import next_tokens, token_losses
from bench_shadows.model.network import build_network

# What fits a processor's cache, and what fills an accelerator. On 2 cores, 4 layers of 128 take 27,648 tokens in
# 0.83 s with 64 rows of 128 tokens at once, in 0.60 s with 16 and in 0.66 s with 4.
_TOKENS_AT_ONCE = {"cpu": 2048}
_TOKENS_ON_ACCELERATORS = 65_536


class Losses(Protocol):
    """What `build_losses` makes."""

    def __call__(
        self, params: Mapping[str, Any], rows_NxT: np.ndarray, images: np.ndarray | None = None
    ) -> np.ndarray:
        """Losses [N, T - 1] float32 of tokens 1 .. T - 1 of rows of token ids, in nats.

        Args:
          images: uint8 [N, S, S, 3], what the rows show; None: none of them has an image.
        """


def build_losses(config: Config, start: int | None = None) -> Losses:
    """The losses of a config's network, in float32.

    One program is compiled for one row length, with images and without, whatever the checkpoint.

    Args:
      start: the token that documents begin with, for rows in which none sees another one's (`documents_of`).
    """
    model = nnx.eval_shape(lambda: build_network(config, rngs=nnx.Rngs(0)))

    @jax.jit
    def batch_losses(
        params: Mapping[str, Any], tokens_BxT: jax.Array, images: jax.Array | None = None
    ) -> jax.Array:
        network = with_parameters(model, dict(params))
        targets, _ = next_tokens(tokens_BxT)
        documents_BxT = None if start is None else documents_of(tokens_BxT, start)
        hidden = network(tokens_BxT, images, documents_BxT)
        return token_losses(hidden, network.head(), targets, config.train.loss_chunk)[:, :-1]

    def losses(params: Mapping[str, Any], rows_NxT: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        count, length = rows_NxT.shape
        size = max(1, _TOKENS_AT_ONCE.get(jax.default_backend(), _TOKENS_ON_ACCELERATORS) // length)
        padded = [_filled(array, size) for array in (rows_NxT.astype(np.int32), images) if array is not None]
        device_params = jax.device_put(params)
        batches = [
            batch_losses(device_params, *(array[i : i + size] for array in padded))
            for i in range(0, len(padded[0]), size)
        ]
        return np.concatenate([np.asarray(batch) for batch in batches])[:count]

    return losses


def sequence_losses(
    losses: Losses,
    params: Mapping[str, Any],
    sequences: Sequence[np.ndarray],
    padding: int,
    images: np.ndarray | None = None,
    longest: int | None = None,
) -> list[np.ndarray]:
    """Losses of sequences of different lengths: float32 [length - 1] each, of all tokens but the first.

    They are padded at their ends, where no earlier token sees it, to few different lengths, `longest` at most.

    Args:
      images: of each sequence, uint8 [len(sequences), S, S, 3]; None: none has one.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    padded = np.array([_padded(length, longest) for length in lengths.tolist()], dtype=np.int64)
    found: list[np.ndarray] = [np.empty(0, np.float32)] * len(sequences)
    for length in np.unique(padded).tolist():
        [members] = np.nonzero(padded == length)
        rows = np.full((len(members), length), padding, np.int32)
        for place, member in enumerate(members.tolist()):
            rows[place, : lengths[member]] = sequences[member]
        seen = None if images is None else images[members]
        for member, row_losses in zip(members.tolist(), losses(params, rows, seen), strict=True):
            found[member] = row_losses[: lengths[member] - 1]
    return found


def likelihood_rows(
    losses_NxT: np.ndarray,
    rows_NxT: np.ndarray,
    domains_N: np.ndarray,
    bytes_NxT: np.ndarray,
    deciles_V: np.ndarray,
) -> Iterator[Row]:
    """Rows (suite, task, metric, value, count) of evaluation.parquet from the losses of one checkpoint.

    `losses_NxT` [N, T - 1] belong to the tokens `rows_NxT[:, 1:]`, which stand for `bytes_NxT[:, 1:]` bytes
    (`Tokenizer.bytes_of`). Tokens that stand for no byte of text, such as the end of text, are left out of
    everything. bits_per_byte = sum of losses / ln 2 / bytes of the same tokens; `count` is tokens.
    """
    targets, lengths = rows_NxT[:, 1:], bytes_NxT[:, 1:]
    weights = (lengths > 0).astype(np.float64)
    losses = losses_NxT.astype(np.float64) * weights

    for domain in ["all", *sorted(set(domains_N.tolist()))]:
        chosen = slice(None) if domain == "all" else domains_N == domain
        nats, count, size = losses[chosen].sum(), weights[chosen].sum(), lengths[chosen].sum()
        yield row("likelihood", domain, "bits_per_byte", nats / math.log(2) / max(size, 1), count)
        yield row("likelihood", domain, "loss_nats_per_token", nats / max(count, 1), count)
    of_target = deciles_V[targets]
    for decile in range(1, DECILES + 1):
        chosen_tokens = of_target == decile
        nats, count = losses[chosen_tokens].sum(), weights[chosen_tokens].sum()
        yield row("frequency", f"decile-{decile}", "loss_nats_per_token", nats / max(count, 1), count)
    for first, last in position_ranges(rows_NxT.shape[1]):
        places = slice(first - 1, last)  # column t of the losses has t + 1 tokens before it
        nats, count = losses[:, places].sum(), weights[:, places].sum()
        yield row("position", f"{first}-{last}", "loss_nats_per_token", nats / max(count, 1), count)


def position_ranges(length: int) -> list[tuple[int, int]]:
    """(first, last) of the ranges that loss by position is told for, of rows of `length` tokens.

    A token's position is the number of tokens that stand before it in its row, other documents' included. Ranges
    double: 1-7, 8-15, 16-31, ...; the first holds all that have fewer than 8 tokens to go by (our choice).
    """
    starts = [1]
    while max(8, 2 * starts[-1]) < length:
        starts.append(max(8, 2 * starts[-1]))
    return [(start, stop - 1) for start, stop in zip(starts, [*starts[1:], length], strict=True)]


def _padded(length: int, longest: int | None) -> int:
    """The next of 32, 64, 128, ...: a program is compiled for each."""
    size = max(32, 1 << (length - 1).bit_length())
    return min(size, longest or size)


def _filled(array_N: np.ndarray, size: int) -> np.ndarray:
    """Zeros behind the end, up to a multiple of `size`."""
    return np.pad(array_N, [(0, -len(array_N) % size)] + [(0, 0)] * (array_N.ndim - 1))
