"""A study small enough for a test: its text, its config file, and the command in a process of its own."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

WORDS = """
river stone walk walked walking old older cold house houses garden wrote writing book letters paper table
hand hands water night nights morning light dark year years city street open opened quickly slowly
""".split()  # noqa: SIM905
SHAPE = """
from bench_shadows.config_file import defaults


def get_config():
    config = defaults()
    config.data.sources = ({source!r},)
    config.data.seq_len = 32
    config.data.held_out_rows = 8
    config.model.num_layers = 2
    config.model.hidden_size = 16
    config.model.intermediate_size = 32
    config.model.num_heads = 2
    config.model.num_kv_heads = 1
    config.model.vocab_size = 300
    config.train.samples = 72 * 8
    config.train.batch_size = 8
    config.train.micro_batch_size = 8
    config.train.warmup_samples = 4 * 8
    config.train.peak_learning_rate = 2e-2
    config.train.min_learning_rate = 2e-3
    config.train.remat = "none"
    config.train.scan_layers = False
    config.evaluation.rows = 8
    config.evaluation.rare_word_pairs = 8
    config.evaluation.passages = 4
    config.evaluation.exercises = 2
    return config
"""


def write_corpus(path: Path, documents: int = 500) -> Path:
    """English sentences and Python functions, seeded, as JSONL; every document is different."""
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(documents):
            words = draw.choices(WORDS, k=60)
            record = {"id": f"d{number}", "text": " ".join(words).capitalize() + f" {number}.", "domain": "prose"}
            if number % 4 == 0:
                names = draw.sample(WORDS, 3)
                body = (
                    f"def {names[0]}_{number}({names[1]}):\n    # {names[2]}\n    return {names[1]} + {number}\n"
                )
                record |= {"text": body * 3, "domain": "code", "kind": "code", "language": "python"}
            file.write(json.dumps(record) + "\n")
    return path


def write_config(folder: Path) -> Path:
    """A config file beside its corpus."""
    path = folder / "tiny.py"
    path.write_text(SHAPE.format(source=str(write_corpus(folder / "corpus.jsonl"))))
    return path


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    """The command, started in a process of its own."""
    code = "from bench_shadows.console import entry; entry()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )


def command(*words: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    process = start(*words, **environment)
    output, _ = process.communicate(timeout=280)
    return process.returncode, output
