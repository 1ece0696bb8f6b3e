"""The pages of a study of prompts: the case study of section 6, and its data alone before anything is trained."""

from collections.abc import Mapping
from pathlib import Path

from bench_shadows.report.claims import score_card
from bench_shadows.report.claims.judge import judge, write_claims
from bench_shadows.report.common import controls, facts, tables
from bench_shadows.report.common.rendering import Placed, render_template, write_page
from bench_shadows.report.common.sections import study_context, wall_time_table
from bench_shadows.report.common.tables import Table
from bench_shadows.report.prompts import sameness, scores, summary
from bench_shadows.report.prompts import tables as prompt_tables
from bench_shadows.report.prompts.figures import COMPONENTS
from bench_shadows.report.prompts.gallery import GALLERY
from bench_shadows.report.prompts.samples import PromptRun, read_prompt_run


def write_report(run_folder: Path) -> Path:
    """Writes RUN/report and RUN/claims.json of a study of prompts; as `conditions.page.write_report`."""
    run = read_prompt_run(run_folder)
    write_claims(run_folder)
    return write_page(run_folder / "report", run, GALLERY, build_tables(run), render)


def build_tables(run: PromptRun) -> dict[str, Table]:
    """Every table of the report by its name."""
    found = [
        *score_card.tables(judge(run)),
        scores.groups_table(run),
        scores.loss_table(run),
        scores.tasks_table(run),
        scores.paper_table(),
        *(table(run, part) for part in COMPONENTS for table in (tables.share_table, tables.module_table)),
        *(tables.profile_table(run, part) for part in COMPONENTS),
        prompt_tables.rank_table(run),
        tables.missing_table(run.diagnostics, run.changes),
        *prompt_tables.data_tables(run),
        controls.controls_table(run),
        controls.levels_table(run),
        wall_time_table(run),
    ]
    return {table.name: table for table in found}


def render(run: PromptRun, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    """The page as HTML; everything from outside is escaped."""
    return render_template(
        "prompt_study.html.jinja",
        figures=placed,
        tables=found,
        claims=judge(run),
        card=score_card,
        scores=scores,
        beside_paper=scores.beside_paper(run),
        paper_benchmarks=scores.benchmark_table(),
        spread=[scores.paper_spread(category) for category in scores.paper_table_3()],
        components={part: name for part, name in COMPONENTS.items() if len(run.diagnostics.where(component=part))},
        shares={part: tables.share_grid(run, tables.share_table(run, part)) for part in COMPONENTS},
        facts=summary.facts(run),
        size_notice=facts.prompt_size_notice(run),
        seen=summary.seen(run),
        unseen=summary.unseen(run),
        **prompt_tables.data_context(run),
        **study_context(run, sameness.checks(run), sameness.limits(run)),
    )


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data of a study of prompts; as `conditions.page.write_data_report`."""
    run = read_prompt_run(run_folder)
    facts.require_statistics(run, run_folder)
    found = {table.name: table for table in prompt_tables.data_tables(run)}
    return write_page(run_folder / "report-data", run, (), found, _render_data)


def _render_data(run: PromptRun, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    rows = f"a sample each, {run.config.data.seq_len:,} tokens"
    return render_template(
        "prompt_data_page.html.jinja",
        run=run,
        figures=placed,
        tables=found,
        facts=facts.data_facts(run, ("training", summary.training(run)), ("rows", rows)),
        **prompt_tables.data_context(run),
    )
