"""The whole study, for real, at the smallest size: all stages, again, from another config, on a damaged folder."""

import hashlib
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_study import command, write_config

from bench_shadows.config_file import load
from bench_shadows.files import read_json
from bench_shadows.provenance import collect
from bench_shadows.study import Study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(config file, run folder) of a finished study; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("study")
    config = write_config(folder)
    code, output = command("study", f"--config={config}", f"--out={folder / 'run'}")
    assert code == 0, output
    return config, folder / "run"


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_one_command_makes_the_tables_and_the_page(finished: tuple[Path, Path]) -> None:
    _, run = finished
    diagnostics = pq.read_table(run / "diagnostics.parquet").to_pylist()
    assert len(diagnostics) == 4 * 6 * 2 * 7  # conditions, checkpoints with the initial one, layers, modules
    assert {row["condition"] for row in diagnostics} == set("ABCD")
    changes = pq.read_table(run / "changes.parquet").to_pylist()
    # Five checkpoints against the initial weights and the one before; three conditions against A.
    assert len(changes) == (4 * 5 * 2 + 3 * 5) * 2 * 7
    evaluation = pq.read_table(run / "evaluation.parquet").to_pylist()
    assert {row["suite"] for row in evaluation} == {
        "likelihood",
        "frequency",
        "position",
        "rare_words",
        "canonical",
        "shadow",
    }
    assert (run / "report" / "index.html").is_file()


def test_all_conditions_start_from_the_same_weights(finished: tuple[Path, Path]) -> None:
    _, run = finished
    rows = pq.read_table(run / "diagnostics.parquet").to_pylist()
    starts = {}
    for row in rows:
        if row["step"] == 0:
            starts.setdefault((row["module"], row["layer"]), set()).add(row["effective_rank"])
    assert all(len(values) == 1 for values in starts.values())


def test_the_loss_falls_below_the_unigram_entropy(finished: tuple[Path, Path]) -> None:
    _, run = finished
    rows = pq.read_table(run / "evaluation.parquet").to_pylist()
    last = [r for r in rows if r["step"] == 72 and r["task"] == "all" and r["metric"] == "loss_nats_per_token"]
    entropy = read_json(run / "data" / "statistics.json")["unigram_entropy_nats"]
    assert len(last) == 4
    assert all(row["value"] < entropy for row in last)


def test_the_same_command_again_changes_nothing(finished: tuple[Path, Path]) -> None:
    config, run = finished
    before = contents(run)
    code, output = command("study", f"--config={config}", f"--out={run}")
    assert code == 0, output
    assert "nothing has changed" in output
    assert contents(run) == before


def test_a_folder_from_another_config_is_refused(finished: tuple[Path, Path]) -> None:
    config, run = finished
    before = contents(run)
    code, output = command("study", f"--config={config}", f"--out={run}", "--config.train.peak_learning_rate=1e-2")
    assert code == 1
    assert "config.train.peak_learning_rate was 0.02, is 0.01" in output
    assert output.count("\n") == 1
    assert contents(run) == before


def test_a_folder_that_is_no_run_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    config, _ = finished
    (tmp_path / "thesis.txt").write_text("mine")
    code, output = command("study", f"--config={config}", f"--out={tmp_path}")
    assert code == 1
    assert "no run's folder" in output


def test_a_folder_that_was_killed_in_its_first_moment_is_taken_up(tmp_path: Path) -> None:
    config = load(write_config(tmp_path))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json.partial").write_text("{")
    Study(config, folder, [])
    (folder / "provenance.json").unlink()  # as if killed between the two
    Study(config, folder, [])
    assert read_json(folder / "provenance.json")["stages"] == {}


def test_what_the_compilers_were_told_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_tpu_spmd_rng_bit_generator_unsafe=true")
    assert collect([])["flags"] == {"LIBTPU_INIT_ARGS": "--xla_tpu_spmd_rng_bit_generator_unsafe=true"}


def test_a_folder_in_which_no_stage_was_finished_takes_another_config(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    Study(load(path), tmp_path / "run", [])
    Study(load(path, {"train.peak_learning_rate": "1e-2"}), tmp_path / "run", [])
    assert read_json(tmp_path / "run" / "config.json")["train"]["peak_learning_rate"] == 1e-2


def test_other_data_under_a_finished_folder_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    config, run = finished
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    corpus = config.parent / "corpus.jsonl"
    text = corpus.read_text()
    try:
        corpus.write_text(text.replace("river", "brook"))
        code, output = command("study", f"--config={config}", f"--out={copy}")
    finally:
        corpus.write_text(text)
    assert code == 1
    assert "corpus.jsonl" in output


def test_a_flipped_byte_in_a_checkpoint_is_found_and_mended(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = finished
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    tables = {name: pq.read_table(copy / name) for name in ("diagnostics.parquet", "changes.parquet")}
    files = [
        path for path in (copy / "runs" / "C-seed0" / "checkpoints" / "72" / "params").rglob("*") if path.is_file()
    ]
    largest = max(files, key=lambda path: path.stat().st_size)
    damaged = bytearray(largest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    largest.write_bytes(damaged)
    study = Study(load(config), copy, [])
    study.train()  # the report, which draws for most of a study's time, has nothing to do with it
    study.diagnose()
    output = capsys.readouterr().err
    assert "72" in output
    assert largest.name in output
    for name, table in tables.items():
        assert pq.read_table(copy / name).equals(table)


def test_too_little_text_is_said_with_numbers(finished: tuple[Path, Path], tmp_path: Path) -> None:
    config, _ = finished
    code, output = command(
        "study", f"--config={config}", f"--out={tmp_path / 'run'}", "--config.train.samples=80000"
    )
    assert code == 1
    assert "too little text" in output
