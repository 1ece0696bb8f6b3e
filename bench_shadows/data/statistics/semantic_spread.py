"""Semantic spread of a text without embeddings: how many directions its words point in.

Pieces of text are hashed tf-idf vectors (Salton and Buckley 1988; hashing: Weinberger et al. 2009) of length one.
The participation ratio of their Gram matrix, (sum l)^2 / sum l^2 over its eigenvalues l, is what diagnostics say
of a weight matrix; for n vectors of length one it is n^2 / sum cos^2. We leave out pairs of one document and let n
grow: 1 / mean cos^2 over pairs of pieces of different documents. It sees words, not meanings: text on one subject
lowers it (`tests/data/statistics/test_semantic_spread.py`), and so does rewriting with fewer words.
"""

from collections.abc import Sequence

import numpy as np

from bench_shadows.data.statistics.resampling import Estimate

PIECE_WORDS = 200
PIECES = 768
"""At most, evenly spaced; the Gram matrix has so many rows."""
BUCKETS = 2**12


def pieces(documents: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(document [N], words [N, PIECE_WORDS]) of whole pieces; evenly spaced ones where there are too many."""
    found = [
        (number, words[at : at + PIECE_WORDS])
        for number, words in enumerate(documents)
        for at in range(0, len(words) - PIECE_WORDS + 1, PIECE_WORDS)
    ]
    kept = [found[int(at)] for at in np.linspace(0, len(found) - 1, min(PIECES, len(found)))]
    words_NxP = np.array([words for _, words in kept], np.int64).reshape(-1, PIECE_WORDS)
    return np.array([number for number, _ in kept], np.int64), words_NxP


def term_counts(words_NxP: np.ndarray, buckets_V: np.ndarray) -> np.ndarray:
    """1 + ln(count) of every bucket in every piece, 0 where it is not, float32 [N, BUCKETS]."""
    cells = buckets_V[words_NxP] + BUCKETS * np.arange(len(words_NxP))[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(words_NxP) * BUCKETS).reshape(-1, BUCKETS)
    return np.log(counts, out=np.full(counts.shape, -1.0), where=counts > 0).astype(np.float32) + 1


def inverse_document_frequency(terms_NxB: np.ndarray) -> np.ndarray:
    """ln((1 + n) / (1 + pieces that have the bucket)) + 1, float32 [BUCKETS]."""
    having = np.count_nonzero(terms_NxB, axis=0)
    return (np.log((1 + len(terms_NxB)) / (1 + having)) + 1).astype(np.float32)


def spread(
    terms_NxB: np.ndarray, idf_B: np.ndarray, units_N: np.ndarray, groups_N: np.ndarray, halves_RxK: np.ndarray
) -> Estimate:
    """1 / mean squared cosine over pairs of pieces of different documents, and the same of every resample [R].

    Args:
      terms_NxB: `term_counts`; idf_B: of the text that all are measured by.
      units_N: the document of each piece; groups_N: its group of resampling.
    """
    vectors = terms_NxB * idf_B
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    apart = (units_N[:, None] != units_N[None, :]).astype(np.float64)
    if not apart.any():
        return None, np.empty(0)
    squares = (vectors @ vectors.T).astype(np.float64) ** 2 * apart
    member_NxK = (groups_N[:, None] == np.arange(halves_RxK.shape[1])).astype(np.float64)
    pairs, total = (
        ((halves_RxK @ (member_NxK.T @ found @ member_NxK)) * halves_RxK).sum(axis=1) for found in (apart, squares)
    )
    return float(apart.sum() / squares.sum()), pairs / np.where(total > 0, total, np.nan)
