"""Figures of a study of prompts: what they measure is right, and their text stays apart."""

from pathlib import Path

import numpy as np
import pytest
from fake_prompt_run import prompt_config, write_prompt_run
from hypothesis import given
from hypothesis import strategies as st
from test_figures import overlaps

from bench_shadows.report.common.control_figures import SHARED
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.picture import Picture
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.prompts.duplicates import pieces
from bench_shadows.report.prompts.figures import correlation, distances, paired_over_depth
from bench_shadows.report.prompts.gallery import GALLERY
from bench_shadows.report.prompts.samples import read_samples

OWN = [picture for picture in GALLERY if picture.name not in {one.name for one in SHARED}]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_prompt_run(tmp_path_factory.mktemp("small"), prompt_config(seeds=(0, 1)), 0.1))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_prompt_run(tmp_path_factory.mktemp("deep"), prompt_config(layers=32)))


@pytest.mark.parametrize("picture", OWN, ids=[picture.name for picture in OWN])
def test_text_stays_apart(picture: Picture, small: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert overlaps(picture, small, monkeypatch) == []


@pytest.mark.slow
@pytest.mark.parametrize("picture", OWN, ids=[picture.name for picture in OWN])
def test_text_stays_apart_with_32_layers(picture: Picture, deep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert overlaps(picture, deep, monkeypatch) == []


def frame(values: dict[tuple[str, int, int], float]) -> Frame:
    """(condition, seed, layer) -> alpha."""
    keys = list(zip(*values, strict=True))
    return Frame(
        {
            "condition": np.array(keys[0], object),
            "seed": np.array(keys[1], float),
            "layer": np.array(keys[2], float),
            "alpha": np.array(list(values.values()), float),
        }
    )


def test_conditions_are_compared_within_a_seed_and_seeds_within_a_condition() -> None:
    table = frame(
        {
            ("baseline", 0, 0): 3.0,
            ("baseline", 0, 1): 5.0,
            ("baseline", 1, 0): 6.0,
            ("baseline", 1, 1): 9.0,
            ("deduplicated", 0, 0): 3.3,
            ("deduplicated", 0, 1): 5.4,
            ("deduplicated", 2, 0): 100.0,  # a seed that the baseline has not
        }
    )
    between, within = distances(table, "alpha", "baseline", "deduplicated")
    assert between is not None
    assert within is not None
    assert between.mean == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2))
    pairs = [3.0, 4.0, 96.7]
    assert within == pytest.approx(np.sqrt(np.mean(np.square(pairs))))
    layers, apart = paired_over_depth(table, "alpha", "baseline", "deduplicated")
    assert layers.tolist() == [0, 1]
    np.testing.assert_allclose(apart, [[0.3, 0.4]])


def test_a_profile_that_is_shifted_and_stretched_correlates_wholly() -> None:
    profile = [3.0, 4.0, 2.5, 6.0]
    table = frame(
        {("baseline", 0, layer): value for layer, value in enumerate(profile)}
        | {("deduplicated", 0, layer): 2 * value + 1 for layer, value in enumerate(profile)}
    )
    found = correlation(table, "baseline", "deduplicated")
    assert found is not None
    assert found.mean == pytest.approx(1)


@given(st.lists(st.tuples(st.text("ab 图。\n", max_size=6), st.booleans()), max_size=8))
def test_pieces_are_the_text_and_what_stays_is_in_what_is_left(parts: list[tuple[str, bool]]) -> None:
    before = "".join(text for text, _ in parts)
    after = "".join(text for text, stays in parts if stays)
    found = pieces(before, after)
    assert "".join(text for text, _ in found) == before
    kept = iter(after)
    assert all(letter in kept for text, removed in found if not removed for letter in text)


def test_samples_are_counted_by_task_with_one_example_each(tmp_path: Path) -> None:
    found = read_samples(write_prompt_run(tmp_path, prompt_config(seeds=(0,))) / "data/samples.parquet")
    assert found.count("train") == (4_800, 3_600)
    assert found.count("held_out") == (768, 768)
    assert found.counts["train", "multimodal/ocr"] == (400, 300)
    assert len(found.examples) == 12
    assert all(example.baseline != example.deduplicated for example in found.examples)
