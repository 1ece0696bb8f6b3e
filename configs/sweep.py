"""A study small enough to be run many times: the paper has one point where a sweep has a curve.

    bench-shadows sweep --config=sweep --out=results/factor --config.conditions.names=A,C \
        --vary=conditions.repetition_factor:conditions.repetition_share=2:0.5,5:0.2,10:0.1,20:0.05
    bench-shadows sweep --config=sweep --out=results/share --config.conditions.names=A,C \
        --vary=conditions.repetition_share=0.01,0.03,0.1
    bench-shadows sweep --config=sweep --out=results/phase --config.conditions.names=A,C,D \
        --vary=conditions.phase=0.25,0.5,0.75
    bench-shadows sweep --config=sweep --out=results/rewriting --config.conditions.names=A,D \
        --vary=conditions.rewriting_share=0.25,0.5,1
    bench-shadows sweep --config=sweep --out=results/duplicates --config.conditions.names=A \
        --vary=data.near_duplicate_threshold=0.5,0.8,1

The first: how often a row is shown while the first half is all repetition. The second: which share of A's rows is
shown ten times; what is left of the first half are other rows of A's, once. Then: how long the concentrated phase
is, how much of D's first half is rewritten, and from which similarity on a near-duplicate goes.

4 layers of 64, 0.3 M parameters, 108 steps of 32 rows of 128 tokens, three seeds: every value has an interval. A
run that does not depend on what is varied (A, in the first two) is trained once and linked.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """The laptop's shape, narrower and shorter; three seeds."""
    config = defaults()
    config.conditions.seeds = (0, 1, 2)
    config.model.num_layers = 4
    config.model.hidden_size = 64
    config.model.intermediate_size = 256
    config.model.num_heads = 4
    config.model.num_kv_heads = 2
    config.model.vocab_size = 1024
    config.data.seq_len = 128
    config.data.held_out_rows = 64
    config.train.samples = 108 * 32
    config.train.batch_size = 32
    config.train.micro_batch_size = 4
    config.train.warmup_samples = 8 * 32
    config.train.peak_learning_rate = 4e-3
    config.train.min_learning_rate = 4e-4
    config.train.remat = "none"
    config.train.scan_layers = False
    config.train.loss_chunk = 512
    config.train.checkpoint_minutes = 1.0
    config.evaluation.rows = 16
    return config
