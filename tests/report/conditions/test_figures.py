"""Figures draw what is there, leave gaps for what is not, and keep their text apart."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import small_config, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench_shadows.files import write_json
from bench_shadows.kinds.documents import KIND as DOCUMENTS
from bench_shadows.kinds.prompts import KIND as PROMPTS
from bench_shadows.report.common import curves, style
from bench_shadows.report.common.picture import Picture
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.conditions import figures
from bench_shadows.report.conditions.gallery import GALLERY

NAMES = [picture.name for picture in GALLERY]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four layers, one seed."""
    return read_run(write_run(tmp_path_factory.mktemp("small"), small_config(), missing_fits=0.1))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """32 layers, three seeds, longer than a curve has points."""
    config = small_config(seeds=(0, 1, 2), layers=32, steps=720)
    return read_run(write_run(tmp_path_factory.mktemp("deep"), config))


def overlaps(picture: Picture, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pairs of drawn texts whose boxes lie on each other by more than a pixel, and texts that leave the figure."""
    drawn: dict[Text, Bbox] = {}
    plain_draw = Text.draw

    def draw(text: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        plain_draw(text, renderer, *args, **kwargs)
        if text.get_visible() and text.get_text().strip():
            drawn[text] = Text.get_window_extent(text, renderer)

    with style.styled():
        figure = picture.draw(run)
        assert figure is not None
        canvas = FigureCanvasAgg(figure)
        monkeypatch.setattr(Text, "draw", draw)
        canvas.draw()
    width, height = canvas.get_width_height()
    edge = Bbox([[-1, -1], [width + 1, height + 1]])
    out = [(text.get_text(), "the edge") for text, box in drawn.items() if not edge.fully_containsx(box.x0)]
    out += [(text.get_text(), "the edge") for text, box in drawn.items() if not edge.fully_containsx(box.x1)]
    for (one, box), (other, more) in itertools.combinations(drawn.items(), 2):
        common = Bbox.intersection(box, more)
        if common is not None and common.width > 1 and common.height > 1:
            out.append((one.get_text(), other.get_text()))
    return out


@pytest.mark.parametrize("picture", GALLERY, ids=NAMES)
def test_text_stays_apart_in_a_small_run(picture: Picture, small: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert overlaps(picture, small, monkeypatch) == []


@pytest.mark.parametrize("picture", GALLERY, ids=NAMES)
def test_text_stays_apart_with_32_layers_and_intervals(
    picture: Picture, deep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert overlaps(picture, deep, monkeypatch) == []


@pytest.mark.parametrize("picture", GALLERY, ids=NAMES)
def test_a_run_of_a_and_c_alone_can_be_drawn(
    picture: Picture, tmp_path_factory: pytest.TempPathFactory, small: Run
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pair"
    if not folder.exists():
        write_run(folder, small_config(("A", "C"), seeds=(3, 4)))
    figure = picture.draw(read_run(folder))
    assert figure is not None
    labels = {text.get_text() for text in figure.findobj(Text)}
    assert not labels & {style.NAMES["B"], style.NAMES["D"]}


def test_a_run_that_has_only_begun_draws_nothing(tmp_path: Path) -> None:
    from bench_shadows.config import to_dict

    write_json(tmp_path / "config.json", to_dict(small_config()))
    run = read_run(tmp_path)
    assert [picture.name for picture in GALLERY if picture.draw(run) is not None] == []


def test_a_missing_fit_is_a_gap(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, small_config(("A",), layers=8), missing_fits=0.3))
    frame = run.diagnostics.where(module="self_attn.v_proj", step=run.config.steps)
    missing = np.isnan(frame["alpha"])
    assert missing.any()
    figure = figures.v_proj_depth(run)
    assert figure is not None
    [line] = figure.axes[0].lines
    assert np.array_equal(np.isnan(line.get_ydata()), missing)


def test_the_histogram_holds_every_fitted_matrix_and_counts_its_tail(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, small_config(("A",)), missing_fits=0.1))
    alpha = run.diagnostics.columns["alpha"]
    alpha[np.flatnonzero(np.isfinite(alpha) & (run.diagnostics["step"] == 216))[:5]] = [10.0, 11, 30, 9.99, 2.0]
    figure = figures.alpha_at_end(run)
    assert figure is not None
    axes = figure.axes[0]
    bars = [patch for patch in axes.patches if patch.get_width() == 0.5]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    assert "3" in {text.get_text() for text in axes.texts}


def test_layers_are_whole_numbers(small: Run, deep: Run) -> None:
    for run, ticks in ((small, [0, 1, 2, 3]), (deep, [0, 4, 8, 12, 16, 20, 24, 28])):
        figure = figures.v_proj_depth(run)
        assert figure is not None
        assert figure.axes[0].get_xticks().tolist() == ticks


def test_a_long_run_is_drawn_by_means_and_loses_no_step(deep: Run) -> None:
    steps, values = curves.curve(deep, "A", "loss")
    assert values.shape == (3, len(steps)) == (3, 120)
    assert values[1].mean() == pytest.approx(deep.metrics["A", 1]["loss"].mean())
    assert steps[0] == 3.5


@pytest.mark.parametrize("names", [DOCUMENTS.conditions, PROMPTS.conditions])
def test_each_condition_of_a_study_has_its_own_colour_and_marker(names: tuple[str, ...]) -> None:
    for marks in (style.COLOURS, style.MARKERS, style.NAMES, style.NESTED):
        assert len({marks[name] for name in names}) == len(names)


def test_the_same_figure_is_the_same_bytes(small: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with style.styled():
            figure = figures.trajectories(small)
            assert figure is not None
            style.save(figure, tmp_path / name, "f")
    for kind in ("png", "pdf"):
        assert (tmp_path / f"one/f.{kind}").read_bytes() == (tmp_path / f"two/f.{kind}").read_bytes()
