"""What a teacher made of one document."""

from typing import NamedTuple

from bench_shadows.data.corpus.document import Document


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
