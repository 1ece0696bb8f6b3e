"""Samples become rows and images, in both forms, from the built-in corpus and from the user's own files."""

import dataclasses
import json
import signal
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_study import ASK, study, table
from tiny_prompt_study import command, start, write_prompt_config

from bench_shadows.config import Config, PromptsConfig
from bench_shadows.data.prepare import prepare
from bench_shadows.data.prepare_samples import order
from bench_shadows.data.rows.loader import batches
from bench_shadows.data.rows.plans import load_plan, plan_path
from bench_shadows.data.rows.row_store import RowSet, RowStore
from bench_shadows.data.rows.tokenizer import load_tokenizer, train_bpe
from bench_shadows.data.samples.encoding import clean, dialogue, encode, row
from bench_shadows.data.special_tokens import END_ID, IMAGE_ID, SPECIAL_TOKENS
from bench_shadows.errors import RunError
from bench_shadows.files import hash_file
from bench_shadows.kinds.prompts import KIND
from bench_shadows.model.loss import answer_weights

PROMPTS = PromptsConfig()

# ---- rows


TEXT = st.text("ab cé猫\n<|>", max_size=12).filter(str.strip)
ROOM = 192  # a dialogue has 6 texts of 12 characters of at most 3 bytes at most, and 14 tokens more
WORDS = train_bpe([" ".join(map(chr, range(33, 127)))], 260, special_tokens=SPECIAL_TOKENS)


@settings(deadline=None, max_examples=50)  # the first call compiles
@given(st.lists(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_the_loss_is_on_answers_and_their_ends(
    dialogues: list[list[tuple[str, str]]], data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, 5), min_size=len(dialogues), max_size=len(dialogues)))
    for turns, places_of_one, tokens in zip(
        dialogues, places, encode(dialogues, places, WORDS.encode_batch), strict=True
    ):
        filled = row(tokens, ROOM)
        weights = np.asarray(answer_weights(jnp.asarray(filled[None].astype(np.int32))))[0]
        assert np.array_equal(np.flatnonzero(weights) + 1, np.flatnonzero(tokens.answers))
        assert (filled == IMAGE_ID).sum() == places_of_one
        assert (filled[len(tokens.ids) :] == END_ID).all()
        said = WORDS.decode(tokens.ids[tokens.answers])
        assert said == "".join(answer for _, answer in turns)


def test_names_of_special_tokens_in_a_text_are_characters() -> None:
    [tokens] = encode([[("<|image|>", "<|endoftext|><|user|>")]], [0], WORDS.encode_batch)
    assert [int(one) for one in tokens.ids if one < len(SPECIAL_TOKENS)] == [2, 3, 0]


def test_a_prompt_is_what_the_pipeline_puts_in_front_of_the_users_text() -> None:
    sample = {
        "ocr": "TOTAL 7",
        "caption": f"{ASK} A bill.",
        "metadata": {"instruction": ASK, "font": "Sans"},
        "system": "You are kind.",
        "conversations": [
            {"from": "human", "value": f"<image>\n{ASK}"},
            {"from": "gpt", "value": "A bill of 7."},
            {"from": "human", "value": "How much is it?"},
            {"from": "gpt", "value": "7"},
        ],
    }
    later = ("How much is it?", "7")
    assert dialogue(sample, PROMPTS) == [
        (f"You are kind.\n{ASK}\n{ASK} A bill.\nTOTAL 7\n{ASK}", "A bill of 7."),
        later,
    ]
    assert dialogue(clean(sample, PROMPTS).sample, PROMPTS) == [
        (f"You are kind.\nA bill.\nTOTAL 7\n{ASK}", "A bill of 7."),
        later,
    ]
    named = dataclasses.replace(PROMPTS, fields=("caption", "conversations"))
    assert dialogue(sample, named)[0][0] == f"{ASK} A bill.\n{ASK}"


def test_both_conditions_show_the_samples_in_the_same_order_again_and_again() -> None:
    plan, other = order(5, 12, seed=3), order(5, 12, seed=3, offset=5)
    assert np.array_equal(other, plan + 5)
    assert sorted(plan[:5]) == sorted(plan[5:10]) == list(range(5))
    assert list(plan[:5]) != list(plan[5:10])
    assert not np.array_equal(plan, order(5, 12, seed=4))


# ---- the built-in corpus


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    folder = tmp_path_factory.mktemp("builtin")
    config = study(tasks=("ocr=1", "counting=1", "arithmetic=1"))
    prepare(config, folder)
    return config, folder


def test_a_row_is_the_same_sample_in_both_conditions(builtin: tuple[Config, Path]) -> None:
    config, folder = builtin
    tokenizer = load_tokenizer(folder / "tokenizer.json", config.model.vocab_size)
    store = RowStore.open(folder / "rows", config.kind.row_sets)
    rows = [one for one in table(folder) if one["split"] == "train"]
    assert len(store) == 2 * len(rows)
    for at, name in enumerate(KIND.conditions):
        for one in rows:
            ids = store[at * len(rows) + one["row"]]
            assert tokenizer.decode(ids) == one[name] + one["answer"]
            assert (ids == IMAGE_ID).sum() == (config.vision.image_tokens if one["image"] >= 0 else 0)
    assert any(one["baseline"] != one["deduplicated"] for one in rows)
    assert RowSet(folder / "rows" / "baseline").domains == RowSet(folder / "rows" / "deduplicated").domains


def test_held_out_samples_are_asked_clean_and_with_repeated_prompts(builtin: tuple[Config, Path]) -> None:
    _, folder = builtin
    held_out = [one for one in table(folder) if one["split"] == "held_out"]
    assert [RowSet(folder / "rows" / name).count for name in ("held_out", "held_out_repeated")] == [6, 6]
    assert all(one["baseline"].count(one["deduplicated"].splitlines()[-1]) >= 1 for one in held_out)
    assert all(len(one["baseline"]) > len(one["deduplicated"]) for one in held_out)


def test_batches_bring_the_images_of_their_rows(builtin: tuple[Config, Path]) -> None:
    config, folder = builtin
    plans = [load_plan(plan_path(folder, name, 1)) for name in KIND.conditions]
    images = config.kind.images(config, folder)
    assert images is not None
    streams = [list(batches(folder / "rows", plan, 8, 0, None, config.kind.row_sets, images)) for plan in plans]
    for one, other in zip(*streams, strict=True):
        assert one.images is not None
        assert one.images.shape == (8, 24, 24, 3)
        assert np.array_equal(one.images, other.images)
        has_image = (one.tokens == IMAGE_ID).any(axis=1)
        assert np.array_equal(one.images.any(axis=(1, 2, 3)), has_image)
        assert np.array_equal(has_image, (other.tokens == IMAGE_ID).any(axis=1))


def test_the_same_bytes_whatever_stopped_it(builtin: tuple[Config, Path], tmp_path: Path) -> None:
    config, folder = builtin
    whole = prepare(config, folder)
    for name in ("rows/baseline", "samples.parquet", "images/train", "plans"):
        (folder / name).rename(tmp_path / name.replace("/", "-"))
        assert prepare(config, folder) == whole
    damaged = folder / "images" / "held_out" / "images-00000.array_record"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match="images"):
        prepare(config, folder)
    damaged.write_bytes(content)
    with pytest.raises(RunError, match=r"config.prompts.duplication was 0.75, is 0.5"):
        prepare(dataclasses.replace(config, prompts=dataclasses.replace(config.prompts, duplication=0.5)), folder)


def test_duplicates_are_measured_before_and_after(builtin: tuple[Config, Path]) -> None:
    _, folder = builtin
    found = json.loads((folder / "duplicates.json").read_text())
    assert 0.6 < found["repeating"] / found["samples"] < 0.9
    assert found["repeating_after"] == 0
    assert found["templates"][0]["samples_after"] == 0
    assert set(found["fields_repeating"]) <= {"system", "metadata.instruction", "caption", "ocr"}
    assert found["examples"]
    tokens = json.loads((folder / "statistics.json").read_text())["tokens"]
    assert tokens["baseline"]["prompt"] > tokens["deduplicated"]["prompt"]
    assert all(tokens["baseline"][name] == tokens["deduplicated"][name] for name in ("image", "answer"))


def test_a_sample_that_does_not_fit_is_in_neither_condition(tmp_path: Path) -> None:
    config = study(tasks=("ocr=1", "arithmetic=1"), image_size=8)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, seq_len=80))
    prepare(config, tmp_path)
    left_out = json.loads((tmp_path / "documents.json").read_text())["left_out"]
    assert 0 < left_out["too_long"]["train"] < 60
    assert left_out["too_long_examples"][0].startswith("builtin/train[")
    assert RowSet(tmp_path / "rows" / "deduplicated").count == 60 - left_out["too_long"]["train"]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = write_prompt_config(tmp_path)
    config.write_text(config.read_text().replace("samples = 64", "samples = 3000"))
    words = "prepare", f"--config={config}", "--out"
    command(*words, str(tmp_path / "undisturbed"))
    for seconds in (3.0, 5.0, 7.0, 9.0, 11.0, 13.0):
        process = start(*words, str(tmp_path / "killed"))
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command(*words, str(tmp_path / "killed"))[0] == 0
    whole, killed = (hashes(tmp_path / name / "data") for name in ("undisturbed", "killed"))
    assert whole == killed
    assert len(whole) > 16


def hashes(folder: Path) -> dict[str, str]:
    """Of every file below a folder."""
    return {str(path.relative_to(folder)): hash_file(path) for path in folder.rglob("*") if path.is_file()}
