"""The prepare stage: RUN/data from the sources, by the way of the study's kind.

Every output appears under its final name only when it is whole, and a folder belongs to one set of inputs
(`inputs.json`): the config's fields that matter here and the content of the sources. So a killed run continues
with what is missing, ends with the same bytes as an undisturbed one, and a folder made from other data is
refused, never mixed.
"""

from pathlib import Path

from bench_shadows.config import Config
from bench_shadows.data.corpus.workers import LOCAL, Engine
from bench_shadows.data.fingerprint import claim
from bench_shadows.errors import RunError
from bench_shadows.files import TEMPORARY, remove


def prepare(config: Config, folder: Path | str, engine: Engine = LOCAL) -> dict[str, str]:
    """Makes what is missing in RUN/data and returns the SHA-256 of every output, by its name in the folder.

    Any engine makes the same rows.

    Raises:
      RunError: the folder was made from another config or other sources, and the message names what differs; or
        the sources are stored in it.
      DataError: too little text or too few samples for the run; the message says how many it has and needs.
      ConfigError: the tokenizer, tasks or an image folder cannot be used with this config.
    """
    folder = Path(folder)
    _keep_apart(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in sorted(folder.rglob("*" + TEMPORARY)):
        remove(left)
    claim(folder / "inputs.json", config)
    return config.kind.prepare(config, folder, engine)


def _keep_apart(config: Config, folder: Path) -> None:
    """Nothing is written over the input: raises RunError where what is read is in the folder."""
    for path in config.kind.reads(config):
        if path.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                f"{path} lies in {folder}, which this run writes: move it, or name another folder with --out"
            )
