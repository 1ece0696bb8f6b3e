"""What is counted as answers in a batch is what the loss is on."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.samples.encoding import count_answer_tokens, encode, row
from bench_shadows.model.loss import answer_weights


@settings(deadline=None, max_examples=40)  # the first one compiles
@given(st.integers(0, 2**32 - 1))
def test_as_many_tokens_are_counted_as_the_loss_weighs(seed: int) -> None:
    # Four special tokens among eight: every order of markers comes up.
    rows = np.random.default_rng(seed).integers(0, 8, (4, 24)).astype(np.uint32)
    assert count_answer_tokens(rows) == int(np.asarray(answer_weights(rows)).sum())


def test_answers_are_counted_with_their_ends_whatever_the_prompt() -> None:
    def ids(texts: list[str]) -> list[np.ndarray]:
        return [np.array([10 + ord(letter) for letter in text], np.uint32) for text in texts]

    short, long = ([("ab", "c"), ("d", "efg")], [("ab" * 5, "c"), ("d", "efg")])
    made = encode([short, long], [4, 4], ids)
    counts = [count_answer_tokens(row(one, 40)[None]) for one in made]
    assert counts == [6, 6]
