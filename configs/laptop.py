"""All four conditions on two CPU cores, in minutes.

    bench-shadows study --config=laptop

6 layers of 128, 1.6 M parameters; 180 steps of 32 rows of 128 tokens, 737 k tokens for each condition.
Measured on 2 cores (AMD EPYC): 8 min 55 s from a fresh clone with empty caches; a condition trains in 75 to 105 s
at 7,000 to 10,000 tokens/s. 14 seeds, 56 runs, took just under two hours.

What to expect, over those 14 seeds: the loss of A falls from 6.96 to 4.97 nats a token, where the unigram
entropy of its text is 6.26; the share of matrices with alpha in [2, 6] rises from 50 % at step 5 to 95 % at the
end; C5 is reproduced, C1, C2, C6 and C7 are not, four claims are undecided. One of 42 matrices is 2.4 points,
so that one seed decides nothing. `--config.conditions.seeds=0,1,2` gives intervals in three times the time;
given to a finished folder, only the new seeds are trained.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """Enough layers for a profile over depth; micro-batches of 4 rows stay in a processor's cache."""
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
    config.evaluation.rare_word_pairs = 96
    config.evaluation.passages = 4
    config.evaluation.exercises = 8
    config.diagnostics.monitor_every = 10  # every matrix has its turn within a run as short as this
    return config
