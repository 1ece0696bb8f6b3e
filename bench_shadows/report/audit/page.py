"""The report of an audit: index.html with figures and tables, a pure function of the files of its folder."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_shadows.files import atomic_path
from bench_shadows.report.audit import capability, readings
from bench_shadows.report.audit import tables as audit_tables
from bench_shadows.report.audit.gallery import gallery
from bench_shadows.report.audit.inputs import Audit, read_audit
from bench_shadows.report.audit.scores import PAPER_CITATION, PAPER_TABLE_2, read_scores
from bench_shadows.report.audit.style import WORDS
from bench_shadows.report.audit.summary import headlines, ten_lines
from bench_shadows.report.common.rendering import Placed, environment, place_figures
from bench_shadows.report.common.tables import Table, flatten, missing_table

TEMPLATE = "audit.html.jinja"


def write_audit(out: Path) -> Path:
    """Writes OUT/report (index.html, figures/*.png and *.pdf, tables/*.csv and *.parquet); returns index.html.

    Measures nothing; the same files give the same bytes. The folder appears whole or stays as it was. Raises
    RunError for a folder that holds no audit or unreadable files, DataError for scores that are wrong.
    """
    audit = read_audit(out)
    with atomic_path(out / "report") as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True)
        placed = place_figures(gallery(audit), audit, folder / "figures")
        found = build_tables(audit)
        for table in found.values():
            audit_tables.write_files(table, folder / "tables")
        audit_tables.copy_measurements(out, folder / "tables")
        (folder / "index.html").write_text(render(audit, placed, found), encoding="utf-8")
    return out / "report" / "index.html"


def build_tables(audit: Audit) -> dict[str, Table]:
    """Every table of the report by its name."""
    paper = read_scores(PAPER_TABLE_2) if audit.scores or len(audit.subjects) > 1 else []
    found = [
        audit_tables.coverage_table(audit),
        audit_tables.models_table(audit),
        audit_tables.share_table(audit),
        audit_tables.outside_table(audit),
        audit_tables.module_table(audit),
        missing_table(audit.diagnostics, audit.changes),
        audit_tables.x_min_table(audit),
        readings.modification_table(audit),
        readings.ranges_table(audit),
        readings.inertness_table(audit),
        readings.anomalies_table(audit),
        audit_tables.config_table(audit),
        audit_tables.skipped_table(audit),
        audit_tables.unmatched_table(audit),
        capability.scores_table(audit.scores, "scores"),
        capability.asymmetry_table(audit.scores, "asymmetry", capability.structure(audit)),
        capability.scores_table(paper, "paper_table_2"),
        capability.asymmetry_table(paper, "paper_asymmetry"),
    ]
    return {table.name: table for table in found}


def render(audit: Audit, placed: Mapping[str, Placed], found: Mapping[str, Table]) -> str:
    """The page as HTML; everything from outside is escaped."""
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            audit=audit,
            title=_title(audit),
            figures=placed,
            tables=found,
            words=WORDS,
            headlines=headlines(audit),
            lines=ten_lines(audit),
            depths=readings.outline(found["depth_of_modification"]),
            ranges=readings.outline(found["layer_ranges"]),
            notices=[
                (str(model.get("name")), model.get("notices")) for model in audit.models if model.get("notices")
            ],
            unscored=_unscored(audit),
            paper_citation=PAPER_CITATION,
            provenance=_provenance(audit),
            command=shlex.join(map(str, audit.about.get("command") or ("bench-shadows", "audit", *audit.names))),
        )
    )


def _title(audit: Audit) -> str:
    return audit.subjects[0] if len(audit.subjects) == 1 else f"{len(audit.subjects)} models"


def _unscored(audit: Audit) -> list[str]:
    """Sentences on models that have scores and no audit, or an audit and no scores."""
    scored = {score.model for score in audit.scores}
    found = []
    if scored:
        for text, names in (
            ("Scores of models that were not audited", scored - set(audit.names)),
            ("Audited, without scores", set(audit.names) - scored),
        ):
            if names:
                found.append(f"{text}: {', '.join(sorted(names))}.")
    return found


def _provenance(audit: Audit) -> list[tuple[str, Any]]:
    about = {key: audit.about[key] for key in ("seconds", "peak_memory_bytes", "versions") if key in audit.about}
    paths = {f"path of {model.get('name')}": model.get("path") for model in audit.models}
    return [*flatten(about).items(), *paths.items()]
