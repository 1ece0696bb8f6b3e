"""The rules warn of what they name, from simulated looks, and of nothing else."""

import math
from typing import Any

import pytest

from bench_shadows.diagnostics.monitor import Look
from bench_shadows.diagnostics.signatures import find

STEPS, LAYERS = 100, 6
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")


def row(module: str, layer: int | None, **values: Any) -> dict[str, Any]:
    alpha = values.setdefault("alpha", 4.0)
    known = {"effective_rank": 25.0, "relative_change": 0.01, "in_range": alpha and 2 <= alpha <= 6}
    return {"component": "decoder", "module": module, "layer": layer, "tensor": module} | known | values


def run(change: Any = None, moved: Any = lambda progress: 0.1 * (1 - 0.9 * progress)) -> list[Look]:
    """Ten looks at every matrix; `change(module, layer, progress)` gives what differs from a calm run."""
    looks = []
    for step in range(0, STEPS + 1, 10):
        progress = step / STEPS
        rows = [
            row(module, layer, **{"relative_change": moved(progress)} | (change(module, layer, progress) or {}))
            if change
            else row(module, layer, relative_change=moved(progress))
            for module in MODULES
            for layer in range(LAYERS)
        ]
        looks.append(Look(step, tuple(rows)))
    return looks


def told(looks: list[Look], steps: int | None = STEPS) -> set[str]:
    return {finding.signature for finding in find(looks, steps)}


def upper_values(**values: float) -> Any:
    """A change of the upper value projections in the second half."""
    return lambda module, layer, progress: (
        values if module == "self_attn.v_proj" and layer >= 4 and progress > 0.5 else None
    )


def test_a_calm_run_shows_nothing() -> None:
    looks = run()
    for end in range(len(looks) + 1):
        assert not told(looks[:end])


def test_an_image_encoder_beside_the_decoder_hides_nothing() -> None:
    looks = run(upper_values(alpha=5.5, effective_rank=25 * math.exp(-0.2)))
    encoder = tuple(row("self_attn.v_proj", layer) | {"component": "vision"} for layer in range(4 * LAYERS))
    assert told([Look(look.step, look.matrices + encoder) for look in looks]) == {"support collapse"}


def test_raised_alpha_and_a_shifted_rank_in_the_upper_values_are_support_collapse() -> None:
    for shift in (-0.2, 0.2):
        looks = run(upper_values(alpha=5.5, effective_rank=25 * math.exp(shift)))
        assert told(looks) == {"support collapse"}
        assert not told(looks[:5]), "not before it happens"
        assert told(looks, steps=None) == {"support collapse"}, "needs no planned length"


@pytest.mark.parametrize(
    "values", [{"alpha": 5.5}, {"effective_rank": 20.0}, {"alpha": 2.5, "effective_rank": 20.0}]
)
def test_one_of_both_alone_is_not(values: dict[str, float]) -> None:
    assert not told(run(upper_values(**values)))


def test_a_rank_that_falls_far_is_enough() -> None:
    assert told(run(upper_values(alpha=3.0, effective_rank=15.0))) == {"support collapse"}


def test_what_happens_at_every_depth_or_in_other_modules_is_not_support_collapse() -> None:
    everywhere = run(lambda module, layer, progress: {"alpha": 5.5, "effective_rank": 25 - 12 * progress})
    assert not told(everywhere)
    other = run(
        lambda module, layer, progress: (
            {"alpha": 5.5, "effective_rank": 10.0} if module == "mlp.up_proj" and layer >= 4 and progress else None
        )
    )
    assert not told(other)


def test_without_value_projections_all_attention_is_looked_at() -> None:
    def renamed(looks: list[Look]) -> list[Look]:
        return [
            Look(
                look.step,
                tuple(
                    r | {"module": "attention.qkv", "tensor": "x"}
                    for r in look.matrices
                    if "v_proj" in r["module"]
                ),
            )
            for look in looks
        ]

    assert told(renamed(run(upper_values(alpha=5.5, effective_rank=20.0)))) == {"support collapse"}
    assert not told(renamed(run()))


def test_matrices_that_were_read_once_tell_nothing() -> None:
    looks = run(upper_values(alpha=5.5, effective_rank=10.0))
    once = [Look(look.step, look.matrices if look.step == 100 else ()) for look in looks]
    assert not told(once)


def test_an_optimizer_that_does_not_settle_is_told_in_the_last_fifth() -> None:
    looks = run(moved=lambda progress: 0.1)
    assert [look.step for i, look in enumerate(looks) if told(looks[: i + 1])] == [80, 90, 100]
    assert told(looks) == {"unsettled optimizer"}
    assert not told(looks, steps=None), "whether it should have settled is not known"


def test_few_matrices_in_range_are_told_from_half_way() -> None:
    def change(module: str, layer: int, progress: float) -> dict[str, float] | None:
        return {"alpha": 8.0} if layer < 4 else None

    looks = run(change)
    assert [look.step for i, look in enumerate(looks) if told(looks[: i + 1])] == [50, 60, 70, 80, 90, 100]
    assert told(looks) == {"alpha out of range"}
    one_more_than_sampling_explains = run(lambda module, layer, progress: {"alpha": 8.0} if layer < 2 else None)
    assert not told(one_more_than_sampling_explains), "16 of 24, where 70 % may well be the truth"


def test_missing_values_are_left_out() -> None:
    def change(module: str, layer: int, progress: float) -> dict[str, Any]:
        return dict.fromkeys(("alpha", "effective_rank", "relative_change", "in_range"))

    assert not told(run(change))


def test_a_sentence_has_its_figures() -> None:
    (finding,) = find(run(upper_values(alpha=5.5, effective_rank=20.0)), STEPS)
    assert "moved by -20%" in finding.text
    assert "+1.5" in finding.text
