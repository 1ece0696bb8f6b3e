"""An answer is right or it is not: exact after normalisation, or by the conditions of its check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.data.samples.sample import Sample
from bench_shadows.data.samples.scoring import normalized, overlap, score


def asked(reply: str, **check: object) -> Sample:
    sample: Sample = {
        "id": "1",
        "task": "t",
        "group": "language",
        "language": "en",
        "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": reply}],
    }
    if check:
        sample["check"] = check
    return sample


@pytest.mark.parametrize("said", ["Red circle", " red  circle.\n", "RED CIRCLE!", "ｒｅｄ circle"])
def test_case_space_and_the_sign_at_the_end_do_not_matter(said: str) -> None:
    assert score(asked("red circle"), said)


@pytest.mark.parametrize("said", ["", "red", "circle red", "a red circle", "red circles"])
def test_everything_else_does(said: str) -> None:
    assert not score(asked("red circle"), said)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ({"equals": "RED"}, " RED ", "red"),
        ({"words": 3}, "one two three", "one two"),
        ({"lines": 2}, "one\ntwo", "one two"),
        ({"upper": True}, "RED 2", "RED two"),
        ({"lower": True}, "red 2", "Red 2"),
        ({"starts": "Answer:"}, "Answer: red", "red"),
        ({"ends": "."}, "It is.", "It is"),
        ({"contains": ["lake", "old"]}, "The Lake is old.", "The lakes are old."),
        ({"excludes": ["e"]}, "plum", "apple"),
        ({"members": ["red", "blue"]}, "Blue, red", "blue, blue"),
        ({"members": ["red", "blue"]}, "blue", "green"),
        ({"items": 3}, "a, b, c", "a, b"),
        ({"items": 2, "members": ["red", "blue"]}, "red, blue", "red"),
        ({"box": [1, 1, 5, 5]}, "1 1 5 4", "5 5 9 9"),
        ({"box": [1, 1, 5, 5]}, "(1, 1), (5, 5)", "1 1 5"),
    ],
)
def test_conditions(check: dict[str, object], right: str, wrong: str) -> None:
    assert score(asked("reference", **check), right)
    assert not score(asked("reference", **check), wrong)
    assert not score(asked("reference", **check), "  ")


def test_a_condition_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="check has rhymes; conditions are equals"):
        score(asked("x", rhymes=True), "x")


edges = st.tuples(*[st.integers(0, 10)] * 4)


@given(edges, edges)
def test_overlap_is_a_share_and_the_same_both_ways(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert 0 <= overlap(one, other) <= 1
    assert overlap(one, other) == overlap(other, one)
    if one[2] > one[0] and one[3] > one[1]:
        assert overlap(one, one) == 1


@given(st.text())
def test_normalizing_again_changes_nothing(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(st.text(), st.lists(st.sampled_from(["box", "words", "items", "contains", "members"]), min_size=1))
def test_any_text_can_be_scored(said: str, names: list[str]) -> None:
    wanted = {"box": [1, 2, 3, 4], "words": 2, "items": 2, "contains": ["a"], "members": ["a", "b"]}
    assert score(asked("x", **{name: wanted[name] for name in names}), said) in (True, False)
