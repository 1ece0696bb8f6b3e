"""The report of a run, and that of its data alone before anything is trained, from the run folder's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_shadows import paper
from bench_shadows.report.claims import score_card
from bench_shadows.report.claims.judge import judge, write_claims
from bench_shadows.report.common import controls, facts, tables
from bench_shadows.report.common.estimates import write_count
from bench_shadows.report.common.rendering import Placed, render_template, write_page
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.sections import study_context, wall_time_table
from bench_shadows.report.common.tables import Table
from bench_shadows.report.conditions import corpus, sameness, summary, words
from bench_shadows.report.conditions.gallery import GALLERY

TEMPLATE = "page.html.jinja"
OF_DATA = ("support", "data")
"""The figures that need no training."""

# (name of the table, suite, metric, what its tasks are)
SUITES = (
    ("held_out_domains", "likelihood", "bits_per_byte", "Domain"),
    ("held_out_deciles", "frequency", "loss_nats_per_token", "Token frequency"),
    ("held_out_positions", "position", "loss_nats_per_token", "Position"),
    ("rare_words", "rare_words", "accuracy", "Rare words"),
    ("canonical", "canonical", "bits_per_byte", "Text"),
    ("exercises_exact_match", "exercises", "exact_match", "Exercises"),
    ("exercises_answer_loss", "exercises", "answer_loss_nats_per_token", "Exercises"),
    ("shadow", "shadow", "score", "Shadow score"),
)


def write_report(run_folder: Path) -> Path:
    """Writes RUN/report (index.html, figures/*.png and *.pdf, tables/*.csv) and RUN/claims.json; returns the page.

    Measures nothing; the same files give the same bytes. Missing inputs become notes on the page. The folder
    appears whole or stays as it was. Raises RunError for a folder that is no run or holds unreadable files.
    """
    run = read_run(run_folder)
    write_claims(run_folder)
    return write_page(run_folder / "report", run, GALLERY, build_tables(run), render)


def build_tables(run: Run) -> dict[str, Table]:
    """Every table of the report by its name."""
    found = [
        *score_card.tables(judge(run)),
        tables.share_table(run),
        tables.module_table(run),
        tables.missing_table(run.diagnostics, run.changes),
        tables.profile_table(run),
        tables.depth_variation_table(run),
        *(tables.evaluation_table(run, *suite) for suite in SUITES),
        *data_tables(run),
        controls.controls_table(run),
        controls.levels_table(run),
        wall_time_table(run),
    ]
    return {table.name: table for table in found}


def render(run: Run, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    """The page as HTML; everything from outside is escaped."""
    return render_template(
        TEMPLATE,
        figures=placed,
        tables=found,
        claims=judge(run),
        card=score_card,
        share=tables.share_grid(run, found["share_in_range"]),
        paper=paper,
        facts=summary.facts(run),
        size_notice=facts.size_notice(run),
        seen=summary.seen(run),
        unseen=facts.unseen(run),
        **_data_context(run, found),
        **study_context(run, sameness.checks(run), sameness.limits(run)),
    )


# ---- the data


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data (index.html, figures, tables) from what the prepare stage left; returns index.html.

    Measures nothing; the same files give the same bytes. Raises RunError where the prepare stage is not finished.
    """
    run = read_run(run_folder)
    facts.require_statistics(run, run_folder)
    pictures = [picture for picture in GALLERY if picture.name in OF_DATA]
    found = {table.name: table for table in data_tables(run)}
    return write_page(run_folder / "report-data", run, pictures, found, _render_data)


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


def _render_data(run: Run, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    config, seq_len = run.config, run.config.data.seq_len
    first = config.phase_steps * config.train.batch_size
    second = config.steps * config.train.batch_size - first
    own = (
        ("text", f"{write_count(facts.count_tokens(config))} tokens for each run"),
        ("rows", f"{first:,} before the phase shift, {second:,} after it, {seq_len:,} tokens each"),
    )
    return render_template(
        "data_page.html.jinja",
        run=run,
        figures=placed,
        tables=found,
        facts=facts.data_facts(run, *own),
        **_data_context(run, found),
    )


def _data_context(run: Run, found: Mapping[str, Table]) -> dict[str, Any]:
    """What the data section's template needs besides `run`, `figures` and `tables`."""
    counted = run.statistics.get("words", {})
    return {
        "data_table": corpus.page_rows(found["data_by_condition"]),
        "word_tables": words.page_tables(found["words"]),
        "words_counted": f"{counted.get('documents_counted', 0):,} of {counted.get('documents', 0):,}",
        "examples": corpus.examples(run),
        "unigram_entropy": run.statistics.get("unigram_entropy_nats"),
    }
