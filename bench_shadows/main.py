"""The commands: parses, calls, prints. Exit codes: 0 done, 1 failed while running, 2 cannot be started so."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bench_shadows.config_file import load, nearest
from bench_shadows.errors import BenchShadowsError, ConfigError
from bench_shadows.progress import say

STAGES = {
    "study": "all stages, in order; resumes where it stopped",
    "prepare": "documents, tokenizer, rows and plans",
    "train": "train the conditions (or one: --condition, --seed)",
    "diagnose": "spectra of the analysed checkpoints",
    "evaluate": "held-out likelihood of the analysed checkpoints",
    "report": "tables, figures and the page",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bench-shadows", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, what in STAGES.items():
        stage = commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            allow_abbrev=False,
            epilog="--config.GROUP.FIELD=VALUE overrides one field, such as --config.train.samples=3600",
        )
        stage.add_argument("--config", required=True, type=Path, help="a config file, such as configs/laptop.py")
        stage.add_argument("--out", type=Path, help="the run's folder (default: results/NAME-OF-THE-CONFIG)")
        if name == "train":
            stage.add_argument("--condition", help="only this one of the config's conditions")
            stage.add_argument("--seed", type=int, help="only this one of the config's seeds")
    return parser


def _overrides(words: Sequence[str]) -> dict[str, str]:
    """`--config.a.b=value` and `--config.a.b value`, as dotted name -> text; anything else is refused."""
    overrides: dict[str, str] = {}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("--config."):
            options = ["--config", "--out", "--condition", "--seed"]
            raise ConfigError(f"{name}: no such option{nearest(name, options)}")
        if not equals:
            if not pending:
                raise ConfigError(f"{name}: expected a value, as in {name}=VALUE")
            text = pending.pop(0)
        overrides[name.removeprefix("--config.")] = text
    return overrides


def main(words: Sequence[str]) -> None:
    """Runs one command; raises BenchShadowsError for what a user can mend."""
    if words and not words[0].startswith("-") and words[0] not in STAGES:
        raise ConfigError(f"{words[0]}: no such command{nearest(words[0], list(STAGES))}")
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    if arguments.command is None:
        parser.print_help()
        return
    config = load(arguments.config, _overrides(rest))
    folder = arguments.out or Path("results") / arguments.config.stem
    # Only now, when the config is known to be good: what follows imports JAX.
    from bench_shadows.study import Study

    study = Study(config, folder, command=["bench-shadows", *words])
    if arguments.command == "train":
        study.train(arguments.condition, arguments.seed)
    else:
        getattr(study, "run" if arguments.command == "study" else arguments.command)()


def entry() -> None:
    """The console script: turns errors into one line and an exit code."""
    words = sys.argv[1:]
    # Orbax raises what goes wrong and logs it besides, a traceback for each of its threads; it is said once here.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        main(words)
    except BenchShadowsError as error:
        say(f"bench-shadows: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("bench-shadows: interrupted. What was finished is kept; the same command goes on from there.")
        sys.exit(130)
    except (OSError, RuntimeError) as error:
        problem = _storage_problem(error)
        if problem is None:
            raise
        say(
            f"bench-shadows: {problem}. Nothing half-written is left under a final name; make room or choose "
            "another --out, and the same command goes on."
        )
        sys.exit(1)


def _storage_problem(error: OSError | RuntimeError) -> str | None:
    """What keeps files from being written, with the file where it is known; None for any other error.

    ArrayRecord's writer has no error numbers: it raises RuntimeError with the system's words for them.
    """
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
    if isinstance(error, OSError):
        if error.errno not in numbers:
            return None
        return f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"
    return " ".join(str(error).split()) if any(os.strerror(number) in str(error) for number in numbers) else None
