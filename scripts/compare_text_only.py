"""What a vision-language model's language costs: its loss beside a text-only model's.

    python scripts/compare_text_only.py RUN [--out DIR]

RUN is a finished study of prompts with images. The text-only model is its decoder, trained on the samples of RUN
that have no image and on nothing else: the same samples, as many of them at each step as RUN's batches hold on
average, the same steps, schedule and seeds. Both answer the same held-out samples without an image. The text-only
study lies in DIR, by default RUN-text-only, and goes on where it stopped.

RUN's tokenizer reads for both, so that nats a token compare as bits a byte do.
How many samples are the same in both is printed: all of the built-in corpus, but of a user's own others may be
held out.
"""

import argparse
import dataclasses
import math
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench_shadows.config import Config
from bench_shadows.config_file import from_dict
from bench_shadows.errors import BenchShadowsError, RunError
from bench_shadows.files import atomic_path, read_json
from bench_shadows.study import Study

METRICS = {"bits_per_byte": "bits a byte", "loss_nats_per_token": "nats a token"}
Samples = dict[str, list[dict[str, Any]]]


def read_samples(run: Path) -> Samples:
    """The samples without an image of each split: id, text of the prompt, answer."""
    columns = ["split", "id", "image", "deduplicated", "answer"]
    found: Samples = {"train": [], "held_out": []}
    for entry in pq.read_table(run / "data" / "samples.parquet", columns=columns).to_pylist():
        if entry.pop("image") < 0:
            found[entry.pop("split")].append(entry)
    return found


def text_only(config: Config, run: Path) -> Config:
    """The study of RUN's decoder on RUN's samples without an image."""
    rows = pq.read_table(run / "data" / "samples.parquet", columns=["split", "image"]).to_pylist()
    images = [entry["image"] for entry in rows if entry["split"] == "train"]
    share = sum(image < 0 for image in images) / len(images)
    if not share:
        raise RunError(f"{run}: every sample has an image, there is nothing to train a text-only model on")
    batch = max(1, round(config.train.batch_size * share))
    replace = dataclasses.replace
    return replace(
        config,
        vision=replace(config.vision, image_size=0),
        prompts=replace(config.prompts, samples=round(config.prompts.samples * share)),
        train=replace(
            config.train,
            samples=config.steps * batch,
            batch_size=batch,
            micro_batch_size=math.gcd(batch, config.train.micro_batch_size),
            warmup_samples=config.warmup_steps * batch,
            on_spike="skip",  # a batch of one or two samples has no steady loss to stop at
        ),
    )


def language(run: Path, last: int) -> dict[tuple[str, int, str], float]:
    """(condition, seed, metric) -> loss of the answers without an image at the end of each run."""
    return {
        (entry["condition"], entry["seed"], entry["metric"]): entry["value"]
        for entry in pq.read_table(run / "evaluation.parquet").to_pylist()
        if (entry["suite"], entry["task"], entry["step"]) == ("likelihood", "language", last)
    }


def common(one: Samples, other: Samples) -> str:
    """How many samples of each split are the same in both."""
    parts = []
    for split, name in (("train", "training"), ("held_out", "held-out")):
        sets = [{tuple(entry.values()) for entry in samples[split]} for samples in (one, other)]
        parts.append(f"{name} {len(sets[0] & sets[1]):,} of {len(sets[0]):,} and {len(sets[1]):,}")
    return "; ".join(parts)


def table(ours: Mapping[tuple[str, int, str], float], text: Mapping[tuple[str, int, str], float]) -> list[str]:
    """A line for each run, and the mean of their ratios."""
    lines = []
    for metric, unit in METRICS.items():
        lines.append(f"{unit:<28}{'vision-language':>16}{'text-only':>12}{'ratio':>8}")
        ratios = []
        for condition, seed in sorted({(condition, seed) for condition, seed, _ in ours}):
            pair = ours[condition, seed, metric], text[condition, seed, metric]
            ratios.append(pair[0] / pair[1])
            lines.append(f"  {condition + f', seed {seed}':<26}{pair[0]:>16.4f}{pair[1]:>12.4f}{ratios[-1]:>8.3f}")
        lines.append(f"  {f'mean of {len(ratios)} runs':<26}{'':>28}{statistics.mean(ratios):>8.3f}")
    return lines


def compare(run: Path, out: Path) -> list[str]:
    """Trains what is missing in `out`; the comparison in lines of text. RunError where RUN is no such study."""
    if not (run / "evaluation.parquet").is_file():
        raise RunError(f"{run}: no evaluation.parquet; finish the study first")
    config = from_dict(read_json(run / "config.json"))
    if config.kind.name != "prompts" or not config.vision.image_size:
        raise RunError(f"{run}: not a study of prompts with images")
    own = text_only(config, run)
    study = Study(own, out, sys.argv)
    tokenizer = out / "data" / "tokenizer.json"
    if not tokenizer.exists():
        with atomic_path(tokenizer) as temporary:
            shutil.copyfile(run / "data" / "tokenizer.json", temporary)
    study.prepare()
    study.train()
    study.evaluate()
    said = f"the same samples without an image: {common(read_samples(run), read_samples(out))}"
    batches = f"a step has {config.train.batch_size} samples, {own.train.batch_size} of the text-only model's"
    return [said, batches, *table(language(run, config.steps), language(out, own.steps))]


def main() -> None:
    """Reads the command line and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    try:
        print("\n".join(compare(given.run, given.out or given.run.with_name(f"{given.run.name}-text-only"))))
    except BenchShadowsError as error:
        sys.exit(f"compare_text_only: {error}")


if __name__ == "__main__":
    main()
