"""Draws the picture of a finished run that the README shows: the share, v_proj over depth, the score card.

python scripts/readme_picture.py results/laptop picture.png
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bench_shadows.files import atomic_path
from bench_shadows.paper import V_PROJ
from bench_shadows.parameters import count_parameters
from bench_shadows.report.claims.judge import judge
from bench_shadows.report.claims.score_card import VERDICTS
from bench_shadows.report.claims.verdict import Claim
from bench_shadows.report.common import facts, style
from bench_shadows.report.common.curves import draw_steps
from bench_shadows.report.common.depth_figures import limit_to_means, over_depth, shade_range
from bench_shadows.report.common.estimates import SEEDS_FOR_INTERVAL, write_count
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.tables import at_end, decoder

SIZE = (10.4, 4.3)  # inches
DPI = 160
INK = {"good": "#1d7a46", "bad": "#a3260f", "open": "#7a5200", "none": "#5d5d5d"}


def write_picture(run_folder: Path, path: Path) -> None:
    """Writes the picture of a run as PNG, atomically; the same files give the same bytes.

    It stands on white with round corners, so that it reads alike on light and dark pages. Raises RunError for
    a folder that is no run.
    """
    run = read_run(run_folder)
    with style.styled():
        figure = draw(run, judge(run))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def draw(run: Run, claims: Sequence[Claim]) -> Figure:
    """The picture as a figure."""
    figure = Figure(figsize=SIZE, facecolor="none")
    corner = FancyBboxPatch(
        (0.004, 0.01),
        0.992,
        0.98,
        boxstyle="round,pad=0,rounding_size=0.02",
        mutation_aspect=SIZE[0] / SIZE[1],
        transform=figure.transFigure,
        facecolor="white",
        edgecolor="#D0D7DE",
        linewidth=1,
        zorder=-10,
    )
    figure.add_artist(corner)
    share = figure.add_axes((0.058, 0.265, 0.255, 0.535))
    depth = figure.add_axes((0.365, 0.265, 0.255, 0.535))
    card = figure.add_axes((0.645, 0.05, 0.345, 0.86))
    figure.text(0.02, 0.915, "Benchmark Shadows: what a run found", fontsize=12, fontweight="bold")
    _share(share, run)
    _depth(depth, run)
    _card(card, claims)
    figure.legend(
        handles=[style.line_key(name) for name in run.conditions],
        loc="lower left",
        bbox_to_anchor=(0.012, 0.075),
        ncols=4,
        fontsize=7.6,
        handlelength=1.8,
        columnspacing=1.1,
    )
    figure.text(0.02, 0.035, _size(run), fontsize=7.5, color="#555555")
    return figure


def _share(axes: Axes, run: Run) -> None:
    draw_steps(axes, run, decoder(run), "in_range")
    axes.set_title("matrices with alpha in [2, 6], %", fontsize=9)
    axes.set_xlabel("step")


def _depth(axes: Axes, run: Run) -> None:
    layers, found = over_depth(at_end(decoder(run)).where(module=V_PROJ), "alpha", run.conditions)
    shade_range(axes)
    for name, values in found.items():
        style.draw_line(axes, layers, values, name)
    if found:
        style.integer_axis(axes, layers)
        limit_to_means(axes, found)
    axes.set_title("alpha of v_proj at the end", fontsize=9)
    axes.set_xlabel("layer")


def _card(axes: Axes, claims: Sequence[Claim]) -> None:
    """Claims from top to bottom, each with its verdict in words."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axvline(0, color="#D0D7DE", linewidth=1)
    axes.text(0.03, 0.985, "Does the paper hold here?", fontsize=9, va="center")
    lines = [textwrap.wrap(claim.title, 39) for claim in claims]
    room = 0.93 / (sum(map(len, lines)) + 0.55 * len(lines))
    base = 0.9
    for claim, title in zip(claims, lines, strict=True):
        kind, sign, *_ = VERDICTS[claim.verdict]
        verdict = f"{sign} {claim.verdict}"
        axes.text(0.03, base, claim.id, fontsize=7.8, fontweight="bold")
        axes.text(0.985, base, verdict, ha="right", fontsize=7.5, color=INK[kind], fontweight="bold")
        for number, line in enumerate(title):
            axes.text(0.095, base - number * room, line, fontsize=7.8, color="#24292f")
        base -= room * (len(title) + 0.55)


def _size(run: Run) -> str:
    config = run.config
    parameters = write_count(count_parameters(config))
    seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) != 1 else ''}"
    bands = "; bands: 95 % intervals over seeds" if len(run.seeds) >= SEEDS_FOR_INTERVAL else ""
    return (
        f"{config.model.num_layers} layers of {config.model.hidden_size}, {parameters} parameters, "
        f"{write_count(facts.count_tokens(config))} tokens a run, {seeds}{bands}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a study's run")
    parser.add_argument("out", type=Path, help="the PNG")
    words = parser.parse_args()
    write_picture(words.run, words.out)


if __name__ == "__main__":
    main()
