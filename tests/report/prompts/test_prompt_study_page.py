"""The page of a study of prompts: ours stands beside the paper's, and what is missing or broken is said."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_prompt_run import INSTRUCTION, TASKS, prompt_config, write_prompt_run
from fake_run import small_config, write_run
from test_page import Parsed, words

from bench_shadows.config import to_dict
from bench_shadows.errors import RunError
from bench_shadows.files import read_json, write_json
from bench_shadows.parameters import count_parameters
from bench_shadows.report.common.explorer import payload
from bench_shadows.report.common.rendering import Placed
from bench_shadows.report.common.run import read_run
from bench_shadows.report.prompts import sameness, summary
from bench_shadows.report.prompts import scores as prompt_scores
from bench_shadows.report.prompts import tables as prompt_tables
from bench_shadows.report.prompts.page import GALLERY, build_tables, render, write_data_report, write_report
from bench_shadows.report.prompts.samples import PromptRun, read_prompt_run


def html_of(folder: Path) -> str:
    """The page without the figures, which take their time."""
    run = read_prompt_run(folder)
    return render(run, {picture.name: Placed(picture) for picture in GALLERY}, build_tables(run))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three seeds."""
    return write_prompt_run(tmp_path_factory.mktemp("prompts"), prompt_config())


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """The run's files, to be changed."""
    return shutil.copytree(folder, tmp_path / folder.name)


def test_the_page_has_every_figure_with_words_for_it_and_links_that_lead_somewhere(folder: Path) -> None:
    run = read_prompt_run(folder)
    tables = build_tables(run)
    html = render(run, {picture.name: Placed(picture, 900, 300) for picture in GALLERY}, tables)
    parsed = Parsed(html)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes.get("href") or attributes.get("src") for _, attributes in parsed.tags} - {None}
    files = {f"tables/{table.name}.csv" for table in tables.values() if table.rows}
    files |= {f"figures/{picture.name}.{kind}" for picture in GALLERY for kind in ("png", "pdf")}
    assert {link for link in links if link and link[0] != "#"} <= files | {"../claims.json"}
    assert {link[1:] for link in links if link and link[0] == "#"} <= set(ids)
    outside = r"url\((?!#)|@import|<script[^>]* src|fetch\(|https?://(?!www\.w3\.org)"
    assert not re.search(outside, html.split('id="settings"')[0])
    images = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert len(images) == len(GALLERY)
    assert all(len(image["alt"] or "") > 40 for image in images)


@pytest.mark.slow  # draws every figure twice; drawing and page are tested apart
def test_a_report_is_written_whole_and_the_same_again(folder: Path, copied: Path) -> None:
    for one in (folder, copied):
        assert write_report(one) == one / "report" / "index.html"
    first, second = (
        {path.relative_to(one): path.read_bytes() for path in sorted((one / "report").rglob("*.*"))}
        for one in (folder, copied)
    )
    assert {path.stem for path in first if path.suffix == ".png"} == {picture.name for picture in GALLERY}
    assert first == second
    claims = read_json(folder / "claims.json")["claims"]
    assert [claim["id"] for claim in claims] == ["C11"]
    assert claims[0]["figure"] in {picture.name for picture in GALLERY}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["diagnostics", "changes", "evaluation"])
def test_figures_do_without_any_one_table(copied: Path, name: str) -> None:
    (copied / f"{name}.parquet").unlink()
    run = read_prompt_run(copied)
    assert any(picture.draw(run) is None for picture in GALLERY)
    assert any(picture.draw(run) is not None for picture in GALLERY)


def test_the_same_files_give_the_same_page(folder: Path, copied: Path) -> None:
    assert html_of(copied) == html_of(folder)


def test_a_study_of_documents_keeps_its_own_page(tmp_path: Path) -> None:
    write_run(tmp_path, small_config(("A", "C")))
    run = read_run(tmp_path)
    assert (run.reference, run.duplicates) == ("A", {})
    assert run.phase_shift == run.config.phase_steps


def test_the_papers_figures_are_marked_as_the_papers(folder: Path) -> None:
    html = html_of(folder)
    beside = re.search(r'<table class="beside">.*?</table>', html, re.DOTALL)
    assert beside is not None
    theirs = " ".join(re.findall(r'<td class="[^"]*theirs[^"]*">(.*?)</td>', beside[0]))
    ours = re.sub(r'<td class="[^"]*theirs[^"]*">.*?</td>', "", beside[0])
    for score in prompt_scores.paper_table_3().values():
        for number in (score.baseline, score.deduplicated):
            assert f"{number:.4f}" in theirs
            assert f"{number:.4f}" not in ours
    box = re.search(r'<aside class="paper".*?</aside>', html, re.DOTALL)
    assert box is not None
    assert prompt_scores.PAPER_CITATION in words(box[0])
    assert words(box[0]).count("Not from this run") == 2
    assert "GPQA" not in html.replace(box[0], "")


def test_the_papers_tables_agree_with_each_other() -> None:
    assert len(prompt_scores.paper_scores()) == 46
    averages = {
        s.category: s for s in prompt_scores.paper_scores() if s.benchmark == "Average" and "A.2" in s.source
    }
    for category, row in prompt_scores.paper_table_3().items():
        found = prompt_scores.paper_benchmarks(category)
        assert (row.baseline, row.deduplicated) == (averages[category].baseline, averages[category].deduplicated)
        for name in ("baseline", "deduplicated"):
            mean = np.mean([getattr(score, name) for score in found])
            assert getattr(row, name) == pytest.approx(mean, abs=6e-5)
    for score in prompt_scores.paper_scores():  # differences are printed of scores that were not rounded yet
        assert score.difference == pytest.approx(score.deduplicated - score.baseline, abs=1.01e-4)
    assert {name for names in prompt_scores.CATEGORIES.values() for name in names} == set(averages)


def test_what_comes_from_outside_is_escaped(folder: Path) -> None:
    html = html_of(folder)
    for text in (INSTRUCTION, "Some Processor <2 cores>", "a<b>.jsonl"):
        assert text not in html
        assert text in Parsed(html).text


def test_one_seed_says_too_few_and_gives_no_interval(tmp_path: Path) -> None:
    text = words(html_of(write_prompt_run(tmp_path, prompt_config(seeds=(4,)))))
    assert "Too few seeds for any verdict: one seed" in text
    assert "±" not in text.replace("± half", "")


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("diagnostics.parquet", "nothing can be said about the weights"),
        ("changes.parquet", "nothing can be said about how the weights moved"),
        ("evaluation.parquet", "nothing can be said about held-out text"),
        ("data/duplicates.json", "how often prompts were repeated is unknown"),
        ("data/samples.parquet", "samples are not counted and none is shown"),
        ("data/statistics.json", "what each condition did to the data is unknown"),
    ],
)
def test_a_missing_input_is_a_note(copied: Path, name: str, note: str) -> None:
    (copied / name).unlink()
    assert note in words(html_of(copied))


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", to_dict(prompt_config()))
    text = words(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Nothing yet: no stage has left results." in text
    assert "Condition baseline, deduplicated was asked for and has no results." in text
    assert list((tmp_path / "report/figures").iterdir()) == []


def test_a_condition_alone_has_a_page(tmp_path: Path) -> None:
    config = prompt_config(seeds=(0, 1), layers=2)
    alone = dataclasses.replace(config, conditions=dataclasses.replace(config.conditions, names=("deduplicated",)))
    text = words(html_of(write_prompt_run(tmp_path, alone)))
    assert "Condition baseline is not part of this run." in text
    assert "differences to baseline are left out" in text
    run = read_prompt_run(tmp_path)
    drawn = {
        picture.name: picture.draw(run) for picture in GALLERY if picture.name in ("groups", "apart", "asked")
    }
    assert drawn["asked"] is not None
    assert drawn["groups"] is drawn["apart"] is None  # they compare


def test_a_study_of_text_alone_says_nothing_of_images(tmp_path: Path) -> None:
    run = read_prompt_run(write_prompt_run(tmp_path, prompt_config((0, 1), layers=2, image_size=0)))
    html = html_of(tmp_path)
    assert 'id="vision"' not in html
    assert "vision-language model from" not in words(html)
    assert "Samples: both conditions have the same" in words(html)
    of_vision = [picture for picture in GALLERY if picture.name.endswith("_vision")]
    assert [picture.draw(run) for picture in of_vision] == [None, None]


def test_decoder_and_encoder_are_kept_apart(folder: Path) -> None:
    run = read_prompt_run(folder)
    tables = build_tables(run)
    fitted = {
        part: max(row["fitted"] + row["missing_fits"] for row in tables[name].rows)
        for part, name in (("decoder", "share_in_range"), ("vision", "share_in_range_vision"))
    }
    seeds, config = len(run.seeds), run.config
    assert fitted == {
        "decoder": 7 * config.model.num_layers * seeds,
        "vision": 6 * config.vision.num_layers * seeds,
    }
    found = payload(run)
    assert found is not None
    modules = found["weights"]["quantities"][0]["modules"]
    assert {"self_attn.v_proj", "vision encoder self_attn.v_proj"} <= modules.keys()
    assert found["phase"] is None


def test_scores_are_shown_for_both_ways_of_asking_and_every_task(folder: Path) -> None:
    tables = build_tables(read_prompt_run(folder))
    asked = {(row["group"], row["prompts"]) for row in tables["scores_by_group"].rows}
    assert asked == {
        (name, how) for name in (*prompt_scores.GROUPS.values(), "all") for how in ("clean", "repeated")
    }
    tasks = [row["task"] for row in tables["scores_by_task"].rows]
    assert set(tasks) == {f"{group}/{task}" for group, names in TASKS.items() for task in names}
    assert [task.partition("/")[0] for task in tasks] == sorted(
        (task.partition("/")[0] for task in tasks), key=list(TASKS).index
    )
    assert all(row["chance"] is not None and row["difference"].seeds == 3 for row in tables["scores_by_task"].rows)


def test_only_the_prompts_differ_in_a_run_as_it_should_be(folder: Path) -> None:
    found = sameness.checks(read_prompt_run(folder))
    assert [check.sentence.partition(":")[0] for check in found] == [
        *("Initial weights", "Samples", "Intervention", "Order", "Schedule", "Budget", "Steps"),
    ]
    assert all(check.holds for check in found)


def broken(run: PromptRun) -> list[str]:
    return [check.sentence for check in sameness.checks(run) if check.holds is False]


def test_what_breaks_the_design_is_named(folder: Path) -> None:
    run = read_prompt_run(folder)
    tokens = {**run.statistics["tokens"], "baseline": {**run.statistics["tokens"]["baseline"], "answer": 1}}
    assert (
        "the same tokens of answers"
        in broken(dataclasses.replace(run, statistics={**run.statistics, "tokens": tokens}))[0]
    )
    again = dataclasses.replace(run, duplicates={**run.duplicates, "repeating_after": 3})
    assert broken(again) == [
        "Intervention: 3,600 of 4,800 training samples repeat a prompt before cleaning, 3 after it."
    ]
    metrics = {key: dict(series) for key, series in run.metrics.items()}
    metrics["deduplicated", 0]["batch_answer_tokens"] = metrics["deduplicated", 0]["batch_answer_tokens"][::-1]
    assert "tokens of a batch's answers of deduplicated" in broken(dataclasses.replace(run, metrics=metrics))[0]


def test_tasks_that_were_not_learned_are_named(folder: Path) -> None:
    run = read_prompt_run(folder)
    above, count = summary.above_chance(run)
    assert (len(above), count) == (12, 12)
    value = run.evaluation["value"]
    value[(run.evaluation["suite"] == "tasks") & (run.evaluation["task"] == "multimodal/ocr")] = 0.0
    assert "multimodal/ocr" not in summary.above_chance(run)[0]
    assert "tasks that were not learned: multimodal · ocr." in " ".join(summary.unseen(run))


def test_a_damaged_samples_file_is_named(copied: Path) -> None:
    (copied / "data/samples.parquet").write_bytes(b"not a table")
    with pytest.raises(RunError, match=r"samples\.parquet: cannot be read"):
        read_prompt_run(copied)


def test_the_data_have_a_page_before_anything_is_trained(copied: Path) -> None:
    page = write_data_report(copied)
    text = words(page.read_text(encoding="utf-8"))
    assert "repeated in 75.0 % of 4,800 samples, after cleaning in 0.0 %" in text
    assert "phase" not in text
    assert INSTRUCTION in text
    tables = {table.name for table in prompt_tables.data_tables(read_prompt_run(copied)) if table.rows}
    assert {path.stem for path in (page.parent / "tables").glob("*.csv")} == tables


def test_parameters_are_those_of_the_network() -> None:
    import jax
    from flax import nnx

    from bench_shadows.model.network import build_network

    config = prompt_config(layers=1)
    network = nnx.eval_shape(lambda: build_network(config, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(network, nnx.Param))))
    assert count_parameters(config) == count
