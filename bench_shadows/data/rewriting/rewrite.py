"""Condition D's rewriting: the first half's documents, by the config's teacher, counted by what became of them.

The teacher is `builtin`, rules that run here; or `endpoint`, a language model behind an OpenAI-compatible address,
whose replies are kept in RUN/data/rewritten/ (a fleet can bring them there beforehand: `rewrite_shard`).
"""

import contextlib
import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.endpoint.outcome import WORD, Rewritten
from bench_shadows.data.rewriting.rules.rules import rewrite_counted
from bench_shadows.errors import ConfigError
from bench_shadows.progress import say

EXAMPLES = 3
"""Documents of every outcome that the report shows ..."""
EXCERPT = 400
"""... with so many characters."""
_SAMPLE = 500  # documents that an estimate is made from
_BYTES_PER_TOKEN = 5  # of the run's tokenizer, and a quarter more, for rewriting shortens; an estimate


@dataclasses.dataclass(frozen=True)
class Rewriting:
    """What is rewritten, and by whom."""

    rewriter: str
    """`builtin` or `endpoint`."""
    teacher: TeacherConfig
    share: float = 1.0
    """Of the first half's documents."""
    tokens: int = 0
    """Tokens of the first phase, from which the work is estimated."""


class Teacher:
    """Rewrites documents in batches and counts.

    with open_teacher(rewriting, folder) as teacher:
        rewritten = teacher(documents)  # None where a document leaves the rewritten half
    teacher.report()
    """

    def __init__(
        self,
        share: float,
        rewrite: Callable[[Sequence[Document]], Sequence[Rewritten]],
        account: Callable[[], dict[str, Any]] = dict,
    ):
        self._share, self._rewrite, self._account = share, rewrite, account
        self._outcomes: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._examples: dict[str, list[dict[str, str]]] = {}

    def __call__(self, documents: Sequence[Document]) -> list[Document | None]:
        """The documents after rewriting, in their order; None leaves one out."""
        rewritten = iter(
            self._rewrite([document for document in documents if is_chosen(document.id, self._share)])
        )
        results = [
            next(rewritten) if is_chosen(document.id, self._share) else Rewritten(document, "not chosen", 0, 0)
            for document in documents
        ]
        for document, result in zip(documents, results, strict=True):
            self._count(document, result)
        return [result.document for result in results]

    def report(self) -> dict[str, Any]:
        """Documents by outcome, words, characters and examples; of an endpoint also requests, tokens and cost."""
        return {
            "documents": self._outcomes.total(),
            "outcomes": dict(sorted(self._outcomes.items())),
            **self._totals,
            **self._account(),
            "examples": [example for _, group in sorted(self._examples.items()) for example in group],
        }

    def _count(self, before: Document, result: Rewritten) -> None:
        after = result.document.text if result.document else ""
        self._outcomes[result.outcome] += 1
        self._totals["words"] += result.words
        self._totals["words_changed"] += result.changed
        if result.outcome != "not chosen" and result.document:
            words = Counter(WORD.findall(before.text))
            self._totals["words_chosen"] += words.total()
            self._totals["words_gone"] += (words - Counter(WORD.findall(after))).total()
        self._totals["characters_before"] += len(before.text)
        self._totals["characters_after"] += len(after)
        examples = self._examples.setdefault(result.outcome, [])
        if result.outcome != "not chosen" and len(examples) < EXAMPLES:
            texts = {"before": before.text[:EXCERPT], "after": after[:EXCERPT]}
            kind = {"kind": before.kind, "language": before.language}
            examples.append({"outcome": result.outcome, "id": before.id, **kind, **texts})


@contextlib.contextmanager
def open_teacher(rewriting: Rewriting, folder: Path) -> Iterator[Teacher]:
    """The teacher of a study; `folder` is RUN/data, where an endpoint's replies are kept.

    Raises:
      ConfigError: the endpoint needs the extra `teacher`.
      RunError: another process writes the same journal.
    """
    if rewriting.rewriter == "builtin":
        yield Teacher(rewriting.share, lambda documents: [rewrite_counted(document) for document in documents])
        return
    from bench_shadows.data.rewriting.endpoint.journaled import JournaledTeacher

    with JournaledTeacher.open(rewriting.teacher, folder / "rewritten") as teacher:
        yield Teacher(rewriting.share, teacher.rewrite, teacher.report)


def rewrite_shard(
    rewriting: Rewriting, documents: Iterator[Document], folder: Path, index: int, count: int
) -> None:
    """Brings the endpoint's replies for one part of the documents into the journal: client `index` of `count`.

    A document belongs to one shard, by a hash of its id. Killed and started again, it goes on; replies of any
    earlier shards, however many they were, are not asked for again.

    Args:
      documents: of the first half, in drawing order, the same for every client.
      folder: RUN/data.
      index: from 0 to `count` - 1.
      count: clients that share the work.
    Raises:
      ConfigError: the built-in teacher needs no fleet; a shard that cannot be.
      RunError: another process has this shard, or the server is down; the message says what is kept.
    """
    from bench_shadows.data.rewriting.endpoint.journaled import JournaledTeacher, estimate

    if rewriting.rewriter == "builtin":
        raise ConfigError('rewrite: config.data.rewriter is "builtin", which `prepare` runs itself; nothing to do')
    if not 0 <= index < count:
        raise ConfigError(f"--shard={index}/{count}: expected i/n with i from 0 to n - 1")
    mine = (
        document
        for document in documents
        if is_chosen(document.id, rewriting.share) and int(_fraction("shard", document.id) * count) == index
    )
    with JournaledTeacher.open(rewriting.teacher, folder / "rewritten", index, count) as teacher:
        sample = list(itertools.islice(mine, _SAMPLE))
        expected: float = len(sample)
        if expected == _SAMPLE:
            text = rewriting.tokens * _BYTES_PER_TOKEN * rewriting.share / count
            expected = max(expected, text * expected / sum(len(document.text.encode()) for document in sample))
        say(f"teacher: {estimate(sample, expected, rewriting.teacher).line()}")
        label = f"rewriting, shard {index}/{count}" if count > 1 else "rewriting"
        teacher.fetch(label, itertools.chain(sample, mine), expected)


def changed_share(report: dict[str, Any]) -> float:
    """Share of the words of the documents to be rewritten that are gone or fewer after it, in [0, 1].

    It is counted the same for every teacher, language and kind, from the texts: not what a teacher says of itself.
    """
    return float(report.get("words_gone", 0) / max(1, report.get("words_chosen", 0)))


def is_chosen(document: str, share: float) -> bool:
    """Whether a document, by its id, is among the share that is rewritten; a larger share has all of a smaller."""
    return _fraction("rewrite", document) < share


def _fraction(purpose: str, document: str) -> float:
    """A number in [0, 1) from a document's id; another purpose gives an independent one."""
    digest = hashlib.sha256(f"{purpose} {document}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
