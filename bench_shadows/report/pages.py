"""The pages of a run folder, by its kind of study."""

from pathlib import Path

from bench_shadows.report.common.run import read_config
from bench_shadows.report.conditions import data_page, page
from bench_shadows.report.prompts import data_page as prompt_data_page
from bench_shadows.report.prompts import page as prompt_page


def write_report(run_folder: Path) -> Path:
    """Writes RUN/report (index.html, figures/*.png and *.pdf, tables/*.csv) and RUN/claims.json; returns the page.

    Measures nothing; the same files give the same bytes. Missing inputs become notes on the page. The folder
    appears whole or stays as it was. Raises RunError for a folder that is no run or holds unreadable files.
    """
    kind = prompt_page if read_config(run_folder).kind.name == "prompts" else page
    return kind.write_report(run_folder)


def write_data_report(run_folder: Path) -> Path:
    """Writes RUN/report-data (index.html, figures, tables) from what the prepare stage left; returns index.html.

    Measures nothing; the same files give the same bytes. Raises RunError where the prepare stage is not finished.
    """
    kind = prompt_data_page if read_config(run_folder).kind.name == "prompts" else data_page
    return kind.write_data_report(run_folder)
