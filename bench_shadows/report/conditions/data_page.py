"""The data of a run as a section of its page, and as a page of its own before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_shadows.config import Config
from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path
from bench_shadows.report.common.estimates import write_count
from bench_shadows.report.common.rendering import environment, place_figures
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.tables import Table
from bench_shadows.report.conditions import corpus, summary, words
from bench_shadows.report.conditions.gallery import GALLERY
from bench_shadows.report.prompts import summary as prompt_summary
from bench_shadows.report.prompts import tables as prompt_tables

TEMPLATE = "data_page.html.jinja"
PROMPT_TEMPLATE = "prompt_data_page.html.jinja"
FIGURES = ("support", "data")
FOLDER = "report-data"


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data (index.html, figures, tables) from what the prepare stage left; returns index.html.

    Measures nothing; the same files give the same bytes. Raises RunError where the prepare stage is not finished.
    """
    run = read_run(run_folder)
    if not run.statistics:
        raise RunError(
            f"{run_folder}: no data/statistics.json in it; run `bench-shadows prepare` to its end first"
        )
    of_prompts = run.config.kind.name == "prompts"
    found = {table.name: table for table in (prompt_tables.data_tables(run) if of_prompts else data_tables(run))}
    with atomic_path(run_folder / FOLDER) as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True)
        pictures = [picture for picture in GALLERY if picture.name in FIGURES and not of_prompts]
        figures = place_figures(pictures, run, folder / "figures")
        for table in found.values():
            if table.rows:
                (folder / "tables" / f"{table.name}.csv").write_text(table.to_csv(), encoding="utf-8")
        if of_prompts:
            template, facts, context = PROMPT_TEMPLATE, _prompt_facts(run), prompt_tables.data_context(run)
        else:
            template, facts, context = TEMPLATE, _facts(run), data_context(run, found)
        page = environment().get_template(template)
        text = page.render(run=run, figures=figures, tables=found, facts=facts, **context)
        (folder / "index.html").write_text(text, encoding="utf-8")
    return run_folder / FOLDER / "index.html"


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
    return [
        ("sources", ", ".join(config.data.sources)),
        ("conditions", ", ".join(config.conditions.names)),
        ("text", f"{write_count(summary.count_tokens(config))} tokens for each run"),
        ("rows", f"{first:,} before the phase shift, {second:,} after it, {config.data.seq_len:,} tokens each"),
        ("tokenizer", _tokenizer(config)),
    ]


def _prompt_facts(run: Run) -> list[tuple[str, str]]:
    config = run.config
    return [
        ("sources", ", ".join(config.data.sources)),
        ("conditions", ", ".join(config.conditions.names)),
        ("training", prompt_summary.training(run)),
        ("rows", f"a sample each, {config.data.seq_len:,} tokens"),
        ("tokenizer", _tokenizer(config)),
    ]


def _tokenizer(config: Config) -> str:
    made = config.data.tokenizer if config.data.tokenizer != "bpe" else "byte-level BPE, trained on the corpus"
    return f"{made}, {config.model.vocab_size:,} types"
