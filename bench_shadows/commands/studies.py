"""A study, its stages one by one, and a sweep of studies."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_shadows.commands.command import REPEATED, Call, Command, config_option
from bench_shadows.errors import ConfigError

# What the commands import comes when the command line is known to be good: it is heavy.


def _stage(name: str) -> Callable[[Call], None]:
    return lambda call: getattr(_open(call), name)()


def _open(call: Call) -> Any:
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


def _study(call: Call) -> None:
    if not call.options.dry_run:
        _on_all_hosts(_stage("run"))(call)
        return
    config = call.config()
    from bench_shadows.commands.dry_run import describe, measure_rate

    print("\n".join(describe(config, call.name, call.out, measure_rate(config))))


def _prepare(call: Call) -> None:
    study = _open(call)
    study.prepare(call.options.beam)
    if call.options.report:
        study.report_data()


def _train(call: Call) -> None:
    _open(call).train(call.options.condition, call.options.seed)


def _report(call: Call) -> None:
    call.config()
    if not any(call.out.glob("runs/*/metrics.jsonl")):
        raise ConfigError(
            f"report: {call.out} has no run to report on; `bench-shadows study` or `train` makes one, or name its "
            "folder with --out"
        )
    _stage("report")(call)


def _rewrite(call: Call) -> None:
    _open(call).rewrite(*call.options.shard)


def _sweep(call: Call) -> None:
    from bench_shadows.sweep import run_sweep

    out = call.options.out or Path("results") / f"{call.name}-sweep"
    run_sweep(call.options.config, call.overrides, call.options.vary, out, call.words)


# ---- what they take

Takes = Callable[[argparse.ArgumentParser], None]


def _takes(*more: Takes, out: str = "results/CONFIG") -> Takes:
    def add(parser: argparse.ArgumentParser) -> None:
        config_option(parser)
        parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"what is written (default: {out})")
        for one in more:
            one(parser)

    return add


def _study_options(parser: argparse.ArgumentParser) -> None:
    what = "start nothing; print the stages, runs, tokens, room on disk and an estimate of the time"
    parser.add_argument("--dry-run", action="store_true", help=what)


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", action="store_true", help="also a page of the data alone: OUT/report-data")
    beam = "make the corpus as Apache Beam pipelines with this option, such as --beam=--runner=FlinkRunner"
    parser.add_argument("--beam", **REPEATED, metavar="OPTION", help=beam)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--condition", help="only this one of the config's conditions")
    parser.add_argument("--seed", type=int, help="only this one of the config's seeds")


def _rewrite_options(parser: argparse.ArgumentParser) -> None:
    part = "only part I of N (from 0): one client of a fleet"
    parser.add_argument("--shard", type=_shard, default=(0, 1), metavar="I/N", help=part)


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, got {text!r}")
    return int(index), int(count)


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    what = "a field of the config and its values; FIELD:FIELD=VALUE:VALUE,... for fields that change together"
    parser.add_argument("--vary", **REPEATED, metavar="FIELD=VALUE,VALUE", help=what)


COMMANDS = {
    "study": Command("run all stages in order; resume where they stopped", _study, _takes(_study_options)),
    "prepare": Command("make documents, tokenizer, rows and plans", _prepare, _takes(_prepare_options)),
    "rewrite": Command(
        "rewrite Condition D's documents by an endpoint, one client of a fleet", _rewrite, _takes(_rewrite_options)
    ),
    "train": Command(
        "train all conditions and seeds, or those that are named", _on_all_hosts(_train), _takes(_train_options)
    ),
    "diagnose": Command("compute the spectra of the analysed checkpoints", _stage("diagnose"), _takes()),
    "evaluate": Command("measure the analysed checkpoints on held-out text", _stage("evaluate"), _takes()),
    "report": Command("write tables, figures and the page", _report, _takes()),
    "sweep": Command(
        "run one study for each value of a field, and a page that compares them",
        _sweep,
        _takes(_sweep_options, out="results/CONFIG-sweep"),
    ),
}
