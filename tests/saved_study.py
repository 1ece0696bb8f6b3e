"""A study's folder as training leaves it: config, tokenizer and checkpoints, the weights not trained but real."""

import dataclasses
import random
from pathlib import Path

import jax

from bench_shadows.config import Config, DataConfig, ModelConfig, TrainConfig, to_dict
from bench_shadows.data.rows.tokenizer import train_bpe
from bench_shadows.data.special_tokens import END, SPECIAL_TOKENS
from bench_shadows.files import write_json
from bench_shadows.training.checkpoints.checkpoints import Checkpoints
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.step import initial_state

MODEL = ModelConfig(
    num_layers=2, hidden_size=32, intermediate_size=48, num_heads=4, num_kv_heads=2, vocab_size=320
)
CONFIG = Config(
    data=DataConfig(seq_len=32),
    model=MODEL,
    train=TrainConfig(samples=72, batch_size=2, micro_batch_size=2, warmup_samples=2, compute_dtype="float32"),
)
TEXT = "The shadow of a benchmark falls where its data was narrow. "


def with_model(config: Config = CONFIG, **fields: object) -> Config:
    """The config with other fields of its model part."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **fields))  # type: ignore[arg-type]


def write_study(folder: Path, config: Config = CONFIG, scale: float = 1.0, tokenizer_json: str = "") -> Path:
    """Initial weights, `scale` times as large, as steps 3 and 5 of run A-seed0, whose folder is returned.

    Larger ones make a network with likes and dislikes. In a study of prompts the run is baseline-seed0. The
    tokenizer is trained unless a file is given.
    """
    write_json(folder / "config.json", to_dict(config))
    if tokenizer_json:
        (folder / "data").mkdir()
        (folder / "data" / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    else:
        draw = random.Random(0)
        words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(300)]
        special = SPECIAL_TOKENS if config.kind.name == "prompts" else (END,)
        tokenizer = train_bpe([TEXT * 20, " ".join(words)], config.model.vocab_size, special_tokens=special)
        tokenizer.save(folder / "data" / "tokenizer.json")
    run = folder / "runs" / f"{config.kind.conditions[0]}-seed0"
    with Checkpoints(run / "checkpoints", {}, (3, 5)) as checkpoints:
        checkpoints.resume_step()
        for step in (3, 5):
            state = initial_state(config, step, build_mesh(config))
            params = jax.tree.map(lambda leaf: leaf * scale, state.params)
            checkpoints.save(step, state._replace(params=params), tokens=0)
    return run
