"""A run small enough for a test: its config, rows and plans on disk, all real."""

import contextlib
import dataclasses
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    DiagnosticsConfig,
    ModelConfig,
    TrainConfig,
    VisionConfig,
)
from bench_shadows.data.rows.loader import Batch
from bench_shadows.data.rows.plans import plan_path, save_plan
from bench_shadows.data.rows.row_store import NAMES, write_rows
from bench_shadows.data.samples.images import write_images
from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID, IMAGE_ID, SPECIAL_TOKENS, USER_ID
from bench_shadows.kinds.prompts import KIND as PROMPTS

MODEL = ModelConfig(num_layers=2, hidden_size=16, intermediate_size=32, num_heads=4, num_kv_heads=2, vocab_size=64)
TRAIN = TrainConfig(
    samples=12 * 8,
    batch_size=8,
    micro_batch_size=8,
    warmup_samples=2 * 8,
    peak_learning_rate=1e-2,
    min_learning_rate=1e-3,
    compute_dtype="float32",
    remat="none",
    scan_layers=False,
)
CONFIG = Config(
    data=DataConfig(seq_len=16),
    model=MODEL,
    train=TRAIN,
    conditions=ConditionsConfig(),
    diagnostics=DiagnosticsConfig(fractions=(1 / 3, 2 / 3, 1.0)),
)
"""12 steps of 8 rows of 16 tokens; analysed at 4, 8, 12."""
SEEING = dataclasses.replace(
    CONFIG,
    conditions=ConditionsConfig(names=PROMPTS.conditions),
    vision=VisionConfig(
        image_size=8, patch_size=4, num_layers=2, hidden_size=16, intermediate_size=32, num_heads=2
    ),
)
"""The same on samples with images of 8 x 8 pixels, 4 of the 16 tokens."""


def with_train(config: Config = CONFIG, **fields: Any) -> Config:
    """The config with other fields of its train part."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))


def some_rows(count: int, config: Config = CONFIG, seed: int = 0) -> np.ndarray:
    """Rows with something to learn: a token is mostly the one before it plus three; int32 [count, seq_len]."""
    draw = np.random.default_rng(seed)
    vocab = config.model.vocab_size
    steps = np.where(draw.random((count, config.data.seq_len)) < 0.9, 3, draw.integers(0, vocab))
    return ((draw.integers(0, vocab, (count, 1)) + steps.cumsum(axis=1)) % vocab).astype(np.int32)


def some_batch(count: int, config: Config = CONFIG, seed: int = 0) -> Batch:
    """`some_rows` as a loader gives them."""
    return Batch(some_rows(count, config, seed))


def write_data(folder: Path, config: Config = CONFIG, seed: int = 0) -> Path:
    """The data folder of a run: rows first, second and rewritten, and the plans of A, C, D."""
    half = config.steps * config.train.batch_size // 2
    for number, name in enumerate(NAMES):
        texts = [row.astype(np.uint32) for row in some_rows(half + 4, config, number)]
        write_rows(folder / "rows" / name, [("prose", texts)], config.data.seq_len, end_of_text=0)
    draw = np.random.default_rng(seed)
    second = half + draw.permutation(half)
    for condition in "ACD":
        first = {"A": draw.permutation(half), "C": np.arange(half) % 5, "D": 2 * half + draw.permutation(half)}
        plan = np.concatenate([first[condition], second]).astype(np.uint32)
        save_plan(plan_path(folder, condition, seed), plan)
    return folder


def some_samples(count: int, config: Config = SEEING, seed: int = 0) -> Batch:
    """Rows with a prompt and an answer, the odd ones with an image; how bright it is, the answer says."""
    draw, size = np.random.default_rng(seed), config.vision.image_size
    text = draw.integers(len(SPECIAL_TOKENS), 32, (count, config.data.seq_len)).astype(np.int32)
    images = np.zeros((count, size, size, 3), np.uint8)
    for number, row in enumerate(text):
        places = config.vision.image_tokens * (number % 2)
        shade = int(draw.integers(8))
        images[number] = 32 * shade * (number % 2)
        row[:places] = IMAGE_ID
        row[[places, places + 4]] = USER_ID, ASSISTANT_ID
        row[places + 5] = 32 + shade
        row[places + 7 :] = END_ID
    return Batch(text, images)


def write_samples(folder: Path, config: Config = SEEING, seed: int = 0) -> Path:
    """The data folder of a study of prompts: rows of both conditions, their images, the plans."""
    rows = config.steps * config.train.batch_size
    samples = some_samples(rows, config, seed)
    assert samples.images is not None
    for number, name in enumerate(PROMPTS.conditions):
        tokens = samples.tokens.astype(np.uint32)
        tokens[:, config.vision.image_tokens + 1] -= number  # a prompt that differs
        write_rows(folder / "rows" / name, [("task", list(tokens[:, :-1]))], config.data.seq_len, END_ID)
        plan = np.random.default_rng(seed).permutation(rows) + number * rows
        save_plan(plan_path(folder, name, seed), plan.astype(np.uint32))
    images = list(samples.images[1::2])
    image_of = np.where(np.arange(rows) % 2, np.arange(rows) // 2, -1)
    write_images(folder / "images" / "train", images, image_of, config.vision.image_size)
    return folder


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to write past `size` bytes of a file, as a full disk would."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
