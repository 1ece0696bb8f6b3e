"""Repeated prompts in vision-language data: samples as a pipeline leaves them, and cleaned.

    bench-shadows study --config=prompt_repetition

An encoder of 2 layers of 128 before a decoder of 5 layers of 128, 1.2 M parameters, on drawings of 48 x 48
pixels; 1,400 steps of 8 samples for both conditions, three seeds. The seven tasks are those of the built-in 21
that so small a model can begin to learn; an empty `prompts.tasks` draws all of them.
Measured on 2 cores (AMD EPYC): 11 min 41 s; a run trains in 93 to 117 s.

What to expect: counting right in 9 of 10 (the commonest answer: 2), OCR in 5 % as it is and 15 % cleaned (0),
and too few seeds for C11.

The paper's open limitation, the effect against the duplication rate and against the removal threshold:

    bench-shadows sweep --config=prompt_repetition \
        --vary=prompts.duplication=0,0.25,0.5,0.75,0.9 --vary=prompts.minimum=16,24,32,40

Eight studies; with half the steps (train.samples and prompts.samples 5600) 39 minutes on the same cores.
"""

import ml_collections

from bench_shadows.config_file import defaults


def get_config() -> ml_collections.ConfigDict:
    """Large patches and many small steps: so a small model begins to read within some thousand samples."""
    config = defaults()
    config.conditions.names = ("baseline", "deduplicated")
    config.conditions.seeds = (0, 1, 2)
    config.prompts.samples = 1400 * 8
    config.prompts.tasks = (
        "ocr=4",
        "counting=2",
        "shapes=1",
        "digits=1",
        "arithmetic=1",
        "charts=1",
        "image_constraints=1",
    )
    config.vision.image_size = 48
    config.vision.patch_size = 16
    config.vision.num_layers = 2
    config.vision.hidden_size = 128
    config.vision.intermediate_size = 256
    config.vision.num_heads = 4
    config.model.num_layers = 5
    config.model.hidden_size = 128
    config.model.intermediate_size = 256
    config.model.num_heads = 4
    config.model.num_kv_heads = 2
    config.model.vocab_size = 768
    config.data.seq_len = 76
    config.data.held_out_rows = 48
    config.train.samples = 1400 * 8
    config.train.batch_size = 8
    config.train.micro_batch_size = 8
    config.train.warmup_samples = 50 * 8
    config.train.peak_learning_rate = 1e-3
    config.train.min_learning_rate = 1e-4
    config.train.remat = "none"
    config.train.scan_layers = False
    config.train.loss_chunk = 2048
    config.train.checkpoint_minutes = 1.0
    config.evaluation.rows = 24
    config.diagnostics.monitor_every = 60
    return config
