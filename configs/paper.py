"""The paper to the letter: one 0.6B decoder, 300 M samples of 4,096 tokens, for a TPU or GPU pod.

    bench-shadows study --config=paper --config.data.sources='/data/corpus/*.parquet' \
        --config.data.tokenizer=/data/qwen/tokenizer.json

The corpus is the user's: 300 M rows are 1.2 trillion tokens, and the built-in text ends at some ten million.
One condition is 73,242 steps and 5.85e21 FLOP; no machine at hand has run it, so no time is promised here. At
50 % of peak it would be 3,300 H100-hours or 16,500 v5e chip-hours a condition, by arithmetic, not measured.

What the paper leaves unsaid is our choice: betas 0.9 and 0.95, peak and minimum rate, Qwen's vocabulary, tied
embeddings, RoPE base 10,000.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """The defaults are the paper's; stated again so that this file can be read alone."""
    config = defaults()
    config.model.num_layers = 32
    config.model.hidden_size = 1024
    config.model.intermediate_size = 4096
    config.model.num_heads = 8
    config.model.num_kv_heads = 4
    config.model.vocab_size = 151_936
    config.model.rope_theta = 10_000.0
    config.model.tie_embeddings = True
    config.data.seq_len = 4096
    config.train.samples = 300_000_000
    config.train.batch_size = 4096
    config.train.micro_batch_size = 4
    config.train.warmup_samples = 1_638_400  # "1.64M samples": 400 steps
    config.train.peak_learning_rate = 3e-4
    config.train.min_learning_rate = 3e-5
    config.train.beta1, config.train.beta2 = 0.9, 0.95
    config.train.weight_decay = 0.1
    config.train.clip_norm = 1.0
    config.train.compute_dtype = "bfloat16"
    config.train.remat = "full"
    return config
