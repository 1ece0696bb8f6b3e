"""The report of a run: index.html with figures and tables, a pure function of the run folder's files."""

from collections.abc import Mapping
from pathlib import Path

from bench_shadows import paper
from bench_shadows.report.claims import score_card
from bench_shadows.report.claims.judge import judge, write_claims
from bench_shadows.report.common import controls, facts, style, tables
from bench_shadows.report.common.checks import verdict
from bench_shadows.report.common.estimates import MISSING, SEEDS_FOR_INTERVAL
from bench_shadows.report.common.explorer import payload
from bench_shadows.report.common.rendering import Placed, environment, write_page
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.settings import settings_context
from bench_shadows.report.common.tables import Table
from bench_shadows.report.common.wall_time import wall_time_table
from bench_shadows.report.conditions import sameness, summary
from bench_shadows.report.conditions.data_page import data_context, data_tables
from bench_shadows.report.conditions.gallery import GALLERY

TEMPLATE = "page.html.jinja"

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
    claims = judge(run)
    found = [
        score_card.claims_table(claims),
        score_card.parts_table(claims),
        score_card.observed_table(claims),
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
    checked = sameness.checks(run)
    template = environment().get_template(TEMPLATE)
    return template.render(
        run=run,
        figures=placed,
        tables=found,
        claims=judge(run),
        card=score_card,
        explorer=payload(run),
        share=tables.share_grid(run, found["share_in_range"]),
        paper=paper,
        facts=summary.facts(run),
        size_notice=facts.size_notice(run),
        seeds_notice=facts.seeds_notice(run),
        seen=summary.seen(run),
        unseen=facts.unseen(run),
        enough_seeds=len(run.seeds) >= SEEDS_FOR_INTERVAL,
        checks=checked,
        checks_verdict=verdict(checked),
        limits=sameness.limits(run),
        noise_recorded=any(controls.recorded(metrics, controls.NOISE_SCALE) for metrics in run.metrics.values()),
        outcomes=controls.outcomes_sentence(run),
        **data_context(run, found),
        **settings_context(run),
        names=style.NAMES,
        missing=MISSING,
    )
