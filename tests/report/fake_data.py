"""What the prepare stage leaves, simulated: data/statistics.json and data/documents.json in the exact schema."""

from typing import Any

import numpy as np

from bench_shadows.config import Config

DOMAINS = ("prose", "technical documentation", "code", "exercises", "dialogue", "chinese reviews")


def statistics(config: Config) -> dict[str, Any]:
    def phase(types: int, entropy: float, different: int, slope: float) -> dict[str, Any]:
        shares = np.exp(np.linspace(0, 3.5, 10)) * np.linspace(1 - slope, 1 + slope, 10)
        return {
            "tokens": 3456 * 128,
            "positions": 3456,
            "distinct_rows": different,
            "mean_repetitions": 3456 / different,
            "max_repetitions": round(3456 / different),
            "repetitions": {str(round(3456 / different)): different},
            "positions_counted": 3456,
            "types": types,
            "hapaxes": 3,
            "unigram_entropy_bits": entropy,
            "top_100_share": 0.46,
            "top_1000_share": 1.0,
            "decile_shares": (shares / shares.sum()).tolist(),
            "compression_ratio": 0.38,
            "domain_shares": {name: 1 / len(DOMAINS) for name in DOMAINS},
            "plan_sha256": "2a" * 32,
            "duplicate_rows_share": 1 - different / 3456,
            "trigrams_not_in_first": 0.52,
            "intervals": {
                "types": [types - 6.0, types + 4.0],
                "unigram_entropy_bits": [entropy - 0.1, entropy + 0.1],
            },
        }

    broad = phase(943, 8.71, 3456, 0.0)
    first = {"A": broad, "B": broad, "C": phase(923, 8.67, 350, 0.02), "D": phase(820, 8.10, 3456, 0.35)}
    return {
        "seq_len": 128,
        "vocab_size": 1024,
        "rows": {"first": 4298, "second": 3886, "rewritten": 3498},
        "unigram_entropy_nats": 6.04,
        "words": _words(),
        "conditions": {
            f"{name}-seed{seed}": {"plan_sha256": "b9" * 32, "phases": {"first": first[name], "second": broad}}
            for name in config.conditions.names
            for seed in config.conditions.seeds
        },
    }


def _words() -> dict[str, Any]:
    def split(types: int, entropy: float) -> dict[str, Any]:
        values = {"documents": 160, "words": 69_464, "types": types, "unigram_entropy_bits": entropy}
        return values | {"semantic_spread": 103.25, "intervals": {"types": [types - 90.0, types + 110.0]}}

    change = {
        "types": {"ratio": 0.7, "interval": [0.68, 0.72]},
        "unigram_entropy_bits": {"difference": -0.3, "interval": None},
    }
    part = {"first": split(9_880, 9.9), "rewritten": split(6_916, 9.6), "second": split(9_996, 10.1)}
    python = {"python": {"share": 0.8, "interval": [0.7, 0.9]}, "c<sharp>": {"share": 0.2, "interval": [0.1, 0.3]}}
    return {
        "level": 0.95,
        "resamples": 400,
        "documents": 666,
        "documents_counted": 549,
        "parts": {"all": part | {"rewritten_against_first": change}, "en text": part, "code": part},
        "code_languages": {"first": python, "rewritten": python, "second": {"make": {"share": 1.0}}},
    }


def documents() -> dict[str, Any]:
    def entries(split: str, scale: int) -> list[dict[str, Any]]:
        languages = (("en", "text"), ("zh", "text"), ("python", "code"))
        return [
            {
                "split": split,
                "domain": domain,
                "language": languages[index % 3][0],
                "kind": languages[index % 3][1],
            }
            | {"documents": scale * (index + 2), "characters": scale * 9000 * (index + 1)}
            for index, domain in enumerate(DOMAINS)
        ]

    duplicate = {"kind": "near", "kept": "plays/1", "removed": "plays/<2>", "similarity": 0.91}
    duplicates = {
        "documents": 9305,
        "exact": 6,
        "near": 54,
        "characters": 63_000_000,
        "characters_removed": 148_146,
    }
    return {
        "corpus": {
            "sources": {"a<b>.jsonl": 9305},
            "bad_records": {"not JSON": 1, "empty text": 1},
            "bad_examples": {"not JSON": ["a<b>.jsonl:17: not JSON"], "empty text": ["a<b>.jsonl:40: empty text"]},
            "duplicates": duplicates | {"threshold": 0.8, "shingle": 5, "examples": [duplicate]},
        },
        "available": entries("corpus", 40),
        "mixture": [row for split in ("first", "second", "rewritten", "held_out") for row in entries(split, 2)],
        "rows": {
            name: {"seq_len": 128, "count": 3500, "tokens": 448_000, "documents": 160, "dropped_tokens": 187}
            for name in ("first", "second", "rewritten", "held_out")
        },
        "rewriting": {
            "documents": 160,
            "outcomes": {"rewritten": 110, "exercise": 50},
            "words": 69_464,
            "words_changed": 26_721,
            "characters_before": 1_207_957,
            "characters_after": 931_645,
        },
    }
