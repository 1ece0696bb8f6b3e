"""The page says what the run is, hides nothing that is missing, and is the same bytes for the same files."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_run import small_config, write_run

from bench_shadows import paper
from bench_shadows.config import Config, to_dict
from bench_shadows.errors import RunError
from bench_shadows.files import write_json
from bench_shadows.report.common.rendering import Placed
from bench_shadows.report.common.run import read_run
from bench_shadows.report.conditions import page
from bench_shadows.report.conditions.gallery import GALLERY
from bench_shadows.report.conditions.page import build_tables, render, write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Parsed(HTMLParser):
    """Tags in order; fails on a tag that is closed out of order."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def html_of(folder: Path) -> str:
    """The page without the figures, which take their time."""
    run = read_run(folder)
    return render(run, {picture.name: Placed(picture) for picture in GALLERY}, build_tables(run))


def words(html: str) -> str:
    return " ".join(Parsed(html).text.replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report of one seed."""
    made = write_run(tmp_path_factory.mktemp("whole"), small_config())
    assert write_report(made) == made / "report" / "index.html"
    return made


def test_the_page_is_whole_and_asks_the_network_for_nothing(folder: Path) -> None:
    html = (folder / "report/index.html").read_text(encoding="utf-8")
    parsed = Parsed(html)
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    links = [attributes.get("href") or attributes.get("src") for _, attributes in parsed.tags]
    for link in filter(None, links):
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (folder / "report" / link).is_file(), link
    assert not re.search(
        r"url\((?!#)|@import|<script[^>]* src|fetch\(|https?://(?!www\.w3\.org)", html.split('id="settings"')[0]
    )
    assert len(ids) == len([1 for _, attributes in parsed.tags if "id" in attributes])


def test_every_figure_is_there_twice_and_has_alternative_text(folder: Path) -> None:
    parsed = Parsed((folder / "report/index.html").read_text(encoding="utf-8"))
    images = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert len(images) == len(GALLERY)
    assert all(len(image["alt"] or "") > 40 for image in images)
    for kind in ("png", "pdf"):
        assert {path.stem for path in (folder / "report/figures").glob(f"*.{kind}")} == {p.name for p in GALLERY}
    assert b"/Type /Font" in (folder / "report/figures/v_proj_alpha.pdf").read_bytes()


@pytest.mark.slow  # every figure a second time; the page and one figure are held to it below and in test_figures
def test_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("report"))
    write_report(again)
    first = {path.relative_to(folder): path.read_bytes() for path in sorted((folder / "report").rglob("*.*"))}
    second = {path.relative_to(again): path.read_bytes() for path in sorted((again / "report").rglob("*.*"))}
    assert len(first) > 40
    assert first == second


def test_the_page_and_its_tables_follow_from_the_files_alone(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("report"))
    assert html_of(again) == html_of(folder)
    for table in build_tables(read_run(again)).values():
        if table.rows:
            assert (folder / f"report/tables/{table.name}.csv").read_text(encoding="utf-8") == table.to_csv()


def test_what_comes_from_outside_is_escaped(folder: Path) -> None:
    html = html_of(folder)
    for text in ("Some Processor <2 cores>", "a<b>.jsonl", "plays/<2>"):
        assert text not in html
        assert text in Parsed(html).text


def test_one_seed_says_too_few_and_gives_no_interval(folder: Path) -> None:
    html = html_of(folder)
    assert "Too few seeds for any verdict: one seed" in words(html)
    assert "too few seeds" in words(html)
    before, data = html.split('<h2 id="data">')
    assert "±" not in Parsed(before.replace("± half", "") + "</main></div></body></html>").text
    assert "±" in data  # what was read is measured on text: its intervals need no seeds


def test_three_seeds_have_intervals_and_no_such_notice(tmp_path: Path) -> None:
    text = words(html_of(write_run(tmp_path, small_config(seeds=(0, 1, 2)))))
    assert "Too few seeds for any verdict" not in text
    assert "±" in text
    assert "not corrected" in text


def test_a_small_run_says_so_and_the_papers_own_config_does_not(folder: Path, tmp_path: Path) -> None:
    notice = "This is a small run: 1.1 M parameters and 885 k tokens, where the paper has 659 M"
    assert notice in words(html_of(folder))
    write_json(tmp_path / "config.json", to_dict(Config()))
    assert "small run" not in words(html_of(tmp_path))


def test_the_papers_figures_stand_only_in_its_own_box(folder: Path) -> None:
    html = html_of(folder)
    aside = re.search(r'<aside class="paper".*?</aside>', html, re.DOTALL)
    assert aside is not None
    box = words(aside[0])
    assert paper.CITATION in box
    assert "Not from this run" in box
    for values, trend in paper.TABLE_1.values():
        assert trend in box
        assert all(f"{value:.1f}" in box for value in values)
    cells = "".join(re.findall(r'<table class="share">.*?</table>', html, re.DOTALL))
    assert "Stable" not in cells
    assert "Stuck" not in html.replace(aside[0], "")


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("diagnostics.parquet", "nothing can be said about the weights"),
        ("changes.parquet", "nothing can be said about how the weights moved"),
        ("evaluation.parquet", "nothing can be said about held-out text"),
        ("data/statistics.json", "what each condition did to the data is unknown"),
        ("data/documents.json", "the corpus is not described"),
        ("provenance.json", "versions, devices and hashes are unknown"),
        ("runs", "loss and controls over training cannot be drawn"),
    ],
)
def test_a_missing_input_is_a_note(folder: Path, tmp_path: Path, name: str, note: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
    run = read_run(copy)
    for picture in GALLERY if name not in ("provenance.json", "data/documents.json") else ():
        picture.draw(run)
    assert note in words(html_of(copy))


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", to_dict(small_config()))
    text = words(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Nothing yet: no stage has left results." in text
    assert "Condition A, B, C, D was asked for and has no results." in text
    assert list((tmp_path / "report/figures").iterdir()) == []


@pytest.mark.parametrize("names", [("A", "C"), ("C", "D"), ("B",)])
def test_some_conditions_alone_have_a_page(tmp_path: Path, names: tuple[str, ...]) -> None:
    text = words(html_of(write_run(tmp_path, small_config(names, seeds=(0, 1)))))
    absent = [name for name in "ABCD" if name not in names]
    assert f"Condition {', '.join(absent)} is not part of this run." in text
    assert ("differences to A are left out" in text) == ("A" not in names)
    assert "2 seeds" in text


def test_a_report_that_fails_leaves_the_old_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "run")
    before = (copy / "report/index.html").read_bytes()
    (copy / "evaluation.parquet").write_bytes(b"not a table")
    with pytest.raises(RunError, match=r"evaluation\.parquet: cannot be read"):
        write_report(copy)
    shutil.copy(folder / "evaluation.parquet", copy)
    monkeypatch.setattr(page, "TEMPLATE", "absent.jinja")
    monkeypatch.setattr(page, "GALLERY", ())
    with pytest.raises(Exception, match=r"absent\.jinja"):
        write_report(copy)
    assert (copy / "report/index.html").read_bytes() == before
    assert not list(copy.glob("report.*"))
