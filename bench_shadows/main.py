"""The command line: reads it, runs one command, and turns what goes wrong into one line and an exit code."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence

from bench_shadows import __version__, interrupts
from bench_shadows.commands import checkpoints, planning, samples, studies
from bench_shadows.commands.command import Call, Command, Parser
from bench_shadows.config_file import nearest
from bench_shadows.errors import BenchShadowsError, ConfigError
from bench_shadows.foreign import holds_credentials, is_text, shown
from bench_shadows.progress import say

COMMANDS = {**studies.COMMANDS, **planning.COMMANDS, **checkpoints.COMMANDS, **samples.COMMANDS}
_HELP = """\
Trains one decoder under several data conditions, reads what that did to its weights, and says which
claims of the paper "Benchmark Shadows" (arXiv 2604.07363) hold. Audits released models, too.
"""
_EXAMPLES = """\
a first study, on two CPU cores:
  bench-shadows study --config=laptop --dry-run   what it would do, and about how long it takes
  bench-shadows study --config=laptop             results/laptop/report/index.html, in about ten minutes
  bench-shadows config laptop                     every field of that config, with its meaning

`bench-shadows COMMAND --help` explains a command. Exit codes: 0 done; 1 failed while running; 2 cannot
start as given; 143 (SIGTERM) or 130 (Ctrl-C) stopped, and the same command resumes.
"""


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Of the whole, and of each command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="bench-shadows", description=_HELP, epilog=_EXAMPLES, formatter_class=raw)
    parser.add_argument(
        "--version", action="version", version=f"bench-shadows {__version__}", help="print it and exit"
    )
    added = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    parsers = {}
    for name, command in COMMANDS.items():
        what = f"{command.what[0].upper()}{command.what[1:]}"
        parsers[name] = added.add_parser(
            name,
            help=command.what,
            description=what if what.endswith("?") else f"{what}.",
            takes_config=command.takes_config,
        )
        command.takes(parsers[name])
    return parser, parsers


def _overrides(words: Sequence[str], options: Sequence[str]) -> dict[str, str]:
    """`--config.a.b=value` and `--config.a.b value`, as dotted name -> text; anything else is refused."""
    overrides: dict[str, str] = {}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("-"):
            raise ConfigError(f"{word}: a word too many")
        if not name.startswith("--config."):
            raise ConfigError(f"{name}: no such option{nearest(name, options)}")
        if not equals:
            if not pending:
                raise ConfigError(f"{name}: expected a value, as in {name}=VALUE")
            text = pending.pop(0)
        overrides[name.removeprefix("--config.")] = text
    return overrides


def read(words: Sequence[str]) -> tuple[Command, Call]:
    """The command that the words name, and how it is called; ConfigError for words that are wrong.

    Help and version are printed and end the process (SystemExit, 0).
    """
    _check_words(words)
    parser, parsers = _parsers()
    name, before = words[0] if words else "--help", ("--help", "-h", "--version")
    if name in before:
        parser.parse_args([name])
    if name.startswith("-"):
        raise ConfigError(f"{name}: no such option before the command{nearest(name, before)}")
    if name not in COMMANDS:
        raise ConfigError(f"{name}: no such command{nearest(name, list(COMMANDS))}")
    options, rest = parsers[name].parse_known_args(words[1:])
    overrides = _overrides(rest, parsers[name].option_names())
    if overrides and not COMMANDS[name].takes_config:
        raise ConfigError(f"--config.{next(iter(overrides))}: {name} takes no config")
    return COMMANDS[name], Call(options, overrides, ["bench-shadows", *words])


def _check_words(words: Sequence[str]) -> None:
    """Refuses what could not be recorded with a run: it is written to files and shown on pages."""
    for word in words:
        name = word.partition("=")[0] if word.startswith("-") else "an address"
        if holds_credentials(word):
            raise ConfigError(
                f"{shown(name)[1:-1]}: a name or a key in an address would be written to the run; leave it out "
                "and set the variables that the store's client reads, such as AWS_ACCESS_KEY_ID or OPENAI_API_KEY"
            )
        if not is_text(word):
            raise ConfigError(f"{shown(word)}: not UTF-8; give the file or folder a name that is")


def main(words: Sequence[str]) -> None:
    """Runs one command; raises BenchShadowsError for what a user can mend."""
    command, call = read(words)
    command.run(call)


def entry() -> None:
    """The console script: turns errors into one line and an exit code."""
    words = sys.argv[1:]
    # Orbax raises what goes wrong and logs it besides, a traceback for each of its threads; it is said once here.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with interrupts.raised_at_the_end():
            main(words)
    except BenchShadowsError as error:
        say(f"bench-shadows: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say(interrupts.WORDS)
        sys.exit(interrupts.EXIT_CODE)
    except (OSError, RuntimeError) as error:
        problem = _storage_problem(error)
        if problem is None:
            raise
        say(
            f"bench-shadows: {problem}. Nothing half-written is left under a final name; make room or choose "
            "another --out, and the same command resumes."
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
