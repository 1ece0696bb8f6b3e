"""What a condition did to the data: support, frequency, repetition; and the same of one batch. NumPy only."""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench_shadows.data.conditions import describe, plan_hash
from bench_shadows.data.rows import RowStore

DECILES = 10

COUNTED_TOKENS = 2**28
"""A phase of more tokens is counted over evenly spaced positions; `positions_counted` says how many."""
_READ_TOKENS = 2**22  # held in memory at once
_SAMPLE_BLOCKS, _SAMPLE_TOKENS = 16, 2**17  # text whose compression is measured: 16 blocks, about 0.5 MB


def entropy_nats(counts: np.ndarray) -> float:
    """Shannon entropy of a frequency table, in nats: -sum p ln p."""
    seen = counts[counts > 0].astype(np.float64)
    if not seen.size:
        return 0.0
    share = seen / seen.sum()
    return float(-(share * np.log(share)).sum())


def top_share(counts: np.ndarray, types: int) -> float | None:
    """Share of the tokens that belong to the `types` most frequent types; None of nothing."""
    total = counts.sum()
    if types < len(counts):
        counts = np.partition(counts, len(counts) - types)[-types:]
    return float(counts.sum() / total) if total else None


def batch_statistics(batch: np.ndarray, vocab_size: int) -> dict[str, float]:
    """Token statistics of one batch of ids, [B, T] integers: the control that only the data differs.

    types: different tokens; entropy_bits: of the batch's own frequencies; top_100_share: tokens that are
    one of the batch's 100 most frequent types; distinct_rows_share: different rows / B.
    """
    counts = np.bincount(batch.ravel(), minlength=vocab_size)
    counts = counts[counts > 0]
    return {
        "types": int(counts.size),
        "entropy_bits": entropy_nats(counts) / math.log(2),
        "top_100_share": top_share(counts, 100) or 0.0,
        "distinct_rows_share": len({row.tobytes() for row in batch}) / len(batch),
    }


def count_tokens(store: RowStore, plan: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each token stands in the rows of a plan, repetitions included, int64 [vocab_size]."""
    rows, times = np.unique(plan, return_counts=True)
    counts = np.zeros(vocab_size, dtype=np.int64)
    step = max(1, _READ_TOKENS // store.seq_len)
    for begin in range(0, len(rows), step):
        part = times[begin : begin + step]
        tokens = store.read(rows[begin : begin + step])
        weights = np.repeat(part, store.seq_len) if part.max() > 1 else None
        counts += np.bincount(tokens.ravel(), weights, minlength=vocab_size).astype(np.int64)
    return counts


def frequency_deciles(counts_V: np.ndarray) -> np.ndarray:
    """The decile of every token type, [V] int8 in 1..10: 1 is the head of the distribution, 10 its tail.

    Types are ordered by how often they occur in `counts_V` (the text of condition A) and cut so that each decile
    holds a tenth of that text's tokens; a type belongs where its middle lies. A type that never occurred is tail.
    Our choice: tenths of tokens, not of types, so that each holds as much of A's text and of held-out text.
    """
    order = np.argsort(-counts_V.astype(np.int64), kind="stable")
    mass = counts_V[order].astype(np.float64)
    total = mass.sum()
    if total <= 0:
        raise ValueError("token counts are all zero: there is no text to order the types by")
    middle = (np.cumsum(mass) - mass / 2) / total
    deciles = np.minimum(DECILES, 1 + np.floor(middle * DECILES)).astype(np.int8)
    deciles[mass == 0] = DECILES
    by_type = np.empty_like(deciles)
    by_type[order] = deciles
    return by_type


def phase_statistics(
    store: RowStore,
    plan: np.ndarray,
    vocab_size: int,
    deciles: np.ndarray,
    text_of: Callable[[np.ndarray], str],
    seed: int = 0,
) -> dict[str, Any]:
    """What one phase of a plan shows the model.

    Args:
      store: the rows.
      plan: the phase's global row ids, [positions].
      vocab_size: rows of the model's embedding.
      deciles: of every type by its frequency in Condition A (`frequency_deciles`), [V].
      text_of: decodes token ids.
      seed: of the sample that is compressed.
    Returns:
      tokens, positions, distinct_rows, mean_ and max_repetitions, repetitions {times: rows}; over
      positions_counted of them: types, hapaxes (types that stand there once), unigram_entropy_bits,
      top_100_share, top_1000_share, decile_shares (share of the tokens in each of A's deciles, the head
      first; in A's own text about a tenth each); compression_ratio (zlib bytes / bytes of text of a sample in
      the order of rows, where repeated rows are neighbours); domain_shares {domain: share of the positions}.
      Null where there is nothing.
    """
    stride = -(-len(plan) * store.seq_len // COUNTED_TOKENS) or 1
    counts = count_tokens(store, plan[::stride], vocab_size)
    total = int(counts.sum())
    decile_shares = np.bincount(deciles - 1, counts, minlength=DECILES) / max(total, 1)
    return {
        "tokens": len(plan) * store.seq_len,
        **describe(plan),
        "positions_counted": len(plan[::stride]),
        "types": int(np.count_nonzero(counts)),
        "hapaxes": int(np.count_nonzero(counts == 1)),
        "unigram_entropy_bits": entropy_nats(counts) / math.log(2) if total else None,
        "top_100_share": top_share(counts, 100),
        "top_1000_share": top_share(counts, 1000),
        "decile_shares": [float(share) for share in decile_shares] if total else None,
        "compression_ratio": _compression_ratio(store, plan, text_of, seed),
        "domain_shares": {name: n / len(plan) for name, n in store.domain_counts(plan).items()},
    }


def _compression_ratio(
    store: RowStore, plan: np.ndarray, text_of: Callable[[np.ndarray], str], seed: int
) -> float | None:
    rows = np.sort(plan)
    size = min(len(rows), max(1, _SAMPLE_TOKENS // _SAMPLE_BLOCKS // store.seq_len))
    if not size:
        return None
    starts = np.random.default_rng(seed).integers(0, len(rows) - size, _SAMPLE_BLOCKS, endpoint=True)
    raw = compressed = 0
    for start in np.sort(starts):
        text = text_of(store.read(rows[start : start + size]).ravel()).encode()
        raw += len(text)
        compressed += len(zlib.compress(text, 6))
    return compressed / raw if raw else None


def condition_statistics(
    store: RowStore,
    plans: Mapping[str, np.ndarray],
    phase_positions: int,
    token_counts: np.ndarray,
    text_of: Callable[[np.ndarray], str],
) -> dict[str, Any]:
    """Both phases of every run: {"A-seed0": {"plan_sha256", "phases": {"first": ..., "second": ...}}, ...}.

    Args:
      store: the rows.
      plans: {run: global row ids}; the same array may stand under several names (B has A's).
      phase_positions: positions before the phase shift.
      token_counts: of Condition A, int64 [V]: its deciles are every condition's.
      text_of: decodes token ids.
    """
    deciles = frequency_deciles(token_counts)
    known: dict[str, dict[str, Any]] = {}  # second phases are equal: read once

    def phase(plan: np.ndarray) -> dict[str, Any]:
        key = plan_hash(plan)
        if key not in known:
            known[key] = phase_statistics(store, plan, len(token_counts), deciles, text_of)
            known[key]["plan_sha256"] = key
        return known[key]

    return {
        run: {
            "plan_sha256": plan_hash(plan),
            "phases": {"first": phase(plan[:phase_positions]), "second": phase(plan[phase_positions:])},
        }
        for run, plan in plans.items()
    }
