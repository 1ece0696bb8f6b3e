"""Kills one small training run at random moments, damages its files in between, and compares it with a quiet one.

    python scripts/kill_at_random.py                     50 kills, about 10 minutes on a laptop
    python scripts/kill_at_random.py --kills=6 --seed=3

The run is `bench-shadows train` in processes of its own. Each gets SIGKILL or SIGTERM, while it starts or between
any two of its steps; after most of them a file of the run is damaged as a crash or a bad disk would. When all
kills are done the run goes to its end. Every analysed checkpoint must have the bits of an undisturbed run, and
metrics.jsonl the same losses and norms, each step once. Prints what was done; exit code 1 where the runs differ.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

RUN = Path("runs/A-seed0")
CHECKPOINTS, METRICS = RUN / "checkpoints", RUN / "metrics.jsonl"
STEPS_PER_KILL = 40
STARTING = 0.2  # share of the kills that come before the first step
DAMAGED = 0.7  # share of the kills after which a file is damaged
CONFIG = """
from bench_shadows.config_file import defaults


def get_config():
    config = defaults()
    config.data.sources = ({corpus!r},)
    config.data.seq_len = 16
    config.data.held_out_rows = 8
    config.model.num_layers = 2
    config.model.hidden_size = 16
    config.model.intermediate_size = 32
    config.model.num_heads = 2
    config.model.num_kv_heads = 1
    config.model.vocab_size = 300
    config.train.samples = 4 * {steps}
    config.train.batch_size = 4
    config.train.micro_batch_size = 4
    config.train.warmup_samples = 4 * 4
    config.train.peak_learning_rate = 1e-2
    config.train.min_learning_rate = 1e-3
    config.train.remat = "none"
    config.train.scan_layers = False
    config.train.checkpoint_minutes = 0.005
    config.conditions.names = ("A",)
    config.evaluation.rows = 8
    return config
"""


class Kill(NamedTuple):
    """One kill, and what was done to the files after it."""

    signal: str
    moment: str
    """starting or training."""
    damage: str
    """Its kind; empty for none."""
    step: int
    """The last one in metrics.jsonl when the process was gone; the next process goes on from here or before."""
    starts: int
    """Processes that had begun to train until then."""


# ---- the run


def write_study(folder: Path, steps: int) -> Path:
    """A corpus and a config that trains on it for `steps` steps; returns the config file."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=draw.randint(2, 8))) for _ in range(400)]
    with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
        for number in range(1 + steps // 2):
            file.write(json.dumps({"id": str(number), "text": " ".join(draw.choices(words, k=60))}) + "\n")
    config = folder / "config.py"
    config.write_text(CONFIG.format(corpus=str(folder / "corpus.jsonl"), steps=steps))
    return config


def start(command: str, config: Path, out: Path) -> subprocess.Popen[str]:
    """A bench-shadows command in a process of its own; what it says goes to OUT.log."""
    code = "from bench_shadows.main import entry; entry()"
    with open(out.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, command, f"--config={config}", f"--out={out}"],
            stdout=log,
            stderr=log,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )


def finish(command: str, config: Path, out: Path) -> None:
    """Runs a command to its end; ends the script with its last words where it fails."""
    check(start(command, config, out).wait(), {0}, out)


def check(code: int, allowed: set[int], out: Path) -> None:
    """Ends the script where a process ended with another code than it may."""
    if code not in allowed:
        sys.exit(f"exit code {code}:\n{out.with_suffix('.log').read_text()[-3000:]}")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of JSON objects; none without a file."""
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


# ---- the kills


def kill_one(draw: random.Random, config: Path, out: Path, startup: float) -> tuple[str, str] | None:
    """Starts training and kills it: the signal and the moment; None where it came to its end before."""
    number, starting = draw.choice((signal.SIGKILL, signal.SIGTERM)), draw.random() < STARTING
    steps, seconds = draw.randint(1, 2 * STEPS_PER_KILL), draw.uniform(0, startup)
    began = time.time()
    process = start("train", config, out)
    while process.poll() is None:
        if time.time() - began > seconds if starting else steps_since(out, began) >= steps:
            time.sleep(0 if starting else draw.uniform(0, 0.05))  # anywhere between two steps, or in a save
            process.send_signal(number)
            break
        time.sleep(0.005)
    code = process.wait()
    check(code, {0, -number, 128 + number}, out)
    return (signal.Signals(number).name, "starting" if starting else "training") if code else None


def steps_since(out: Path, began: float) -> int:
    """How many of the newest lines of metrics.jsonl were written after a moment."""
    path = out / METRICS
    if not path.exists() or path.stat().st_mtime < began:
        return 0
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 1000 * 2 * STEPS_PER_KILL))
        newest = file.read().splitlines()[1:]
    return sum(began < float(found[1]) for line in newest if (found := re.search(rb'"time": ([0-9.]+)', line)))


def last_step(out: Path) -> int:
    """The last step in metrics.jsonl; 0 without one."""
    return max((line["step"] for line in lines(out / METRICS)), default=0)


# ---- the damage: what a crash of the machine or a bad disk leaves behind


def damage(draw: random.Random, out: Path) -> str:
    """Damages something of the run; returns the kind."""
    steps = sorted((path for path in (out / CHECKPOINTS).glob("*") if path.name.isdigit()), key=step_of)
    if not steps:
        return "nothing to damage"
    checkpoint = steps[-1] if draw.random() < 0.7 else draw.choice(steps)
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size]
    kind = draw.choice(list(DAMAGES))
    if files:
        DAMAGES[kind](draw, out, checkpoint, draw.choice(files))
    return kind


def step_of(checkpoint: Path) -> int:
    """By the folder's name."""
    return int(checkpoint.name)


def truncate(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """Cuts a file short."""
    os.truncate(file, draw.randrange(file.stat().st_size))


def zero(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """Leaves a file's size and nothing of its content."""
    file.write_bytes(bytes(file.stat().st_size))


def flip(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """Flips one bit."""
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def delete_half(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """Removes about half of what is in a checkpoint's folder, files and folders."""
    for path in sorted(checkpoint.rglob("*"), reverse=True):
        if path.is_file() and draw.random() < 0.5:
            path.unlink()
        elif path.is_dir() and draw.random() < 0.5:
            shutil.rmtree(path)


def tear_lines(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """Half a line at the end of the files that are appended to."""
    for path in (out / METRICS).parent.glob("*.jsonl"):
        with open(path, "a") as torn:
            torn.write('{"step": 7, "lo')


def leave_remains(draw: random.Random, out: Path, checkpoint: Path, file: Path) -> None:
    """A checkpoint of a later step that looks finished and is not."""
    remains = checkpoint.with_name(str(last_step(out) + 1)) / "params"
    remains.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, remains / file.name)


DAMAGES = {
    "a file truncated": truncate,
    "a file zeroed": zero,
    "a bit flipped": flip,
    "a checkpoint half deleted": delete_half,
    "half a line at the end of *.jsonl": tear_lines,
    "an unfinished checkpoint under a final name": leave_remains,
}


# ---- what came out


def differences(quiet: Path, killed: Path) -> Iterator[str]:
    """What differs between the two runs: bits of analysed checkpoints, numbers of steps."""
    import jax
    import numpy as np

    from bench_shadows.config_file import from_dict
    from bench_shadows.training.checkpoints.checkpoints import restore_params

    steps = from_dict(json.loads((quiet / "config.json").read_text())).analysed_steps
    for step in (0, *steps):
        trees = [restore_params(out / CHECKPOINTS, step) for out in (quiet, killed)]
        (leaves, one), (others, two) = (jax.tree.flatten(tree) for tree in trees)
        same = one == two and all(np.array_equal(*pair) for pair in zip(leaves, others, strict=True))
        if not same:
            yield f"the parameters of step {step} differ"
    names = ("step", "loss", "grad_norm", "update_norm", "param_norm")
    one, two = ([tuple(line[name] for name in names) for line in lines(out / METRICS)] for out in (quiet, killed))
    if len(one) != len(two):
        yield f"metrics.jsonl has {len(two)} lines instead of {len(one)}"
    for before, after in zip(one, two, strict=False):
        if before != after:
            yield f"metrics.jsonl: {dict(zip(names, after, strict=True))} instead of {before}"
            return


def describe(kills: list[Kill], out: Path) -> Iterator[str]:
    """What was done, what it cost in steps, and where the time went."""
    groups: dict[str, list[int]] = defaultdict(list)
    starts = [line["step"] for line in lines(out / RUN / "goodput.jsonl") if line["event"] == "start"]
    for kill, after in itertools.zip_longest(kills, kills[1:]):
        counts = after is None or after.starts > kill.starts  # else the next process died before it had begun
        lost = max(0, kill.step - starts[kill.starts]) if counts and kill.starts < len(starts) else 0
        groups[f"{kill.signal} while {kill.moment}{', then damage' if kill.damage else ''}"].append(lost)
    yield f"{'':44}{'kills':>8}   steps lost: mean    most"
    for name, lost in sorted(groups.items()):
        yield f"{name:44}{len(lost):8}{statistics.mean(lost):19.1f}{max(lost):8}"
    yield ""
    for kind, count in Counter(kill.damage for kill in kills if kill.damage).most_common():
        yield f"{kind:44}{count:8}"
    yield ""
    *_, last = lines(out / RUN / "goodput.jsonl")
    yield (
        f"wall time of the run {last['wall_seconds']:.0f} s, goodput {last['goodput']:.1%}; lost to "
        + ", ".join(f"{cause} {seconds:.0f} s" for cause, seconds in last["lost_seconds"].items())
    )


def main() -> None:
    """Reads the options, trains twice, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draws; when a kill hits is a matter of the clock"
    )
    parser.add_argument("--out", type=Path, help="a new folder that stays (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() if options.out is None else contextlib.nullcontext(options.out) as folder:
        compare(Path(folder), options.kills, random.Random(options.seed))


def compare(folder: Path, count: int, draw: random.Random) -> None:
    """The whole of it, in a folder; ends the script with exit code 1 where the runs differ."""
    folder.mkdir(parents=True, exist_ok=True)
    config = write_study(folder, count * STEPS_PER_KILL)
    quiet, killed = folder / "quiet", folder / "killed"
    finish("prepare", config, quiet)
    shutil.copytree(quiet, killed)
    began = time.time()
    finish("train", config, quiet)
    say(f"undisturbed: {count * STEPS_PER_KILL} steps in {time.time() - began:.0f} s")

    began, kills, startup = time.time(), [], 5.0
    while len(kills) < count:
        if done := kill_one(draw, config, killed, startup):
            starts = sum(line["event"] == "start" for line in lines(killed / RUN / "goodput.jsonl"))
            step = last_step(killed)
            damaged = damage(draw, killed) if draw.random() < DAMAGED else ""
            kills.append(Kill(*done, damaged, step, starts))
            say(f"{len(kills):3} of {count}: {done[0]} while {done[1]}, step {step}{damaged and ', ' + damaged}")
        else:
            damage(draw, killed)  # it came to its end: something to do again
    finish("train", config, killed)
    print("\n".join(describe(kills, killed)))
    found = list(differences(quiet, killed))
    seconds = time.time() - began
    print("\n".join(found) or f"bitwise the undisturbed run, {last_step(killed)} steps; {seconds:.0f} s in all")
    sys.exit(1 if found else 0)


def say(text: str) -> None:
    """What is going on, to standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
