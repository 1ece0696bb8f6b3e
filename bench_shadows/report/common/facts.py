"""What a run of any study is and cannot show, in sentences: its size, seeds, time and device."""

import statistics
from collections import Counter
from pathlib import Path

import numpy as np

from bench_shadows.config import Config
from bench_shadows.errors import RunError
from bench_shadows.parameters import count_parameters
from bench_shadows.progress import duration
from bench_shadows.report.common.estimates import SEEDS_FOR_INTERVAL, write_count, write_number
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import at_end, decoder, share_table

PAPER = Config()  # the defaults are the paper's


def count_tokens(config: Config) -> int:
    """Tokens that one run reads."""
    return config.steps * config.train.batch_size * config.data.seq_len


def run_facts(run: Run) -> list[tuple[str, str]]:
    """(name, value) of any study's runs: seeds, time, device."""
    seconds = sum(float(np.nansum(metrics.get("step_seconds", np.zeros(1)))) for metrics in run.metrics.values())
    found = [("seeds", f"{len(run.seeds)} ({', '.join(map(str, run.seeds))})" if run.seeds else "none yet")]
    if seconds:
        found.append(("training time", f"{duration(seconds)} for {len(run.metrics)} runs together"))
    goodput = [float(metrics["goodput"][-1]) for metrics in run.metrics.values() if "goodput" in metrics]
    if goodput and np.isfinite(goodput).all():
        found.append(("goodput", f"{100 * statistics.mean(goodput):.0f} % of the wall time went into steps"))
    if text := device(run):
        found.append(("device", text))
    return found


def device(run: Run) -> str:
    """The devices of provenance.json in words; empty if they are not known."""
    devices = Counter(run.provenance.get("devices") or [])
    processor, cpus = run.provenance.get("processor"), run.provenance.get("cpus")
    if set(devices) == {"cpu"} and processor:
        return f"{processor}, {cpus} cores" if cpus else processor
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(devices.items()))


def size_notice(run: Run) -> str | None:
    """That the run is small against the paper's, in figures; None if it is of the paper's size."""
    (parameters, tokens), paper = (
        (count_parameters(config), count_tokens(config)) for config in (run.config, PAPER)
    )
    model, text = paper[0] / parameters, paper[1] / tokens
    if model < 1.5 and text < 1.5:
        return None
    return (
        f"This is a small run: {write_count(parameters)} parameters and {write_count(tokens)} tokens, where "
        f"the paper has {write_count(paper[0])} and {write_count(paper[1])} ({_times(model)} and "
        f"{_times(text)} as many). What it finds holds for this size; whether the paper holds at its own is not "
        "decided here."
    )


def _times(ratio: float) -> str:
    digits = 10 ** max(0, len(str(int(ratio))) - 2)
    return f"{round(ratio / digits) * digits:,} times" if ratio >= 10 else f"{ratio:.1f} times"


def seeds_notice(run: Run) -> str | None:
    """That there are too few seeds for any verdict; None from three seeds on."""
    count = len(run.seeds)
    if count >= SEEDS_FOR_INTERVAL:
        return None
    return (
        f"Too few seeds for any verdict: {'one seed' if count == 1 else f'{count} seeds'}. A difference between "
        "two conditions cannot be told from a difference between two seeds. From three seeds on this page shows "
        "intervals: --config.conditions.seeds=0,1,2"
    )


def share_sentence(run: Run) -> str | None:
    """The share of matrices in range at the last analysed step, by condition."""
    rows = share_table(run).rows
    last = [row for row in rows if row["step"] == max(row["step"] for row in rows)] if rows else []
    shares = {row["condition"]: row["share_percent"] for row in last if row["share_percent"]}
    if not shares:
        return None
    parts = [f"{name}\u00a0{write_number(share, 1)} %" for name, share in shares.items()]
    each = max(row["fitted"] / row["seeds"] for row in last)
    return (
        f"Matrices with alpha in [2, 6] at step {last[0]['step']:,}: {', '.join(parts)}. One matrix is "
        f"{100 / each:.1f} points."
    )


def unseen(run: Run) -> list[str]:
    """What this run cannot show, and why."""
    found = []
    end = at_end(decoder(run))
    alpha, sigma = (end[name][np.isfinite(end["alpha"])] for name in ("alpha", "sigma"))
    if len(alpha):
        near = int((np.minimum(np.abs(alpha - 2), np.abs(alpha - 6)) < sigma).sum())
        found.append(
            f"Whether a matrix near a border of [2, 6] is in or out: the fit's own standard error is "
            f"{np.nanmedian(sigma):.2f} (median); {near:,} of {len(alpha):,} matrices lie within theirs of 2 or 6."
        )
        missing = len(end) - len(alpha)
        if missing:
            found.append(
                f"Where {missing:,} of {len(end):,} matrices at the end lie: their fit failed; they are left out."
            )
    if len(run.seeds) >= SEEDS_FOR_INTERVAL:
        found.append(
            f"Which single difference is real: intervals in figures and tables are over {len(run.seeds)} seeds, "
            "one comparison at a time, not corrected for how many there are. Only the verdicts on the claims are."
        )
    found.append(
        "How larger models behave: alpha, ranks and their differences depend on the size of the matrices."
    )
    return found


def prompt_size_notice(run: Run) -> str:
    """That the run is small, and what the paper does not say about its own."""
    config = run.config
    start = "random weights" if not config.model.initial else "the weights that the config names"
    return (
        f"This is a small run: {write_count(count_parameters(config))} parameters, from {start}, on drawn images. "
        "Section 6 of the paper says neither how large its model is nor what it started from; its benchmarks take "
        "one of billions. What is found here holds for this size; whether the paper holds at its own is not "
        "decided here."
    )


def require_statistics(run: Run, run_folder: Path) -> None:
    """Raises RunError where the prepare stage is not finished."""
    if not run.statistics:
        text = "no data/statistics.json in it; run `bench-shadows prepare` to its end first"
        raise RunError(f"{run_folder}: {text}")


def data_facts(run: Run, *own: tuple[str, str]) -> list[tuple[str, str]]:
    """(name, value) of what a run reads; `own` are those of its kind of study."""
    config = run.config
    made = config.data.tokenizer if config.data.tokenizer != "bpe" else "byte-level BPE, trained on the corpus"
    return [
        ("sources", ", ".join(config.data.sources)),
        ("conditions", ", ".join(config.conditions.names)),
        *own,
        ("tokenizer", f"{made}, {config.model.vocab_size:,} types"),
    ]
