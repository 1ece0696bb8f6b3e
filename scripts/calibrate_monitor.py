"""How often the monitor's rules warn: false alarms on Condition A, detection of B, C, D and of a planted collapse.

    python scripts/calibrate_monitor.py --out=results/calibration                       the small model below
    python scripts/calibrate_monitor.py --out=results/calibration-laptop --config=configs/laptop.py --seeds=4

Trains A over `--baselines` seeds and B, C, D over `--seeds`, by the stages of a study (so it resumes), with a
monitor that looks at every matrix; then replays the rules on what a monitor with the config's settings would have
seen. Collapse is planted, too: a run is Condition A until half-way, and from then on the spectra of its upper
value projections are collapsed by construction. Prints runs with a warning over runs with their 95 % interval
(Clopper and Pearson) and writes JSON.
"""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.stats

from bench_shadows import config_file
from bench_shadows.config import Config
from bench_shadows.diagnostics import signatures
from bench_shadows.diagnostics.monitor import Look, Monitor, chosen
from bench_shadows.diagnostics.weights.weights import Stack
from bench_shadows.files import write_json
from bench_shadows.study import Study
from bench_shadows.training.checkpoints.checkpoints import restore_params

ALL = 1_000_000  # more matrices than a model has
LOSSES = (0.25, 0.5, 0.75, 0.9)  # how far the planted collapse goes


def small_config() -> Config:
    """Six layers of 32, 240 steps of 8 rows of 64 tokens: ten seconds a run on two quiet cores."""
    config = config_file.defaults()
    config.model.update(
        num_layers=6, hidden_size=32, intermediate_size=128, num_heads=4, num_kv_heads=4, vocab_size=512
    )
    config.data.update(seq_len=64, held_out_rows=16)
    config.train.update(samples=240 * 8, batch_size=8, micro_batch_size=8, warmup_samples=12 * 8)
    config.train.update(peak_learning_rate=4e-3, min_learning_rate=4e-4, remat="none", scan_layers=False)
    config.diagnostics.monitor_every = 10
    config.evaluation.rows = 16
    return config_file.from_dict(config.to_dict())


def train(config: Config, out: Path, runs: Iterable[tuple[str, int]]) -> None:
    """Every run, with all matrices at every look."""
    seeds = tuple(sorted({seed for _, seed in runs}))
    config = dataclasses.replace(
        config,
        conditions=dataclasses.replace(config.conditions, seeds=seeds),
        diagnostics=dataclasses.replace(config.diagnostics, monitor_matrices=ALL),
    )
    study = Study(config, out, ["calibrate_monitor"])
    study.prepare()
    for condition, seed in runs:
        study.train(condition, seed)


def read_looks(run: Path) -> list[Look]:
    """What the run's monitor saw."""
    return [Look.from_json(json.loads(line)) for line in (run / "monitor.jsonl").read_text().splitlines()]


def sampled(looks: Sequence[Look], matrices: int) -> list[Look]:
    """What a monitor of so many matrices would have seen."""
    by_module: dict[tuple[str, str], list[Any]] = {}
    for row in sorted(looks[0].matrices, key=lambda row: row["layer"]):
        by_module.setdefault((row["module"], row["tensor"]), []).append(row["layer"])
    stacks = [
        Stack("decoder", module, tuple(layers), (tensor,) * len(layers), (0, 0), "")
        for (module, tensor), layers in by_module.items()
    ]
    result = []
    for turn, look in enumerate(looks):
        seen = {(matrix.module, matrix.layers[0]) for matrix in chosen(stacks, turn, matrices)}
        rows = tuple(row for row in look.matrices if (row["module"], row["layer"]) in seen)
        result.append(dataclasses.replace(look, matrices=rows))
    return result


def warned(looks: Sequence[Look], steps: int) -> dict[str, int]:
    """Signature -> first step at which it was told."""
    found: dict[str, int] = {}
    for end, look in enumerate(looks, 1):
        for finding in signatures.find(looks[:end], steps):
            found.setdefault(finding.signature, look.step)
    return found


def collapsed(params: Any, kind: str, loss: float) -> Any:
    """The parameters with the spectra of the upper value projections collapsed, by a share of the whole way.

    `subspace`: the smaller half of the singular values goes to zero and the larger half to its mean: fewer
    directions, all of one strength. `decay`: the smaller three quarters go to zero, the others stay.
    """

    def change(path: Any, leaf: np.ndarray) -> np.ndarray:
        if "v_proj" not in jax.tree_util.keystr(path):
            return leaf
        upper = np.arange(len(leaf)) > (1 - signatures.UPPER) * (len(leaf) - 1)
        u, s, v = np.linalg.svd(leaf, full_matrices=False)
        kept = s.shape[1] // (2 if kind == "subspace" else 4)
        s[:, kept:] *= 1 - loss
        if kind == "subspace":
            s[:, :kept] += loss * (s[:, :kept].mean(axis=1, keepdims=True) - s[:, :kept])
        return np.where(upper[:, None, None], u * s[:, None, :] @ v, leaf)

    return jax.tree_util.tree_map_with_path(change, params)


def planted(run: Path, looks: Sequence[Look], config: Config, kind: str, loss: float) -> list[Look]:
    """A run of A whose upper value projections collapse half-way, as a monitor sees it."""
    half = [look for look in looks if look.step <= config.steps // 2]
    params = collapsed(restore_params(run / "checkpoints", config.steps), kind, loss)
    every, matrices = config.diagnostics.monitor_every, config.diagnostics.monitor_matrices
    with Monitor(every, matrices, history=half) as monitor:
        for look in looks[len(half) :]:
            monitor(look.step, params)
    return monitor.history


def rate(hits: int, runs: int) -> dict[str, Any]:
    """Runs with a warning, with the exact 95 % interval of their share."""
    interval = scipy.stats.binomtest(hits, runs).proportion_ci(method="exact")
    return {"runs": runs, "warned": hits, "share": hits / runs, "interval": [interval.low, interval.high]}


def main() -> None:
    """Parses, trains, replays, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--baselines", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    config = config_file.load(args.config) if args.config else small_config()
    counts = {"A": args.baselines, "B": args.seeds, "C": args.seeds, "D": args.seeds}
    train(config, args.out, [(name, seed) for name, count in counts.items() for seed in range(count)])

    matrices, steps = config.diagnostics.monitor_matrices, config.steps
    results: dict[str, Any] = {}
    for label, seen in (("the config's monitor", matrices), ("every matrix at every look", ALL)):
        found: dict[str, list[dict[str, int]]] = {}
        for name, count in counts.items():
            for seed in range(count):
                run = args.out / "runs" / f"{name}-seed{seed}"
                looks = sampled(read_looks(run), seen)
                found.setdefault(name, []).append(warned(looks, steps))
                if name == "A" and seen == matrices:
                    for kind, loss in itertools.product(("subspace", "decay"), LOSSES):
                        told = warned(planted(run, looks, config, kind, loss), steps)
                        found.setdefault(f"A, {kind} {loss:.0%}", []).append(told)
        results[label] = {
            name: {
                signature: rate(sum(signature in told for told in runs), len(runs))
                for signature in ("support collapse", "unsettled optimizer", "alpha out of range")
            }
            for name, runs in found.items()
        }
    for label, table in results.items():
        print(f"\n{label}: runs with a warning / runs, 95 % interval")
        for name, row in table.items():
            cells = []
            for signature, cell in row.items():
                low, high = cell["interval"]
                cells.append(f"{signature} {cell['warned']}/{cell['runs']} [{low:.0%}, {high:.0%}]")
            print(f"  {name:<24}", "   ".join(cells))
    write_json(args.out / "calibration.json", {"every": config.diagnostics.monitor_every, "results": results})


if __name__ == "__main__":
    main()
