"""All four conditions on one Colab-class accelerator (T4, L4, v5e), on nearly all of the built-in text.

    bench-shadows study --config=colab

12 layers of 384, 29 M parameters; 1,260 steps of 32 rows of 512 tokens, 20.6 M tokens for each condition.
Measured on 2 CPU cores, busy with other work: the prepare stage, 2 min 36 s. Not measured: training, since no
accelerator was at hand. By arithmetic a condition is 3.9e15 FLOP: a quarter of an hour at the 4 TFLOP/s that a T4
may give in float32 (it has no bfloat16), a few minutes on an L4 or v5e.

What to expect: a depth over which profiles can be read. One seed decides nothing; an L4 or v5e has time for three.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """A depth over which profiles can be read, as many tokens as the built-in text has."""
    config = defaults()
    config.model.num_layers = 12
    config.model.hidden_size = 384
    config.model.intermediate_size = 1536
    config.model.num_heads = 6
    config.model.num_kv_heads = 2
    config.model.vocab_size = 8192
    config.data.seq_len = 512
    config.data.held_out_rows = 128
    config.train.samples = 1260 * 32
    config.train.batch_size = 32
    config.train.micro_batch_size = 32
    config.train.warmup_samples = 36 * 32
    config.train.peak_learning_rate = 1e-3
    config.train.min_learning_rate = 1e-4
    config.train.remat = "none"
    config.train.loss_chunk = 4096
    config.train.checkpoint_minutes = 5.0
    config.evaluation.rows = 64
    config.evaluation.rare_word_pairs = 1000
    config.evaluation.passages = 24
    config.evaluation.exercises = 40
    return config
