"""A study of prompts small enough for a test, and what its samples.parquet holds."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench_shadows.config import Config
from bench_shadows.kinds.prompts import KIND as PROMPTS

ASK = "Describe the picture in one sentence."


def study(sources: tuple[str, ...] = ("builtin",), image_size: int = 24, **prompts: Any) -> Config:
    """A config of a study of prompts with 6 steps of 8 samples."""
    config = Config()
    replace = dataclasses.replace
    return replace(
        config,
        data=replace(config.data, sources=sources, seq_len=160, held_out_rows=2, bad_records_limit=40),
        model=replace(config.model, vocab_size=270),
        train=replace(config.train, samples=48, batch_size=8),
        conditions=replace(config.conditions, names=PROMPTS.conditions, seeds=(0, 1)),
        vision=replace(config.vision, image_size=image_size),
        prompts=replace(config.prompts, **{"samples": 60, **prompts}),
    )


def table(folder: Path) -> list[dict[str, Any]]:
    """The rows of samples.parquet."""
    return pq.read_table(folder / "samples.parquet").to_pylist()
