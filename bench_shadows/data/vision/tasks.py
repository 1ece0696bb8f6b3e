"""The tasks of the built-in corpus by name, in the groups of the paper's Table 3."""

from typing import NamedTuple

from bench_shadows.data.vision import scenes
from bench_shadows.data.vision.made import Make


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
    )
}
