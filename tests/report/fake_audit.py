"""Writes an audit's folder with simulated tables in the exact schema: the page is tested without checkpoints.

The models are drawn after the paper's section 5: a base, one conservative model, one rebuilt in layers 2 to 20 and
with a spectrally inert successor, vision towers with an anomaly in one query projection.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.findings import findings
from bench_shadows.files import write_json

ATTENTION = tuple(f"self_attn.{name}_proj" for name in "qkvo")
DECODER = (*ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
VISION = (*ATTENTION, "mlp.up_proj", "mlp.down_proj")


@dataclasses.dataclass(frozen=True)
class Fake:
    """One audited model; `moved`: relative change, correlation, and relative change of effective rank."""

    name: str
    reference: str | None = None
    layers: int = 36
    vision: int = 0
    alpha: float = 3.6
    tail: float = 0.02
    x_min: float = 1.0
    moved: tuple[float, float, float] = (0.2, 0.98, 0.02)
    deep: tuple[int, int] | None = None
    odd_query: int | None = None
    skipped: int = 12
    config: tuple[tuple[str, Any], ...] = (("hidden_size", 2560), ("num_hidden_layers", 36))


BASE = Fake("Base-4B")
FAMILY = (
    BASE,
    Fake("Rebuilt-VL-4B-Instruct", "Base-4B", vision=24, x_min=0.8, moved=(0.12, 0.99, 0.03), deep=(2, 20)),
    Fake("Careful-VL-4B-Instruct", "Base-4B", vision=24, alpha=4.1, tail=0.12, x_min=1.6, odd_query=2),
    Fake(
        "Careful-VL-4B-Thinking",
        "Careful-VL-4B-Instruct",
        vision=24,
        alpha=4.1,
        tail=0.12,
        x_min=1.6,
        moved=(0.04, 0.999, 0.001),
        odd_query=2,
        config=(
            ("hidden_size", 2560),
            ("num_hidden_layers", 36),
            ("rope_theta", 5e6),
            ("vision_config.depth", 24),
        ),
    ),
)


def write_audit_folder(folder: Path, fakes: Sequence[Fake] = FAMILY) -> Path:
    """audit.json, diagnostics.parquet, changes.parquet and findings.json, as `bench-shadows audit` leaves them."""
    diagnostics = [row for fake in fakes for row in _diagnostics(fake)]
    changes = [row for fake in fakes if fake.reference for row in _changes(fake)]
    analyse.write_table(folder / "diagnostics.parquet", diagnostics, analyse.DIAGNOSTICS_SCHEMA)
    analyse.write_table(folder / "changes.parquet", changes, analyse.CHANGES_SCHEMA)
    write_json(folder / "findings.json", findings(diagnostics, changes))
    write_json(folder / "audit.json", _audit(fakes))
    return folder


def _parts(fake: Fake) -> list[tuple[str, tuple[str, ...], int, int]]:
    """(component, modules, layers, width)."""
    parts = [("decoder", DECODER, fake.layers, 2560)]
    return [*parts, ("vision", VISION, fake.vision, 1024)] if fake.vision else parts


def _identity(fake: Fake, component: str, module: str, layer: int) -> dict[str, Any]:
    return {
        **dataclasses.asdict(analyse.Identity(fake.name)),
        "component": component,
        "module": module,
        "layer": layer,
        "tensor": f"{component}.layers.{layer}.{module}.weight",
    }


def _diagnostics(fake: Fake) -> list[dict[str, Any]]:
    random = np.random.default_rng(sum(fake.name.encode()))
    rows = []
    for component, modules, layers, width in _parts(fake):
        for module in modules:
            level = fake.alpha * (1.15 if module in ATTENTION else 0.9) * random.uniform(0.9, 1.1)
            for layer in range(layers):
                alpha = 1 + (level - 1) * np.exp(0.1 * random.normal() + 0.1 * layer / layers)
                alpha += 4 * (random.random() < fake.tail)
                rank = 0.7 * width * np.exp(0.01 * random.normal())
                if component == "vision" and module == ATTENTION[0] and layer == fake.odd_query:
                    alpha, rank = 17.0, 0.2 * width
                spikes = int(random.integers(60, 300))
                failed = random.random() < 0.004
                fitted: dict[str, Any] = {
                    "alpha": alpha,
                    "sigma": (alpha - 1) / spikes**0.5,
                    "ks_distance": 0.04,
                    "x_min": fake.x_min * (1 + 0.2 * layer / layers) * np.exp(0.05 * random.normal()),
                    "x_min_over_mean": 1.4 * fake.x_min**0.5,
                    "spikes": spikes,
                }
                rows.append(
                    _identity(fake, component, module, layer)
                    | {"rows": width, "columns": width, "dtype": "bfloat16"}
                    | (dict.fromkeys(fitted) if failed else fitted)
                    | {"effective_rank": rank, "stable_rank": 40.0, "participation_ratio": 200.0}
                    | {"lambda_max": 30.0, "in_range": None if failed else 2 <= alpha <= 6}
                    | {
                        "alpha_hat": None if failed else 1.477 * alpha,
                        "frobenius_norm": 34.6,
                        "spectral_norm": 5.48,
                    }
                    | {"status": "no tail fits" if failed else "ok"}
                )
    return rows


def _changes(fake: Fake) -> list[dict[str, Any]]:
    random = np.random.default_rng(len(fake.name))
    change, correlation, rank = fake.moved
    rows = []
    for component, modules, layers, width in _parts(fake):
        if component == "vision" and fake.reference == BASE.name:
            continue  # the base has no vision tower
        for module in modules:
            for layer in range(layers):
                moved, kept = change * np.exp(0.06 * random.normal()), correlation
                shift = 0.7 * width * rank * random.normal()
                if fake.deep and fake.deep[0] <= layer <= fake.deep[1]:
                    moved, kept, shift = 1.3 + 0.05 * random.normal(), 0.03 * random.normal(), shift * 2
                rows.append(
                    _identity(fake, component, module, layer)
                    | {"reference": fake.reference, "mean_change": 1e-6 * moved * random.normal()}
                    | {"mean_abs_change": 0.016 * moved, "change_variance": 4e-4 * moved**2}
                    | {"relative_change": moved, "correlation": kept, "scale": kept * (1 + moved**2) ** 0.5}
                    | {"update_sparsity": 0.1, "update_rank": float(width), "subspace_overlap": abs(kept)}
                    | {"delta_effective_rank": shift, "delta_alpha": 0.1 * random.normal(), "status": "ok"}
                )
    return rows


def _audit(fakes: Sequence[Fake]) -> dict[str, Any]:
    models = []
    for fake in fakes:
        counts = {component: len(modules) * layers for component, modules, layers, _ in _parts(fake)}
        skipped = [
            {
                "tensor": f"model.layers.{i}.input_layernorm.weight",
                "reason": "norm",
                "shape": [2560],
                "dtype": "BF16",
                "parameters": 2560,
            }
            for i in range(fake.skipped)
        ]
        embedding = {"tensor": "model.embed_tokens.weight", "reason": "embedding", "dtype": "BF16"}
        read, embedded, norms = 2560**2 * sum(counts.values()), 151936 * 2560, 2560 * fake.skipped
        models.append(
            {
                "name": fake.name,
                "path": f"/checkpoints/{fake.name}",
                "format": "safetensors, 2 files",
                "family": "Qwen-VL" if fake.vision else "Llama, Qwen, Mistral style decoder",
                "component_counts": counts,
                "config": dict(fake.config) | {"model_type": "qwen3", "vocab_size": 151936},
                "tensors": sum(counts.values()) + fake.skipped + 1,
                "matrices": sum(counts.values()),
                "bytes": 8_045_591_552,
                "skipped": [*skipped, embedding | {"shape": [151936, 2560]}],
                "notices": ["lm_head is tied to the embedding"] if fake.vision else [],
                "reference": fake.reference,
                "role": "model",
                "coverage": {
                    "tensors": sum(counts.values()) + fake.skipped + 1,
                    "parameters": read + embedded + norms,
                    "read_tensors": sum(counts.values()),
                    "read_parameters": read,
                    "left_out": [
                        {"reason": "embedding", "tensors": 1, "parameters": embedded},
                        {"reason": "norm", "tensors": fake.skipped, "parameters": norms},
                    ],
                },
            }
        )
    pairs = [
        {
            "model": fake.name,
            "reference": fake.reference,
            "missing": [],
            "extra": ["model.visual.blocks.0.attn.qkv.weight"] if fake.reference == BASE.name else [],
            "reshaped": ["model.embed_tokens.weight [151936, 2560] against [151669, 2560]"],
        }
        for fake in fakes
        if fake.reference
    ]
    return {
        "version": 2,
        "command": ["bench-shadows", "audit", *(fake.name for fake in fakes)],
        "audited": [f"/checkpoints/{fake.name}" for fake in fakes],
        "models": models,
        "pairs": pairs,
        "seconds": 412.5,
        "peak_memory_bytes": 1_610_612_736,
        "versions": {"bench-shadows": "0.1.0", "python": "3.11"},
    }
