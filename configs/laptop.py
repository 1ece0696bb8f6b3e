"""draft"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """Four layers of 128, a million tokens for each condition."""
    config = defaults()
    config.model.num_layers = 6
    config.model.hidden_size = 128
    config.model.intermediate_size = 512
    config.model.num_heads = 4
    config.model.num_kv_heads = 2
    config.model.vocab_size = 1024
    config.data.seq_len = 128
    config.data.held_out_rows = 64
    config.train.samples = 180 * 32
    config.train.batch_size = 32
    config.train.micro_batch_size = 4
    config.train.warmup_samples = 10 * 32
    config.train.peak_learning_rate = 4e-3
    config.train.min_learning_rate = 4e-4
    config.train.remat = "none"
    config.train.scan_layers = False
    config.train.loss_chunk = 512
    config.train.checkpoint_minutes = 1.0
    config.evaluation.rows = 16
    return config
