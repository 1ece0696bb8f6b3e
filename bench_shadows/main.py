"""The commands: parses, calls, prints. Exit codes: 0 done, 1 failed while running, 2 cannot be started so,
143 (SIGTERM, a preemption) and 130 (Ctrl-C) left after a checkpoint.
"""

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bench_shadows.config import Config
from bench_shadows.config_file import load, nearest
from bench_shadows.errors import BenchShadowsError, ConfigError
from bench_shadows.progress import say

Options = argparse.Namespace


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class Call(NamedTuple):
    """A command line, read."""

    options: Options
    overrides: dict[str, str]
    """Dotted field -> text, from `--config.a.b=text`."""
    words: list[str]
    """As it was given, for the record."""

    def config(self) -> Config:
        """The config file with its overrides, checked; ConfigError for anything wrong."""
        return load(self.options.config, self.overrides)

    @property
    def out(self) -> Path:
        """The folder that is written."""
        return self.options.out or Path("results") / self.options.config.stem


class Command(NamedTuple):
    """What a command is called, says of itself, takes and does."""

    what: str
    run: Callable[[Call], None]
    takes: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    takes_config: bool = True


# ---- what the commands do. What they import comes when the command line is known to be good: it is heavy.


def _stage(name: str) -> Callable[[Call], None]:
    return lambda call: getattr(_study(call), name)()


def _study(call: Call) -> Any:
    config = call.config()
    from bench_shadows.study import Study

    return Study(config, call.out, command=call.words)


def _on_all_hosts(work: Callable[[Call], None]) -> Callable[[Call], None]:
    def run(call: Call) -> None:
        call.config()  # what is wrong with it is said before the hosts join
        from bench_shadows.training.compile.xla_flags import set_flags
        from bench_shadows.training.devices.distributed import together

        set_flags()
        with together():
            work(call)

    return run


def _prepare(call: Call) -> None:
    study = _study(call)
    study.prepare(call.options.beam)
    if call.options.report:
        study.report_data()


def _train(call: Call) -> None:
    _study(call).train(call.options.condition, call.options.seed)


def _rewrite(call: Call) -> None:
    _study(call).rewrite(*call.options.shard)


def _sweep(call: Call) -> None:
    from bench_shadows.sweep import run_sweep

    out = call.options.out or Path("results") / f"{call.options.config.stem}-sweep"
    run_sweep(call.options.config, call.overrides, call.options.vary, out, call.words)


def _audit(call: Call) -> None:
    options = call.options
    from bench_shadows.audit.audit import audit, summary

    found = audit(
        options.models,
        options.out,
        reference=options.reference,
        baseline_of=options.baseline_of,
        scores=options.scores,
        embeddings=options.embeddings,
        command=call.words,
    )
    print(json.dumps(found, indent=1) if options.json else "\n".join(summary(options.out)))


def _export(call: Call) -> None:
    from bench_shadows.export import export

    say(f"exported: {export(call.options.checkpoint, call.options.out, call.options.dtype)}")


def _harness(call: Call) -> None:
    options = call.options
    from bench_shadows.evaluation.harness import run_harness, summary

    out = run_harness(
        options.checkpoint, options.tasks, options.include, options.limit, options.num_fewshot, options.out
    )
    print((out / "results.json").read_text() if options.json else "\n".join(summary(out)))
    say(f"results: {out}")


def _compile(call: Call) -> None:
    config, topology = call.config(), call.options.topology
    os.environ["JAX_PLATFORMS"] = "cpu"  # libtpu compiles; with it installed JAX would look for a TPU to run on
    from bench_shadows.training.compile.topology import compile_report, diagnostics_report, suggest
    from bench_shadows.training.compile.topology_text import describe

    report = (suggest if call.options.suggest else compile_report)(config, topology, call.options.mfu)
    if report is None:
        raise ConfigError(f"--topology={topology}: no micro-batch and no rematerialisation fits; take more chips")
    if call.options.diagnostics:
        report["diagnostics"] = diagnostics_report(config, topology)
    print(json.dumps(report, indent=1) if call.options.json else "\n".join(describe(report)))


def _dedupe_prompts(call: Call) -> None:
    options = call.options
    from bench_shadows.data.samples.clean_files import dedupe_prompts
    from bench_shadows.data.samples.repetition import Rules
    from bench_shadows.report.prompts.cleaned_page import write_prompts_page

    rules = Rules(tuple(options.fields), tuple(options.protect), options.minimum, not options.case)
    found = dedupe_prompts(options.sources, options.out, rules, options.bad_records_limit)
    say(
        f"{found['repeating']:,} of {found['samples']:,} samples repeated a prompt, {found['repeating_after']:,} "
        f"do now; {sum(found['bad_records'].values()):,} records left out"
    )
    say(f"the page: {write_prompts_page(options.out, call.words)}")


# ---- what they take


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", action="store_true", help="also a page of the data alone: OUT/report-data")
    parser.add_argument(
        "--beam",
        action="append",
        default=[],
        metavar="OPTION",
        help="make the corpus as Apache Beam pipelines with this option, such as --beam=--runner=FlinkRunner",
    )


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--condition", help="only this one of the config's conditions")
    parser.add_argument("--seed", type=int, help="only this one of the config's seeds")


def _rewrite_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="I/N",
        help="only part I of N (from 0): one client of a fleet",
    )


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, got {text!r}")
    return int(index), int(count)


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="FIELD=VALUE,VALUE",
        help="a field of the config and its values; FIELD:FIELD=VALUE:VALUE,... for fields that change together",
    )


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="safetensors, an Orbax checkpoint, or a hub name"
    )
    parser.add_argument("--reference", metavar="BASE", help="a base that every model is measured from")
    parser.add_argument(
        "--baseline-of",
        action="append",
        default=[],
        type=_pair,
        metavar="MODEL=BASE",
        help="a base for one model; may be another of the models",
    )
    parser.add_argument(
        "--scores", type=Path, help="benchmark scores (CSV or YAML: benchmark, group, model, score)"
    )
    parser.add_argument("--embeddings", action="store_true", help="analyse embeddings and output heads, too")
    parser.add_argument("--out", type=Path, default=Path("results/audit"), help="default: results/audit")
    parser.add_argument("--json", action="store_true", help="print audit.json")


def _pair(text: str) -> tuple[str, str]:
    model, equals, base = text.partition("=")
    if not (model and equals and base):
        raise argparse.ArgumentTypeError(f"expected MODEL=BASE, got {text!r}")
    return model, base


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="RUN/runs/A-seed0, or a step in its checkpoints"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights (float32, as trained)"
    )


def _harness_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="RUN/runs/A-seed0, or a step in its checkpoints"
    )
    parser.add_argument(
        "--tasks",
        type=lambda text: [name for name in text.split(",") if name],
        required=True,
        metavar="NAME,NAME",
        help="lm-eval's tasks, groups or tags, or those in --include; a path stands for a folder's tasks",
    )
    parser.add_argument(
        "--include", action="append", default=[], type=Path, metavar="FOLDER", help="of YAML tasks of your own"
    )
    parser.add_argument("--limit", type=int, help="only the first documents of each task")
    parser.add_argument("--num-fewshot", type=int, help="examples before each question (default: the task's)")
    parser.add_argument("--out", type=Path, help="a folder (default: in STUDY/harness)")
    parser.add_argument("--json", action="store_true", help="print results.json")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share in (0, 1], got {text!r}")
    return share


def _compile_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topology", required=True, help="such as v5e:16x16, v5p:4x4x4, v6e:8x8")
    parser.add_argument("--mfu", type=_share, default=0.4, help="share of peak that hours are stated for (0.4)")
    parser.add_argument("--suggest", action="store_true", help="look for the fastest setting that fits")
    parser.add_argument("--diagnostics", action="store_true", help="compile the spectra of the matrices, too")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _dedupe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help="files, folders or globs of .jsonl, .json, .parquet"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder; nothing is written over the input")
    for name, what in (("fields", "look at this field alone"), ("protect", "leave this field alone, too")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="FIELD",
            help=f"{what}, such as conversations.*.value",
        )
    parser.add_argument(
        "--minimum", type=int, default=16, help="characters of the shortest fragment; Chinese count twice (16)"
    )
    parser.add_argument("--case", action="store_true", help="upper and lower case differ")
    parser.add_argument("--bad-records-limit", type=int, default=100, help="records left out at most (100)")


COMMANDS = {
    "study": Command("all stages, in order; resumes where it stopped", _on_all_hosts(_stage("run"))),
    "prepare": Command("documents, tokenizer, rows and plans", _prepare, _prepare_options),
    "rewrite": Command("condition D's rewriting by an endpoint alone, for a fleet", _rewrite, _rewrite_options),
    "train": Command("train the conditions (or one: --condition, --seed)", _on_all_hosts(_train), _train_options),
    "diagnose": Command("spectra of the analysed checkpoints", _stage("diagnose")),
    "evaluate": Command("held-out likelihood of the analysed checkpoints", _stage("evaluate")),
    "report": Command("tables, figures and the page", _stage("report")),
    "sweep": Command(
        "one study for every value of a field, and a page that compares them", _sweep, _sweep_options
    ),
    "audit": Command("the diagnostics of released checkpoints", _audit, _audit_options, takes_config=False),
    "harness": Command("lm-evaluation-harness on a checkpoint", _harness, _harness_options, takes_config=False),
    "export": Command("a checkpoint in Hugging Face's format", _export, _export_options, takes_config=False),
    "dedupe-prompts": Command(
        "samples of several fields without repeated prompts", _dedupe_prompts, _dedupe_options, takes_config=False
    ),
    "compile": Command("does the step fit a TPU pod? Compiled on this machine", _compile, _compile_options),
}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bench-shadows", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        epilog = "--config.GROUP.FIELD=VALUE overrides one field, such as --config.train.samples=3600"
        added = commands.add_parser(
            name,
            help=command.what,
            description=f"{command.what[0].upper()}{command.what[1:]}.",
            allow_abbrev=False,
            epilog=epilog if command.takes_config else None,
        )
        if command.takes_config:
            added.add_argument(
                "--config", required=True, type=Path, help="a config file, such as configs/laptop.py"
            )
        if command.takes_config and name != "compile":
            added.add_argument("--out", type=Path, help="the folder (default: results/NAME-OF-THE-CONFIG)")
        command.takes(added)
    return parser


def _overrides(words: Sequence[str], options: Sequence[str]) -> dict[str, str]:
    """`--config.a.b=value` and `--config.a.b value`, as dotted name -> text; anything else is refused."""
    overrides: dict[str, str] = {}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("--config."):
            raise ConfigError(f"{name}: no such option{nearest(name, options)}")
        if not equals:
            if not pending:
                raise ConfigError(f"{name}: expected a value, as in {name}=VALUE")
            text = pending.pop(0)
        overrides[name.removeprefix("--config.")] = text
    return overrides


def main(words: Sequence[str]) -> None:
    """Runs one command; raises BenchShadowsError for what a user can mend."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        raise ConfigError(f"{words[0]}: no such command{nearest(words[0], list(COMMANDS))}")
    parser = _parser()
    options, rest = parser.parse_known_args(words)
    if options.command is None:
        parser.print_help()
        return
    command = COMMANDS[options.command]
    known = [
        f"--{name.replace('_', '-')}"
        for name in vars(options)
        if name not in ("command", "models", "checkpoint", "sources")
    ]
    overrides = _overrides(rest, known)
    if overrides and not command.takes_config:
        raise ConfigError(f"--config.{next(iter(overrides))}: {options.command} takes no config")
    command.run(Call(options, overrides, ["bench-shadows", *words]))


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
