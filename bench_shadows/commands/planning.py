"""What can be known before anything runs: the config in full, and whether a step fits a pod."""

import argparse
import ast
import json
import os
import textwrap
from pathlib import Path

from bench_shadows.commands.command import Call, Command, config_option
from bench_shadows.config import to_dict
from bench_shadows.config_file import find, shipped
from bench_shadows.config_text import WIDTH
from bench_shadows.config_text import describe as describe_config
from bench_shadows.errors import ConfigError


def _config(call: Call) -> None:
    if call.options.config is None:
        if call.overrides or call.options.json:
            raise ConfigError("config: name a config, as in `bench-shadows config laptop`")
        print("\n".join(_shipped()))
    elif call.options.json:
        print(json.dumps(to_dict(call.config()), indent=1))
    else:
        print("\n".join(describe_config(call.config(), f"{call.name}: {find(call.options.config)}")))


def _shipped() -> list[str]:
    """Each config's name and the first line of what its file says of itself."""
    indent = max(map(len, shipped())) + 4
    lines = ["Configs that come with the package; `bench-shadows config NAME` prints one in full:"]
    for name, path in shipped().items():
        first = f"  {name:{indent - 2}}"
        lines += textwrap.wrap(_first_line(path), WIDTH, initial_indent=first, subsequent_indent=" " * indent)
    return lines


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


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


# ---- what they take


def _config_options(parser: argparse.ArgumentParser) -> None:
    what = "its name or path; without one, the configs that come with the package are listed"
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help=what)
    parser.add_argument("--json", action="store_true", help="print the values alone, as JSON")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share in (0, 1], got {text!r}")
    return share


def _compile_options(parser: argparse.ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument("--topology", required=True, help="such as v5e:16x16, v5p:4x4x4, v6e:8x8")
    parser.add_argument("--mfu", type=_share, default=0.4, help="share of peak that hours are stated for (0.4)")
    parser.add_argument("--suggest", action="store_true", help="look for the fastest setting that fits")
    parser.add_argument("--diagnostics", action="store_true", help="compile the spectra of the matrices, too")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


COMMANDS = {
    "config": Command("print a config: each field with its value and meaning", _config, _config_options),
    "compile": Command("compile the step for a TPU pod on this machine: does it fit?", _compile, _compile_options),
}
