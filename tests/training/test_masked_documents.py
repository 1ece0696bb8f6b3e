"""With `train.mask_documents` a row's documents are trained on, and measured, as if each stood alone."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_run import CONFIG, some_rows, with_train, write_data

from bench_shadows.config import Config
from bench_shadows.data.rows.loader import Batch
from bench_shadows.data.rows.row_store import documents_of
from bench_shadows.data.rows.tokenizer import train_bpe
from bench_shadows.evaluation.likelihood import build_losses
from bench_shadows.training.devices import sharding
from bench_shadows.training.devices.feeding import place
from bench_shadows.training.devices.sharding import build_mesh
from bench_shadows.training.loop import train
from bench_shadows.training.step import State, build_step, initial_state

START = 7
MASKED = with_train(mask_documents=True)


def packed() -> Batch:
    """Rows in which documents begin at some places, one of a single token among them."""
    tokens = np.where((rows := some_rows(8)) == START, 0, rows)
    for row, begins in enumerate(([], [5], [0, 5, 6], [3, 9, 15]) * 2):
        tokens[row, begins] = START
    return Batch(tokens, documents=documents_of(tokens, START))


def one_step(config: Config, batch: Batch) -> tuple[State, dict[str, float]]:
    mesh = build_mesh(config)
    state, metrics = build_step(config, mesh)(
        initial_state(config, 0, mesh), place(batch, 1, mesh), np.float32(0.1)
    )
    return state, {name: float(value) for name, value in metrics.items()}


@functools.cache
def reference() -> dict[str, float]:
    return one_step(MASKED, packed())[1]


@pytest.mark.parametrize("attention", ["einsum", "xla"])
@pytest.mark.parametrize("train_fields", [{}, {"scan_layers": True, "remat": "full"}], ids=["plain", "scanned"])
def test_every_way_through_the_layers_gives_the_same_loss_and_gradient(
    attention: str, train_fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharding, "choose", lambda *_: attention)
    found = one_step(with_train(MASKED, **train_fields), packed())[1]
    for name in ("loss", "grad_norm"):
        assert found[name] == pytest.approx(reference()[name], rel=1e-5)


def test_the_mask_changes_the_loss() -> None:
    plain = one_step(CONFIG, packed()._replace(documents=None))[1]
    assert plain["loss"] != pytest.approx(reference()["loss"], rel=1e-5)


def test_in_a_row_each_document_costs_what_it_costs_alone() -> None:
    params, tokens = initial_state(CONFIG, 3, build_mesh(CONFIG)).params, packed().tokens
    params = jax.tree.map(lambda leaf: 3 * leaf, params)
    together, alone = build_losses(CONFIG, START)(params, tokens), build_losses(CONFIG)
    documents = documents_of(tokens, START)
    compared = 0
    for row, number in {(at, int(number)) for at in range(len(tokens)) for number in documents[at]}:
        [places] = np.nonzero(documents[row] == number)
        if len(places) > 1:
            own = np.zeros((1, tokens.shape[1]), np.int32)  # moved to the row's beginning: only distances count
            own[0, : len(places)] = tokens[row, places]
            expected = alone(params, own)[0, : len(places) - 1]
            np.testing.assert_allclose(together[row, places[:-1]], expected, atol=2e-5)
            compared += len(expected)
    assert compared > 80


def test_a_run_with_the_mask_reads_the_start_from_its_tokenizer(tmp_path: Path) -> None:
    model = dataclasses.replace(CONFIG.model, vocab_size=280)
    config = dataclasses.replace(with_train(samples=4 * 8, warmup_samples=8), model=model)
    data = write_data(tmp_path / "data", config)
    train_bpe(["the shadow of a benchmark falls where its data was narrow"], 280).save(data / "tokenizer.json")
    losses = []
    for name in (False, True):
        masked = with_train(config, mask_documents=name)
        train(masked, "A", 0, data, tmp_path / str(name))
        lines = (tmp_path / str(name) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] != losses[1]
    assert all(np.isfinite(losses[1]))
