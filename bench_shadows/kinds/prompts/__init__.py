"""The study of prompt repetition (paper, section 6): a pipeline's samples as they are, and cleaned."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench_shadows.errors import ConfigError

if TYPE_CHECKING:
    import jax
    import numpy as np

    from bench_shadows.config import Config
    from bench_shadows.data.corpus.sources.part import Part
    from bench_shadows.data.corpus.workers import Engine
    from bench_shadows.data.samples.images import RowImages
    from bench_shadows.evaluation.prompts import PromptSuites
    from bench_shadows.report.claims.verdict import Evidence
    from bench_shadows.report.common.run import Run
    from bench_shadows.report.sweep.measures import Measure


class Prompts:
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
        if vision.image_size and config.data.seq_len < vision.image_tokens + 8:
            yield (
                f"config.data.seq_len={config.data.seq_len}: an image takes {vision.image_tokens} tokens, which "
                "leaves too few for the text"
            )

    def may_add(self, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        return True

    def phase_shift(self, config: "Config") -> None:
        return None

    def sources(self, config: "Config") -> list["Part"]:
        from bench_shadows.data.samples.pieces import sample_parts

        return sample_parts(config.data.sources)

    def reads(self, config: "Config") -> Iterator[Path]:
        from bench_shadows.data.samples.formats import SampleSettings, image_folder

        settings = SampleSettings(config.data, config.prompts, config.vision)
        for part in self.sources(config):
            if "://" not in part.paths[0]:
                yield from (Path(part.paths[0]), image_folder(part, settings))

    def prepare(self, config: "Config", folder: Path, engine: "Engine") -> dict[str, str]:
        from bench_shadows.data.prepare_samples import prepare_samples

        return prepare_samples(config, folder, engine)

    def rewrite(self, config: "Config", folder: Path, index: int, count: int) -> None:
        names = ", ".join(config.conditions.names)
        raise ConfigError(f"rewrite: {names} have nothing to rewrite, D has")

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

    def data_budget(self, config: "Config") -> dict[str, Any]:
        from bench_shadows.training.compile.budget import sample_budget

        return sample_budget(config)

    def loss_weights(self, tokens_BxT: "jax.Array") -> "jax.Array":
        from bench_shadows.model.loss import answer_weights

        return answer_weights(tokens_BxT)

    def batch_statistics(self, rows_BxT: "np.ndarray", vocab_size: int) -> dict[str, float]:
        from bench_shadows.data.samples.encoding import count_answer_tokens
        from bench_shadows.data.statistics.statistics import batch_statistics

        return batch_statistics(rows_BxT, vocab_size) | {"answer_tokens": count_answer_tokens(rows_BxT)}

    def suites(self, config: "Config", folder: Path) -> "PromptSuites":
        from bench_shadows.evaluation.prompts import PromptSuites

        return PromptSuites(config, folder)

    def evaluation_inputs(self, config: "Config", data: Path) -> list[Any]:
        from bench_shadows.evaluation.prompts import inputs

        return inputs(config, data)

    def write_report(self, folder: Path) -> Path:
        from bench_shadows.report.prompts.page import write_report

        return write_report(folder)

    def write_data_report(self, folder: Path) -> Path:
        from bench_shadows.report.prompts.data_page import write_data_report

        return write_data_report(folder)

    def claims(self) -> "Sequence[Callable[[Run], Evidence]]":
        from bench_shadows.report.claims.judge import PROMPT_CLAIMS

        return PROMPT_CLAIMS

    def measures(self) -> "Sequence[Measure]":
        from bench_shadows.report.sweep.measures import PROMPT_MEASURES

        return PROMPT_MEASURES

    def size_notice(self, run: "Run") -> str | None:
        from bench_shadows.report.common.facts import prompt_size_notice

        return prompt_size_notice(run)

    def chat_template(self) -> str:
        from bench_shadows.data.samples.chat import CHAT

        return CHAT


KIND = Prompts()
