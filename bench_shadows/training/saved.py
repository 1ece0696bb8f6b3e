"""A checkpoint of a study by its path, with what is needed to use it: config, tokenizer, weights."""

from pathlib import Path
from typing import Any, NamedTuple

from bench_shadows.config import Config
from bench_shadows.config_file import from_dict
from bench_shadows.data import tokenizer as tokenizers
from bench_shadows.errors import RunError
from bench_shadows.files import read_json
from bench_shadows.training.checkpoints import restore_params, saved_steps, sound_digest


class Saved(NamedTuple):
    """Where a checkpoint is and what its study was made with."""

    study: Path
    run: str
    """Condition and seed: A-seed0."""
    step: int
    config: Config

    @property
    def checkpoints(self) -> Path:
        """The run's checkpoints, all steps."""
        return self.study / "runs" / self.run / "checkpoints"

    def params(self) -> dict[str, Any]:
        """The weights, float32. Raises RunError for a damaged checkpoint."""
        return restore_params(self.checkpoints, self.step)

    def digest(self) -> str:
        """One hash of the whole checkpoint. Raises RunError for a damaged one."""
        return sound_digest(self.checkpoints, self.step)

    def tokenizer(self) -> tokenizers.Tokenizer:
        """The study's."""
        return tokenizers.load(self.study / "data" / "tokenizer.json", self.config.model.vocab_size)


def find(checkpoint: Path) -> Saved:
    """RUN/runs/A-seed0 (its last step) or RUN/runs/A-seed0/checkpoints/180.

    Raises RunError for what is no checkpoint of a study.
    """
    path = checkpoint.absolute()
    if path.name.isdecimal() and path.parent.name == "checkpoints" and path.is_dir():
        run, step = path.parent.parent, int(path.name)
    elif (path / "checkpoints").is_dir() and (steps := saved_steps(path / "checkpoints")):
        run, step = path, max(steps)
    else:
        raise RunError(
            f"{checkpoint}: not a checkpoint of a study; name RUN/runs/A-seed0, or a step as "
            "RUN/runs/A-seed0/checkpoints/STEP"
        )
    study = run.parents[1]
    if not (study / "config.json").is_file():
        raise RunError(f"{study}: no config.json; the study's folder around the checkpoint is needed")
    return Saved(study, run.name, step, from_dict(read_json(study / "config.json")))
