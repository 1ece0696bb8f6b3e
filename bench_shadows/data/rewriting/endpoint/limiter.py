"""How many requests may be in flight: as many as the user allows, fewer while the server asks for fewer."""

import asyncio
import time
from types import TracebackType

CUT = 0.5
"""What is left of the limit after a refusal."""


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
