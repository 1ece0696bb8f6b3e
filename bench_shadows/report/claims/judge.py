"""The paper's claims C1 to C9, or C11 for a study of prompts, judged from a run's tables.

Thresholds and tests stand in the claims' docstrings. They come from the paper and from simulated tables
(scripts/calibrate_claims.py). Of C1 to C9 a real run of five seeds was seen before the last changes: the tests'
level was halved, C5's distance put on its logarithm, the numbers of seeds raised, and what is clear is said from
three seeds on. No threshold was moved towards what that run showed. C11 stood before any study of prompts ran.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_shadows import __version__
from bench_shadows.config import config_hash
from bench_shadows.files import write_json
from bench_shadows.report.claims import dynamics, evaluation, prompts, spectra, verdict
from bench_shadows.report.claims.verdict import Claim, Evidence, NotMeasuredError
from bench_shadows.report.common.run import Run, read_run

CLAIMS: tuple[Callable[[Run], Evidence], ...] = (
    spectra.share_in_range,
    spectra.recoverable,
    spectra.attention_separates,
    spectra.raised_upper_v_proj,
    dynamics.change_variance,
    dynamics.delta_effective_rank,
    spectra.smooth_trend,
    spectra.uneven_spikes,
    evaluation.shadow,
)
PROMPT_CLAIMS: tuple[Callable[[Run], Evidence], ...] = (prompts.prompt_repetition,)


def judge(run: Run) -> list[Claim]:
    """Every claim of this kind of study with its verdict on a run, in the order of their numbers."""
    found = []
    for claim in run.config.kind.claims():
        registered = verdict.register(claim)
        try:
            _check_rewriting(run, registered)
            evidence: Evidence | NotMeasuredError = claim(run)
        except NotMeasuredError as reason:
            evidence = reason
        found.append(verdict.examine(registered, evidence))
    return verdict.correct(found)


def _check_rewriting(run: Run, claim: verdict.Registration) -> None:
    """Raises NotMeasuredError for a claim that reads Condition D where its rewriting changed next to nothing."""
    withheld = (run.documents.get("rewriting") or {}).get("withheld")
    if withheld and "D" in run.config.conditions.names and re.search(r"\bD\b", claim.statistic):
        raise NotMeasuredError(f"withheld: {withheld}")


def write_claims(run_folder: Path) -> Path:
    """Writes RUN/claims.json: every claim with its parts, p-values and the values of each condition and seed.

    Raises RunError for a folder that is no run or holds unreadable files.
    """
    path = run_folder / "claims.json"
    write_json(path, as_json(read_run(run_folder)))
    return path


def as_json(run: Run) -> dict[str, Any]:
    """The content of claims.json: plain values, seeds as text, missing as null."""
    return {
        "version": __version__,
        "versions": dict(run.provenance.get("versions", {})),
        "config_sha256": config_hash(run.config),
        "level": verdict.LEVEL,
        "interval_coverage": verdict.COVERAGE,
        "correction": "Holm over the claims that were tested; intervals and the parts' p are not corrected",
        "claims": [_plain(dataclasses.asdict(claim)) for claim in judge(run)],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value
