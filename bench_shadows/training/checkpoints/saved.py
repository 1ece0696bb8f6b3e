"""A checkpoint of a study by its path, with what is needed to use it: config, tokenizer, weights."""

from pathlib import Path
from typing import Any, NamedTuple

from etils import epath

from bench_shadows.config import Config
from bench_shadows.config_file import from_dict
from bench_shadows.data.rows.tokenizer import Tokenizer, load_run_tokenizer
from bench_shadows.errors import RunError
from bench_shadows.files import read_json
from bench_shadows.training.checkpoints.checkpoints import (
    checkpoint_folder,
    restore_params,
    saved_steps,
    sound_digest,
)


class Saved(NamedTuple):
    """Where a checkpoint is and what its study was made with."""

    study: Path
    run: str
    """Condition and seed: A-seed0."""
    step: int
    config: Config

    @property
    def checkpoints(self) -> epath.Path:
        """The run's checkpoints, all steps; in the run's folder, or where the config puts them."""
        return checkpoint_folder(self.config, self.study / "runs" / self.run)

    def params(self) -> dict[str, Any]:
        """The weights, float32. Raises RunError for a damaged checkpoint."""
        return restore_params(self.checkpoints, self.step)

    def digest(self) -> str:
        """One hash of the whole checkpoint. Raises RunError for a damaged one."""
        return sound_digest(self.checkpoints, self.step)

    def tokenizer(self) -> Tokenizer:
        """The study's."""
        return load_run_tokenizer(self.config, self.study / "data")


def find(checkpoint: Path) -> Saved:
    """RUN/runs/A-seed0 (its last step) or RUN/runs/A-seed0/checkpoints/180.

    Raises RunError for what is no checkpoint of a study.
    """
    path, step = checkpoint.absolute(), None
    if path.name.isdecimal() and path.parent.name == "checkpoints":
        path, step = path.parents[1], int(path.name)
    study = path.parents[1] if path.parent.name == "runs" else path
    if study == path or not (study / "config.json").is_file():
        raise RunError(
            f"{checkpoint}: not a checkpoint of a study; name RUN/runs/A-seed0, or a step as "
            "RUN/runs/A-seed0/checkpoints/STEP, in the study's folder with its config.json and data"
        )
    saved = Saved(study, path.name, 0, from_dict(read_json(study / "config.json")))
    steps = saved_steps(saved.checkpoints)
    if not steps or step not in (None, *steps):
        named = f"step {step}" if steps else "checkpoint"
        raise RunError(f"{checkpoint}: no {named} in {saved.checkpoints}; it has the steps {steps}")
    return saved._replace(step=max(steps) if step is None else step)
