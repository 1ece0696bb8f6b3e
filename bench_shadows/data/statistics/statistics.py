"""What a condition did to the tokens: support, frequency, repetition; and the same of one batch. NumPy only.

Words are the matter of `text_statistics`: tokens are what the model sees, and every condition has them; words are
what a reader sees, whatever the vocabulary.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench_shadows.data.rows.plans import describe, plan_hash
from bench_shadows.data.rows.row_store import RowStore
from bench_shadows.data.statistics import ngrams
from bench_shadows.data.statistics.frequency import entropy_nats, estimates, top_share
from bench_shadows.data.statistics.resampling import Dealt, Estimate, half_samples, intervals, ratio, shares

DECILES = 10

COUNTED_TOKENS = 2**28
"""A phase of more tokens is counted over evenly spaced positions; `positions_counted` says how many."""
TRIGRAM_TOKENS = 2**23
"""Trigrams of a longer phase are those of evenly spaced positions."""
NEIGHBOURS = 32
"""Rows with neighbouring ids are often of one document: so many are one unit of resampling (our choice)."""
_READ_TOKENS = 2**22  # held in memory at once
_SAMPLE_BLOCKS, _SAMPLE_TOKENS = 16, 2**17  # text whose compression is measured: 16 blocks, about 0.5 MB


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
    return _count_by_group(store, plan, np.zeros(len(plan), np.int64), 1, vocab_size)[0]


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
      tokens, positions, distinct_rows, duplicate_rows_share (positions that show a row again / positions),
      mean_ and max_repetitions, repetitions {times: rows}; over positions_counted of them: types, hapaxes,
      unigram_entropy_bits, top_100_share, top_1000_share, zipf_slope (`frequency.measures`), decile_shares
      (share of the tokens in each of A's deciles, the head first; in A's own text about a tenth each);
      compression_ratio (zlib bytes / bytes of text of a sample in the order of rows, where repeated rows are
      neighbours); domain_shares {domain: share of the positions}; intervals {measure: [low, high]}, 95 %, over
      runs of neighbouring rows (`resampling`); what the plan alone decides has none. Null where there is nothing.
    """
    counted = plan[:: -(-len(plan) * store.seq_len // COUNTED_TOKENS) or 1]
    groups, halves = Dealt.of(counted // NEIGHBOURS)
    counts_KxV = _count_by_group(store, counted, groups, halves.shape[1], vocab_size)
    measured = estimates(counts_KxV, halves)
    measured["compression_ratio"] = _compression_ratio(store, plan, text_of, seed)
    decile_KxD = np.stack([np.bincount(deciles - 1, part, minlength=DECILES) for part in counts_KxV])
    of_deciles = shares(decile_KxD, halves) if decile_KxD.any() else []
    pairs = {f"decile_shares.{number}": pair for number, (_, pair) in enumerate(of_deciles, 1) if pair is not None}
    described = describe(plan)
    return {
        "tokens": len(plan) * store.seq_len,
        **described,
        "duplicate_rows_share": 1 - described["distinct_rows"] / len(plan) if len(plan) else None,
        "positions_counted": len(counted),
        **{name: value for name, (value, _) in measured.items()},
        "decile_shares": [share for share, _ in of_deciles] or None,
        "domain_shares": {name: n / len(plan) for name, n in store.domain_counts(plan).items()},
        "intervals": intervals(measured) | pairs,
    }


def _count_by_group(
    store: RowStore, plan: np.ndarray, groups: np.ndarray, group_count: int, vocab_size: int
) -> np.ndarray:
    """How often each token stands in each group of positions, int64 [group_count, vocab_size]."""
    counts = np.zeros(group_count * vocab_size, dtype=np.int64)
    rows, first, times = np.unique(plan, return_index=True, return_counts=True)
    step = max(1, _READ_TOKENS // store.seq_len)
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        cells = store.read(rows[part]) + (groups[first[part]] * vocab_size)[:, None]
        weights = np.repeat(times[part], store.seq_len) if times[part].max() > 1 else None
        counts += np.bincount(cells.ravel(), weights, minlength=len(counts)).astype(np.int64)
    return counts.reshape(group_count, vocab_size)


def _compression_ratio(
    store: RowStore, plan: np.ndarray, text_of: Callable[[np.ndarray], str], seed: int
) -> Estimate:
    """zlib bytes / bytes of blocks of neighbouring rows, and the same of every half of the blocks."""
    rows = np.sort(plan)
    size = min(len(rows), max(1, _SAMPLE_TOKENS // _SAMPLE_BLOCKS // store.seq_len))
    if not size:
        return None, np.empty(0)
    starts = np.random.default_rng(seed).integers(0, len(rows) - size, _SAMPLE_BLOCKS, endpoint=True)
    texts = [text_of(store.read(rows[start : start + size]).ravel()).encode() for start in np.sort(starts)]
    raw = np.array([len(text) for text in texts], dtype=np.float64)
    compressed = np.array([len(zlib.compress(text, 6)) for text in texts], dtype=np.float64)
    return ratio(compressed, raw, half_samples(_SAMPLE_BLOCKS))


def condition_statistics(
    store: RowStore,
    plans: Mapping[str, np.ndarray],
    phase_positions: int,
    token_counts: np.ndarray,
    text_of: Callable[[np.ndarray], str],
) -> dict[str, Any]:
    """Both phases of every run: {"A-seed0": {"plan_sha256", "phases": {"first": ..., "second": ...}}, ...}.

    Besides what `phase_statistics` gives, a first phase has `distinct_trigrams` (share of its token trigrams that
    are different) and `trigrams_not_in_A` (share that A's first phase of the same seed has not), a second phase
    `trigrams_not_in_first` (share that the run's own first phase had not: what is new after the phase shift).

    Args:
      store: the rows.
      plans: {run: global row ids}; the same array may stand under several names (B has A's).
      phase_positions: positions before the phase shift.
      token_counts: of Condition A, int64 [V]: its deciles are every condition's.
      text_of: decodes token ids.
    """
    deciles, vocab_size = frequency_deciles(token_counts), len(token_counts)
    known: dict[str, dict[str, Any]] = {}  # second phases are equal: read once

    def phase(plan: np.ndarray) -> dict[str, Any]:
        key = plan_hash(plan)
        if key not in known:
            known[key] = phase_statistics(store, plan, vocab_size, deciles, text_of) | {"plan_sha256": key}
        return known[key]

    statistics: dict[str, dict[str, Any]] = {
        run: {
            "plan_sha256": plan_hash(plan),
            "phases": {"first": phase(plan[:phase_positions]), "second": phase(plan[phase_positions:])},
        }
        for run, plan in plans.items()
    }
    for seed in dict.fromkeys(run.rpartition("-")[2] for run in plans):
        own = {run: plan for run, plan in plans.items() if run.endswith(f"-{seed}")}
        for run, extra in _trigram_statistics(store, own, phase_positions, vocab_size).items():
            phases = statistics[run]["phases"]
            for name, found in extra.items():
                values = {measure: value for measure, (value, _) in found.items()}
                phases[name] = {
                    **phases[name],
                    **values,
                    "intervals": phases[name]["intervals"] | intervals(found),
                }
    return statistics


def _trigram_statistics(
    store: RowStore, plans: Mapping[str, np.ndarray], phase_positions: int, vocab_size: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """{run: {phase: {measure: estimate}}} of the runs of one seed; equal plans are looked at once."""

    def read(plan: np.ndarray) -> tuple[ngrams.Grams, np.ndarray]:
        """The trigrams of a phase, and the resamples of their groups."""
        some = np.sort(plan[:: -(-len(plan) * store.seq_len // TRIGRAM_TOKENS) or 1])
        groups, halves = Dealt.of(some // NEIGHBOURS)
        return ngrams.grams([(store.read(some), groups)], vocab_size), halves

    statistics: dict[str, dict[str, dict[str, Estimate]]] = {}
    done: dict[str, str] = {}  # hash of a plan -> a run that has it
    second: tuple[ngrams.Grams, np.ndarray] | None = None  # the same for every run of a seed
    baseline: np.ndarray | None = None
    for run, plan in sorted(plans.items()):  # A first
        key = plan_hash(plan)
        if key not in done:
            first, halves = read(plan[:phase_positions])
            found = {"distinct_trigrams": ngrams.distinct_share(first, halves)}
            different = first.distinct
            if run.startswith("A-"):
                baseline = different
            elif baseline is not None:
                found["trigrams_not_in_A"] = ngrams.novelty(first, baseline, halves)
            second = second or read(plan[phase_positions:])
            new = ngrams.novelty(second[0], different, second[1])
            statistics[run] = {"first": found, "second": {"trigrams_not_in_first": new}}
            done[key] = run
        statistics[run] = statistics[done[key]]
    return statistics
