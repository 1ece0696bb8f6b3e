"""Reports opened in headless Chromium: figures load, nothing complains, and no request leaves the machine."""

from pathlib import Path

import pytest
from browser import visit
from fake_audit import write_audit_folder
from fake_run import small_config, write_run
from test_audit_page import SCORES, SMALL

from bench_shadows.report.audit_page import write_audit
from bench_shadows.report.page import write_report
from bench_shadows.report.scores import write_scores

pytestmark = pytest.mark.peers


def audit_report(folder: Path) -> Path:
    write_audit_folder(folder, SMALL)
    write_scores(SCORES, folder / "scores.csv")
    return write_audit(folder)


def study_report(folder: Path) -> Path:
    return write_report(write_run(folder, small_config()))


@pytest.mark.parametrize("report", [audit_report, study_report])
def test_a_report_opens_offline_and_fits_narrow_and_dark_windows_and_paper(report, tmp_path: Path) -> None:
    page = report(tmp_path)
    seen = visit(page)
    assert seen.errors == ()
    assert seen.abroad == []
    assert len(seen.images) >= 14
    assert min(seen.images.values()) > 500
    assert min(map(len, seen.alts)) > 40
    assert "Not drawn" not in seen.text
    assert visit(page, width=400, prefers_color_scheme="dark").overflow == 0
    assert visit(page, width=800, type="print").overflow == 0


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
