"""The page of a study of prompts: the case study of section 6, with its own figures, tables and sentences."""

from collections.abc import Mapping
from pathlib import Path

from bench_shadows.report.claims import score_card
from bench_shadows.report.claims.judge import judge, write_claims
from bench_shadows.report.common import controls, facts, style, tables
from bench_shadows.report.common.checks import verdict
from bench_shadows.report.common.estimates import MISSING, SEEDS_FOR_INTERVAL
from bench_shadows.report.common.explorer import payload
from bench_shadows.report.common.facts import seeds_notice
from bench_shadows.report.common.rendering import Placed, environment, write_page
from bench_shadows.report.common.settings import settings_context
from bench_shadows.report.common.tables import Table
from bench_shadows.report.common.wall_time import wall_time_table
from bench_shadows.report.prompts import sameness as prompt_sameness
from bench_shadows.report.prompts import scores as prompt_scores
from bench_shadows.report.prompts import summary
from bench_shadows.report.prompts import tables as prompt_tables
from bench_shadows.report.prompts.figures import COMPONENTS
from bench_shadows.report.prompts.gallery import GALLERY
from bench_shadows.report.prompts.samples import PromptRun, read_prompt_run

TEMPLATE = "prompt_study.html.jinja"


def write_report(run_folder: Path) -> Path:
    """Writes RUN/report and RUN/claims.json of a study of prompts; as `conditions.page.write_report`."""
    run = read_prompt_run(run_folder)
    write_claims(run_folder)
    return write_page(run_folder / "report", run, GALLERY, build_tables(run), render)


def build_tables(run: PromptRun) -> dict[str, Table]:
    """Every table of the report by its name."""
    claims = judge(run)
    found = [
        score_card.claims_table(claims),
        score_card.parts_table(claims),
        score_card.observed_table(claims),
        prompt_scores.groups_table(run),
        prompt_scores.loss_table(run),
        prompt_scores.tasks_table(run),
        prompt_scores.paper_table(),
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
    checked = prompt_sameness.checks(run)
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            run=run,
            figures=placed,
            tables=found,
            claims=judge(run),
            card=score_card,
            explorer=payload(run),
            scores=prompt_scores,
            beside_paper=prompt_scores.beside_paper(run),
            paper_benchmarks=prompt_scores.benchmark_table(),
            spread=[prompt_scores.paper_spread(category) for category in prompt_scores.paper_table_3()],
            components={
                part: name for part, name in COMPONENTS.items() if len(run.diagnostics.where(component=part))
            },
            shares={part: tables.share_grid(run, tables.share_table(run, part)) for part in COMPONENTS},
            facts=summary.facts(run),
            size_notice=facts.prompt_size_notice(run),
            seeds_notice=seeds_notice(run),
            seen=summary.seen(run),
            unseen=summary.unseen(run),
            enough_seeds=len(run.seeds) >= SEEDS_FOR_INTERVAL,
            checks=checked,
            checks_verdict=verdict(checked, run.reference),
            limits=prompt_sameness.limits(run),
            noise_recorded=any(
                controls.recorded(metrics, controls.NOISE_SCALE) for metrics in run.metrics.values()
            ),
            outcomes=controls.outcomes_sentence(run),
            **prompt_tables.data_context(run),
            **settings_context(run),
            names=style.NAMES,
            missing=MISSING,
        )
    )
