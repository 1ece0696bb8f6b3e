"""Reports in headless Chromium: figures load, nothing complains, nothing is fetched, everybody can read them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser import ask, violations, visit
from fake_audit import write_audit_folder
from fake_prompt_run import prompt_config, write_prompt_run
from fake_run import small_config, write_run
from test_audit_page import SMALL, write_scores
from test_sweep_page import write_studies

from bench_shadows.report.audit.page import write_audit
from bench_shadows.report.conditions.page import write_report
from bench_shadows.report.prompts.page import write_report as write_prompt_report
from bench_shadows.report.sweep.page import write_sweep

pytestmark = pytest.mark.peers


def audit_report(folder: Path) -> Path:
    write_audit_folder(folder, SMALL)
    write_scores(folder)
    return write_audit(folder)


def study_report(folder: Path) -> Path:
    return write_report(write_run(folder, small_config(seeds=(0, 1, 2, 3, 4))))


def sweep_report(folder: Path) -> Path:
    return write_sweep(write_studies(folder, (0, 1, 2), labels=("2", "5")))


def prompts_report(folder: Path) -> Path:
    return write_prompt_report(write_prompt_run(folder, prompt_config()))


KINDS: dict[str, Callable[[Path], Path]] = {
    "study": study_report,
    "prompts": prompts_report,
    "audit": audit_report,
    "sweep": sweep_report,
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in KINDS.items()}


@pytest.mark.parametrize("kind", ["study", "prompts", "audit"])
def test_a_report_opens_offline_and_fits_narrow_and_dark_windows_and_paper(
    kind: str, reports: dict[str, Path]
) -> None:
    page = reports[kind]
    seen = visit(page)
    assert seen.errors == ()
    assert seen.abroad == []
    assert len(seen.images) >= 14
    assert min(seen.images.values()) > 500
    assert min(map(len, seen.alts)) > 40
    assert "Not drawn" not in seen.text
    assert visit(page, width=400, prefers_color_scheme="dark").overflow == 0
    assert visit(page, width=800, type="print").overflow == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_breaks_no_rule_of_wcag_2_1_a_and_aa(kind: str, reports: dict[str, Path]) -> None:
    assert violations(reports[kind]) == []
    assert violations(reports[kind], width=400, prefers_color_scheme="dark") == []


# What a user does with the charts; every expression gives what stands on the page afterwards.
CHOOSE = """
(() => {
  const set = (id, index) => {
    const one = document.getElementById(id);
    one.selectedIndex = index;
    one.dispatchEvent(new Event('change'));
  };
  const slide = (id, at) => {
    const one = document.querySelector(`#${id} input`);
    one.value = at;
    one.dispatchEvent(new Event('input'));
  };
  const text = (id, what) => document.querySelector(`#${id} ${what}`).textContent;
  const lines = (id) => document.querySelectorAll(`#${id} path`).length;
  const found = {shown: !document.getElementById('explorer').hidden, first: text('chart-depth', 'h3')};
  set('choose-quantity', 3);
  set('choose-module', 5);
  set('choose-layer', 1);
  slide('chart-depth', 2);
  found.chosen = text('chart-depth', 'h3');
  found.layer = text('chart-layer', 'h3');
  found.read = text('chart-depth', 'output');
  found.spoken = document.querySelector('#chart-depth input').getAttribute('aria-valuetext');
  found.lines = lines('chart-depth');
  document.querySelector('#explorer input[value="B"]').click();
  found.without = lines('chart-depth');
  found.silent = text('chart-depth', 'output');
  return found;
})()
"""


def test_a_quantity_a_module_a_layer_and_conditions_can_be_chosen(reports: dict[str, Path]) -> None:
    found = ask(reports["study"], CHOOSE)
    assert found["shown"]
    assert found["first"] == "alpha: self_attn.v_proj over depth, end (step 216)"
    assert found["chosen"] == "effective rank: mlp.up_proj over depth, end (step 216)"
    assert found["layer"] == "effective rank: mlp.up_proj, layer 1 through training"
    assert found["read"].startswith("layer 2: ● A 99.")
    assert found["read"].count("±") == 4
    assert found["spoken"].startswith("layer 2: A 99.")
    assert (found["lines"], found["without"]) == (4, 3)
    assert "B" not in found["silent"]


def test_everything_can_be_read_without_scripts_and_in_print(reports: dict[str, Path]) -> None:
    parts = "[...document.querySelectorAll('#explorer, nav .needs-script')]"
    look = f"{parts}.map(one => one.getBoundingClientRect().height)"
    assert ask(reports["study"], look, scripts="off") == [0, 0]
    assert ask(reports["study"], look, type="print") == [0, 0]
    shown = "document.querySelector('.rules dd').checkVisibility()"
    assert ask(reports["study"], f"!({shown})")
    assert ask(reports["study"], shown, type="print")


def test_a_page_that_asks_the_network_and_has_errors_is_found_out(tmp_path: Path) -> None:
    """The helper itself: a check that could not fail would be worth nothing."""
    page = tmp_path / "index.html"
    page.write_text(
        "<!doctype html><title>x</title><img src='https://example.org/a.png' alt=a><img src='absent.png' alt=b>"
        "<script>console.error('said'); absent()</script><p style='width: 3000px'>wide</p>"
    )
    seen = visit(page)
    assert seen.abroad == ["https://example.org/a.png"]
    assert set(seen.images.values()) == {0}
    assert "said" in seen.errors
    assert any("Uncaught" in error for error in seen.errors)
    assert any("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
    assert seen.overflow > 1000


def test_a_page_that_shuts_people_out_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(
        "<!doctype html><title>x</title><img src='data:,'><p style='color: #aaa'>pale</p><select></select>"
    )
    rules = {sentence.partition(":")[0] for sentence in violations(page)}
    assert rules >= {"image-alt", "color-contrast", "html-has-lang", "select-name"}
