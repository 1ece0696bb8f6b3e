"""The teacher behind an OpenAI-compatible endpoint: asked until a reply is valid, through everything HTTP does.

Two kinds of trouble are kept apart. A *request* that fails (429, 5xx, a timeout, a connection that breaks, half a
reply) is sent again after a growing, random wait, and lowers the number in flight; a *reply* that is invalid is
asked for again, at a higher temperature, `config.data.teacher.attempts` times.

The client's own retries are off. Tried with a semaphore (openai 3.57), they do not send again where half a body or
none of a completion came, let a crowded server refuse until documents are lost, and cannot tell a server that is
down from a piece that fails: both go on for minutes.
"""

import asyncio
import dataclasses
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NamedTuple

from bench_shadows.config import TeacherConfig
from bench_shadows.data.rewriting.endpoint.journal import Reply
from bench_shadows.data.rewriting.endpoint.prompt import ENGLISH, prompt
from bench_shadows.data.rewriting.endpoint.reply import LONGEST, MORE, NO_CONTENT, check
from bench_shadows.errors import BenchShadowsError, ConfigError, RunError
from bench_shadows.progress import duration, say

BYTES_PER_TOKEN = 2
"""Fewer than any usual text has (English has 4, Chinese 2 to 3): what is reckoned to fit the context fits."""
RETRY_TEMPERATURE = 0.3
"""At least this after an invalid reply: at 0 the same reply would come again."""
PATIENCE_SECONDS = 300.0
"""A server that has answered nothing for so long, the waits it asked for not counted, is down for good."""
LONGEST_WAIT_SECONDS = 600.0
"""A server that asks for a longer pause is left, and the run with it."""
CUT = 0.5
"""What is left of the number in flight after a refusal."""
FAILURES = 12
"""Requests for one piece that may fail while others are answered: then it is the piece."""
HOPELESS = 100
"""Pieces without a valid reply, none before them with one, after which the teacher is given up."""
OLD_LIMIT = "max_tokens"
"""What servers before `max_completion_tokens` call a reply's longest length."""
_FIRST_WAIT, _MOST_WAIT = 0.5, 30.0  # seconds between two requests for one piece, doubling
_REJECTIONS = 8  # requests that a server may reject before it has answered one
_SHORTEST_KEY = 8  # characters; what a server of one's own is told, `x` or `EMPTY`, is no secret
_EXCERPT = 300  # characters of an invalid reply that are kept
_BUSY = (408, 409, 425, 429)  # and 5xx: worth another request
_CROWDED = (408, 429, 503, 504, 529)  # fewer requests may help
_COMPLAIN_SECONDS = 30.0
_A_DAY = 86_400.0


class Piece(NamedTuple):
    """What one request asks to rewrite: a document or a part of one."""

    key: str
    text: str
    kind: str
    language: str


_PROBE = Piece("", "This is a small test.", "text", "en")


class _Answer(NamedTuple):
    text: str
    problem: str | None  # with the reply as a whole
    tokens_in: int
    tokens_out: int


class _FailedError(Exception):
    """A request without a reply: `problem` is counted, `detail` is shown."""

    def __init__(self, problem: str, detail: str = "", *, crowded: bool = False, retry_after: float = 0.0):
        super().__init__(problem)
        self.problem, self.detail, self.crowded, self.retry_after = problem, detail, crowded, retry_after


class _RejectedError(_FailedError):
    """A request that would fail every time."""


def longest_piece(teacher: TeacherConfig) -> int:
    """UTF-8 bytes of text for one request: a third of what the context has room for, the reply gets the rest."""
    return (teacher.context_tokens - _tokens(ENGLISH)) * BYTES_PER_TOKEN // 3


def _tokens(text: str) -> int:
    return len(text.encode()) // BYTES_PER_TOKEN + 1


@dataclasses.dataclass
class Traffic:
    """What this process sent and got."""

    requests: int = 0
    failures: Counter[str] = dataclasses.field(default_factory=Counter)
    replies: int = 0
    valid: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Limiter:
    """An asynchronous context for one request, shared by all.

    Additive increase, multiplicative decrease (Chiu and Jain 1989): a refusal halves the limit, once for all the
    requests that were under way when it was halved last; each reply raises it by 1 / limit, up to `most`.
    A server that names a time (Retry-After) is left alone for so long.
    """

    def __init__(self, most: int):
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self.resume = 0.0
        """Time (monotonic) before which nothing is sent."""
        self._cut = -1.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> float:
        """Waits for a place; returns the time (monotonic) at which it was given."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.in_flight < int(self.limit))
                if (wait := self.resume - time.monotonic()) <= 0:
                    self.in_flight += 1
                    return time.monotonic()
            await asyncio.sleep(wait)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._changed:
            self.in_flight -= 1
            self._changed.notify(2)  # one for the place, one for what the limit may have grown

    def answered(self) -> None:
        """The server gave a reply."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def refused(self, sent: float, retry_after: float = 0.0) -> None:
        """The server could not take a request that was sent at `sent`; it may name seconds to wait."""
        now = time.monotonic()
        if sent > self._cut:
            self.limit, self._cut = max(1.0, self.limit * CUT), now
        self.resume = max(self.resume, now + retry_after)


class Endpoint:
    """A client of one server; use it in one event loop.

    Raises ConfigError without the library `openai` (extra: teacher). The key is OPENAI_API_KEY's, and no message
    ever shows it.
    """

    def __init__(self, teacher: TeacherConfig, kept: str, patience: float = PATIENCE_SECONDS):
        """`kept` ends the message of every error: what is on the disk already."""
        try:
            import openai
        except ImportError as error:
            raise ConfigError(
                'config.data.rewriter="endpoint" needs the library openai: pip install "bench-shadows[teacher]"'
            ) from error
        self.teacher, self.kept, self.patience = teacher, kept, patience
        self.limiter = Limiter(teacher.concurrency)
        self.traffic = Traffic()
        self._library = openai
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigError("OPENAI_API_KEY: it has characters that no HTTP header can carry")
        self._client = openai.AsyncOpenAI(
            base_url=teacher.base_url,
            api_key=self._key or "none",  # a server of one's own wants none
            max_retries=0,  # ours: they know the limiter
            timeout=teacher.timeout_seconds,
        )
        self._limit = "max_completion_tokens"
        self._given_up: Counter[str] = Counter()  # pieces without a valid reply, by reason, while there is none
        self._answered = time.monotonic()  # last reply of any kind
        self._complained = self._answered

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def stream(self, pieces: Iterator[Piece], sink: Callable[[Reply], None]) -> None:
        """Rewrites pieces, `config.data.teacher.concurrency` at once, in order of their replies.

        `sink` gets what came of every piece; `attempts` is 0 where the server gave no reply at all.
        Raises RunError where the server is down, or will not have us.
        """
        self._answered = time.monotonic()

        async def work() -> None:
            for piece in pieces:
                sink(await self.rewrite(piece))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.teacher.concurrency):
                    group.create_task(work())
        except ExceptionGroup as errors:  # the others were cancelled for the first one's sake
            raise errors.exceptions[0] from None

    async def rewrite(self, piece: Piece) -> Reply:
        """The first valid reply to a piece, or what the last one's fault was."""
        tokens_in = tokens_out = 0
        for attempt in range(1, self.teacher.attempts + 1):
            try:
                answer = await self._answer(piece, again=attempt > 1)
            except _FailedError as error:
                problem = f"no reply: {error.problem}"
                return Reply(piece.key, None, problem, error.detail, 0, tokens_in, tokens_out)
            tokens_in, tokens_out = tokens_in + answer.tokens_in, tokens_out + answer.tokens_out
            text, reason = None, answer.problem
            if reason is None:
                text, reason = check(answer.text, piece.text, piece.kind, piece.language)
            if text is not None:
                self.traffic.valid += 1
                break
        if text is None and not self.traffic.valid:
            self._given_up[reason or ""] += 1
            if self._given_up.total() >= HOPELESS:
                reasons = ", ".join(f"{count} {name}" for name, count in self._given_up.most_common(3))
                what = f"gave no valid reply to its first {HOPELESS} pieces ({reasons})"
                raise self._end(f"{what}; name a model that follows the prompt")
        excerpt = None if text is not None else answer.text[:_EXCERPT]
        return Reply(piece.key, text, reason, excerpt, attempt, tokens_in, tokens_out)

    async def _answer(self, piece: Piece, again: bool) -> _Answer:
        """Sends a request until the server answers it; raises _FailedError where it will not."""
        failures = waits = 0
        while True:
            async with self.limiter as sent:
                try:
                    answer = await self._send(piece, again)
                    break
                except _FailedError as error:
                    failure = error
            self.traffic.failures[failure.problem] += 1
            if failure.crowded:
                self.limiter.refused(sent, failure.retry_after)
            await self._lose_patience(failure)
            failures += failure.problem != "HTTP 429"  # that one means later, however often
            if isinstance(failure, _RejectedError) or failures >= FAILURES:
                raise failure
            await asyncio.sleep(random.uniform(0.5, 1) * min(_MOST_WAIT, _FIRST_WAIT * 2**waits))
            waits += 1
        self.limiter.answered()
        self._answered = time.monotonic()
        self.traffic.replies += 1
        self.traffic.tokens_in += answer.tokens_in
        self.traffic.tokens_out += answer.tokens_out
        return answer

    async def _send(self, piece: Piece, again: bool) -> _Answer:
        """One request. Raises _FailedError where there is no reply, RunError where there will be none for any."""
        teacher, size = self.teacher, _tokens(piece.text)
        room = teacher.context_tokens - _tokens(ENGLISH) - size
        limit = self._limit
        self.traffic.requests += 1
        try:
            async with asyncio.timeout(teacher.timeout_seconds):
                completion = await self._client.chat.completions.create(
                    model=teacher.model,
                    messages=[{"role": "user", "content": prompt(piece.text, piece.language)}],
                    temperature=max(teacher.temperature, RETRY_TEMPERATURE) if again else teacher.temperature,
                    # A reply that outgrows this is invalid in any case.
                    extra_body={limit: min(room, int(LONGEST * 2 * size) + MORE)},
                )
        except self._library.APIStatusError as error:
            if error.status_code in (400, 422) and limit in str(error) and limit != OLD_LIMIT:
                self._limit = OLD_LIMIT  # an older server, which knows no other name for it
                return await self._send(piece, again)
            raise self._status_problem(error) from None
        except (TimeoutError, self._library.APITimeoutError):
            raise _FailedError("timeout", crowded=True) from None
        except self._library.APIConnectionError as error:
            raise _FailedError("connection broken", self._shown(error.__cause__ or error)) from None
        except (self._library.APIError, ValueError) as error:
            raise _FailedError("not a reply", self._shown(error)) from None
        answer = _read(completion)
        return answer._replace(text=self._without_key(answer.text))

    def _status_problem(self, error: Any) -> BenchShadowsError | _FailedError:
        """What an HTTP status other than 200 means."""
        status, said = error.status_code, self._shown(error)
        if status in _BUSY or status >= 500:
            retry_after = _seconds(error.response.headers.get("retry-after", ""))
            return _FailedError(f"HTTP {status}", said, crowded=status in _CROWDED, retry_after=retry_after)
        if status in (400, 413, 422) and (self.traffic.replies or self.traffic.failures.total() < _REJECTIONS):
            return _RejectedError(f"HTTP {status}", said)
        hint = {401: "set OPENAI_API_KEY", 403: "set OPENAI_API_KEY", 404: "check base_url and model"}
        advice = hint.get(status, "check config.data.teacher")
        return self._end(f"refuses model {self.teacher.model!r}: {said}; {advice}")

    async def _lose_patience(self, failure: _FailedError) -> None:
        """Raises RunError where waiting on has no sense; says now and then what we wait for."""
        now = time.monotonic()
        if failure.retry_after > LONGEST_WAIT_SECONDS:
            raise self._end(f"asks for a pause of {duration(failure.retry_after)}; run again after it")
        silent = now - max(self._answered, min(now, self.limiter.resume))
        if silent > self.patience + self.teacher.timeout_seconds * (failure.problem == "timeout"):
            try:  # it may be the last pieces that it cannot take: would it take any?
                await self._send(_PROBE, again=False)
            except _FailedError:
                silence = f"has answered nothing for {duration(silent)}"
                raise self._end(f"{silence}: {failure.problem} {failure.detail}") from None
            self._answered = time.monotonic()
        elif silent > _COMPLAIN_SECONDS and now - self._complained > _COMPLAIN_SECONDS:
            self._complained = now
            say(f"teacher: no answer for {duration(silent)} ({failure.problem} {failure.detail}); trying on")

    def _end(self, what: str) -> RunError:
        return RunError(f"the teacher at {self.teacher.base_url} {what}. {self.kept}")

    def _shown(self, error: BaseException) -> str:
        """An error's message in one line, cut, and without the key, which a server may repeat."""
        return self._without_key(" ".join(str(error).split()) or type(error).__name__)[:_EXCERPT]

    def _without_key(self, text: str) -> str:
        """What a server wrote, before it goes anywhere: the key that it may repeat is taken out."""
        return text.replace(self._key, "***") if len(self._key) >= _SHORTEST_KEY else text


def _read(completion: Any) -> _Answer:
    """The reply in a response; raises _FailedError where the response has none."""
    try:
        choice = completion.choices[0]
        finish, content = choice.finish_reason, choice.message.content
        text = content or ""
        refused = bool(getattr(choice.message, "refusal", None)) or finish == "content_filter"
        text.encode()  # half of a surrogate pair cannot be written
    except (AttributeError, IndexError, TypeError, UnicodeEncodeError) as error:
        raise _FailedError("not a reply", type(error).__name__) from None
    if not isinstance(finish, str):
        raise _FailedError("not a reply", "without a finish_reason")
    usage = getattr(completion, "usage", None)
    tokens = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    tokens_in, tokens_out = (count if isinstance(count, int) else 0 for count in tokens)
    problem = "truncated" if finish == "length" else "refused" if refused else None if text.strip() else NO_CONTENT
    return _Answer(text, problem, tokens_in, tokens_out)


def _seconds(retry_after: str) -> float:
    """A Retry-After header (seconds or a date, RFC 9110, 10.2.3) in seconds from now; 0 where it is neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(_A_DAY, max(0.0, seconds))
