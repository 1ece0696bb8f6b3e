"""A study of repeated prompts small enough for a test: its config file. The samples are the built-in ones."""

from pathlib import Path

from tiny_study import command, start

__all__ = ["command", "start", "write_prompt_config"]

SHAPE = """
from bench_shadows.config_file import defaults


def get_config():
    config = defaults()
    config.conditions.names = ("baseline", "deduplicated")
    config.prompts.samples = 64
    config.vision.image_size = 24
    config.vision.patch_size = 8
    config.vision.num_layers = 2
    config.vision.hidden_size = 16
    config.vision.intermediate_size = 32
    config.vision.num_heads = 2
    config.data.seq_len = 192
    config.data.held_out_rows = 2
    config.model.num_layers = 2
    config.model.hidden_size = 16
    config.model.intermediate_size = 32
    config.model.num_heads = 2
    config.model.num_kv_heads = 1
    config.model.vocab_size = 320
    config.train.samples = 36 * 8
    config.train.batch_size = 8
    config.train.micro_batch_size = 8
    config.train.warmup_samples = 4 * 8
    config.train.peak_learning_rate = 1e-2
    config.train.min_learning_rate = 1e-3
    config.train.remat = "none"
    config.train.scan_layers = False
    config.evaluation.rows = 2
    return config
"""


def write_prompt_config(folder: Path) -> Path:
    """The config file of a study of some seconds: both conditions, one seed, 36 steps of 8 samples."""
    path = folder / "tiny_prompts.py"
    path.write_text(SHAPE)
    return path
