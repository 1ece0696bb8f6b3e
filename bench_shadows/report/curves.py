"""Figures over training and of held-out text: trajectories, controls, domains and token frequency."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.report.controls import CONTROLS
from bench_shadows.report.corpus import phase_statistics
from bench_shadows.report.estimates import half_width, mean
from bench_shadows.report.inputs import Frame, Run
from bench_shadows.report.style import (
    GREY,
    MARKERS,
    colour,
    draw_line,
    empty,
    grid_shape,
    hide,
    legend,
    log_axis,
    mark_phase_shift,
    new_figure,
    phase_shift_key,
)
from bench_shadows.report.tables import BASELINE, at_end, decoder, order_tasks

POINTS = 120  # a curve of more steps than this is drawn by the means of equal stretches
MONITOR_POINTS = 18  # stretches whose looks are taken together
CONTROL_POINTS = 72  # fewer for the controls, whose noise from batch to batch is not the question


def stretch_of(steps: int, points: int) -> int:
    """Steps that one point of a curve stands for."""
    return max(1, -(-steps // points))


def curve(run: Run, condition: str, key: str, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """(steps [n], values [seeds, n]) of a key of metrics.jsonl, as means over stretches where a run is long."""
    runs = [metrics for (name, _), metrics in sorted(run.metrics.items()) if name == condition and key in metrics]
    stretch = stretch_of(run.config.steps, points)
    bins = -(-run.config.steps // stretch)
    values = np.full((len(runs), bins), np.nan)
    for index, metrics in enumerate(runs):
        present = np.isfinite(metrics[key])
        where = np.minimum((metrics["step"][present].astype(int) - 1) // stretch, bins - 1)
        count = np.bincount(where, minlength=bins)
        total = np.bincount(where, weights=metrics[key][present], minlength=bins)
        values[index] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    steps = np.arange(bins) * stretch + (stretch + 1) / 2
    return steps, values


def _draw_curves(axes: Axes, run: Run, key: str, points: int = POINTS) -> bool:
    drawn = False
    for name in run.conditions:
        steps, values = curve(run, name, key, points)
        if len(values) and np.isfinite(values).any():
            draw_line(axes, steps, values, name, marks=False)
            drawn = True
    mark_phase_shift(axes, run.config.phase_steps)
    if not drawn:
        empty(axes, "not recorded")
    return drawn


def trajectories(run: Run, unigram_entropy: float | None) -> Figure | None:
    """Loss, held-out bits per byte, share in [2, 6] and mean effective rank through training."""
    if not run.metrics and not len(run.diagnostics):
        return None
    title = "Through training: what happens before and after the phase shift?"
    figure, grid = new_figure(title, 2, 2, 5.6, sharex=True)
    loss, held_out, share, rank = grid.flat
    if _draw_curves(loss, run, "loss") and unigram_entropy is not None:
        _mark_level(loss, unigram_entropy, f"unigram entropy of the text, {unigram_entropy:.2f}")
    loss.set_title("training loss, on each condition's own batches")
    loss.set_ylabel("nats per token")
    text = run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte")
    frame = decoder(run)
    panels = (
        (held_out, text, "value", 1.0, "held-out text, all domains", "bits per byte"),
        (share, frame, "in_range", 100.0, "matrices with alpha in [2, 6]", "% of fitted matrices"),
        (rank, frame, "effective_rank", 1.0, "effective rank, mean over all matrices", "effective rank"),
    )
    for axes, table, value, scale, heading, label in panels:
        for name in run.conditions:
            seeds, steps, values = table.where(condition=name).pivot("seed", "step", value)
            if seeds:
                draw_line(axes, np.array(steps), scale * values, name)
        if not len(table):
            empty(axes, "not evaluated" if table is text else "not diagnosed")
        mark_phase_shift(axes, run.config.phase_steps)
        axes.set_title(heading)
        axes.set_ylabel(label)
    for axes in grid[1]:
        axes.set_xlabel("step")
    legend(figure, run.conditions, [phase_shift_key()])
    return figure


def _mark_level(axes: Axes, level: float, text: str) -> None:
    """A dashed line with its name on the side where the panel has room: away from what is drawn already."""
    low, high = axes.get_ylim()
    side = 1 if level > (low + high) / 2 else -1
    room = level + side * 0.12 * (high - low)
    axes.set_ylim(min(low, room), max(high, room))
    axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (6, 2)))
    axes.annotate(
        text,
        (1, level),
        (-2, 3 * side),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="bottom" if side > 0 else "top",
        fontsize=7.5,
        color="#555555",
    )


def controls(run: Run) -> Figure | None:
    """Learning rate, norms and token statistics of the batches through training."""
    recorded = {
        key: labels for key, labels in CONTROLS.items() if any(key in metrics for metrics in run.metrics.values())
    }
    if not recorded:
        return None
    rows, columns = grid_shape(len(recorded), 4)
    title = "Controls: does anything but the data differ between A, C and D?"
    figure, grid = new_figure(title, rows, columns, 1.1 + 1.9 * rows, sharex=True)
    for axes, (key, (label, unit)) in zip(grid.flat, recorded.items(), strict=False):
        drawn = _draw_curves(axes, run, key, CONTROL_POINTS)
        if drawn and key in ("grad_norm", "update_norm"):
            log_axis(axes)
        axes.set_title(label, fontsize=8.5)
        axes.set_ylabel(unit)
    for axes in list(grid.flat)[len(recorded) :]:
        hide(axes)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    legend(figure, run.conditions, [phase_shift_key()], marks=False)
    return figure


def monitored(run: Run) -> Figure | None:
    """What the monitor saw between the checkpoints: alpha, effective rank and relative change through training."""
    frame = run.monitor
    if not len(frame):
        return None
    title = "Between the checkpoints: what the monitor saw of a few matrices at a time"
    figure, grid = new_figure(title, 1, 3, 3.2)
    stretch = stretch_of(run.config.steps, MONITOR_POINTS)
    middles = np.maximum(0, np.ceil(frame["step"] / stretch) - 0.5) * stretch
    panels = (
        (grid[0, 0], frame["alpha"], "alpha"),
        (
            grid[0, 1],
            frame["effective_rank"] / np.minimum(frame["rows"], frame["columns"]),
            "effective rank / full rank",
        ),
        (grid[0, 2], frame["relative_change"], "relative change between looks"),
    )
    for axes, values, label in panels:
        table = Frame(dict(frame.columns) | {"stretch": middles, "value": values})
        for name in run.conditions:
            seeds, steps, means = table.where(condition=name).pivot("seed", "stretch", "value")
            if seeds and steps:
                draw_line(axes, np.array(steps), means, name, marks=False)
        mark_phase_shift(axes, run.config.phase_steps)
        axes.set_ylabel(label)
        axes.set_xlabel("step")
    log_axis(grid[0, 2])
    legend(figure, run.conditions, [phase_shift_key()], marks=False)
    return figure


def domains(run: Run) -> Figure | None:
    """Held-out bits per byte at the end by domain: difference to A, a row for each domain."""
    end = at_end(run.evaluation.where(suite="likelihood", metric="bits_per_byte"))
    others = [name for name in run.conditions if name != BASELINE and len(end.where(condition=name))]
    base = end.where(condition=BASELINE)
    if not others or not len(base):
        return None
    tasks = order_tasks(end.values("task"))
    figure, grid = new_figure(
        "Which domains pay? Right of the line is worse than A",
        1,
        1,
        1.5 + 0.34 * len(tasks),
    )
    axes = grid[0, 0]
    axes.axvline(0, color=colour(BASELINE), linewidth=1.4)
    for row in range(0, len(tasks), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", zorder=0, linewidth=0)
    for offset, name in zip(
        np.linspace(-0.2, 0.2, len(others)) if len(others) > 1 else [0.0], others, strict=True
    ):
        seeds, found, differences = _difference(end.where(condition=name), base)
        places = np.array([tasks.index(task) for task in found]) + offset
        half = np.nan_to_num(half_width(differences))
        axes.errorbar(
            mean(differences),
            places,
            xerr=half if half.any() else None,
            fmt=MARKERS.get(name, "x"),
            color=colour(name),
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            elinewidth=1.2,
            linestyle="none",
        )
        if len(seeds) == 2:
            axes.plot(differences.T, places, MARKERS.get(name, "x"), color=colour(name), markersize=3, alpha=0.4)
    axes.set_yticks(range(len(tasks)), ["all domains" if task == "all" else task for task in tasks])
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel("bits per byte, difference to A")
    axes.grid(axis="y", visible=False)
    legend(figure, others)
    return figure


def _difference(mine: Frame, base: Frame) -> tuple[list[int], list[str], np.ndarray]:
    """(seeds, tasks, value minus A's [seeds, tasks]) over the seeds and tasks that both have."""
    my_seeds, my_tasks, values = mine.pivot("seed", "task", "value")
    base_seeds, base_tasks, zero = base.pivot("seed", "task", "value")
    seeds = [seed for seed in my_seeds if seed in base_seeds]
    tasks = [task for task in my_tasks if task in base_tasks]

    def pick(table: np.ndarray, rows: list, columns: list) -> np.ndarray:
        return table[np.ix_([rows.index(seed) for seed in seeds], [columns.index(task) for task in tasks])]

    return seeds, tasks, pick(values, my_seeds, my_tasks) - pick(zero, base_seeds, base_tasks)


def deciles(run: Run) -> Figure | None:
    """Loss by decile of token frequency at the end, and its difference to A."""
    end = at_end(run.evaluation.where(suite="frequency", metric="loss_nats_per_token"))
    if not len(end):
        return None
    others = [name for name in run.conditions if name != BASELINE and len(end.where(condition=name))]
    base = end.where(condition=BASELINE)
    title = "Head against tail: do rare tokens pay more than frequent ones?"
    figure, grid = new_figure(title, 1, 2 if others and len(base) else 1, 3.4)
    tasks = order_tasks(end.values("task"))
    ticks = [task.rpartition("-")[2] for task in tasks]

    def arrange(found: list[str], values: np.ndarray) -> np.ndarray:
        full = np.full((len(values), len(tasks)), np.nan)
        full[:, [tasks.index(task) for task in found]] = values
        return full

    left = grid[0, 0]
    places = np.arange(1, len(tasks) + 1)
    for name in run.conditions:
        _, found, values = end.where(condition=name).pivot("seed", "task", "value")
        if found:
            draw_line(left, places, arrange(found, values), name)
    left.set_title("loss")
    left.set_ylabel("nats per token")
    if others and len(base):
        right = grid[0, 1]
        right.axhline(0, color=colour(BASELINE), linewidth=1.4)
        for name in others:
            _, found, values = _difference(end.where(condition=name), base)
            draw_line(right, places, arrange(found, values), name)
        right.set_title("difference to A (above the line is worse)")
    for axes in grid[0]:
        axes.set_xticks(places, ticks)
        axes.set_xlabel("decile of token frequency (1 = most frequent tokens)")
    legend(figure, [name for name in run.conditions if len(end.where(condition=name))])
    return figure


def support(run: Run) -> Figure | None:
    """Tokens of the first half in each decile of token frequency, by A's own share of them."""
    shares: dict[str, list[np.ndarray]] = {}
    for (name, seed), phases in sorted(phase_statistics(run).items()):
        base = phase_statistics(run).get((BASELINE, seed), {}).get("first", {}).get("decile_shares")
        mine = phases.get("first", {}).get("decile_shares")
        if name not in (BASELINE, "B") and base and mine and len(base) == len(mine) and all(base):
            shares.setdefault(name, []).append(np.array(mine, dtype=float) / np.array(base, dtype=float))
    if not shares:
        return None
    figure, grid = new_figure("What the first half keeps of A's vocabulary, from head to tail", 1, 1, 3.0)
    axes = grid[0, 0]
    axes.axhline(1, color=colour(BASELINE), linewidth=1.4)
    count = len(next(iter(shares.values()))[0])
    for name, ratios in shares.items():
        draw_line(axes, np.arange(1, count + 1), np.array(ratios), name)
    axes.set_xticks(range(1, count + 1), ["1\ncommonest", *map(str, range(2, count)), f"{count}\nrarest"])
    axes.set_ylim(bottom=0)
    axes.set(xlabel="decile of token frequency in A's text", ylabel="share of tokens / A's share")
    legend(figure, list(shares))
    return figure
