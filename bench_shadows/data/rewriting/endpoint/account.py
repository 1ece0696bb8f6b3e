"""What a teacher costs: an estimate before it starts, and the account afterwards."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.endpoint.endpoint import longest_piece
from bench_shadows.data.rewriting.endpoint.prompt import ENGLISH
from bench_shadows.data.rewriting.endpoint.split import split
from bench_shadows.progress import duration

TOKENS_PER_SECOND = 1000.0
"""The teacher that an estimate's hours are stated for; the real rate stands in the progress line."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


class Estimate(NamedTuple):
    """Of a rewriting that has not begun; every figure is a forecast."""

    documents: float
    requests: float
    tokens_in: float
    tokens_out: float
    cost: float

    def line(self) -> str:
        """The estimate as a person reads it."""
        text = (
            f"about {self.documents:,.0f} documents, {self.requests:,.0f} requests, {self.tokens_in:,.0f} tokens "
            f"in, {self.tokens_out:,.0f} out: {duration(self.tokens_out / TOKENS_PER_SECOND)} of a teacher that "
            f"writes {TOKENS_PER_SECOND:,.0f} tokens a second"
        )
        return f"{text}, cost {self.cost:,.2f}" if self.cost else text


def estimate(sample: Sequence[Document], documents: float, teacher: TeacherConfig) -> Estimate:
    """What rewriting `documents` documents like those of the sample takes, if every first reply is valid.

    A rewritten document is reckoned as long as its original.
    """
    pieces = sum(len(split(one.text, one.kind, one.language, longest_piece(teacher))) for one in sample)
    text = sum(tokens(one.text) for one in sample)
    scale = documents / max(1, len(sample))
    tokens_in, tokens_out = scale * (text + pieces * tokens(ENGLISH)), scale * text
    return Estimate(documents, scale * pieces, tokens_in, tokens_out, cost(tokens_in, tokens_out, teacher))


def tokens(text: str) -> float:
    """Tokens that a large vocabulary makes of a text, roughly: 0.7 a Chinese character, 0.25 any other."""
    han = len(_HAN.findall(text))
    return 0.7 * han + (len(text) - han) / 4


def cost(tokens_in: float, tokens_out: float, teacher: TeacherConfig) -> float:
    """In the currency of the config's prices."""
    return (tokens_in * teacher.input_price + tokens_out * teacher.output_price) / 1e6
