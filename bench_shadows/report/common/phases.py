"""The measures of data/statistics.json by run and phase."""

import re
from collections.abc import Mapping
from typing import Any

from bench_shadows.report.common.run import Run

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


def phase_statistics(run: Run) -> dict[tuple[str, int], dict[str, Mapping[str, Any]]]:
    """(condition, seed) -> phase -> measures, from statistics.json; runs are found by name: A-seed0, or A."""
    found: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}

    def search(value: Mapping[str, Any], depth: int) -> None:
        for name, item in value.items():
            if not isinstance(item, Mapping):
                continue
            match = re.fullmatch(r"([A-Z])(?:-seed(\d+))?", name)
            phases = item.get("phases", item)
            if match and isinstance(phases, Mapping) and any(phase in phases for phase in PHASES):
                kept = {phase: phases[phase] for phase in PHASES if isinstance(phases.get(phase), Mapping)}
                found[match[1], int(match[2] or 0)] = kept
            elif depth:
                search(item, depth - 1)

    search(run.statistics, 2)
    return found
