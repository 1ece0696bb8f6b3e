"""The main study (paper, section 4): one decoder under conditions that differ in the documents it reads."""

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
    from bench_shadows.evaluation.suites import Suites
    from bench_shadows.report.claims.verdict import Evidence
    from bench_shadows.report.common.run import Run
    from bench_shadows.report.sweep.measures import Measure


class Documents:
    """Rows are packed documents; the conditions differ before the phase shift and read the same after it."""

    name: ClassVar = "documents"
    conditions: ClassVar = ("A", "B", "C", "D")
    unread: ClassVar = ("vision", "prompts")
    follows_from_rows: ClassVar = ("tokenizer.json", "rows", "documents.parquet", "documents.json")

    def problems(self, config: "Config") -> Iterator[str]:
        names, shared = ", ".join(config.conditions.names), config.conditions
        if config.vision.image_size:
            yield f"config.vision.image_size={config.vision.image_size}: the conditions {names} read text alone"
        if config.data.tokenizer == "bpe" and (initial := config.model.initial):
            yield (
                f"config.data.tokenizer: the weights of config.model.initial={initial} know their own tokens: "
                f"--config.data.tokenizer={initial}/tokenizer.json"
            )
        first_rows = config.phase_steps * config.train.batch_size
        if "C" in shared.names and first_rows * shared.repetition_share < 1 - 1e-9:
            yield (
                f"config.conditions: the first phase has {first_rows} rows, of which repetition_share="
                f"{shared.repetition_share} is less than one row to show {shared.repetition_factor} times"
            )

    def may_add(self, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        return "D" in old or "D" not in new  # the text that D's half needs was not drawn

    def phase_shift(self, config: "Config") -> int | None:
        return config.phase_steps

    def sources(self, config: "Config") -> list["Part"]:
        from bench_shadows.data.corpus.documents import parts

        return parts(config.data)

    def reads(self, config: "Config") -> Iterator[Path]:
        for part in self.sources(config):
            yield from (Path(path) for path in part.paths if "://" not in path)

    def prepare(self, config: "Config", folder: Path, engine: "Engine") -> dict[str, str]:
        from bench_shadows.data.prepare_documents import prepare_documents

        return prepare_documents(config, folder, engine)

    def rewrite(self, config: "Config", folder: Path, index: int, count: int) -> None:
        if "D" not in config.conditions.names:
            raise ConfigError(f"rewrite: {', '.join(config.conditions.names)} have nothing to rewrite, D has")
        from bench_shadows.data.prepare_documents import rewrite_documents

        rewrite_documents(config, folder, index, count)

    @property
    def row_sets(self) -> tuple[str, ...]:
        from bench_shadows.data.rows.row_store import NAMES

        return NAMES

    def rows_of(self, condition: str) -> tuple[str, ...]:
        return self.row_sets

    def images(self, config: "Config", data: Path) -> None:
        return None

    def data_budget(self, config: "Config") -> dict[str, Any]:
        from bench_shadows.training.compile.budget import document_budget

        return document_budget(config)

    def loss_weights(self, tokens_BxT: "jax.Array") -> "jax.Array":
        from bench_shadows.model.loss import next_tokens

        return next_tokens(tokens_BxT)[1]

    def batch_statistics(self, rows_BxT: "np.ndarray", vocab_size: int) -> dict[str, float]:
        from bench_shadows.data.statistics.statistics import batch_statistics

        return batch_statistics(rows_BxT, vocab_size)

    def suites(self, config: "Config", folder: Path) -> "Suites":
        from bench_shadows.evaluation.suites import Suites

        return Suites(config, folder)

    def evaluation_inputs(self, config: "Config", data: Path) -> list[Any]:
        from bench_shadows.evaluation.suites import inputs

        return inputs(config, data)

    def write_report(self, folder: Path) -> Path:
        from bench_shadows.report.conditions.page import write_report

        return write_report(folder)

    def write_data_report(self, folder: Path) -> Path:
        from bench_shadows.report.conditions.data_page import write_data_report

        return write_data_report(folder)

    def claims(self) -> "Sequence[Callable[[Run], Evidence]]":
        from bench_shadows.report.claims.judge import CLAIMS

        return CLAIMS

    def measures(self) -> "Sequence[Measure]":
        from bench_shadows.report.sweep.measures import MEASURES

        return MEASURES

    def size_notice(self, run: "Run") -> str | None:
        from bench_shadows.report.common.facts import size_notice

        return size_notice(run)

    def chat_template(self) -> None:
        return None


KIND = Documents()
