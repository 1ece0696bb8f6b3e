"""The audit's page: one model, a model and its base, several families; whole, escaped, honest about gaps."""

import csv
import dataclasses
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_audit import BASE, FAMILY, Fake, write_audit_folder
from test_page import Parsed, words

from bench_shadows.diagnostics import modification
from bench_shadows.errors import DataError, RunError
from bench_shadows.files import read_json, write_json
from bench_shadows.report.audit import changes as audit_changes
from bench_shadows.report.audit import inputs
from bench_shadows.report.audit.capability import asymmetry_table
from bench_shadows.report.audit.gallery import gallery
from bench_shadows.report.audit.inputs import read_audit
from bench_shadows.report.audit.page import build_tables, render, write_audit
from bench_shadows.report.audit.scores import PAPER_TABLE_2, Score, read_scores
from bench_shadows.report.audit.summary import ten_lines
from bench_shadows.report.common import style
from bench_shadows.report.common.rendering import Placed

SMALL = tuple(
    dataclasses.replace(fake, layers=12, vision=min(fake.vision, 8), deep=fake.deep and (2, 8)) for fake in FAMILY
)
SCORES = [
    Score(f"{group} {i}", group, fake.name, score, note="made up")
    for fake, level in ((SMALL[1], 60.0), (SMALL[2], 40.0))
    for group, more in (("perception", 22.0), ("reasoning", 0.0))
    for i, score in enumerate((level + more, level + more + 4))
]


def write_scores(folder: Path) -> None:
    """SCORES as somebody's scores.csv."""
    rows = [f"{one.benchmark},{one.group},{one.model},{one.score},{one.note}\n" for one in SCORES]
    (folder / "scores.csv").write_text("".join(["benchmark,group,model,score,note\n", *rows]), encoding="utf-8")


def html_of(folder: Path) -> str:
    """The page without the figures, which take their time."""
    audit = read_audit(folder)
    return render(audit, {picture.name: Placed(picture) for picture in gallery(audit)}, build_tables(audit))


def sentences(folder: Path) -> list[str]:
    return [sentence for _, group in ten_lines(read_audit(folder)) for sentence in group]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a cross-family audit, with scores."""
    made = write_audit_folder(tmp_path_factory.mktemp("audit"), SMALL)
    write_scores(made)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with its figures: a model and its base. test_browser.py opens one of everything."""
    pair = [dataclasses.replace(fake, layers=6, vision=0, deep=None) for fake in SMALL[:2]]
    made = write_audit_folder(tmp_path_factory.mktemp("whole"), pair)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a figure whose parts do not fit warns
        assert write_audit(made) == made / "report" / "index.html"
    return made


def drawn(folder: Path) -> set[str]:
    """The names of the figures that a folder's report holds."""
    return {path.stem for path in (folder / "report/figures").iterdir()}


def test_the_page_is_whole_and_every_link_stays_in_its_folder(whole: Path) -> None:
    html = (whole / "report/index.html").read_text(encoding="utf-8")
    parsed = Parsed(html)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in filter(None, (tag.get("href") or tag.get("src") for _, tag in parsed.tags)):
        assert link[1:] in ids if link.startswith("#") else (whole / "report" / link).is_file(), link
    assert not re.search(r"url\(|@import|<script", html)
    images = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert len(images) == len(drawn(whole)) == 9
    assert all(len(image["alt"] or "") > 40 for image in images)


def test_figures_and_tables_lie_there_twice(whole: Path) -> None:
    report = whole / "report"
    for name in drawn(whole):
        assert {path.suffix for path in report.glob(f"figures/{name}.*")} == {".png", ".pdf"}
    names = {path.stem for path in report.glob("tables/*.csv")}
    assert names == {path.stem for path in report.glob("tables/*.parquet")}
    assert {"diagnostics", "changes", "layer_ranges", "x_min_order", "architecture", "skipped_tensors"} <= names
    for name in names:
        with open(report / f"tables/{name}.csv", encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        assert pq.read_table(report / f"tables/{name}.parquet").num_rows == len(lines) - 1


def test_ten_lines_say_what_was_planted(folder: Path) -> None:
    lines = sentences(folder)
    text = " ".join(lines)
    assert len(lines) == 10
    assert "Deep reparametrization: Rebuilt-VL-4B-Instruct (layers 2–8)" in text
    assert "conservative fine-tuning: Careful-VL-4B-Instruct" in text
    assert "minimal perturbation: Careful-VL-4B-Thinking" in text
    assert "Careful-VL-4B-Thinking, vision" in text  # every component is spoken of
    assert "spectra stayed): decoder of Careful-VL-4B-Thinking from Careful-VL-4B-Instruct" in text
    assert "vision self_attn.q_proj, layer 2 of Careful-VL-4B-Instruct" in text
    assert lines[0].startswith(
        "Base-4B: read 84 of 97 tensors, 58.6 % of the parameters; left out: embedding 41.4 %"
    )
    assert "; Rebuilt-VL-4B-Instruct" in lines[0]
    assert "vision from " in lines[2]
    assert "under-trained (alpha above 6), the farthest vision self_attn.q_proj, layer 2 of Careful-VL" in lines[3]
    assert "correlation over few models" in text


def test_the_cross_family_page_says_correlation_and_lists_what_the_configs_differ_in(folder: Path) -> None:
    text = words(html_of(folder))
    assert "This is correlation, over few models: it shows no cause." in text
    rows = build_tables(read_audit(folder))["architecture"].rows
    assert [row["field"] for row in rows if row["differs"] == "yes"] == ["rope_theta", "vision_config.depth"]
    assert "lm_head is tied to the embedding" in text
    rows = build_tables(read_audit(folder))["coverage"].rows
    assert [(row["reason"], row["tensors"]) for row in rows[:3]] == [("read", 84), ("embedding", 1), ("norm", 12)]
    assert "[151936, 2560] against [151669, 2560]" in text


def test_a_multimodal_decoder_is_compared_with_a_text_model_field_by_field(tmp_path: Path) -> None:
    text = dataclasses.replace(BASE, layers=6, config=(("hidden_size", 64),))
    whole = Fake(
        "VL", layers=6, config=(("text.hidden_size", 64), ("text.model_type", "qwen3"), ("vision.depth", 9))
    )
    rows = {
        row["field"]: row["differs"]
        for row in build_tables(read_audit(write_audit_folder(tmp_path, [text, whole])))["architecture"].rows
    }
    assert rows["hidden_size"] == "no"
    assert rows["text.model_type"] == rows["vision.depth"] == "yes"


def test_the_order_of_x_min_and_how_far_it_holds(folder: Path) -> None:
    rows = build_tables(read_audit(folder))["x_min_order"].rows
    assert [row["model"] for row in rows][:2] == ["Rebuilt-VL-4B-Instruct", "Base-4B"]
    assert rows[0]["held_percent"] == 100
    assert [row["place"] for row in rows] == [1, 2, 3, 4]


def test_ranges_show_components_and_the_modules_that_differ(folder: Path) -> None:
    found = build_tables(read_audit(folder))
    deep = [row for row in found["layer_ranges"].rows if row["verdict"] == "deep"]
    assert {row["layers"] for row in deep} == {"2–8"}
    assert {row["module"] for row in deep} >= {"all", "self_attn.v_proj"}
    assert deep[0]["rule"] == modification.RULES["deep"]
    page = html_of(folder)
    assert page.count(modification.RULES["deep"].replace("<", "&lt;")) == 1  # all modules agree: one row


def test_scores_give_the_spread_beside_the_structure(folder: Path) -> None:
    rows = {row["model"]: row for row in build_tables(read_audit(folder))["asymmetry"].rows}
    assert rows["Rebuilt-VL-4B-Instruct"]["spread"] == pytest.approx(22)
    assert rows["Rebuilt-VL-4B-Instruct"]["relative_change"] > 1
    assert rows["Rebuilt-VL-4B-Instruct"]["perception_benchmarks"] == 2
    assert "spread" not in rows["Base-4B"]  # audited, no scores: missing, not zero
    assert "Audited, without scores: Base-4B, Careful-VL-4B-Thinking." in words(html_of(folder))


def test_the_spread_is_over_what_all_models_have() -> None:
    table = read_scores(PAPER_TABLE_2)
    rows = {row["model"]: row for row in asymmetry_table(table, "paper").rows}
    assert {row["perception_benchmarks"] for row in rows.values()} == {6}  # TextVQA has no score of one model
    assert {row["reasoning_benchmarks"] for row in rows.values()} == {7}
    assert rows["AndesVL-4B-Instruct"]["spread"] > 40 > rows["InternVL3.5-4B"]["spread"]
    alone = [Score("a", "perception", "one", 80.0), Score("b", "reasoning", "two", 50.0)]
    assert all("spread" not in row for row in asymmetry_table(alone, "none in common").rows)


def test_the_papers_figures_stand_only_in_its_own_box(folder: Path) -> None:
    html = html_of(folder)
    (aside,) = re.findall(r'<aside class="paper".*?</aside>', html, re.DOTALL)
    assert "Not from this audit" in aside
    assert "arXiv:2604.07363, Table 2; the groups are ours" in aside
    assert "AndesVL" in aside
    assert "AndesVL" not in html.replace(aside, "")


def test_one_model_alone_has_a_page_that_says_what_it_lacks(tmp_path: Path) -> None:
    made = write_audit_folder(tmp_path, [dataclasses.replace(BASE, layers=8)])
    lines = sentences(made)
    assert len(lines) == 10
    assert lines[1].endswith("No reference was given: how far a model moved from its base is not known here.")
    assert "Spectral inertness: not known without a reference." in lines
    html = html_of(made)
    assert {'id="change"', 'id="scores"', 'id="vision"'}.isdisjoint(re.findall(r'id="\w+"', html))
    assert "Base-4B" in html
    drawn = {picture.name: picture.draw(read_audit(made)) for picture in gallery(read_audit(made))}
    assert {name for name, figure in drawn.items() if figure is None} == {
        *("change_decoder", "change_profiles", "v_proj_change", "delta_effective_rank"),
        *("vision_beside_decoder", "capability"),
    }


def test_models_of_other_depths_share_relative_depth_and_few_layers_are_told(tmp_path: Path) -> None:
    made = write_audit_folder(tmp_path, [dataclasses.replace(BASE, layers=8), Fake("Small", layers=4)])
    audit = read_audit(made)
    figure = next(picture for picture in gallery(audit) if picture.name == "v_proj_alpha").draw(audit)
    assert figure is not None
    assert {axes.get_xlabel() for axes in figure.axes} == {"relative depth"}
    assert "decoder of Small has 4 layers: single submodules are judged from 6 layers on." in words(html_of(made))


HOSTILE = '<script>alert("1")</script> $x_{1}$ \u202e& ' + "long" * 30


def test_a_models_name_is_text_and_no_markup_anywhere(tmp_path: Path) -> None:
    fakes = [
        Fake(HOSTILE, layers=6),
        Fake("$\\frac{", HOSTILE, layers=6, config=(("<b>", "<img src=x onerror=alert(1)>"),)),
    ]
    made = write_audit_folder(tmp_path, fakes)
    about = read_json(made / "audit.json")
    about["models"][0]["notices"] = ["<i>notice</i>"]
    about["models"][0]["skipped"][0]["tensor"] = "<u>tensor</u>"
    write_json(made / "audit.json", about)
    html = html_of(made)
    Parsed(html)
    assert not re.search(r"<script|<i>|<u>|<b>|<img src=x", html)
    assert all(text in Parsed(html).text for text in ("<script>", "<i>notice</i>", "<u>tensor</u>"))
    audit = read_audit(made)
    with style.styled():
        for name in ("v_proj_alpha", "v_proj_change", "alpha_decoder"):
            picture = next(picture for picture in gallery(audit) if picture.name == name)
            figure = picture.draw(audit)
            assert figure is not None
            figure.canvas.draw()  # `$` in a name is no mathematics


def test_missing_files_are_notes_or_errors_by_name(folder: Path, tmp_path: Path) -> None:
    made = shutil.copytree(folder, tmp_path / "audit", ignore=shutil.ignore_patterns("report"))
    (made / "changes.parquet").unlink()
    (made / "findings.json").unlink()
    assert "findings.json is not there" in words(html_of(made))
    (made / "scores.csv").write_text("benchmark,group,model,score\na,b,c,high\n")
    with pytest.raises(DataError, match=r"scores\.csv, line 2: score must be a number"):
        write_audit(made)
    (made / "diagnostics.parquet").write_bytes(b"not a table")
    with pytest.raises(RunError, match=r"diagnostics\.parquet: cannot be read"):
        read_audit(made)
    (made / "diagnostics.parquet").unlink()
    with pytest.raises(RunError, match=r"no diagnostics\.parquet"):
        read_audit(made)
    (made / "audit.json").unlink()
    with pytest.raises(RunError, match=r"no audit\.json"):
        read_audit(made)


def test_nothing_fitted_is_said_and_not_counted(tmp_path: Path) -> None:
    made = write_audit_folder(tmp_path, [dataclasses.replace(BASE, layers=6)])
    table = pq.read_table(made / "diagnostics.parquet")
    rows = [row | {"alpha": None, "sigma": None, "in_range": None, "x_min": None} for row in table.to_pylist()]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), made / "diagnostics.parquet")
    text = " ".join(sentences(made))
    assert "No matrix has a power-law fit" in text
    assert "None of 42 matrices has a fit." in text
    assert build_tables(read_audit(made))["share_in_range"].rows[0]["share_percent"] is None
    for picture in gallery(read_audit(made)):
        picture.draw(read_audit(made))


def test_what_the_page_draws_and_says_is_what_the_diagnostics_use() -> None:
    # the report reads tables and imports no diagnostics: their constants are held together here
    assert (audit_changes.MINIMAL, audit_changes.DEEP) == (modification.MINIMAL_CHANGE, modification.DEEP_CHANGE)
    assert audit_changes.DEEP_CORRELATION == modification.DEEP_CORRELATION
    assert np.isclose(audit_changes.INERT_PERCENT, 100 * modification.INERT_RANK)
    for name in ("mlp.experts.7.up_proj", "merger.mlp.0", "self_attn.v_proj", "a.1.2.b"):
        assert inputs.plain(name) == modification.plain(name)
