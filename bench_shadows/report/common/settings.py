"""How a run was made: its settings, the stages that made it, where and from what, and the command."""

import shlex
from collections.abc import Mapping
from typing import Any

from bench_shadows.config import to_dict
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import flatten


def settings_context(run: Run) -> dict[str, Any]:
    """What the settings section's template needs besides `run` and `tables`."""
    return {
        "settings": [(group, list(flatten(fields).items())) for group, fields in to_dict(run.config).items()],
        "provenance": _provenance(run),
        "stages": _stages(run),
        "command": _command(run),
    }


def _stages(run: Run) -> list[tuple[str, dict[str, Any]]]:
    stages = run.provenance.get("stages")
    if not isinstance(stages, Mapping):
        return []
    return [(str(name), flatten(value, "value")) for name, value in stages.items()]


def _provenance(run: Run) -> list[tuple[str, Any]]:
    return list(
        flatten({key: value for key, value in run.provenance.items() if key not in ("stages", "command")}).items()
    )


def _command(run: Run) -> str:
    words = run.provenance.get("command")
    if isinstance(words, list) and words:
        return shlex.join(map(str, words))
    return str(words or "bench-shadows study --config=CONFIG.py")
