"""Writes a run folder of a study of prompts with simulated tables in the exact schema."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fake_run import keys, provenance, small_config, steps_of, write_metrics, write_monitor, write_table

from bench_shadows.config import Config, PromptsConfig, VisionConfig, to_dict
from bench_shadows.files import write_json
from bench_shadows.kinds.prompts import KIND as PROMPTS
from bench_shadows.paper import MODULES

TASKS = {
    "multimodal": ("ocr", "ocr_zh", "counting", "shapes", "captioning"),
    "language": ("arithmetic", "reading"),
    "documents": ("fields", "tables", "keywords"),
    "instructions": ("constraints", "image_constraints"),
}
TOWER = (*(f"self_attn.{name}_proj" for name in "qkvo"), "mlp.up_proj", "mlp.down_proj")
PROJECTOR = ("linear_1", "linear_2")
GAINS = {"multimodal": 0.02, "language": -0.01, "documents": 0.05, "instructions": 0.03}
INSTRUCTION = "Read the <text> in the image. Answer with it alone."
SAMPLES = 400  # of each task


def prompt_config(seeds: Sequence[int] = (0, 1, 2), layers: int = 4, image_size: int = 48) -> Config:
    """The laptop's shape, smaller: 4 layers of 128 behind an encoder of 3."""
    config = small_config(PROMPTS.conditions, seeds, layers)
    vision = VisionConfig(image_size=image_size, patch_size=8, num_layers=3)
    return dataclasses.replace(config, vision=vision, prompts=PromptsConfig(samples=6_000))


def write_prompt_run(folder: Path, config: Config, missing_fits: float = 0.02) -> Path:
    """A whole run folder but for checkpoints, rows and images: every file that the report reads."""
    random = np.random.default_rng(1)
    runs = [(name, seed) for seed in config.conditions.seeds for name in config.conditions.names]
    write_json(folder / "config.json", to_dict(config))
    write_json(folder / "provenance.json", provenance(runs))
    write_json(folder / "data/statistics.json", statistics(config))
    write_json(folder / "data/documents.json", documents())
    write_json(folder / "data/duplicates.json", duplicates())
    write_table(folder / "data/samples.parquet", list(samples()))
    for name, seed in runs:
        write_metrics(folder / f"runs/{name}-seed{seed}/metrics.jsonl", config, name, seed)
        write_monitor(folder / f"runs/{name}-seed{seed}/monitor.jsonl", config, name, seed)
    weights = [row for run in runs for row in _diagnostics(config, *run, missing_fits, random)]
    write_table(folder / "diagnostics.parquet", weights)
    write_table(folder / "changes.parquet", [row for run in runs for row in _changes(config, *run, random)])
    write_table(folder / "evaluation.parquet", [row for run in runs for row in _evaluation(config, *run, random)])
    return folder


def _matrices(config: Config) -> Iterator[tuple[str, str, int | None]]:
    """(component, module, layer) of every matrix."""
    for module in MODULES:
        for layer in range(config.model.num_layers):
            yield "decoder", module, layer
    if config.vision.image_size:
        for module in TOWER:
            for layer in range(config.vision.num_layers):
                yield "vision", module, layer
        for module in PROJECTOR:
            yield "projector", module, None


def _diagnostics(
    config: Config, name: str, seed: int, missing: float, random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    for fraction, step in steps_of(config):
        data, draw = (name, random) if step else ("baseline", np.random.default_rng([seed, 2]))
        for component, module, layer in _matrices(config):
            depth = (layer or 0) / max(config.model.num_layers - 1, 1)
            few = 0.8 * (
                module == "self_attn.v_proj" and layer == 1 and data == "baseline" and component == "decoder"
            )
            alpha = float(2.6 + depth + few + 4 * np.exp(-5 * fraction) + draw.gamma(1.2, 0.5))
            fitted = bool(draw.random() >= missing)
            spectrum = {
                "alpha": alpha,
                "sigma": alpha / 6,
                "ks_distance": 0.08,
                "x_min": float(0.6 + 0.2 * draw.random()),
                "x_min_over_mean": float(1.1 + 0.3 * draw.random()),
                "spikes": int(draw.integers(12, 60)),
                "in_range": 2 <= alpha <= 6,
            }
            yield {
                **keys(name, seed, step),
                "fraction": fraction,
                "component": component,
                "module": module,
                "layer": layer,
                "tensor": f"{component}/{module}/{layer}",
                "rows": 128,
                "columns": 128,
                "dtype": "float32",
                **(spectrum if fitted else dict.fromkeys(spectrum)),
                "effective_rank": float(110 - 20 * fraction + 0.2 * draw.standard_normal()),
                "status": "ok" if fitted else "fewer than 8 eigenvalues in the tail",
            }


def _changes(config: Config, name: str, seed: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for index, (fraction, step) in enumerate(steps_of(config)):
        for reference, scale in (("init", 1.0), ("previous", 0.3), ("baseline", 0.1)):
            if index == 0 or reference == name:
                continue
            for component, module, layer in _matrices(config):
                wobble = float(np.exp(0.1 * random.standard_normal()))
                drift = -20 * fraction if reference == "init" else 0.0
                yield {
                    **keys(name, seed, step),
                    "component": component,
                    "module": module,
                    "layer": layer,
                    "tensor": f"{component}/{module}/{layer}",
                    "reference": reference,
                    "status": "ok",
                    "relative_change": 0.4 * scale * fraction * wobble,
                    "correlation": float(1 - 0.3 * scale * fraction * wobble),
                    "change_variance": 4e-4 * scale * fraction * wobble,
                    "delta_effective_rank": float(drift + 0.2 * random.standard_normal()),
                }


def _evaluation(config: Config, name: str, seed: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    steps = steps_of(config)
    for fraction, step in steps:
        draw = random if step else np.random.default_rng([seed, 2])
        last = step == steps[-1][1]
        learned, clean = 1 - float(np.exp(-4 * fraction)), name == "deduplicated" and step > 0

        def row(suite: str, task: str, metric: str, value: float, count: int) -> dict[str, Any]:
            found = {"suite": suite, "task": task, "metric": metric, "value": value, "count": count}
            return {**keys(name, seed, step), **found}  # noqa: B023

        for suffix, lost in (("", 0.0), ("_repeated", 0.06)):
            totals = []
            for group, tasks in TASKS.items():
                gain = GAINS[group] * clean - lost * clean
                found = [
                    (
                        min(1.0, max(0.0, learned * (0.5 + gain + 0.03 * index + 0.01 * draw.standard_normal()))),
                        4 - learned * (3 + gain + 0.02 * draw.standard_normal()),
                    )
                    for index, _ in enumerate(tasks)
                ]
                named = [
                    (f"tasks{suffix}", f"{group}/{task}", *pair, 64)
                    for task, pair in zip(tasks, found, strict=True)
                ]
                mean = np.mean(found, axis=0).tolist()
                totals.append(mean)
                for suite, task, right, loss, count in [
                    *named,
                    (f"groups{suffix}", group, *mean, 64 * len(tasks)),
                ]:
                    yield row(suite, task, "answer_loss_nats_per_token", loss, count)
                    if last:
                        yield row(suite, task, "exact_match", right, count)
            right, loss = np.mean(totals, axis=0).tolist()
            yield row(f"groups{suffix}", "all", "answer_loss_nats_per_token", loss, 64 * 12)
            if last:
                yield row(f"groups{suffix}", "all", "exact_match", right, 64 * 12)
        yield row("likelihood", "language", "loss_nats_per_token", 4 - 2 * learned, 900)
        for group, tasks in TASKS.items() if last else ():
            for index, task in enumerate(tasks):
                yield row("chance", f"{group}/{task}", "exact_match", 0.05 * index, 64)


def statistics(config: Config) -> dict[str, Any]:
    """statistics.json: the conditions have the same answers and images, and prompts of different lengths."""
    rows = SAMPLES * sum(map(len, TASKS.values()))
    answers = {"image": 36 * rows, "answer": 9 * rows}
    baseline, cleaned = answers | {"prompt": 41 * rows}, answers | {"prompt": 23 * rows}
    whole = config.data.seq_len * rows
    for tokens in (baseline, cleaned):
        tokens["padding"] = whole - sum(tokens.values())
    return {
        "seq_len": config.data.seq_len,
        "vocab_size": config.model.vocab_size,
        "rows": {"baseline": rows, "deduplicated": rows, "held_out": 768, "held_out_repeated": 768},
        "unigram_entropy_nats": 5.2,
        "tokens": {"baseline": baseline, "deduplicated": cleaned},
        "text": {name: {"types": 612, "unigram_entropy_bits": 7.5} for name in ("baseline", "deduplicated")},
    }


def documents() -> dict[str, Any]:
    """documents.json: what was read and left out."""
    return {
        "corpus": {
            "bad_records": {"image cannot be read": 2},
            "bad_examples": {"image cannot be read": ["a<b>.jsonl:3"]},
        },
        "left_out": {
            "too_long": {"train": 5, "held_out": 0},
            "too_long_examples": ["builtin/tables/17"],
            "also_held_out": 12,
            "with_image": 0,
        },
        "samples": [
            {"split": split, "domain": f"{group}/{task}", "samples": count}
            for split, count in (("train", SAMPLES), ("held_out", 64))
            for group, tasks in TASKS.items()
            for task in tasks
        ],
    }


def duplicates() -> dict[str, Any]:
    """duplicates.json: three of four samples repeat their instruction."""
    samples = SAMPLES * sum(map(len, TASKS.values()))
    text = INSTRUCTION.casefold().rstrip(".")
    return {
        "samples": samples,
        "repeating": 3 * samples // 4,
        "repeating_after": 0,
        "characters": 120 * samples,
        "characters_removed": 50 * samples,
        "without_text": 0,
        "fields": {"conversations.*.value": samples, "system": samples // 2, "ocr": samples // 4},
        "fields_repeating": {"system": samples // 2, "ocr": samples // 4},
        "fields_repeating_after": {},
        "templates": [
            {"template": f"conversations.*.value + {field}", "samples": samples // part, "samples_after": 0}
            for field, part in (("system", 2), ("ocr", 4))
        ],
        "fragments": [
            {"fragment": text, "copies": samples // 2, "samples": samples // 2, "copies_after": 0},
            {"fragment": "count the circles", "copies": samples // 4, "samples": samples // 4, "copies_after": 0},
        ],
        "fragments_told_apart": 2,
        "fragments_dropped": 0,
        "examples": [],
    }


def samples() -> Iterator[dict[str, Any]]:
    """Rows of samples.parquet: three of four training samples repeat their instruction, all of those held out."""
    for split, count in (("train", SAMPLES), ("held_out", 64)):
        for group, tasks in TASKS.items():
            for task in tasks:
                for number in range(count):
                    repeats = split == "held_out" or number % 4
                    front = f"You are a helpful assistant. {INSTRUCTION}\n" if repeats else ""
                    yield {
                        "split": split,
                        "row": number,
                        "id": f"{task}-{number}",
                        "group": group,
                        "task": task,
                        "language": "en",
                        "baseline": f"{front}{INSTRUCTION}",
                        "deduplicated": f"You are a helpful assistant.\n{INSTRUCTION}" if repeats else INSTRUCTION,
                        "answer": f"word {number}",
                    }
