"""The tasks of the built-in corpus by name, in the groups of the paper's Table 3."""

from typing import NamedTuple

from bench_shadows.data.samples.builtin import charts, forms, instructions, language, photos, scenes
from bench_shadows.data.samples.builtin.task import Make


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
        Task("fields", "documents", True, forms.fields),
        Task("tables", "documents", True, charts.tables),
        Task("charts", "documents", True, charts.charts),
        Task("extraction", "documents", False, forms.extraction),
        Task("keywords", "documents", False, forms.keywords),
        Task("constraints", "instructions", False, instructions.constraints),
        Task("image_constraints", "instructions", True, instructions.image_constraints),
    )
}
