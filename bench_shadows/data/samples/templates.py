"""Prompts that a pipeline writes into several fields of a sample (paper, section 6.1)."""

import random
from typing import Any, cast

from bench_shadows.data.samples.sample import Sample, has_image, prompt

TEMPLATES = ("system", "metadata", "caption", "ocr")
"""Fields that a pipeline writes the instruction into."""
_WITHOUT_IMAGE = ("system", "metadata")


def _written(sample: Sample, field: str, instruction: str) -> Sample:
    """The sample with the instruction in one more field: after what the field has, or before a caption."""
    value: Any = sample.get(field)
    if field == "metadata":
        value = {**(value or {}), "instruction": instruction}
    else:
        both = (instruction, value) if field == "caption" else (value, instruction)
        value = (" " if field == "system" else "\n").join(filter(None, both))
    return cast(Sample, dict(sample) | {field: value})


def repeated(sample: Sample, chance: float) -> Sample:
    """The sample with its instruction in one to three more fields, in that share of the samples.

    The instruction is the first line of the first user turn. Which samples are taken follows from their ids:
    those of a smaller share are among those of a larger one.
    """
    rng = random.Random(f"repeated/{sample.get('id') or prompt(sample)}")
    instruction = next(iter(prompt(sample).splitlines()), "")
    if rng.random() >= chance or not instruction:
        return sample
    fields = TEMPLATES if has_image(sample) else _WITHOUT_IMAGE
    for field in rng.sample(fields, rng.randint(1, min(3, len(fields)))):
        sample = _written(sample, field, instruction)
    return sample
