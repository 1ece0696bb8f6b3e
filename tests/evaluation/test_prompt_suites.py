"""A study of prompts is scored as a computation by hand says, by a model that has learnt some answers."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import optax
import pyarrow.parquet as pq
import pytest
from flax import nnx
from tiny_prompt_study import write_prompt_config

from bench_shadows.config import Config
from bench_shadows.config_file import load
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.tokenizer import load_tokenizer
from bench_shadows.data.samples.scoring import score
from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID
from bench_shadows.evaluation.prompts import SPARE, HeldOut, PromptSuites, inputs, read_held_out
from bench_shadows.model.decoder import Decoder, parameters, with_parameters
from bench_shadows.model.network import build_network

TASKS = ("counting=1", "arithmetic=1")
Values = dict[tuple[str, str, str], tuple[float, int]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """The data of a tiny study of prompts, prepared for real."""
    folder = tmp_path_factory.mktemp("prompt_suites")
    own = {
        "prompts.tasks": ",".join(TASKS),
        "data.held_out_rows": "3",
        "evaluation.rows": "2",
        "data.seq_len": "96",
    }
    config = load(write_prompt_config(folder), own)
    prepare(config, folder / "run" / "data")
    return config, folder / "run"


@pytest.fixture(scope="module")
def held_out(run: tuple[Config, Path]) -> HeldOut:
    return read_held_out(run[0], run[1] / "data")


@pytest.fixture(scope="module")
def learnt(run: tuple[Config, Path], held_out: HeldOut) -> Decoder:
    """A network that knows the answers to two of the three samples of each task by heart."""
    network = nnx.eval_shape(lambda: build_network(run[0], rngs=nnx.Rngs(0)))
    known = np.arange(len(held_out.names)) % 3 > 0
    tokens, images = held_out.rows[""][known], held_out.images[known]
    mask, optimizer = by_hand_mask(tokens), optax.adam(1e-2)

    def loss(params: dict) -> jax.Array:
        logits = with_parameters(network, params).logits(tokens, images)[:, :-1]
        return (optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]) * mask).sum()

    @jax.jit
    def step(params: dict, state: optax.OptState) -> tuple[dict, optax.OptState]:
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params = first_weights(parameters(network))
    state = optimizer.init(params)
    for _ in range(150):
        params, state = step(params, state)
    return with_parameters(network, params)


def first_weights(shapes: dict) -> dict:
    """Weights that can learn, drawn without compiling a program for each."""
    draw = np.random.default_rng(0)

    def weights(path: tuple, shape: jax.ShapeDtypeStruct) -> np.ndarray:
        kind = path[-1].key
        if kind in ("scale", "bias"):
            return np.full(shape.shape, kind == "scale", np.float32)
        return draw.normal(0, shape.shape[-2] ** -0.5, shape.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(weights, shapes)


@pytest.fixture(scope="module")
def suites(run: tuple[Config, Path]) -> PromptSuites:
    return PromptSuites(*run)


@pytest.fixture(scope="module")
def found(suites: PromptSuites, learnt: Decoder) -> Values:
    return values(suites.rows(parameters(learnt), last=True))


def values(rows: object) -> Values:
    """(suite, task, metric) -> (value, count)."""
    return {(row["suite"], row["task"], row["metric"]): (row["value"], row["count"]) for row in rows}  # type: ignore[attr-defined]


@jax.jit
def all_logits(network: Decoder, tokens: jax.Array, images: jax.Array) -> jax.Array:
    """Logits [N, T, V] of whole rows."""
    return network.logits(tokens, images)


def by_hand_mask(rows: np.ndarray) -> np.ndarray:
    """Whether tokens 1 .. T - 1 are of an answer, one row and one token after the other."""
    mask = np.zeros(rows[:, 1:].shape)
    for row, its in zip(rows, mask, strict=True):
        answering = False
        for place, token in enumerate(row[:-1]):
            answering = token == ASSISTANT_ID or (answering and token != END_ID)
            its[place] = answering
    return mask


def nats_by_hand(network: Decoder, rows: np.ndarray, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """-log likelihood of the answers of each row, and their tokens."""
    logits = np.asarray(jax.nn.log_softmax(all_logits(network, rows, held_out.images)), np.float64)[:, :-1]
    nats = -np.take_along_axis(logits, rows[:, 1:, None], axis=-1)[..., 0]
    mask = by_hand_mask(rows)
    return (nats * mask).sum(axis=1), mask.sum(axis=1)


def replies_by_hand(network: Decoder, rows: np.ndarray, held_out: HeldOut, most: int) -> list[list[int]]:
    """The likeliest token again and again, the whole text read anew for each, without a cache."""
    texts = rows.copy()
    places = np.array([int(np.flatnonzero(row == ASSISTANT_ID)[-1]) for row in rows])
    texts[np.arange(rows.shape[1]) > places[:, None]] = END_ID
    replies: list[list[int]] = [[] for _ in rows]
    for new in range(most):
        chosen = np.argmax(all_logits(network, texts, held_out.images), axis=-1)[
            np.arange(len(rows)), places + new
        ]
        for row, token in enumerate(chosen.tolist()):
            if len(replies[row]) == new and token != END_ID:
                replies[row].append(token)
                texts[row, places[row] + new + 1] = token
    return replies


def by_task(names: list[str], each: np.ndarray) -> dict[str, float]:
    return {
        task: float(np.mean([one for name, one in zip(names, each, strict=True) if name == task]))
        for task in names
    }


def test_losses_are_those_of_the_answers_alone(learnt: Decoder, held_out: HeldOut, found: Values) -> None:
    names = np.array(held_out.names)
    assert held_out.measured.tolist() == [True, True, False] * 2
    for suffix, rows in held_out.rows.items():
        nats, tokens = nats_by_hand(learnt, rows, held_out)
        for suite, task, mine in (
            ("groups", "all", held_out.measured),
            *(("tasks", name, held_out.measured & (names == name)) for name in set(names.tolist())),
        ):
            loss, count = found[suite + suffix, task, "answer_loss_nats_per_token"]
            assert loss == pytest.approx(nats[mine].sum() / tokens[mine].sum(), rel=1e-4)
            assert count == mine.sum()


def test_a_reply_is_right_where_greedy_decoding_by_hand_is(
    run: tuple[Config, Path], learnt: Decoder, held_out: HeldOut, found: Values
) -> None:
    tokenizer = load_tokenizer(run[1] / "data" / "tokenizer.json", run[0].model.vocab_size)
    longest = max(len(tokenizer.encode_batch([one["conversations"][0]["value"]])[0]) for one in held_out.samples)
    for suffix, rows in held_out.rows.items():
        replies = replies_by_hand(learnt, rows, held_out, longest + SPARE)
        right = np.array(
            [score(one, tokenizer.decode(said)) for one, said in zip(held_out.samples, replies, strict=True)]
        )
        shares = by_task(held_out.names, right)
        for task, share in shares.items():
            assert found["tasks" + suffix, task, "exact_match"][0] == pytest.approx(share)
        assert found["groups" + suffix, "all", "exact_match"][0] == pytest.approx(np.mean(list(shares.values())))
    assert 0.5 < found["groups", "all", "exact_match"][0] < 1  # what was learnt, and not what was not


def test_losses_are_of_what_the_sample_s_own_image_shows(learnt: Decoder, held_out: HeldOut) -> None:
    mine = held_out.with_image
    assert 0 < mine.sum() < len(mine)
    own, _ = nats_by_hand(learnt, held_out.rows[""], held_out)
    other, _ = nats_by_hand(learnt, held_out.rows[""], held_out._replace(images=255 - held_out.images))
    # So a wrong image would be seen above, where by hand and by suite agree within 1e-4.
    assert np.all(abs(other[mine] / own[mine] - 1) > 1e-3)
    assert np.all(other[~mine] == own[~mine])


def test_language_is_measured_on_samples_without_an_image_in_nats_and_bits(
    run: tuple[Config, Path], learnt: Decoder, held_out: HeldOut, found: Values
) -> None:
    nats, tokens = nats_by_hand(learnt, held_out.rows[""], held_out)
    mine = held_out.measured & ~held_out.with_image
    size = sum(
        len(one["conversations"][0]["value"].encode())
        for one, is_mine in zip(held_out.samples, mine, strict=True)
        if is_mine
    )
    value, count = found["likelihood", "language", "loss_nats_per_token"]
    assert (value, count) == (pytest.approx(nats[mine].sum() / tokens[mine].sum(), rel=1e-4), tokens[mine].sum())
    value, _ = found["likelihood", "language", "bits_per_byte"]
    assert value == pytest.approx(nats[mine].sum() / math.log(2) / size, rel=1e-4)


def test_both_forms_ask_the_same_samples_and_one_repeats_their_prompts(held_out: HeldOut, found: Values) -> None:
    clean, repeated = ((rows != END_ID).sum() for rows in held_out.rows.values())
    assert repeated > clean
    assert {task for suite, task, _ in found if suite == "tasks"} == set(held_out.names)
    assert {task for suite, task, _ in found if suite == "tasks_repeated"} == set(held_out.names)


def test_before_the_end_of_a_run_nobody_is_asked_for_replies(suites: PromptSuites, learnt: Decoder) -> None:
    early = values(suites.rows(parameters(learnt), last=False))
    assert {metric for _, _, metric in early} == {
        "answer_loss_nats_per_token",
        "loss_nats_per_token",
        "bits_per_byte",
    }
    assert "chance" not in {suite for suite, _, _ in early}


def test_chance_is_counted_in_the_training_samples(
    run: tuple[Config, Path], held_out: HeldOut, found: Values
) -> None:
    table = pq.read_table(run[1] / "data" / "samples.parquet").to_pylist()
    for name in set(held_out.names):
        answers = [
            one["answer"] for one in table if one["split"] == "train" and f"{one['group']}/{one['task']}" == name
        ]
        commonest = max(answers, key=answers.count)
        asked = [one for one in table if one["split"] == "held_out" and f"{one['group']}/{one['task']}" == name]
        right = [
            score({"conversations": [{"from": "gpt", "value": one["answer"]}]} | check(one["check"]), commonest)
            for one in asked
        ]
        assert found["chance", name, "exact_match"] == (pytest.approx(np.mean(right)), len(right))


def check(text: str) -> dict[str, object]:
    return {"check": json.loads(text)} if text else {}


def test_scores_depend_on_the_samples_the_images_and_the_questions(run: tuple[Config, Path]) -> None:
    config, folder = run
    before = inputs(config, folder / "data")
    path = folder / "data" / "images" / "held_out" / "images.json"
    text = path.read_text()
    try:
        path.write_text(text + "\n")
        assert inputs(config, folder / "data") != before
    finally:
        path.write_text(text)
    assert inputs(config, folder / "data") == before
