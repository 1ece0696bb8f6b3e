"""What is done with checkpoints, ours or anybody's: audit, export, lm-evaluation-harness."""

import argparse
import json
from pathlib import Path

from bench_shadows.commands.command import REPEATED, Call, Command
from bench_shadows.progress import say


def _audit(call: Call) -> None:
    options = call.options
    from bench_shadows.audit.audit import as_json, audit, summary

    found = audit(
        options.models,
        options.out,
        reference=options.reference,
        baseline_of=options.baseline_of,
        scores=options.scores,
        embeddings=options.embeddings,
        layout=dict(options.layout),
        command=call.words,
    )
    print(json.dumps(as_json(found, options.out), indent=1) if options.json else "\n".join(summary(options.out)))


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


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="safetensors, an Orbax checkpoint, or a hub name"
    )
    parser.add_argument("--reference", metavar="BASE", help="a base that every model is measured from")
    base = "a base for one model; may be another of the models"
    parser.add_argument("--baseline-of", **REPEATED, type=_pair, metavar="MODEL=BASE", help=base)
    parser.add_argument(
        "--scores", type=Path, help="benchmark scores (CSV or YAML: benchmark, group, model, score)"
    )
    parser.add_argument("--embeddings", action="store_true", help="analyse embeddings and output heads, too")
    axes = (
        "what the axes of tensors are, where it cannot be told: 'blocks.*=Lio' (L layers, E experts, i inputs, "
        "o outputs), or L*, ?L* for layers on the first or second axis"
    )
    parser.add_argument("--layout", **REPEATED, type=_axes, metavar="NAMES=AXES", help=axes)
    parser.add_argument("--out", type=Path, default=Path("results/audit"), help="default: results/audit")
    parser.add_argument("--json", action="store_true", help="print audit.json and the findings")


def _axes(text: str) -> tuple[str, str]:
    names, equals, axes = text.rpartition("=")
    if not (names and equals):
        raise argparse.ArgumentTypeError(f"expected NAMES=AXES, got {text!r}")
    return names, axes


def _pair(text: str) -> tuple[str, str]:
    model, equals, base = text.partition("=")
    if not (model and equals and base):
        raise argparse.ArgumentTypeError(f"expected MODEL=BASE, got {text!r}")
    return model, base


def _checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    what = "RUN/runs/A-seed0, or a step in its checkpoints"
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=what)


def _export_options(parser: argparse.ArgumentParser) -> None:
    _checkpoint_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    dtype = "of the weights (default: float32, as trained)"
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help=dtype)


def _harness_options(parser: argparse.ArgumentParser) -> None:
    _checkpoint_argument(parser)
    parser.add_argument(
        "--tasks",
        type=lambda text: [name for name in text.split(",") if name],
        required=True,
        metavar="NAME,NAME",
        help="lm-eval's tasks, groups or tags, or those in --include; a path stands for a folder's tasks",
    )
    yaml = "a folder of YAML tasks of your own"
    parser.add_argument("--include", **REPEATED, type=Path, metavar="FOLDER", help=yaml)
    parser.add_argument("--limit", type=int, help="only the first documents of each task")
    parser.add_argument("--num-fewshot", type=int, help="examples before each question (default: the task's)")
    parser.add_argument("--out", type=Path, help="a folder (default: in STUDY/harness)")
    parser.add_argument("--json", action="store_true", help="print results.json")


COMMANDS = {
    "audit": Command("analyse released checkpoints, alone or against a base", _audit, _audit_options, False),
    "harness": Command("run lm-evaluation-harness on a checkpoint", _harness, _harness_options, False),
    "export": Command("write a checkpoint in Hugging Face's format", _export, _export_options, False),
}
