"""The measures of data/statistics.json by run and phase."""

from collections.abc import Mapping
from typing import Any

from bench_shadows.report.common.run import Key, Run

PHASES = ("first", "second")
LABELS = {
    "tokens": "tokens",
    "positions": "rows shown",
    "distinct_rows": "different rows",
    "duplicate_rows_share": "share of rows shown before",
    "mean_repetitions": "times a row is shown, mean",
    "max_repetitions": "times a row is shown, most",
    "types": "token types",
    "hapaxes": "types that stand there once",
    "unigram_entropy_bits": "unigram entropy, bits",
    "top_100_share": "share of the 100 commonest types",
    "top_1000_share": "share of the 1,000 commonest types",
    "zipf_slope": "Zipf slope",
    "distinct_trigrams": "different trigrams / trigrams",
    "trigrams_not_in_A": "share of trigrams that A's first half has not",
    "trigrams_not_in_first": "share of the second half's trigrams that are new then",
    "compression_ratio": "compressed size / size",
}


def phase_statistics(run: Run) -> dict[Key, dict[str, Mapping[str, Any]]]:
    """(condition, seed) -> phase -> measures."""
    found = {}
    for name, item in run.statistics.get("conditions", {}).items():
        condition, _, seed = name.rpartition("-seed")
        found[condition, int(seed)] = item["phases"]
    return found
