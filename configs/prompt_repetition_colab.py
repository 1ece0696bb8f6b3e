"""Repeated prompts in vision-language data, on one Colab-class accelerator (T4, L4, v5e).

    bench-shadows study --config=prompt_repetition_colab

An encoder of 6 layers of 256 before a decoder of 12 layers of 384, 32 M parameters, on drawings of 96 x 96 pixels;
2,800 steps of 32 samples of all 21 built-in tasks, each sample twice, for both conditions and three seeds. Not
measured: no accelerator was at hand. By arithmetic a run is 2.5e15 FLOP: about 10 minutes at the 4 TFLOP/s that a
T4 may give in float32, a few on an L4 or v5e; there are six.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """A depth over which profiles can be read, and every built-in task."""
    config = defaults()
    config.conditions.names = ("baseline", "deduplicated")
    config.conditions.seeds = (0, 1, 2)
    config.prompts.samples = 1400 * 32
    config.vision.image_size = 96
    config.vision.patch_size = 16
    config.vision.num_layers = 6
    config.vision.hidden_size = 256
    config.vision.intermediate_size = 1024
    config.vision.num_heads = 4
    config.model.num_layers = 12
    config.model.hidden_size = 384
    config.model.intermediate_size = 1536
    config.model.num_heads = 6
    config.model.num_kv_heads = 2
    config.model.vocab_size = 2048
    config.data.seq_len = 160
    config.data.held_out_rows = 100
    config.train.samples = 2800 * 32
    config.train.batch_size = 32
    config.train.micro_batch_size = 32
    config.train.warmup_samples = 100 * 32
    config.train.peak_learning_rate = 5e-4
    config.train.min_learning_rate = 5e-5
    config.train.remat = "none"
    config.train.loss_chunk = 8192
    config.train.checkpoint_minutes = 5.0
    config.evaluation.rows = 50
    return config
