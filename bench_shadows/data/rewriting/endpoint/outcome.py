"""What a teacher made of one document."""

import re
from typing import NamedTuple

from bench_shadows.data.corpus.document import Document

WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W\d_\u3400-\u4dbf\u4e00-\u9fff]+")
"""A Chinese character, or a run of other letters."""


class Rewritten(NamedTuple):
    """A document after rewriting, and what happened to it."""

    document: Document | None
    """The rewritten document, or the original where it is kept; None leaves it out of the rewritten half."""
    outcome: str
    """`rewritten`, or the reason why the text is kept or left out: a few words, the same for every document of a
    kind, because outcomes are counted."""
    words: int
    """Words (for code: names) that were looked at ..."""
    changed: int
    """... and how many of them became another."""
