"""The built-in vision-language corpus: seeded, drawn here, with tasks in the groups of the paper's Table 3."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bench_shadows.config import PromptsConfig
from bench_shadows.data.samples.builtin import charts, language, photos, scenes
from bench_shadows.data.samples.builtin.canvas import PACKAGES, package_folder
from bench_shadows.data.samples.builtin.task import Dice, Make
from bench_shadows.data.samples.sample import PLACEHOLDER, Sample, Split
from bench_shadows.data.samples.templates import repeated
from bench_shadows.errors import ConfigError

SYSTEM = {"en": "You are a helpful assistant.", "zh": "你是一个乐于助人的助手。"}
WITH_SYSTEM = 0.3
"""Share of the samples with a system message; our choice."""


class Task(NamedTuple):
    """One task."""

    name: str
    group: str
    """One of `sample.GROUPS`."""
    has_image: bool
    make: Make


TASKS = {
    task.name: task
    for task in (
        Task("ocr", "multimodal", True, scenes.ocr),
        Task("ocr_zh", "multimodal", True, scenes.ocr_zh),
        Task("counting", "multimodal", True, scenes.counting),
        Task("shapes", "multimodal", True, scenes.shapes),
        Task("relations", "multimodal", True, scenes.relations),
        Task("grounding", "multimodal", True, scenes.grounding),
        Task("captioning", "multimodal", True, scenes.captioning),
        Task("digits", "multimodal", True, photos.digits),
        Task("photographs", "multimodal", True, photos.photographs),
        Task("arithmetic", "language", False, language.arithmetic),
        Task("inflection", "language", False, language.inflection),
        Task("ordering", "language", False, language.ordering),
        Task("reading", "language", False, language.reading),
        Task("numerals_zh", "language", False, language.numerals_zh),
        Task("fields", "documents", True, scenes.fields),
        Task("tables", "documents", True, charts.tables),
        Task("charts", "documents", True, charts.charts),
        Task("extraction", "documents", False, language.extraction),
        Task("keywords", "documents", False, language.keywords),
        Task("constraints", "instructions", False, language.constraints),
        Task("image_constraints", "instructions", True, scenes.image_constraints),
    )
}
"""By name, in the groups of the paper's Table 3."""


def builtin_samples(
    config: PromptsConfig, image_size: int, seed: int, split: Split, count: int, first: int = 0
) -> Iterator[tuple[Sample, np.ndarray | None]]:
    """Samples of the built-in corpus, always the same for the same arguments, in a fixed order.

    The prompts of training samples are repeated in `config.duplication` of them; held-out ones are clean.

    Args:
      image_size: pixels of a side; 0 makes samples of the tasks without images only.
      count: how many there are.
      first: how many of them are passed over, without drawing them.

    Yields:
      (sample, its image as uint8 [image_size, image_size, 3] or None).
    """
    duplication = config.duplication if split == "train" else 0.0
    made: dict[str, int] = {}
    for place, task in enumerate(itertools.islice(schedule(weights(config, image_size)), count)):
        number = made[task.name] = made.get(task.name, -1) + 1
        if place >= first:
            sample, image = make_sample(task, image_size, seed, split, number)
            yield repeated(sample, duplication), image


def make_sample(
    task: Task, image_size: int, seed: int, split: Split, number: int
) -> tuple[Sample, np.ndarray | None]:
    """Sample `number` of a task, its prompt standing once, and its image."""
    dice = Dice(seed, split, task.name, number)
    found = task.make(dice, image_size)
    asked = "\n".join(filter(None, (found.instruction, found.content)))
    sample: Sample = {
        "id": f"{split}-{task.name}-{number}",
        "task": task.name,
        "group": task.group,
        "language": found.language,
        "conversations": [
            {"from": "human", "value": f"{PLACEHOLDER}\n{asked}" if task.has_image else asked},
            {"from": "gpt", "value": found.answer},
        ],
    }
    if dice.chance(WITH_SYSTEM):
        sample["system"] = SYSTEM[found.language]
    if found.caption:
        sample["caption"] = found.caption
    if found.check:
        sample["check"] = found.check
    return sample, found.pixels


def weights(config: PromptsConfig, image_size: int) -> dict[Task, float]:
    """The tasks of a config with their weights.

    Raises:
      ConfigError: a task that there is not, no task that is left, or a package that pictures need is missing.
    """
    wanted = dict.fromkeys(TASKS, 1.0)
    if config.tasks:
        wanted = {}
        for entry in config.tasks:
            name, equals, weight = entry.partition("=")
            if name not in TASKS:
                raise ConfigError(f"prompts.tasks: there is no task {name!r}; tasks are {', '.join(TASKS)}")
            try:
                wanted[name] = float(weight) if equals else 1.0
            except ValueError:
                raise ConfigError(f"prompts.tasks: {entry!r} is not of the form task=weight") from None
    left = {
        TASKS[name]: weight
        for name, weight in wanted.items()
        if weight > 0 and (image_size or not TASKS[name].has_image)
    }
    if not left:
        raise ConfigError(
            "prompts.tasks leaves no task: with vision.image_size=0 only tasks without images are there"
        )
    if image_size:
        for module in PACKAGES:
            package_folder(module)
    return left


def schedule(weighted: dict[Task, float]) -> Iterator[Task]:
    """Tasks in turn, each as often as its weight says in every stretch: the one that is most behind is next."""
    total = sum(weighted.values())
    given = dict.fromkeys(weighted, 0.0)
    for number in itertools.count(1):
        task = max(weighted, key=lambda task: weighted[task] / total * number - given[task])
        given[task] += 1
        yield task
