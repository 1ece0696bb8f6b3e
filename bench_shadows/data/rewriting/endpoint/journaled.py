"""The endpoint's teacher with its journal: finished pieces of documents from the disk, the others asked for."""

import asyncio
import contextlib
import dataclasses
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.endpoint import endpoint, prompt
from bench_shadows.data.rewriting.endpoint.endpoint import Endpoint, Piece, longest_piece
from bench_shadows.data.rewriting.endpoint.journal import Journal, Reply, open_settings, piece_key
from bench_shadows.data.rewriting.endpoint.outcome import WORD, Rewritten
from bench_shadows.data.rewriting.endpoint.split import split
from bench_shadows.progress import Progress, duration, say

VERSION = 2
"""Of how replies are asked for and checked; raised with every change that makes old replies different ones."""
TOKENS_PER_SECOND = 1000.0
"""The teacher that an estimate's hours are stated for; the progress line shows the real rate."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KEPT = "Every reply until then is kept in {home}; the same command goes on from there"


def settings(teacher: TeacherConfig) -> dict[str, Any]:
    """What replies depend on. Not the address: a fleet's clients may each have their own server."""
    return {
        "version": VERSION,
        "model": teacher.model,
        "temperature": teacher.temperature,
        "retry_temperature": endpoint.RETRY_TEMPERATURE,
        "context_tokens": teacher.context_tokens,
        "prompts": {"en": prompt.ENGLISH, "zh": prompt.CHINESE},
    }


def pieces(document: Document, longest: int) -> list[Piece]:
    """A document in pieces of at most `longest` UTF-8 bytes, keyed by its id, their number and their content."""
    kind, language = document.kind, document.language
    texts = split(document.text, kind, language, longest)
    return [
        Piece(piece_key(document.id, number, text, kind, language), text, kind, language)
        for number, text in enumerate(texts)
    ]


def joined(document: Document, parts: Sequence[Piece], replies: Mapping[str, Reply], invalid: str) -> Rewritten:
    """A document from the replies to its pieces; a piece without words has none and keeps its text.

    With an invalid piece the document is kept or left out whole: half of it in other words would be neither.
    """
    for part in parts:
        if part.text.strip() and (reply := replies[part.key]).text is None:
            return Rewritten(document if invalid == "keep" else None, reply.reason or "", 0, 0)
    text = "".join(replies[part.key].text or "" if part.text.strip() else part.text for part in parts)
    before, after = Counter(WORD.findall(document.text)), Counter(WORD.findall(text))
    outcome = "exercise" if document.kind == "exercise" else "rewritten"
    changed = (before - after).total()  # words of the original that the rewritten text has not, or has less often
    language = "javascript" if document.kind == "code" else document.language  # what the prompt asks for
    return Rewritten(dataclasses.replace(document, text=text, language=language), outcome, before.total(), changed)


class JournaledTeacher:
    """Rewrites documents; a reply goes to the journal before it is used, and what lies there is not asked again.

    The server is called when the first reply is missing: where the journal has all, no server is needed.
    """

    def __init__(self, teacher: TeacherConfig, journal: Journal):
        self.teacher, self.journal = teacher, journal
        self.totals: Counter[str] = Counter()
        """Requests with a reply and their tokens, for the documents of `rewrite`, whichever run paid for them."""
        self.excerpts: dict[str, str] = {}
        """Reason -> the beginning of a reply that was invalid for it."""
        self._runner = asyncio.Runner()
        self._endpoint: Endpoint | None = None
        self._began = 0.0

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, teacher: TeacherConfig, folder: Path, index: int = 0, count: int = 1
    ) -> Iterator["JournaledTeacher"]:
        """The teacher whose journal is in `folder`, as client `index` of `count`.

        Raises RunError while another process is that client, or divides the documents by another number.
        """
        home = open_settings(folder, settings(teacher))
        with Journal.open(home, index, count) as journal:
            if journal.damaged:
                say(f"teacher: {journal.damaged:,} lines in {home} cannot be read and are asked for again")
            made = cls(teacher, journal)
            try:
                yield made
            finally:
                made._close()

    def rewrite(self, documents: Sequence[Document]) -> list[Rewritten]:
        """The documents rewritten, in their order."""
        parts = [pieces(document, longest_piece(self.teacher)) for document in documents]
        replies: dict[str, Reply] = {}
        missing = []
        for part in itertools.chain.from_iterable(parts):
            if part.text.strip():
                if reply := self._finished(part.key):
                    replies[part.key] = reply
                else:
                    missing.append(part)
        if missing:
            names = {part.key for part in missing}
            todo = [one for one, own in zip(documents, parts, strict=True) if names & {part.key for part in own}]
            say(f"teacher: {estimate(todo, len(todo), self.teacher).line()}")
            with Progress("teacher", total=len(missing), unit="pieces") as progress:

                def finished(reply: Reply) -> None:
                    replies[reply.key] = reply
                    progress.add(1, self._note())

                self._ask(iter(missing), finished)
        for reply in replies.values():
            self.totals.update(requests=reply.attempts, tokens_in=reply.tokens_in, tokens_out=reply.tokens_out)
            if reply.reason and reply.refused:
                self.excerpts.setdefault(reply.reason, reply.refused)
        return [
            joined(document, own, replies, self.teacher.invalid)
            for document, own in zip(documents, parts, strict=True)
        ]

    def fetch(self, label: str, documents: Iterator[Document], expected: float) -> None:
        """Brings the replies for a stream of documents into the journal; no more than the window is in memory.

        `expected` is about how many documents there will be, for the progress. Says in the end what came.
        """
        outcomes: Counter[str] = Counter()
        weights: dict[str, float] = {}  # of the pieces in flight: their share of a document
        with Progress(label, total=expected, unit="documents") as progress:

            def missing() -> Iterator[Piece]:
                for document in documents:
                    parts = pieces(document, longest_piece(self.teacher))
                    todo = [part for part in parts if part.text.strip() and not self._finished(part.key)]
                    if not todo and progress.total:
                        progress.total = max(progress.done, progress.total - 1)  # an earlier run's
                    weights.update((part.key, 1 / len(todo)) for part in todo)
                    yield from todo

            def finished(reply: Reply) -> None:
                outcomes[reply.reason or "valid"] += 1
                progress.add(weights.pop(reply.key, 0.0), self._note())

            self._ask(missing(), finished)
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
        say(f"{label}: {said or 'nothing was missing'}; kept in {self.journal.home}")

    def report(self) -> dict[str, Any]:
        """Replies, tokens and cost of the documents rewritten; an excerpt of each kind of invalid reply."""
        tokens_in, tokens_out = self.totals["tokens_in"], self.totals["tokens_out"]
        return {
            "model": self.teacher.model,
            "requests": self.totals["requests"],
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "cost": cost(tokens_in, tokens_out, self.teacher),
            "invalid_replies": dict(sorted(self.excerpts.items())),
        }

    def _finished(self, key: str) -> Reply | None:
        """The journal's reply, where it is valid or as often asked for as the config wants."""
        reply = self.journal.find(key)
        return reply if reply and (reply.text is not None or reply.attempts >= self.teacher.attempts) else None

    def _ask(self, parts: Iterator[Piece], finished: Callable[[Reply], None]) -> None:
        """Asks for pieces; each reply is in the journal before `finished` sees it."""
        if self._endpoint is None:
            self._endpoint = Endpoint(self.teacher, _KEPT.format(home=self.journal.home))
            self._began = time.monotonic()

        def keep(reply: Reply) -> None:
            if reply.attempts:  # a piece that the server gave no reply for is asked for again
                self.journal.append(reply)
            finished(reply)

        try:
            self._runner.run(self._endpoint.stream(parts, keep))
        finally:
            self.journal.sync()

    def _note(self) -> str:
        """What the server does for us, for the progress line."""
        assert self._endpoint is not None
        traffic, limiter = self._endpoint.traffic, self._endpoint.limiter
        rate = traffic.tokens_out / max(1e-3, time.monotonic() - self._began)
        parts = [f"{traffic.valid / max(1, traffic.replies):.0%} of replies valid"]
        parts += [f"{limiter.in_flight} in flight", f"{rate:,.0f} tokens/s"]
        if failed := traffic.failures.total():
            parts.append(f"{failed:,} requests failed ({traffic.failures.most_common(1)[0][0]})")
        if spent := cost(traffic.tokens_in, traffic.tokens_out, self.teacher):
            parts.append(f"cost {spent:,.2f}")
        return ", ".join(parts)

    def _close(self) -> None:
        if self._endpoint is not None:
            self._runner.run(self._endpoint.close())
        self._runner.close()


# ---- what a teacher costs


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
    tokens_in, tokens_out = scale * (text + pieces * tokens(prompt.ENGLISH)), scale * text
    return Estimate(documents, scale * pieces, tokens_in, tokens_out, cost(tokens_in, tokens_out, teacher))


def tokens(text: str) -> float:
    """Tokens that a large vocabulary makes of a text, roughly: 0.7 a Chinese character, 0.25 any other."""
    han = len(_HAN.findall(text))
    return 0.7 * han + (len(text) - han) / 4


def cost(tokens_in: float, tokens_out: float, teacher: TeacherConfig) -> float:
    """In the currency of the config's prices."""
    return (tokens_in * teacher.input_price + tokens_out * teacher.output_price) / 1e6
