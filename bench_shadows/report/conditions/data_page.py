"""The data of a run as a section of its page, and as a page of its own before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_shadows.report.common.estimates import write_count
from bench_shadows.report.common.facts import count_tokens, data_facts, require_statistics
from bench_shadows.report.common.rendering import Placed, environment, write_page
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.tables import Table
from bench_shadows.report.conditions import corpus, summary, words
from bench_shadows.report.conditions.gallery import GALLERY

TEMPLATE = "data_page.html.jinja"
FIGURES = ("support", "data")


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data (index.html, figures, tables) from what the prepare stage left; returns index.html.

    Measures nothing; the same files give the same bytes. Raises RunError where the prepare stage is not finished.
    """
    run = read_run(run_folder)
    require_statistics(run, run_folder)
    pictures = [picture for picture in GALLERY if picture.name in FIGURES]
    tables = {table.name: table for table in data_tables(run)}
    return write_page(run_folder / "report-data", run, pictures, tables, render)


def render(run: Run, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    """The page as HTML; everything from outside is escaped."""
    template = environment().get_template(TEMPLATE)
    return template.render(run=run, figures=placed, tables=found, facts=_facts(run), **data_context(run, found))


def data_tables(run: Run) -> list[Table]:
    """The tables of the data section."""
    return [
        corpus.phase_table(run),
        words.word_table(run),
        words.code_table(run),
        corpus.mixture_table(run, "mixture_by_domain", ["domain"]),
        corpus.mixture_table(run, "mixture_by_language", ["kind", "language"]),
        corpus.rows_table(run),
        corpus.counts_table(run),
    ]


def data_context(run: Run, found: Mapping[str, Table]) -> dict[str, Any]:
    """What the data section's template needs besides `run`, `figures` and `tables`."""
    counted = run.statistics.get("words", {})
    return {
        "data_table": corpus.page_rows(found["data_by_condition"]),
        "word_tables": words.page_tables(found["words"]),
        "words_counted": f"{counted.get('documents_counted', 0):,} of {counted.get('documents', 0):,}",
        "examples": corpus.examples(run),
        "unigram_entropy": summary.unigram_entropy(run),
    }


def _facts(run: Run) -> list[tuple[str, str]]:
    config = run.config
    first = config.phase_steps * config.train.batch_size
    second = config.steps * config.train.batch_size - first
    return data_facts(
        run,
        ("text", f"{write_count(count_tokens(config))} tokens for each run"),
        ("rows", f"{first:,} before the phase shift, {second:,} after it, {config.data.seq_len:,} tokens each"),
    )
