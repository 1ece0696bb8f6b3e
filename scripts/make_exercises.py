"""Training text from reasoning-gym's generators, for a corpus of one's own with narrow exercises in it.

    uv run --extra exercises python scripts/make_exercises.py --generators=chain_sum,letter_counting \\
        --count=5000 --out=/data/text/exercises.jsonl

writes documents of kind `exercise` in the frame in which `evaluate` asks. Name the generators in
config.evaluation.narrow, others in config.evaluation.broad, and let the file be one of config.data.sources. The
exercises that are asked have other seeds.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench_shadows.data.corpus.builtin.exercises import DOCUMENT, Exercise, reasoning_gym_exercises
from bench_shadows.files import atomic_path


def documents(exercises: Iterable[Exercise]) -> Iterator[str]:
    """Exercises joined, a blank line between them, until a document has its length."""
    held: list[str] = []
    for exercise in exercises:
        held.append(exercise.text)
        if sum(map(len, held)) >= DOCUMENT:
            yield "\n\n".join(held)
            held = []
    if held:
        yield "\n\n".join(held)


def main() -> None:
    """Reads the options, writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generators", required=True, help="names, a comma between them")
    parser.add_argument("--count", type=int, default=5000, help="exercises of each generator")
    parser.add_argument("--seed", type=int, default=0, help="a small number")
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl file")
    options = parser.parse_args()
    made = [reasoning_gym_exercises(name, options.count, options.seed) for name in options.generators.split(",")]
    exercises = list(itertools.chain.from_iterable(made))
    random.Random(options.seed).shuffle(exercises)
    with atomic_path(options.out) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for number, text in enumerate(documents(exercises)):
            record = {"id": f"exercises/{number}", "text": text, "domain": "exercises", "kind": "exercise"}
            file.write(json.dumps(record | {"language": "en"}, ensure_ascii=False) + "\n")
    print(f"{options.out}: {len(exercises):,} exercises")


if __name__ == "__main__":
    main()
