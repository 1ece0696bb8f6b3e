"""The shadow score by hand: gain where data looks alike less gain elsewhere, against A of one seed and step."""

import math
from typing import Any

import pytest

from bench_shadows.evaluation.shadow import shadow_rows


def entries(condition: str, suite: str, metric: str, values: dict[str, float | None], **at: int) -> list[Any]:
    seed, step = at.get("seed", 0), at.get("step", 100)
    identity = {"model": f"{condition}-seed{seed}", "condition": condition, "seed": seed, "step": step}
    own = {"suite": suite, "metric": metric}
    return [identity | own | {"task": task, "value": value, "count": 7} for task, value in values.items()]


def canonical(condition: str, rewritten: float | None, original: float, **at: int) -> list[Any]:
    return entries(condition, "canonical", "bits_per_byte", {"rewritten": rewritten, "original": original}, **at)


def exercises(condition: str, narrow: float, broad: float) -> list[Any]:
    return entries(condition, "exercises", "exact_match", {"narrow": narrow, "broad": broad})


def scores(table: list[Any]) -> dict[tuple[str, str], float | None]:
    return {(row["condition"], row["task"]): row["value"] for row in shadow_rows(table)}


def test_ten_per_cent_on_the_narrow_and_nothing_on_the_broad_set_is_a_shadow() -> None:
    table = canonical("A", 3.0, 4.0) + canonical("D", 2.7, 4.0)
    assert scores(table)["D", "likelihood"] == pytest.approx(math.log(3.0 / 2.7))


def test_a_model_better_by_the_same_factor_everywhere_casts_none() -> None:
    table = canonical("A", 3.0, 4.0) + canonical("B", 2.7, 3.6)
    assert scores(table)["B", "likelihood"] == pytest.approx(0)


def test_a_gain_on_the_broad_set_alone_is_negative() -> None:
    table = canonical("A", 3.0, 4.0) + canonical("C", 3.0, 3.6)
    assert scores(table)["C", "likelihood"] == pytest.approx(-math.log(4.0 / 3.6))


def test_exercises_are_shares_of_right_answers() -> None:
    table = exercises("A", 0.20, 0.10) + exercises("D", 0.35, 0.05)
    assert scores(table) == {("A", "exercises"): None, ("D", "exercises"): pytest.approx(0.20)}


def test_where_nobody_answers_anything_there_is_no_score() -> None:
    assert scores(exercises("A", 0.0, 0.0) + exercises("D", 0.0, 0.0))["D", "exercises"] is None
    assert scores(exercises("A", 0.0, 0.0) + exercises("D", 0.0, 0.1))["D", "exercises"] == pytest.approx(-0.1)


def test_the_baseline_is_of_the_same_seed_and_step() -> None:
    table = canonical("A", 3.0, 4.0) + canonical("A", 2.0, 4.0, seed=1) + canonical("A", 1.0, 4.0, step=50)
    table += canonical("D", 1.5, 4.0, seed=1) + canonical("D", 1.5, 4.0, seed=2)
    rows = {(row["condition"], row["seed"], row["step"]): row for row in shadow_rows(table)}
    assert rows["D", 1, 100]["value"] == pytest.approx(math.log(2 / 1.5))
    assert rows["D", 2, 100]["value"] is None  # there is no A of seed 2
    assert [row["value"] for row in rows.values() if row["condition"] == "A"] == [None] * 3
    assert all(
        row["suite"] == "shadow" and row["metric"] == "score" and row["count"] == 7 for row in rows.values()
    )


def test_a_missing_value_is_no_score() -> None:
    assert scores(canonical("A", None, 4.0) + canonical("D", 2.7, 4.0))["D", "likelihood"] is None
    assert scores(entries("D", "likelihood", "bits_per_byte", {"all": 3.0})) == {}
