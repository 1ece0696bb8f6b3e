"""A rewriting that changed next to nothing is no treatment: it is counted, said, and D's claims are withheld."""

import json
import random
from pathlib import Path

import pytest
from tiny_study import SHAPE, write_config

from bench_shadows.config_file import load
from bench_shadows.data.prepare import prepare

GERMAN = """
der Fluss fließt langsam durch das alte Dorf und die Kinder gehen morgens über eine Brücke zur Schule wo sie lesen
schreiben und rechnen lernen während ihre Eltern auf den Feldern arbeiten
""".split()  # noqa: SIM905


def study(folder: Path, texts: list[str], language: str) -> Path:
    """A config over these texts."""
    lines = [json.dumps({"id": f"d{n}", "text": text, "language": language}) for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "tiny.py").write_text(SHAPE.format(source=str(folder / "corpus.jsonl")))
    return folder / "tiny.py"


def test_text_that_the_rules_do_not_know_is_not_taken_for_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(0)
    texts = [f"{' '.join(draw.choices(GERMAN, k=60)).capitalize()} {n}." for n in range(600)]
    config = load(study(tmp_path, texts, "de"))
    prepare(config, tmp_path / "data")
    report = json.loads((tmp_path / "data" / "documents.json").read_text())["rewriting"]
    assert report["changed_share"] < 0.001
    assert report["withheld"].startswith("rewriting changed 0.0% of the words of the first half, less than")
    assert "D is next to A" in report["withheld"]
    assert "Claims that read D are withheld" in capsys.readouterr().err


def test_text_that_the_rules_know_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(load(write_config(tmp_path)), tmp_path / "data")
    report = json.loads((tmp_path / "data" / "documents.json").read_text())["rewriting"]
    assert report["changed_share"] == report["words_gone"] / report["words_chosen"] > 0.02
    assert report["withheld"] is None
    assert "withheld" not in capsys.readouterr().err
