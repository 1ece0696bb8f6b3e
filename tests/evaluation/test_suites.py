"""All suites on a run's own data: every checkpoint is asked the same, and the values are the model's own."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from tiny_study import write_config

from bench_shadows.config import Config
from bench_shadows.config_file import load
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.tokenizer import load_tokenizer
from bench_shadows.evaluation.likelihood import sequence_losses
from bench_shadows.evaluation.rare_words import pairs_from_json, rare_word_rows
from bench_shadows.evaluation.suites import Suites, inputs
from bench_shadows.files import read_json, write_json
from bench_shadows.model.decoder import Decoder, parameters

NOUNS = "violin kettle pistol lantern donkey helmet necklace dagger teapot sofa temple sword".split()  # noqa: SIM905
HOLDERS = "tailor sailor player keeper farmer lawyer soldier painter doctor baker miller hunter".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """The data of a tiny run with sentences in it, prepared for real."""
    folder = tmp_path_factory.mktemp("suites")
    path = write_config(folder)
    with open(folder / "corpus.jsonl", "a", encoding="utf-8") as file:
        for number in range(200):
            holder, noun = HOLDERS[number % 12], NOUNS[number // 3 % 12]
            text = f"On day {number} it rained.\n\nThe {holder} came early to look for a {noun} in the house.\n"
            record = {"id": f"s{number}", "text": text, "domain": "stories", "language": "en", "kind": "text"}
            file.write(json.dumps(record) + "\n")
    config = load(path, {"conditions.names": "A"})
    prepare(config, folder / "run" / "data")
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, sources=(*config.data.sources, "builtin"))
    ), folder / "run"


@pytest.fixture(scope="module")
def suites(run: tuple[Config, Path]) -> Suites:
    return Suites(*run)


@pytest.fixture(scope="module")
def params(run: tuple[Config, Path]) -> dict[str, object]:
    return parameters(Decoder(dataclasses.replace(run[0].model, embedding_std=0.5), rngs=nnx.Rngs(0)))


@pytest.fixture(scope="module")
def rows(suites: Suites, params: dict) -> list[dict]:
    return list(suites.rows(params))


def test_every_suite_gives_its_rows(rows: list[dict]) -> None:
    by_suite = {suite: [row for row in rows if row["suite"] == suite] for suite in {row["suite"] for row in rows}}
    assert set(by_suite) == {"likelihood", "frequency", "position", "rare_words", "canonical", "exercises"}
    assert {row["task"] for row in by_suite["canonical"]} == {"original", "rewritten"}
    assert all(row["value"] > 0 and row["count"] > 0 for row in by_suite["canonical"])
    assert {row["task"] for row in by_suite["position"]} == {"1-7", "8-15", "16-31"}


def test_all_checkpoints_are_asked_the_same(
    run: tuple[Config, Path], suites: Suites, rows: list, params: dict
) -> None:
    config, folder = run
    made = {path.name: path.read_bytes() for path in (folder / "data" / "evaluation").iterdir()}
    assert set(made) == {"rare_words.json", "canonical.json", "exercises.json"}
    assert list(suites.rows(params)) == rows
    Suites(config, folder)
    assert {path.name: path.read_bytes() for path in (folder / "data" / "evaluation").iterdir()} == made


def test_rare_words_are_judged_by_the_model_s_own_likelihood(
    run: tuple[Config, Path], suites: Suites, rows: list[dict], params: dict
) -> None:
    config, folder = run
    [found] = [row for row in rows if row["suite"] == "rare_words" and row["task"] == "all"]
    pairs = pairs_from_json(read_json(folder / "data" / "evaluation" / "rare_words.json")["entries"])
    assert found["count"] == len(pairs) > 0
    tokenizer = load_tokenizer(folder / "data" / "tokenizer.json", config.model.vocab_size)

    def nats(text: str) -> float:
        ids = np.concatenate([[tokenizer.end_of_text], tokenizer.encode_batch([text])[0]])[: config.data.seq_len]
        [losses] = sequence_losses(suites.losses, params, [ids], tokenizer.end_of_text)
        return float(losses.astype(np.float64).sum())

    by_hand = np.array([[nats(text) for text in (*pair.true, *pair.swapped)] for pair in pairs])
    assert found["value"] == next(iter(rare_word_rows(pairs, by_hand)))["value"]


def test_what_is_asked_is_kept_for_its_inputs_and_made_again_for_others(run: tuple[Config, Path]) -> None:
    config, folder = run
    path = folder / "data" / "evaluation" / "canonical.json"
    Suites(config, folder)
    before = path.read_bytes()
    kept = read_json(path)
    write_json(path, {**kept, "entries": kept["entries"][:1]})
    Suites(config, folder)
    assert read_json(path)["entries"] == kept["entries"][:1]  # its hash is right, so it is believed
    write_json(path, {**kept, "made_from": "something else"})
    Suites(config, folder)
    assert path.read_bytes() == before
    other = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, passages=2))
    assert inputs(other, folder / "data") != inputs(config, folder / "data")


def test_exercises_longer_than_a_row_are_left_out_and_counted(
    run: tuple[Config, Path], rows: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    Suites(*run)
    said = capsys.readouterr().err
    asked = sum(row["count"] for row in rows if row["metric"] == "exact_match" and "/" not in row["task"])
    [left_out] = [int(line.split()[1]) for line in said.splitlines() if "are longer than a row" in line]
    assert asked + left_out == 2 * 12


def test_without_exercises_in_the_sources_none_are_asked_and_a_line_says_so(
    run: tuple[Config, Path], params: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    config, folder = run
    own = dataclasses.replace(config, data=dataclasses.replace(config.data, sources=("corpus.jsonl",)))
    assert "exercises" not in {row["suite"] for row in Suites(own, folder).rows(params)}
    assert "no exercises are asked" in capsys.readouterr().err
