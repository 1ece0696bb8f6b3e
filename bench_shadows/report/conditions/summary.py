"""What a run is, what can be seen in it and what cannot: sentences made from its tables and its settings."""

import statistics

import numpy as np

from bench_shadows.paper import BASELINE
from bench_shadows.parameters import count_parameters
from bench_shadows.report.common.estimates import estimate, paired, write_count, write_number
from bench_shadows.report.common.facts import count_tokens, run_facts, share_sentence
from bench_shadows.report.common.run import Run
from bench_shadows.report.common.tables import at_end, by_condition


def facts(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what this run is: model, tokens, seeds, time, device."""
    config, model = run.config, run.config.model
    parameters = write_count(count_parameters(config))
    found = [
        ("model", f"{parameters} parameters: {model.num_layers} layers of {model.hidden_size}"),
        ("text", f"{write_count(count_tokens(config))} tokens for each run, {config.steps:,} steps"),
        ("conditions", ", ".join(run.conditions) or "none yet"),
    ]
    return found + run_facts(run)


def seen(run: Run) -> list[str]:
    """What this run shows, each sentence with its figures."""
    found = [_loss_sentence(run), share_sentence(run), _held_out_sentence(run)]
    return [sentence for sentence in found if sentence]


def _loss_sentence(run: Run) -> str | None:
    name = next(iter(run.conditions), "")  # A, if it is there
    losses = [
        metrics["loss"]
        for (condition, _), metrics in sorted(run.metrics.items())
        if condition == name and "loss" in metrics
    ]
    if not losses:
        return None
    first = statistics.mean(float(loss[0]) for loss in losses)
    last = statistics.mean(float(np.mean(loss[-max(1, len(loss) // 20) :])) for loss in losses)
    text = f"Training loss of {name} falls from {first:.2f} to {last:.2f} nats per token (mean of the last 5 %)"
    entropy = run.statistics.get("unigram_entropy_nats")
    if entropy is None:
        return text + "."
    if last < entropy:
        return f"{text}, below the {entropy:.2f} of token frequencies alone: the model uses context."
    return f"{text}, not below the {entropy:.2f} of token frequencies alone: too little training to use context."


def _held_out_sentence(run: Run) -> str | None:
    end = at_end(run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte"))
    values = by_condition(run, end, "value")
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
