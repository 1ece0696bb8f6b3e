"""The audit: the diagnostics of released checkpoints, alone or against their base. No training, no accelerator.

Matrices are read stack by stack, and what is known of a stack is kept at once (`journal`), so that memory
does not grow with a model and a killed audit goes on where it was. OUT holds:

    audit.json            the models: what was read, what was left out and why, how they are built
    diagnostics.parquet   a row for each matrix
    changes.parquet       a row for each matrix and reference
    findings.json         what the tables say: depth of modification, inertness, single matrices that stand out
    report                the page
    work/                 the journals
"""

import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_shadows import __version__
from bench_shadows.audit.choice import audited, open_all, refuse_other
from bench_shadows.audit.record import described, peak_memory, tensor_differences
from bench_shadows.audit.work import Work
from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.findings import findings
from bench_shadows.files import atomic_path, exclusive, read_json, remove, write_json
from bench_shadows.progress import Progress
from bench_shadows.report.audit.scores import read_scores
from bench_shadows.training.compile.compile_cache import use_compile_cache

VERSION = 2  # of audit.json
PACKAGES = ("jax", "numpy", "scipy", "ml-dtypes", "pyarrow")


def audit(
    models: Sequence[str],
    out: Path,
    reference: str | None = None,
    baseline_of: Sequence[tuple[str, str]] = (),
    scores: Path | None = None,
    embeddings: bool = False,
    command: Sequence[str] = (),
    layout: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Audits models and writes OUT with its page; goes on where an earlier audit of the same files stopped.

    Args:
      models: folders, files, Orbax checkpoints or hub names.
      out: a folder for tables, journals and the page.
      reference: a base for all models: each is measured from it.
      baseline_of: (model, its base) for single models, besides: the base may be one of the models.
      scores: a table of benchmark scores (CSV or YAML) for the page.
      embeddings: whether embeddings and output heads are analysed too.
      command: the command line, for the record.
      layout: axes of tensors that cannot be told; see `sources.open_source`.

    Returns:
      The content of audit.json, which names everything by the words of the tables.

    Raises:
      ConfigError: for a combination that cannot be. RunError: for a checkpoint that cannot be read.
    """
    result = measure(models, out, reference, baseline_of, scores, embeddings, command, layout)
    from bench_shadows.report.audit.page import write_audit  # draws: not needed before

    write_audit(out)
    return result


def as_json(result: dict[str, Any], out: Path) -> dict[str, Any]:
    """What `--json` prints: audit.json with the findings in it."""
    return result | {"findings": read_json(out / "findings.json")}


def summary(out: Path) -> list[str]:
    """The page's headlines and ten lines as text, under their headings, and where the page is."""
    from bench_shadows.report.audit.inputs import read_audit
    from bench_shadows.report.audit.summary import headlines, ten_lines

    read = read_audit(out)
    lines = [f"{heading}: {line}" for heading, part in ten_lines(read) for line in part]
    return [*headlines(read), *lines, f"{out / 'report' / 'index.html'}"]


def measure(
    models: Sequence[str],
    out: Path,
    reference: str | None = None,
    baseline_of: Sequence[tuple[str, str]] = (),
    scores: Path | None = None,
    embeddings: bool = False,
    command: Sequence[str] = (),
    layout: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything of `audit` but the page."""
    began = time.monotonic()
    if scores is not None:
        read_scores(scores)  # what is wrong with it is said before hours of work
    sources, pairs = open_all(models, reference, baseline_of, embeddings, layout)
    refuse_other(out, sources, models)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / ".lock", f"an audit in {out}"):
        use_compile_cache()
        work = Work(out / "work", sources, pairs)
        with Progress("audit", work.total, "GFLOP", done=work.done) as progress:
            diagnostics = {source.name: work.diagnose(source, progress) for source in sources}
            moved = [row for pair in pairs for row in work.compare(pair, diagnostics, progress)]
        rows = [row for part in diagnostics.values() for row in part]
        analyse.write_table(out / "diagnostics.parquet", rows, analyse.DIAGNOSTICS_SCHEMA)
        analyse.write_table(out / "changes.parquet", moved, analyse.CHANGES_SCHEMA)
        write_json(out / "findings.json", findings(rows, moved))
        _keep_scores(scores, out)
        result = {
            "version": VERSION,
            "command": list(command),
            "audited": audited(sources, models),
            "models": [described(source, pairs, diagnostics[source.name]) for source in sources],
            "pairs": [
                {"model": model.name, "reference": base.name} | tensor_differences(model, base)
                for model, base in pairs
            ],
            "seconds": round(time.monotonic() - began, 3),
            "peak_memory_bytes": peak_memory(),
            "versions": {"bench-shadows": __version__, "python": sys.version.split()[0]}
            | {name: importlib.metadata.version(name) for name in PACKAGES},
        }
        write_json(out / "audit.json", result)
        for path in (out / "work").glob("*.jsonl"):  # of other models and other versions
            if path.name not in work.used:
                remove(path)
    return result


def _keep_scores(scores: Path | None, out: Path) -> None:
    """A copy of the scores, where the page looks for them, in the place of an earlier audit's."""
    text = None if scores is None else scores.read_bytes()
    for old in out.glob("scores.*"):
        old.unlink()
    if scores is not None and text is not None:
        with atomic_path(out / f"scores{scores.suffix.lower()}") as temporary:
            temporary.write_bytes(text)
