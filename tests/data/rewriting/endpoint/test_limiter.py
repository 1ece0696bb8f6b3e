"""The number of requests in flight follows what the server can take."""

import asyncio
import time

from bench_shadows.data.rewriting.endpoint.endpoint import Limiter


async def most_at_once(limiter: Limiter, requests: int) -> int:
    running = most = 0

    async def request() -> None:
        nonlocal running, most
        async with limiter:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(request() for _ in range(requests)))
    return most


def test_no_more_are_in_flight_than_the_limit() -> None:
    assert asyncio.run(most_at_once(Limiter(5), 40)) == 5


def test_a_refusal_halves_the_limit_once_for_all_that_were_under_way() -> None:
    limiter = Limiter(64)
    sent = time.monotonic()
    for _ in range(10):
        limiter.refused(sent)
    assert limiter.limit == 32
    limiter.refused(time.monotonic())
    assert limiter.limit == 16


def test_the_limit_never_falls_below_one_request() -> None:
    limiter = Limiter(4)
    for _ in range(10):
        limiter.refused(time.monotonic())
    assert limiter.limit == 1
    assert asyncio.run(most_at_once(limiter, 5)) == 1


def test_a_limits_worth_of_replies_adds_one_up_to_the_most() -> None:
    limiter = Limiter(10)
    limiter.refused(time.monotonic())
    for _ in range(5):
        limiter.answered()
    assert 5.9 < limiter.limit <= 6
    for _ in range(1000):
        limiter.answered()
    assert limiter.limit == 10


def test_nothing_is_sent_before_the_time_that_the_server_named() -> None:
    async def pause() -> float:
        limiter = Limiter(4)
        began = time.monotonic()
        limiter.refused(began, retry_after=0.1)
        await most_at_once(limiter, 4)
        return time.monotonic() - began

    assert asyncio.run(pause()) >= 0.1


def test_a_request_that_is_given_up_frees_its_place() -> None:
    async def give_up() -> int:
        limiter = Limiter(1)

        async def stuck() -> None:
            async with limiter:
                await asyncio.sleep(60)

        task = asyncio.create_task(stuck())
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(most_at_once(limiter, 3))
        await asyncio.sleep(0.01)
        task.cancel()
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(give_up()) == 1
