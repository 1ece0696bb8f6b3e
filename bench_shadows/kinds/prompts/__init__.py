"""The study of prompt repetition (paper, section 6): a pipeline's samples as they are, and cleaned."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench_shadows.kinds.kind import Kind, door

if TYPE_CHECKING:
    import numpy as np

    from bench_shadows.config import Config
    from bench_shadows.data.corpus.sources.part import Part
    from bench_shadows.data.samples.images import RowImages


class Prompts(Kind):
    """A row is a sample, with an image or without; the conditions read the same samples all the time."""

    name: ClassVar = "prompts"
    conditions: ClassVar = ("baseline", "deduplicated")
    unread: ClassVar = (
        *("data.rewriter", "data.teacher", "data.mixture", "data.near_duplicate_threshold"),
        *(f"conditions.{name}" for name in ("phase", "repetition_share", "repetition_factor", "rewriting_share")),
    )
    follows_from_rows: ClassVar = (
        *("tokenizer.json", "rows", "images", "samples.parquet", "token_counts.npy"),
        *("statistics.json", "duplicates.json", "documents.json"),
    )

    def problems(self, config: "Config") -> Iterator[str]:
        names, vision = ", ".join(config.conditions.names), config.vision
        if config.data.tokenizer != "bpe":
            yield (
                f"config.data.tokenizer={config.data.tokenizer}: a study of {names} trains its own, with "
                "tokens for images and turns; expected bpe"
            )
        if config.model.initial:
            yield (
                f"config.model.initial={config.model.initial}: a study of {names} trains its own tokenizer, whose "
                "tokens other weights do not know; leave it empty"
            )
        if config.train.mask_documents:
            yield f"config.train.mask_documents: a study of {names} has one sample in a row; leave it False"
        if vision.image_size and config.data.seq_len < vision.image_tokens + 8:
            yield (
                f"config.data.seq_len={config.data.seq_len}: an image takes {vision.image_tokens} tokens, which "
                "leaves too few for the text"
            )

    def sources(self, config: "Config") -> list["Part"]:
        from bench_shadows.data.samples.pieces import sample_parts

        return sample_parts(config.data.sources)

    def reads(self, config: "Config") -> Iterator[Path]:
        from bench_shadows.data.samples.formats import SampleSettings, image_folder

        settings = SampleSettings(config.data, config.prompts, config.vision)
        for part in self.sources(config):
            if "://" not in part.paths[0]:
                yield from (Path(part.paths[0]), image_folder(part, settings))

    prepare = door("data.prepare_samples.prepare_samples")

    @property
    def row_sets(self) -> tuple[str, ...]:
        return self.conditions

    def rows_of(self, condition: str) -> tuple[str, ...]:
        return (condition,)

    def images(self, config: "Config", data: Path) -> "RowImages | None":
        if not config.vision.image_size:
            return None
        from bench_shadows.data.samples.images import RowImages

        return RowImages(data / "images" / "train")

    def batch_statistics(self, rows_BxT: "np.ndarray", vocab_size: int) -> dict[str, float]:
        from bench_shadows.data.samples.encoding import count_answer_tokens

        return super().batch_statistics(rows_BxT, vocab_size) | {"answer_tokens": count_answer_tokens(rows_BxT)}

    data_budget = door("training.compile.budget.sample_budget")
    loss_weights = door("model.loss.answer_weights")
    suites = door("evaluation.prompts.PromptSuites")
    evaluation_inputs = door("evaluation.prompts.inputs")
    write_report = door("report.prompts.page.write_report")
    write_data_report = door("report.prompts.page.write_data_report")
    claims = door("report.claims.judge.PROMPT_CLAIMS")
    measures = door("report.sweep.measures.PROMPT_MEASURES")
    size_notice = door("report.common.facts.prompt_size_notice")
    chat_template = door("data.samples.chat.CHAT")


KIND = Prompts()
