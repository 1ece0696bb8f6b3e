"""Repeated prompts in vision-language data: samples as a pipeline leaves them, and cleaned.

bench-shadows study --config=configs/prompt_repetition.py
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """A small vision-language model that reads, counts and answers; three seeds of both conditions."""
    config = defaults()
    config.conditions.names = ("baseline", "deduplicated")
    config.conditions.seeds = (0, 1, 2)
    config.prompts.samples = 12_000
    config.vision.image_size = 48
    config.vision.patch_size = 8
    config.vision.num_layers = 4
    config.vision.hidden_size = 128
    config.vision.intermediate_size = 256
    config.vision.num_heads = 4
    config.model.num_layers = 6
    config.model.hidden_size = 128
    config.model.intermediate_size = 512
    config.model.num_heads = 4
    config.model.num_kv_heads = 2
    config.model.vocab_size = 1024
    config.data.seq_len = 128
    config.data.held_out_rows = 24
    config.train.samples = 360 * 32
    config.train.batch_size = 32
    config.train.micro_batch_size = 4
    config.train.warmup_samples = 20 * 32
    config.train.peak_learning_rate = 2e-3
    config.train.min_learning_rate = 2e-4
    config.train.remat = "none"
    config.train.scan_layers = False
    config.train.loss_chunk = 512
    config.train.checkpoint_minutes = 1.0
    config.evaluation.rows = 24
    config.diagnostics.monitor_every = 10
    return config
