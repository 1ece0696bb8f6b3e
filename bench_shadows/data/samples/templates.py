"""Prompts that a pipeline writes into several fields of a sample (paper, section 6.1)."""

import random
from collections.abc import Callable

from bench_shadows.data.samples.sample import Sample, has_image, prompt


def _system(sample: Sample, instruction: str) -> Sample:
    return {**sample, "system": " ".join(filter(None, (sample.get("system"), instruction)))}


def _metadata(sample: Sample, instruction: str) -> Sample:
    return {**sample, "metadata": {**(sample.get("metadata") or {}), "instruction": instruction}}


def _caption(sample: Sample, instruction: str) -> Sample:
    return {**sample, "caption": "\n".join(filter(None, (instruction, sample.get("caption"))))}


def _ocr(sample: Sample, instruction: str) -> Sample:
    return {**sample, "ocr": "\n".join(filter(None, (sample.get("ocr"), instruction)))}


TEMPLATES: dict[str, Callable[[Sample, str], Sample]] = {
    "system": _system,
    "metadata": _metadata,
    "caption": _caption,
    "ocr": _ocr,
}
"""Field -> how a pipeline writes the instruction into it: after what stands there, or before a caption."""
_WITHOUT_IMAGE = ("system", "metadata")


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
    for field in rng.sample(list(fields), rng.randint(1, min(3, len(fields)))):
        sample = TEMPLATES[field](sample, instruction)
    return sample
