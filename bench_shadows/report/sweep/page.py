"""The page of a sweep: what each varied field did, against the reference condition; made of the studies' files."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path, read_json
from bench_shadows.kinds import kind_of
from bench_shadows.report.common import style
from bench_shadows.report.common.estimates import SEEDS_FOR_INTERVAL, estimate
from bench_shadows.report.common.picture import Picture
from bench_shadows.report.common.rendering import place_figures, render_template
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.tables import Table
from bench_shadows.report.sweep.measures import BySeed, Measure, Values, collect, grid, tidy

FILE = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One varied field: its studies by label, what they measured, and the points without results yet."""

    field: str
    labels: tuple[str, ...]
    studies: Mapping[str, Run]
    folders: Mapping[str, str]
    values: tuple[Values, ...]

    @property
    def name(self) -> str:
        """For file names and anchors."""
        return self.field.replace(".", "-").replace(" ", "")

    @property
    def reference(self) -> str:
        """The condition that the others are measured from; A where there is no study yet."""
        return next((run.reference for run in self.studies.values()), kind_of(()).conditions[0])

    @property
    def measures(self) -> Sequence[Measure]:
        """What its studies are compared by."""
        return next((run.config.kind.measures() for run in self.studies.values()), ())

    @property
    def conditions(self) -> list[str]:
        """Conditions that have any value, the reference first."""
        return sorted({values.condition for values in self.values})

    @property
    def reference_moves(self) -> bool:
        """Whether the reference condition itself differs between values: then its own curve is worth a figure."""
        own = [one for one in self.values if one.is_reference]
        return any(
            len({tuple(one.mine.items()) for one in own if one.measure == measure}) > 1
            for measure in self.measures
        )


def write_sweep(out: Path) -> Path:
    """Writes OUT/report (index.html, figures, tables/sweep.csv) and returns index.html.

    Studies without results yet are named on it. Raises RunError for a folder without sweep.json.
    """
    path = out / FILE
    if not path.is_file():
        raise RunError(f"{out}: no {FILE} in it; expected the folder of a sweep, made by `bench-shadows sweep`")
    described = read_json(path)
    runs: dict[str, Run] = {}
    curves = [_read_curve(out, curve, runs) for curve in described["curves"]]
    seeds = max((len(run.seeds) for run in runs.values()), default=0)
    with atomic_path(out / "report") as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True)
        pictures = [picture for curve in curves for picture in _pictures(curve)]
        table = tidy({curve.field: list(curve.values) for curve in curves})
        (folder / "tables" / "sweep.csv").write_text(table.to_csv(), encoding="utf-8")
        text = render_template(
            "sweep.html.jinja",
            name=out.resolve().name,
            curves=[(curve, *_tables(curve)) for curve in curves],
            figures=place_figures(pictures, curves, folder / "figures"),
            reference=curves[0].reference,
            kind=next((run.config.kind.name for run in runs.values()), "documents"),
            seeds=seeds,
            size_notice=next((run.config.kind.size_notice(run) for run in runs.values()), None),
            enough_seeds=seeds >= SEEDS_FOR_INTERVAL,
            command=shlex.join(map(str, described["command"])),
        )
        (folder / "index.html").write_text(text, encoding="utf-8")
    return out / "report" / "index.html"


def _read_curve(out: Path, described: Mapping[str, Any], runs: dict[str, Run]) -> Curve:
    """A curve with the studies that are evaluated; `runs` keeps those that several curves share."""
    folders = {point["label"]: point["folder"] for point in described["points"]}
    studies = {}
    for label, folder in folders.items():
        if (out / folder / "evaluation.parquet").is_file():
            runs[folder] = runs.get(folder) or read_run(out / folder)
            studies[label] = runs[folder]
    return Curve(", ".join(described["fields"]), tuple(folders), studies, folders, tuple(collect(studies)))


def _tables(curve: Curve) -> list[Table]:
    """Differences to the reference, and values as measured."""
    return [grid(list(curve.values), against_reference) for against_reference in (True, False)]


def _pictures(curve: Curve) -> list[Picture]:
    bars = "Bars: 95 % interval over seeds (Student's t) from three seeds on; below that every seed is a dot."
    name = curve.reference
    against = Picture(
        f"{curve.name}-against-{name}",
        lambda _: draw(curve, against_reference=True),
        f"Difference to condition {name} at the end against {curve.field}, a panel for each measure, a line for "
        "each other condition.",
        f"Each condition minus {name} of the same study and seed. {bars}",
        f"Not drawn: no study of this curve has condition {name} and another one yet.",
    )
    own = Picture(
        f"{curve.name}-{name}",
        lambda _: draw(curve, against_reference=False),
        f"Measures of condition {name} at the end against {curve.field}, a panel for each.",
        f"Condition {name} itself, which this field changes too. {bars}",
        "Not drawn: no results yet.",
    )
    return [against, own] if curve.reference_moves else [against]


def draw(curve: Curve, against_reference: bool) -> Figure | None:
    """The measures against the varied value: the other conditions' differences to the reference, or its own."""
    names = [name for name in curve.conditions if (name != curve.reference) == against_reference]
    if not names or not curve.measures:
        return None
    found = {
        one: {name: _by_point(curve, name, one.key, against_reference) for name in names} for one in curve.measures
    }
    if not against_reference:  # what the reference has none of, such as removed text, needs no panel
        found = {one: points for one, points in found.items() if not _is_zero(points.values())}
    title = f"What {curve.field} does" + ("" if against_reference else f" to condition {curve.reference} itself")
    figure, panels, _ = style.small_multiples(title, len(found), height=(1.0, 2.0), sharex=True)
    for axes, (measure, by_name) in zip(panels, found.items(), strict=True):
        if not any(any(points) for points in by_name.values()):
            style.empty(axes, "nothing recorded")
        for shift, (name, points) in enumerate(by_name.items()):
            _draw_points(axes, points, name, 0.06 * (shift - (len(names) - 1) / 2))
        if against_reference:
            axes.axhline(0, color=style.colour(curve.reference), linewidth=1.1)
        axes.set_title(measure.label, fontsize=8.5)
        axes.set_xticks(range(len(curve.labels)), curve.labels)
        axes.set_xlim(-0.4, len(curve.labels) - 0.6)
        axes.tick_params(labelbottom=True)
    figure.supylabel(f"minus {curve.reference}" if against_reference else "", fontsize=9)
    figure.supxlabel(curve.field, fontsize=9)
    style.legend(figure, names)
    return figure


def _is_zero(found: Iterable[list[BySeed]]) -> bool:
    """Whether values were measured and all of them are 0."""
    values = [value for points in found for point in points for value in point.values()]
    return bool(values) and not any(values)


def _by_point(curve: Curve, condition: str, key: str, against_reference: bool) -> list[BySeed]:
    """The measure by seed at every point of the curve, in its order; empty where there is nothing yet."""
    found = {
        values.point: values.differences if against_reference else values.mine
        for values in curve.values
        if values.condition == condition and values.measure.key == key
    }
    return [found.get(label, {}) for label in curve.labels]


def _draw_points(axes: Axes, points: list[BySeed], condition: str, shift: float) -> None:
    places = [place + shift for place in range(len(points))]
    found = [estimate(point.values()) for point in points]
    known = {place: value for place, value in zip(places, found, strict=True) if value is not None}
    if not known:
        return
    shade, marker = style.colour(condition), style.MARKERS.get(condition, "x")
    means = [value.mean for value in known.values()]
    axes.plot(list(known), means, color=shade, marker=marker, linewidth=1.2, markersize=4.5)
    for place, value, point in zip(places, found, points, strict=True):
        if value is not None and value.half_width is not None:
            axes.errorbar(place, value.mean, yerr=value.half_width, color=shade, capsize=2.5, elinewidth=1.2)
        elif len(point) > 1:
            axes.plot([place] * len(point), list(point.values()), ".", color=style.GREY, markersize=3, zorder=1)
