"""Measures of frequency tables: how many types there are, and how the text is spread over them."""

import math

import numpy as np

from bench_shadows.data.statistics.resampling import Estimate

ZIPF_RANKS = np.unique(np.geomspace(10, 1000, 24).round().astype(int))
"""Ranks that the Zipf slope is fitted over, evenly spaced in ln(rank): every part of the range weighs the same."""
_AT_ONCE = 2**23  # counts in memory at once, 64 MB


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


def measures(counts_NxV: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of N frequency tables at once, each float64 [N], NaN where there is nothing to measure.

    types: that occur; hapaxes: that occur once; unigram_entropy_bits; top_100_share, top_1000_share: tokens that
    belong to the most frequent types; zipf_slope: of ln(frequency) over ln(rank) by least squares at ZIPF_RANKS,
    -1 in Zipf's law (Zipf 1949; estimator: our choice), missing with fewer than 1,000 types.
    """
    counts = counts_NxV.astype(np.float64, copy=False)
    total = counts.sum(axis=1)
    safe = np.where(total > 0, total, np.nan)
    weighted = np.log(counts, out=np.zeros_like(counts), where=counts > 0)
    weighted *= counts
    last = ZIPF_RANKS[-1]
    if counts.shape[1] > last:
        top = np.partition(counts, counts.shape[1] - last, axis=1)[:, -last:]
    else:
        top = np.pad(counts, ((0, 0), (last - counts.shape[1], 0)))
    top = -np.sort(-top, axis=1)
    return {
        "types": np.count_nonzero(counts, axis=1).astype(np.float64),
        "hapaxes": np.count_nonzero(counts == 1, axis=1).astype(np.float64),
        "unigram_entropy_bits": (np.log(safe) - weighted.sum(axis=1) / safe) / math.log(2),
        "top_100_share": top[:, :100].sum(axis=1) / safe,
        "top_1000_share": top.sum(axis=1) / safe,
        "zipf_slope": _zipf_slope(top),
    }


def _zipf_slope(top_Nx1000: np.ndarray) -> np.ndarray:
    frequency = top_Nx1000[:, ZIPF_RANKS - 1]
    rank = np.log(ZIPF_RANKS)
    centred = rank - rank.mean()
    log = np.log(frequency, out=np.full_like(frequency, np.nan), where=frequency > 0)
    return log @ centred / (centred @ centred)


def resampled_measures(counts_KxV: np.ndarray, halves_RxK: np.ndarray) -> dict[str, np.ndarray]:
    """`measures` of every resample of K groups, each float64 [R]."""
    counts = counts_KxV.astype(np.float64, copy=False)
    step = max(1, _AT_ONCE // max(1, counts.shape[1]))
    parts = [measures(halves_RxK[at : at + step] @ counts) for at in range(0, len(halves_RxK), step)]
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def estimates(counts_KxV: np.ndarray, halves_RxK: np.ndarray) -> dict[str, Estimate]:
    """`measures` of all K groups together, missing ones None, and of every resample."""
    whole = measures(counts_KxV.sum(axis=0)[None])
    resampled = resampled_measures(counts_KxV, halves_RxK)
    return {name: (finite(float(value[0])), resampled.get(name, np.empty(0))) for name, value in whole.items()}


def finite(value: float) -> float | int | None:
    """A measure as JSON holds it: missing is null, a count whole."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) > 1 else float(value)
