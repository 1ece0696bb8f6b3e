"""The data of a study of prompts as a page of its own, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path

from bench_shadows.report.common.facts import data_facts, require_statistics
from bench_shadows.report.common.rendering import Placed, environment, write_page
from bench_shadows.report.common.tables import Table
from bench_shadows.report.prompts.samples import PromptRun, read_prompt_run
from bench_shadows.report.prompts.summary import training
from bench_shadows.report.prompts.tables import data_context, data_tables

TEMPLATE = "prompt_data_page.html.jinja"


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data of a study of prompts; as `conditions.data_page.write_data_report`."""
    run = read_prompt_run(run_folder)
    require_statistics(run, run_folder)
    return write_page(
        run_folder / "report-data", run, (), {table.name: table for table in data_tables(run)}, render
    )


def render(run: PromptRun, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    """The page as HTML; everything from outside is escaped."""
    facts = data_facts(
        run, ("training", training(run)), ("rows", f"a sample each, {run.config.data.seq_len:,} tokens")
    )
    template = environment().get_template(TEMPLATE)
    return template.render(run=run, figures=placed, tables=found, facts=facts, **data_context(run))
