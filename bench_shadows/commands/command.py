"""What a command is: what it says of itself, the options it takes, what it does, and how it was called."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bench_shadows.config import Config
from bench_shadows.config_file import load
from bench_shadows.config_text import common_fields
from bench_shadows.errors import ConfigError


class Call(NamedTuple):
    """A command line, read."""

    options: argparse.Namespace
    overrides: dict[str, str]
    """Dotted field -> text, from `--config.a.b=text`."""
    words: list[str]
    """As it was given, for the record."""

    def config(self) -> Config:
        """The config with its overrides, checked; ConfigError for anything wrong."""
        return load(self.options.config, self.overrides)

    @property
    def name(self) -> str:
        """Of the config: `laptop`, whether it was given by that name or as `configs/laptop.py`."""
        return self.options.config.stem

    @property
    def out(self) -> Path:
        """The folder that is written."""
        return self.options.out or Path("results") / self.name


class Command(NamedTuple):
    """One command."""

    what: str
    run: Callable[[Call], None]
    takes: Callable[[argparse.ArgumentParser], None]
    takes_config: bool = True
    """Whether fields can be overridden: `--config.a.b=text`."""


class Parser(argparse.ArgumentParser):
    """Its complaints are ours, one line and exit code 2; the help of a command with a config names its fields."""

    def __init__(self, *, takes_config: bool = False, **options: Any):
        super().__init__(allow_abbrev=False, **options)
        self._takes_config = takes_config

    def error(self, message: str) -> NoReturn:
        """Raises ConfigError."""
        raise ConfigError(f"{message}; see `{self.prog} --help`")

    def option_names(self) -> list[str]:
        """`--config`, `--out`, ..."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def format_help(self) -> str:
        """Argparse's, and the commonest fields."""
        if not self._takes_config:
            return super().format_help()
        lines = [
            "any field of the config can be changed, as in --config.train.samples=3600; the commonest:",
            *common_fields(),
            "",
            "`bench-shadows config NAME` prints all fields with values and meanings.",
        ]
        return "\n".join([super().format_help(), *lines, ""])


REPEATED: dict[str, Any] = {"action": "append", "default": []}
"""How argparse takes an option that may be given several times."""


def config_option(parser: argparse.ArgumentParser) -> None:
    """--config."""
    parser.add_argument(
        "--config",
        required=True,
        type=Path,
        metavar="CONFIG",
        help="one that comes with the package, such as laptop (`bench-shadows config` lists them), or a file's "
        "path, such as ./mine.py",
    )
