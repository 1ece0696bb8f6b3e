"""What a run is, what can be seen in it and what cannot: sentences made from its tables and its settings."""

import statistics

import numpy as np

from bench_shadows.config import Config, ModelConfig
from bench_shadows.progress import duration
from bench_shadows.report.common.estimates import SEEDS_FOR_INTERVAL, estimate, paired, write_count, write_number
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import BASELINE, at_end, by_seed, decoder, flatten, share_table

PAPER = Config()  # the defaults are the paper's


def count_parameters(model: ModelConfig) -> int:
    """Parameters of the decoder: projections, gates, norms, embedding, and the head unless it is tied."""
    width, kv = model.hidden_size, model.num_kv_heads * model.head_dim
    layer = 2 * width * width + 2 * width * kv + 3 * width * model.intermediate_size + 2 * width
    tables = model.vocab_size * width * (1 if model.tie_embeddings else 2)
    return model.num_layers * layer + tables + width


def count_tokens(config: Config) -> int:
    """Tokens that one run reads."""
    return config.steps * config.train.batch_size * config.data.seq_len


def facts(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what this run is: model, tokens, seeds, time, device."""
    config, model = run.config, run.config.model
    found = [
        (
            "model",
            f"{write_count(count_parameters(model))} parameters: {model.num_layers} layers of {model.hidden_size}",
        ),
        ("text", f"{write_count(count_tokens(config))} tokens for each run, {config.steps:,} steps"),
        ("conditions", ", ".join(run.conditions) or "none yet"),
    ]
    return found + run_facts(run)


def run_facts(run: Run) -> list[tuple[str, str]]:
    """(name, value) of any study's runs: seeds, time, device."""
    seconds = sum(float(np.nansum(metrics.get("step_seconds", np.zeros(1)))) for metrics in run.metrics.values())
    found = [("seeds", f"{len(run.seeds)} ({', '.join(map(str, run.seeds))})" if run.seeds else "none yet")]
    if seconds:
        found.append(("training time", f"{duration(seconds)} for {len(run.metrics)} runs together"))
    goodput = [float(metrics["goodput"][-1]) for metrics in run.metrics.values() if "goodput" in metrics]
    if goodput and np.isfinite(goodput).all():
        found.append(("goodput", f"{100 * statistics.mean(goodput):.0f} % of the wall time went into steps"))
    if device(run):
        found.append(("device", device(run)))
    return found


def device(run: Run) -> str:
    """The devices of provenance.json in words; empty if they are not known."""
    devices = run.provenance.get("devices")
    if not isinstance(devices, list) or not devices:
        return ""
    kinds = sorted({str(name) for name in devices})
    text = ", ".join(f"{devices.count(kind)} × {kind}" for kind in kinds)
    processor, cpus = run.provenance.get("processor"), run.provenance.get("cpus")
    if kinds == ["cpu"] and processor:
        return f"{processor}, {cpus} cores" if cpus else str(processor)
    return text


def unigram_entropy(run: Run) -> float | None:
    """Entropy of the training text's token frequencies in nats, as data/statistics.json has it."""
    for name, value in sorted(flatten(run.statistics).items(), key=lambda item: item[0].count(".")):
        if name.rpartition(".")[2] == "unigram_entropy_nats" and isinstance(value, int | float):
            return float(value)
    return None


def size_notice(run: Run) -> str | None:
    """That the run is small against the paper's, in figures; None if it is of the paper's size."""
    model = count_parameters(PAPER.model) / count_parameters(run.config.model)
    text = count_tokens(PAPER) / count_tokens(run.config)
    if model < 1.5 and text < 1.5:
        return None
    return (
        f"This is a small run: {write_count(count_parameters(run.config.model))} parameters and "
        f"{write_count(count_tokens(run.config))} tokens, where the paper has "
        f"{write_count(count_parameters(PAPER.model))} and {write_count(count_tokens(PAPER))} ({_times(model)} "
        f"and {_times(text)} as many). What it finds holds for this size; whether the paper holds at "
        "its own is not decided here."
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


def seen(run: Run) -> list[str]:
    """What this run shows, each sentence with its figures."""
    found = [_loss_sentence(run), share_sentence(run), _held_out_sentence(run)]
    return [sentence for sentence in found if sentence]


def _loss_sentence(run: Run) -> str | None:
    ends = []
    for (name, seed), metrics in sorted(run.metrics.items()):
        if name == (BASELINE if BASELINE in run.conditions else run.conditions[0]) and "loss" in metrics:
            tail = max(1, len(metrics["loss"]) // 20)
            ends.append((name, seed, float(metrics["loss"][0]), float(np.mean(metrics["loss"][-tail:]))))
    if not ends:
        return None
    first, last = statistics.mean(end[2] for end in ends), statistics.mean(end[3] for end in ends)
    text = (
        f"Training loss of {ends[0][0]} falls from {first:.2f} to {last:.2f} nats per token (mean of the last 5 %)"
    )
    entropy = unigram_entropy(run)
    if entropy is None:
        return text + "."
    if last < entropy:
        return f"{text}, below the {entropy:.2f} of token frequencies alone: the model uses context."
    return f"{text}, not below the {entropy:.2f} of token frequencies alone: too little training to use context."


def share_sentence(run: Run) -> str | None:
    """The share of matrices in range at the last analysed step, by condition."""
    rows = share_table(run).rows
    last = [row for row in rows if row["step"] == max(row["step"] for row in rows)] if rows else []
    parts = [
        f"{row['condition']}\u00a0{write_number(row['share_percent'], 1)} %"
        for row in last
        if row["share_percent"]
    ]
    if not parts:
        return None
    each = max(row["fitted"] / row["seeds"] for row in last)
    return (
        f"Matrices with alpha in [2, 6] at step {last[0]['step']:,}: {', '.join(parts)}. One matrix is "
        f"{100 / each:.1f} points."
    )


def _held_out_sentence(run: Run) -> str | None:
    end = at_end(run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte"))
    values = {name: by_seed(end.where(condition=name), "value") for name in run.conditions}
    base = values.get(BASELINE)
    if not base:
        return None
    parts = [
        f"{name}\u00a0{write_number(paired(found, base), 3, signed=True)}"
        for name, found in values.items()
        if name != BASELINE and found.keys() & base.keys()
    ]
    text = f"Held-out text costs A {write_number(estimate(base.values()), 3)} bits per byte"
    return f"{text}; against A: {', '.join(parts)}." if parts else f"{text}."


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
