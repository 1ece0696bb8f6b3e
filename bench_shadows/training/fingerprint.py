"""What a run is a function of: the one list that resuming, the sweep and the checkpoints go by."""

from pathlib import Path
from typing import Any

from bench_shadows.config import Config, determined
from bench_shadows.data.rows.plans import load_plan, plan_hash, plan_path
from bench_shadows.declared import Determines
from bench_shadows.files import hash_file
from bench_shadows.model.pretrained import digest as pretrained_digest


def run_fingerprint(config: Config, condition: str, seed: int, data: Path) -> dict[str, Any]:
    """Plain values that are the same for two runs if, and only if, one may be taken for the other.

    Args:
      data: RUN/data, prepared.
    Raises:
      RunError: a plan is missing. OSError: rows are.
    """
    fields = determined(config, Determines.RUN)
    if config.model.initial:
        fields["model.initial"] = pretrained_digest(Path(config.model.initial))  # its weights, wherever they are
    sets, images = config.kind.rows_of(condition), data / "images" / "train" / "images.json"
    return {
        "condition": condition,
        "seed": seed,
        "plan": plan_hash(load_plan(plan_path(data, condition, seed))),
        **{f"rows/{name}": hash_file(data / "rows" / name / "rows.json") for name in sets},
        **({"images": hash_file(images)} if images.exists() else {}),
        **fields,
    }
