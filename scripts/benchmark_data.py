"""How fast text becomes rows, and rows batches, in how much memory; and what de-duplication finds.

    python scripts/benchmark_data.py                     100 MB of JSON lines, some minutes
    python scripts/benchmark_data.py --megabytes=1000    the size that the README states

Makes documents of words drawn by their frequency in English, with exact and edited copies planted in every file,
in `--folder`; prepares Condition A's rows of 4,096 tokens from most of them in a process of its own, whose memory
is summed over it and its workers (RSS counts what they share in each of them, PSS once); does the same again while
killing it with SIGKILL at random moments, and compares the rows; then reads batches in a plan's order. Prints a
table and writes JSON. A busy machine makes its figures worthless: look at the load that is printed with them.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.config import (
    ConditionsConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainConfig,
    to_dict,
)
from bench_shadows.config_file import from_dict
from bench_shadows.data.corpus.deduplicate import jaccard
from bench_shadows.data.corpus.ingest import open_corpus
from bench_shadows.data.fingerprint import claim
from bench_shadows.data.prepare import prepare
from bench_shadows.data.prepare_documents import wanted_text
from bench_shadows.data.rows.row_store import NAMES, RowSet, write_rows
from bench_shadows.data.rows.sampled_corpus import draw_corpus

SEQ_LEN, BATCH, VOCABULARY = 4096, 16, 16_384
USED = 0.8  # of the text, in rows
BYTES_PER_TOKEN = 4.6  # of these words with this vocabulary, a little more than measured
LAPTOP_SEQ_LEN, LAPTOP_BATCH, LAPTOP_TOKENS = 128, 32, 9_000  # configs/laptop.py, and what it trains a second
EXACT, NEAR = 0.01, 0.02  # shares of the documents that are copies
LATEST = 5_000  # documents back that a copy's original may lie


# ---- the text


class Words:
    """Draws words by their frequency in English, the 50,000 most frequent."""

    def __init__(self, seed: int):
        from wordfreq import top_n_list, word_frequency

        self.words = np.array(top_n_list("en", 50_000))
        shares = np.array([word_frequency(word, "en") for word in self.words])
        self.bounds = np.cumsum(shares / shares.sum())
        self.random = np.random.default_rng(seed)

    def document(self) -> list[str]:
        """Words of one document, some 350 at the median, with sentences and paragraphs."""
        count = int(np.clip(self.random.lognormal(5.9, 1.0), 40, 20_000))
        places = np.searchsorted(self.bounds, self.random.random(count)).clip(max=len(self.words) - 1)
        words = self.words[places].tolist()
        for end in np.cumsum(self.random.geometric(0.06, 1 + count // 10)):
            if end < count:
                words[end] += ".\n\n" if end % 7 == 0 else "."
        return words

    def edited(self, words: list[str]) -> list[str]:
        """A copy with about a hundredth to a twentieth of its words replaced."""
        copy = list(words)
        for place in np.flatnonzero(self.random.random(len(copy)) < self.random.uniform(0.005, 0.05)):
            copy[place] = str(self.random.choice(self.words))
        return copy


def write_file(path: Path, megabytes: float, seed: int) -> None:
    """JSON lines; the id of a copy says of what, and how similar the two texts are."""
    source, written, number = Words(seed), 0, 0
    kept: list[tuple[str, list[str]]] = []
    with open(path, "w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            name, draw = f"{seed}-{number}", source.random.random()
            if draw < EXACT + NEAR and kept:
                original, words = kept[source.random.integers(len(kept))]
                copy = words if draw < EXACT else source.edited(words)
                similarity = 1.0 if draw < EXACT else jaccard(" ".join(words), " ".join(copy))
                name, text = f"{name} copy {similarity:.4f} of {original}", " ".join(copy)
            else:
                words = source.document()
                text = " ".join(words)
                kept.append((name, words))
                if len(kept) > LATEST:
                    kept.pop(0)
            line = json.dumps({"id": name, "text": text, "domain": "words" if number % 3 else "more words"})
            written += file.write(line + "\n")
            number += 1


def write_corpus(folder: Path, megabytes: float) -> Path:
    """Several files of about 64 MB, made by all cores; what is there already stays."""
    files = max(4, round(megabytes / 64))
    target = folder / f"corpus-{megabytes:g}"
    if not target.exists():
        partial = folder / "corpus.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        jobs = [(partial / f"{i:03d}.jsonl", megabytes / files, i) for i in range(files)]
        with multiprocessing.get_context("spawn").Pool() as pool:
            pool.starmap(write_file, jobs)
        partial.rename(target)
    return target


# ---- files to rows


def config_for(corpus: Path, megabytes: float) -> Config:
    samples = int(USED * megabytes * 1e6 / BYTES_PER_TOKEN / SEQ_LEN) // BATCH * BATCH
    data = DataConfig(sources=(str(corpus / "*.jsonl"),), seq_len=SEQ_LEN, held_out_rows=16)
    return Config(
        data=data,
        model=ModelConfig(vocab_size=VOCABULARY),
        train=TrainConfig(samples=samples, batch_size=BATCH, micro_batch_size=BATCH, warmup_samples=BATCH),
        conditions=ConditionsConfig(names=("A",)),
        evaluation=EvaluationConfig(rows=16),
    )


def run_prepare(config: Config, folder: Path) -> None:
    """What is measured; prints the seconds until the corpus, the rows and all stood on disk, as JSON."""
    began = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    claim(folder / "inputs.json", config)
    draw_corpus(wanted_text(config), folder)
    seconds = {"to_corpus": time.time() - began}
    prepare(config, folder)
    seconds["to_rows"] = (folder / "documents.json").stat().st_mtime - began
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds |= {"to_statistics": time.time() - began, "cpu": sum(one.ru_utime + one.ru_stime for one in usage)}
    print(json.dumps(seconds), flush=True)


def start(config_file: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, f"--prepare={config_file}", f"--folder={folder}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def memory_of(process: int) -> tuple[int, int, int]:
    """(RSS, PSS, processes) of a process and all its children, bytes."""
    rss = pss = count = 0
    waiting = [process]
    while waiting:
        one = waiting.pop()
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except (OSError, ValueError):
            continue
        sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        rss, pss, count = rss + sizes["Rss:"], pss + sizes["Pss:"], count + 1
    return rss, pss, count


def measure_prepare(config_file: Path, folder: Path) -> dict[str, Any]:
    process = start(config_file, folder)
    peak = [0, 0, 0]
    while process.poll() is None:
        peak = [max(old, new) for old, new in zip(peak, memory_of(process.pid), strict=True)]
        time.sleep(0.1)
    assert process.stdout is not None
    if process.returncode:
        sys.exit(process.returncode)
    seconds = json.loads(process.stdout.read())
    return {**seconds, "peak_rss": peak[0], "peak_pss": peak[1], "processes": peak[2]}


def with_kills(config_file: Path, folder: Path, kills: int, seconds: float) -> float:
    """Prepares while being killed at random moments; returns the seconds of all lives together."""
    source, spent = random.Random(0), 0.0
    for left in range(kills, -1, -1):
        began, process = time.monotonic(), start(config_file, folder)
        try:
            process.wait(source.uniform(0.1, 0.7) * seconds if left else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        spent += time.monotonic() - began
    return spent


def same_rows(one: Path, other: Path) -> bool:
    return all(
        RowSet(one / "rows" / name).description == RowSet(other / "rows" / name).description
        for name in (*NAMES, "held_out")
    )


def measure_duplicates(folder: Path) -> dict[str, Any]:
    """What became of the copies, by their similarity to the document that they are copies of."""
    corpus = open_corpus(folder / "corpus")
    stays = np.zeros(len(corpus.store), dtype=bool)
    stays[corpus.kept] = True
    planted, original, false = [0, 0], 0, 0
    for begin in range(0, len(stays), 1024):
        numbers = range(begin, min(begin + 1024, len(stays)))
        for number, document in zip(numbers, corpus.store.read(numbers), strict=True):
            _, copy, rest = document.id.partition(" copy ")
            if not copy:
                original, false = original + 1, false + (not stays[number])
            elif float(rest.split()[0]) >= 0.8:
                planted = [planted[0] + 1, planted[1] + (not stays[number])]
    return {
        "documents": len(stays),
        "planted_at_0.8_or_more": planted[0],
        "found": planted[1],
        "originals": original,
        "originals_removed": false,
    }


# ---- rows to batches


def measure_loader(rows: Path, batch: int, seconds: float = 5.0) -> dict[str, float]:
    """Rows in random order through the loader."""
    from bench_shadows.data.rows.loader import batches

    sets = [RowSet(rows / name) for name in NAMES]
    plan = np.random.default_rng(0).permutation(sum(map(len, sets))).astype(np.uint32)
    plan = plan[: len(plan) // batch * batch]
    size = tokens = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for made in batches(rows, plan, batch):
            size, tokens = size + made.tokens.nbytes, tokens + made.tokens.size
            if time.monotonic() - began > seconds:
                break
    spent = time.monotonic() - began
    return {"megabytes_per_second": size / 1e6 / spent, "tokens_per_second": tokens / spent}


def write_short_rows(target: Path, rows: Path) -> None:
    """The same tokens in rows of the laptop's length."""
    for name in NAMES:
        source = RowSet(rows / name)

        def stretches(source: RowSet = source) -> Iterator[np.ndarray]:
            for begin in range(0, min(len(source), 2_000), 64):
                yield source.read(range(begin, min(begin + 64, len(source)))).ravel()

        write_rows(target / name, [("words", stretches())], LAPTOP_SEQ_LEN, end_of_text=0)


# ---- the whole


def measure(folder: Path, megabytes: float, kills: int) -> dict[str, Any]:
    corpus = write_corpus(folder, megabytes)
    megabytes = sum(path.stat().st_size for path in corpus.iterdir()) / 1e6
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(to_dict(config_for(corpus, megabytes))))
    whole, killed = folder / "whole", folder / "killed"
    for left in (whole, killed, folder / "short"):
        shutil.rmtree(left, ignore_errors=True)
    load = os.getloadavg()
    result: dict[str, Any] = {"megabytes": megabytes, "load": load, "cores": os.cpu_count()}
    result["prepare"] = measure_prepare(config_file, whole)
    result["duplicates"] = measure_duplicates(whole)
    if kills:
        seconds = with_kills(config_file, killed, kills, result["prepare"]["to_rows"])
        result["kills"] = {"kills": kills, "seconds": seconds, "same_rows": same_rows(whole, killed)}
    write_short_rows(folder / "short", whole / "rows")
    result["loader"] = measure_loader(whole / "rows", BATCH)
    result["laptop_loader"] = measure_loader(folder / "short", LAPTOP_BATCH)
    result["tokens"] = sum(RowSet(whole / "rows" / name).description["tokens"] for name in NAMES)
    return result


def table(result: dict[str, Any]) -> str:
    made, size, copies = result["prepare"], result["megabytes"], result["duplicates"]
    rest = made["to_rows"] - made["to_corpus"]
    rows = [
        ("files", f"{size:,.0f} MB of JSON lines, {copies['documents']:,} documents"),
        ("read and de-duplicated", f"{made['to_corpus']:,.1f} s, {size / made['to_corpus']:,.1f} MB/s"),
        ("tokenised and packed", f"{rest:,.1f} s, {result['tokens'] / rest:,.0f} tokens/s in rows"),
        ("files to rows", f"{made['to_rows']:,.1f} s, {size / made['to_rows']:,.1f} MB/s"),
        ("all, with statistics", f"{made['to_statistics']:,.1f} s, {made['cpu']:,.1f} s of CPU"),
        (
            "peak memory, all processes",
            f"{made['peak_rss'] / 2**30:.2f} GiB RSS, {made['peak_pss'] / 2**30:.2f} GiB PSS, "
            f"{made['processes']} processes",
        ),
        (
            "near and exact copies found",
            f"{copies['found']:,} of {copies['planted_at_0.8_or_more']:,} at Jaccard 0.8 or more",
        ),
        ("removed that were no copies", f"{copies['originals_removed']:,} of {copies['originals']:,}"),
    ]
    if kills := result.get("kills"):
        same = "the same rows" if kills["same_rows"] else "OTHER ROWS"
        rows.append((f"killed {kills['kills']} times", f"{kills['seconds']:,.1f} s together, {same}"))
    long, short = result["loader"], result["laptop_loader"]
    rows += [
        (f"loader, {SEQ_LEN} tokens a row", f"{long['megabytes_per_second']:,.0f} MB/s"),
        (
            f"loader, {LAPTOP_SEQ_LEN} tokens a row",
            f"{short['tokens_per_second']:,.0f} tokens/s, "
            f"{short['tokens_per_second'] / LAPTOP_TOKENS:,.0f} times the laptop's training",
        ),
    ]
    width = max(len(name) for name, _ in rows)
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    return (
        "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
        + f"\n({result['cores']} cores, load {load})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="for the files made (default: one that is removed)")
    parser.add_argument("--out", type=Path, help="JSON (default: FOLDER/benchmark_data.json)")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)  # the process that is measured
    arguments = parser.parse_args()
    if arguments.prepare:
        run_prepare(from_dict(json.loads(arguments.prepare.read_text())), arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder, arguments.megabytes, arguments.kills)
        (arguments.out or folder / "benchmark_data.json").write_text(json.dumps(result, indent=2) + "\n")
        print(table(result))


if __name__ == "__main__":
    main()
