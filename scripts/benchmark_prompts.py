"""How fast `bench-shadows dedupe-prompts` is, and how much memory it takes.

    uv run scripts/benchmark_prompts.py --megabytes=1000 [--list] [--folder=/tmp/prompts]

Writes that many megabytes of LLaVA-like samples as JSON lines (or as one JSON list, as LLaVA's own file is),
prompts repeated in three of four, and cleans them. Prints megabytes a second, the most memory of all processes
together (each one's peak, added up), and how many of the planted copies were removed.
"""

import argparse
import json
import os
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path

from bench_shadows.data.samples.clean_files import dedupe_prompts, piece_bytes
from bench_shadows.data.samples.repetition import Rules

ASKED = [
    "Answer the question using a single word or phrase.",
    "Describe the picture in one sentence.",
    "Transcribe all text in the image, line by line.",
    "请用一句话描述这张图片的内容。",
]
WORDS = "a red bus stands beside the tall house while two people wait for rain near an old station".split()  # noqa: SIM905


def sample(number: int, chance: random.Random) -> tuple[dict[str, object], int]:
    """One sample and how many copies were planted in it."""
    ask = ASKED[number % len(ASKED)]
    prose = [" ".join(chance.choices(WORDS, k=12)) + f" {number}.{place}" for place in range(30)]
    copies = (1 + number % 3) if number % 4 else 0
    made = {
        "id": number,
        "image": f"images/{number}.jpg",
        "system": "You are a helpful assistant." + (f" {ask}" if copies > 0 else ""),
        "conversations": [
            {"from": "human", "value": f"<image>\n{ask}"},
            {"from": "gpt", "value": " ".join(prose[:10])},
        ],
        "caption": ". ".join(prose[10:20]),
        "ocr": "\n".join(prose[20:]) + (f"\n{ask}" if copies > 1 else ""),
        "metadata": {"template": f"Task:\n{ask.upper()}" if copies > 2 else "vqa"},
    }
    return made, copies


def main() -> None:
    """Makes the file, cleans it, prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "benchmark-prompts")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    source, planted, number = options.folder / ("in.json" if options.list else "in.jsonl"), 0, 0
    chance = random.Random(0)
    with open(source, "w", encoding="utf-8") as file:
        while file.tell() < options.megabytes * 1e6:
            made, copies = sample(number, chance)
            joint = ("," if number else "[") if options.list else ""
            file.write(joint + json.dumps(made, ensure_ascii=False) + "\n")
            planted, number = planted + copies, number + 1
        file.write("]\n" if options.list else "")
    began = time.monotonic()
    found = dedupe_prompts([str(source)], options.folder / "out", Rules(), 0)
    seconds = time.monotonic() - began
    removed = sum(fragment["copies"] for fragment in found["fragments"])
    print(f"{source.stat().st_size / 1e6:,.0f} MB, {number:,} samples: {seconds:.1f} s", end=", ")
    own, worker = (
        resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    size = source.stat().st_size
    workers = min(len(os.sched_getaffinity(0)), -(-size // piece_bytes(size)))
    print(f"{source.stat().st_size / 1e6 / seconds:.1f} MB/s with {workers} processes", end=", ")
    print(f"at most {own + workers * worker:.2f} GiB together ({own:.2f} + {workers} * {worker:.2f})")
    print(f"planted copies {planted:,}, removed {removed:,}; repeating after: {found['repeating_after']}")


if __name__ == "__main__":
    main()
