"""Samples with prompts, cleaned by themselves."""

import argparse
from pathlib import Path

from bench_shadows.commands.command import REPEATED, Call, Command
from bench_shadows.progress import say


def _dedupe_prompts(call: Call) -> None:
    options = call.options
    from bench_shadows.data.samples.clean_files import dedupe_prompts
    from bench_shadows.data.samples.repetition import Rules
    from bench_shadows.report.prompts.duplicates import write_prompts_page

    rules = Rules(tuple(options.fields), tuple(options.protect), options.minimum, not options.case)
    found = dedupe_prompts(options.sources, options.out, rules, options.bad_records_limit)
    say(
        f"{found['repeating']:,} of {found['samples']:,} samples repeated a prompt, {found['repeating_after']:,} "
        f"do now; {sum(found['bad_records'].values()):,} records left out"
    )
    say(f"the page: {write_prompts_page(options.out, call.words)}")


def _dedupe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help="files, folders or globs of .jsonl, .json, .parquet"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder; nothing is written over the input")
    for name, what in (("fields", "look at this field alone"), ("protect", "leave this field alone, too")):
        example = f"{what}, such as conversations.*.value"
        parser.add_argument(f"--{name}", **REPEATED, metavar="FIELD", help=example)
    parser.add_argument(
        "--minimum", type=int, default=16, help="characters of the shortest fragment; Chinese count twice (16)"
    )
    parser.add_argument("--case", action="store_true", help="upper and lower case differ")
    parser.add_argument("--bad-records-limit", type=int, default=100, help="records left out at most (100)")


COMMANDS = {
    "dedupe-prompts": Command(
        "remove repeated prompts from samples with several fields", _dedupe_prompts, _dedupe_options, False
    ),
}
