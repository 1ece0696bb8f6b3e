"""The main study (paper, section 4): one decoder under conditions that differ in the documents it reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench_shadows.kinds.kind import Kind, door

if TYPE_CHECKING:
    import jax

    from bench_shadows.config import Config
    from bench_shadows.data.corpus.sources.part import Part


class Documents(Kind):
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

    prepare = door("data.prepare_documents.prepare_documents")

    def rewrite(self, config: "Config", folder: Path, index: int, count: int) -> None:
        if "D" not in config.conditions.names:
            super().rewrite(config, folder, index, count)
        from bench_shadows.data.prepare_documents import rewrite_documents

        rewrite_documents(config, folder, index, count)

    @property
    def row_sets(self) -> tuple[str, ...]:
        from bench_shadows.data.rows.row_store import NAMES

        return NAMES

    def rows_of(self, condition: str) -> tuple[str, ...]:
        return self.row_sets

    def loss_weights(self, tokens_BxT: "jax.Array") -> "jax.Array":
        from bench_shadows.model.loss import next_tokens

        return next_tokens(tokens_BxT)[1]

    data_budget = door("training.compile.budget.document_budget")
    suites = door("evaluation.suites.Suites")
    evaluation_inputs = door("evaluation.suites.inputs")
    write_report = door("report.conditions.page.write_report")
    write_data_report = door("report.conditions.page.write_data_report")
    claims = door("report.claims.judge.CLAIMS")
    measures = door("report.sweep.measures.MEASURES")
    size_notice = door("report.common.facts.size_notice")


KIND = Documents()
