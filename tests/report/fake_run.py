"""Writes a run folder with simulated tables in the exact schema: the report is tested without training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fake_data import DOMAINS, documents, statistics
from fake_suites import suites

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainConfig,
    to_dict,
)
from bench_shadows.files import write_json
from bench_shadows.paper import MODULES


def small_config(
    conditions: Sequence[str] = ("A", "B", "C", "D"),
    seeds: Sequence[int] = (0,),
    layers: int = 4,
    steps: int = 216,
) -> Config:
    """The laptop's shape: 4 layers of 128, a million tokens."""
    return Config(
        data=DataConfig(seq_len=128, held_out_rows=64),
        model=ModelConfig(
            num_layers=layers,
            hidden_size=128,
            intermediate_size=512,
            num_heads=4,
            num_kv_heads=2,
            vocab_size=1024,
        ),
        train=TrainConfig(
            samples=32 * steps,
            batch_size=32,
            micro_batch_size=32,
            warmup_samples=32 * 12,
            peak_learning_rate=2e-3,
            min_learning_rate=2e-4,
        ),
        conditions=ConditionsConfig(names=tuple(conditions), seeds=tuple(seeds)),
        evaluation=EvaluationConfig(rows=24),
    )


def write_run(folder: Path, config: Config, missing_fits: float = 0.02) -> Path:
    """A whole run folder but for checkpoints and rows: every file that the report reads."""
    random = np.random.default_rng(0)
    runs = [(name, seed) for seed in config.conditions.seeds for name in config.conditions.names]
    write_json(folder / "config.json", to_dict(config))
    write_json(folder / "provenance.json", provenance(runs))
    write_json(folder / "data/statistics.json", statistics(config))
    write_json(folder / "data/documents.json", documents())
    for name, seed in runs:
        write_metrics(folder / f"runs/{name}-seed{seed}/metrics.jsonl", config, name, seed)
        write_monitor(folder / f"runs/{name}-seed{seed}/monitor.jsonl", config, name, seed)
    write_table(
        folder / "diagnostics.parquet",
        [row for run in runs for row in _diagnostics(config, *run, missing_fits, random)],
    )
    write_table(folder / "changes.parquet", [row for run in runs for row in _changes(config, *run, random)])
    write_table(folder / "evaluation.parquet", [row for run in runs for row in _evaluation(config, *run, random)])
    return folder


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as Parquet, columns as the first row has them."""
    pq.write_table(pa.Table.from_pylist(rows), path)


def steps_of(config: Config) -> list[tuple[float, int]]:
    """(fraction, step) of the checkpoints, the initial weights first."""
    return [(0.0, 0), *zip(config.diagnostics.fractions, config.analysed_steps, strict=True)]


def keys(name: str, seed: int, step: int) -> dict[str, Any]:
    """The columns that name a checkpoint."""
    return {"model": f"{name}-seed{seed}", "condition": name, "seed": seed, "step": step}


def _shape(config: Config, module: str) -> tuple[int, int]:
    model = config.model
    kv = model.num_kv_heads * model.head_dim
    return {
        "k_proj": (model.hidden_size, kv),
        "v_proj": (model.hidden_size, kv),
        "gate_proj": (model.hidden_size, model.intermediate_size),
        "up_proj": (model.hidden_size, model.intermediate_size),
        "down_proj": (model.intermediate_size, model.hidden_size),
    }.get(module.rpartition(".")[2], (model.hidden_size, model.hidden_size))


def _beginning(seed: int) -> tuple[str, np.random.Generator]:
    """Whose numbers step 0 has: the initial weights of a seed are the same for all conditions."""
    return "A", np.random.default_rng([seed, 2])


def _diagnostics(
    config: Config, name: str, seed: int, missing: float, random: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    for fraction, step in steps_of(config):
        data, draw = (name, random) if step else _beginning(seed)
        for module in MODULES:
            height, width = _shape(config, module)
            for layer in range(config.model.num_layers):
                depth = layer / max(config.model.num_layers - 1, 1)
                pull = {"A": 0.0, "B": 1.2, "C": 0.3 * (1 - fraction), "D": 1.5 * depth}[data] * ("attn" in module)
                alpha = float(3.2 + pull + 4.5 * np.exp(-5 * fraction) + draw.gamma(1.2, 0.9))
                rank_noise = 0.2 * draw.standard_normal()
                fitted = bool(draw.random() >= missing)
                least = min(height, width)
                rows.append(
                    {
                        **keys(name, seed, step),
                        "fraction": fraction,
                        "component": "decoder",
                        "module": module,
                        "layer": layer,
                        "tensor": f"layers/{module.replace('.', '/')}/kernel[{layer}]",
                        "rows": height,
                        "columns": width,
                        "dtype": "float32",
                        "alpha": alpha if fitted else None,
                        "sigma": alpha / 6 if fitted else None,
                        "ks_distance": 0.08 if fitted else None,
                        "x_min": float(0.6 + 0.2 * draw.random()) if fitted else None,
                        "x_min_over_mean": float(1.1 + 0.3 * draw.random()) if fitted else None,
                        "spikes": int(draw.integers(12, least // 2)) if fitted else None,
                        "effective_rank": float(
                            least * (0.93 - 0.15 * fraction - 0.05 * depth * (data == "D")) + rank_noise
                        ),
                        "stable_rank": float(least * 0.2),
                        "participation_ratio": float(least * 0.5),
                        "lambda_max": float(4 + draw.random()),
                        "in_range": 2 <= alpha <= 6 if fitted else None,
                        "status": "ok" if fitted else "fewer than 8 eigenvalues in the tail",
                    }
                )
    return rows


def _changes(config: Config, name: str, seed: int, random: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for index, (fraction, step) in enumerate(steps_of(config)):
        for reference in ("init", "previous", "A"):
            if index == 0 or (reference == "A" and name == "A"):
                continue
            for module in MODULES:
                for layer in range(config.model.num_layers):
                    depth = layer / max(config.model.num_layers - 1, 1)
                    scale = {"init": 1.0, "previous": 0.3, "A": 0.5}[reference] * (2.0 if name == "B" else 1.0)
                    u_shape = 1 + 1.5 * (2 * depth - 1) ** 2
                    wobble = float(np.exp(0.1 * random.standard_normal()))
                    rows.append(
                        {
                            **keys(name, seed, step),
                            "component": "decoder",
                            "module": module,
                            "layer": layer,
                            "reference": reference,
                            "tensor": f"layers.{module}.kernel",
                            "status": "ok",
                            "mean_change": float(1e-5 * random.standard_normal()),
                            "mean_abs_change": 0.01 * scale * fraction,
                            "relative_change": 0.4 * scale * fraction * wobble,
                            "correlation": float(1 - 0.3 * scale * fraction * wobble),
                            "change_variance": 4e-4 * scale * u_shape * fraction * wobble,
                            "delta_effective_rank": float(
                                -8 * fraction * scale + random.standard_normal() - 3 * depth * (name == "D")
                            ),
                            "delta_alpha": float(-fraction + random.standard_normal()),
                        }
                    )
    return rows


def _evaluation(config: Config, name: str, seed: int, random: np.random.Generator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for fraction, step in steps_of(config):
        data, draw = (name, random) if step else _beginning(seed)
        cost = {"A": 0.0, "B": 0.06, "C": 0.09, "D": 0.12}[data] + 0.01 * draw.standard_normal()
        base = 2.1 + 1.3 * float(np.exp(-4 * fraction)) + cost
        for index, domain in enumerate((*DOMAINS, "all")):
            value = base + (0.15 * (index - 3) if domain != "all" else 0.0) + 0.01 * draw.standard_normal()
            count = 24 * 127 * (len(DOMAINS) if domain == "all" else 1)
            for metric, scale in (("bits_per_byte", 1.0), ("loss_nats_per_token", 2.0)):
                result = {"task": domain, "metric": metric, "value": scale * value, "count": count}
                rows.append({**keys(name, seed, step), "suite": "likelihood", **result})
        for decile in range(1, 11):
            value = 1.2 + 0.62 * decile + cost * decile / 5 + 1.5 * float(np.exp(-4 * fraction))
            result = {"task": f"decile-{decile}", "metric": "loss_nats_per_token", "value": value, "count": 1800}
            rows.append({**keys(name, seed, step), "suite": "frequency", **result})
        results = suites(data, fraction, name, draw)
        rows += [keys(name, seed, step) | result for result in results]
    return rows


def write_monitor(path: Path, config: Config, name: str, seed: int) -> None:
    """Looks at four matrices, one of them without a fit, with the changes that the first look lacks."""
    random = np.random.default_rng([seed, sum(name.encode()), 1])
    lines = []
    for step in range(0, config.steps + 1, config.diagnostics.monitor_every):
        settled = 0.2 if name == "B" else 0.2 - 0.18 * step / config.steps
        rows = [
            {
                "alpha": float(random.normal(4, 0.5)) if matrix else None,
                "effective_rank": float(random.uniform(48, 52)),
                "relative_change": float(settled * random.uniform(0.9, 1.1)) if step else None,
                "rows": 64,
                "columns": 128,
            }
            for matrix in range(4)
        ]
        lines.append(json.dumps({"step": step, "matrices": rows, "warnings": []}))
    path.write_text("\n".join(lines) + "\n")


def write_metrics(path: Path, config: Config, name: str, seed: int) -> None:
    """Equal batches have equal token statistics, as in a real run: seeded by seed, half and data, not by run."""
    noise = np.random.default_rng([seed, sum(name.encode())])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens_a_step = config.train.batch_size * config.data.seq_len
    lines = []
    for step in range(1, config.steps + 1):
        first = step <= config.phase_steps
        data = name if (first and name in "CD") or name == "deduplicated" else "A"
        batch = np.random.default_rng([seed, sum(data.encode()), step])
        narrow = data == "D"
        peak, least = config.train.peak_learning_rate, config.train.min_learning_rate
        warm = min(1.0, step / max(config.warmup_steps, 1))
        cosine = peak if name == "B" else least + (peak - least) * 0.5 * (1 + np.cos(np.pi * step / config.steps))
        record = {
            "step": step,
            "loss": float(4.4 + 2.5 * np.exp(-step / 35) - 0.4 * narrow + 0.04 * noise.standard_normal()),
            "learning_rate": float(warm * cosine),
            "grad_norm": float(0.6 + 2 * np.exp(-step / 20) + 0.05 * noise.standard_normal()),
            "update_norm": float(60 * warm * cosine + 0.01 * noise.standard_normal()),
            "param_norm": float(30 + 3 * step / config.steps),
            "grad_square": float(0.05 + 0.4 * np.exp(-step / 30) + 0.05 * noise.standard_normal()),
            "grad_variance": float((6.0 if narrow else 9.0) * (1 + 0.1 * noise.standard_normal())),
            "spikes": 0,
            "goodput": 0.97,
            "tokens": step * tokens_a_step,
            "tokens_per_second": 11_000.0,
            "step_seconds": tokens_a_step / 11_000.0,
            "mfu": None,
            "batch_types": int(batch.integers(860, 900) - 120 * narrow),
            "batch_entropy_bits": float(8.6 - 0.5 * narrow + 0.03 * batch.standard_normal()),
            "batch_top_100_share": float(0.55 + 0.08 * narrow + 0.004 * batch.standard_normal()),
            "batch_distinct_rows_share": float(batch.choice([0.9375, 0.96875, 1.0])) if data == "C" else 1.0,
        }
        if config.kind.name == "prompts":
            record["batch_answer_tokens"] = int(np.random.default_rng([seed, step]).integers(250, 300))
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def provenance(runs: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """provenance.json of a machine with two cores."""
    return {
        "created": "2026-11-21T14:00:00+00:00",
        "command": ["bench-shadows", "study", "--config=configs/laptop.py"],
        "revision": "be614e6f00d",
        "versions": {"bench-shadows": "0.1.0", "python": "3.11.9", "jax": "0.10.2", "flax": "0.12.8"},
        "platform": "Linux-6.1-x86_64",
        "processor": "Some Processor <2 cores>",
        "cpus": 2,
        "backend": "cpu",
        "devices": ["cpu"],
        "stages": {
            "prepare": {"seconds": 61.2, "inputs": "5f" * 32, "outputs": {"tokenizer": "ab" * 32}},
            "train": {"seconds": 81.0 * len(runs)},
            "diagnose": {"seconds": 20.5},
        },
    }
