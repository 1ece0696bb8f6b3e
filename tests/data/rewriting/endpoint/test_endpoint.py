"""The client against a real socket: what a server does wrong, and what is made of it."""

import asyncio
import collections
import json
import logging
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from fault_server import GARBAGE, OTHER_JSON, FaultServer, completion, simple

from bench_shadows.config import TeacherConfig
from bench_shadows.data.rewriting.endpoint import endpoint
from bench_shadows.data.rewriting.endpoint.endpoint import BYTES_PER_TOKEN, Endpoint, Piece, longest_piece
from bench_shadows.data.rewriting.endpoint.journal import Reply
from bench_shadows.errors import ConfigError, RunError

KEPT = "12 replies are kept"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer().running() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(endpoint, "_MOST_WAIT", 0.1)


def some_pieces(count: int) -> list[Piece]:
    return [Piece(f"{n:032x}", f"We utilise number {n}.", "text", "en") for n in range(count)]


def ask(server: FaultServer | str, pieces: list[Piece], patience: float = 20.0, **settings: Any) -> list[Reply]:
    """The replies in the order of the pieces."""
    url = server if isinstance(server, str) else server.url
    teacher = replace(TeacherConfig(base_url=url, model="m", concurrency=16, timeout_seconds=5.0), **settings)
    replies: dict[str, Reply] = {}

    async def run() -> None:
        client = Endpoint(teacher, KEPT, patience)
        try:
            await client.stream(iter(pieces), lambda reply: replies.update({reply.key: reply}))
        finally:
            await client.close()

    asyncio.run(run())
    return [replies[piece.key] for piece in pieces]


def test_every_piece_has_its_reply_and_its_tokens(server: FaultServer) -> None:
    pieces = some_pieces(50)
    assert ask(server, pieces) == [
        Reply(piece.key, simple(piece.text), None, None, 1, 100, 10) for piece in pieces
    ]
    assert server.most_in_flight <= 16


def test_what_is_sent_is_the_prompt_within_the_teachers_context(server: FaultServer) -> None:
    text = "long " * 20_000
    ask(server, [Piece("0" * 32, text[: longest_piece(TeacherConfig())], "text", "en"), *some_pieces(1)])
    for request in server.prompts:
        [message] = request["messages"]  # type: ignore[misc]
        assert message["content"].startswith("1. First, classify")
        size = len(message["content"].encode()) / BYTES_PER_TOKEN
        assert size + int(request["max_completion_tokens"]) <= TeacherConfig().context_tokens + 64  # type: ignore[call-overload]
        assert request["temperature"] == 0


@pytest.mark.parametrize("fault", [
    "429", "500", "503", "hang up", "half", "half json", "garbage", "other json", "slow", "stuck",
])  # fmt: skip
def test_a_request_that_fails_is_sent_again(server: FaultServer, fault: str) -> None:
    server.faults = {fault: 0.4}
    pieces = some_pieces(16)
    for piece, reply in zip(pieces, ask(server, pieces, timeout_seconds=0.4), strict=True):
        assert reply == Reply(piece.key, simple(piece.text), None, None, 1, 100, 10)
    assert fault == "slow" or len(server.log) > 16


@pytest.mark.parametrize("body", [*GARBAGE, *(json.dumps(one).encode() for one in OTHER_JSON)])
def test_a_body_that_is_no_completion_is_no_reply(
    server: FaultServer, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "FAILURES", 2)
    server.status = (200, {}, body)
    [reply] = ask(server, some_pieces(1))
    assert (reply.text, reply.reason, reply.attempts) == (None, "no reply: not a reply", 0)


@pytest.mark.parametrize(("fault", "reason"), [
    ("empty", "empty"), ("refusal", "refused"), ("truncated", "truncated"),
])  # fmt: skip
def test_an_invalid_reply_is_asked_for_again_warmer_and_then_given_up(
    server: FaultServer, fault: str, reason: str
) -> None:
    server.faults = {fault: 1.0}
    [reply] = ask(server, some_pieces(1), attempts=3)
    assert (reply.text, reply.reason, reply.attempts) == (None, reason, 3)
    assert (reply.tokens_in, reply.tokens_out) == (300, 30)  # invalid replies cost as much
    assert reply.refused is not None
    assert [request["temperature"] for request in server.prompts] == [0, 0.3, 0.3]


def test_one_valid_reply_after_invalid_ones_is_enough(server: FaultServer) -> None:
    server.faults = {"refusal": 0.5}
    replies = ask(server, some_pieces(20), attempts=12)
    assert all(reply.text for reply in replies)
    assert max(reply.attempts for reply in replies) > 1


def test_a_crowded_server_gets_fewer_requests_at_once_and_loses_none(server: FaultServer) -> None:
    server.limit, server.latency = 4, 0.02
    replies = ask(server, some_pieces(100))
    assert all(reply.text for reply in replies)
    refused = len(server.log) - 100
    assert 0 < refused < 100  # a client that kept sending 16 at once would be refused far more often


@pytest.mark.parametrize(
    "header",
    ["0.4", formatdate(time.time() + 3600, usegmt=True), "9" * 400, "nonsense"],
    ids=["seconds", "date", "too many seconds", "nonsense"],
)
def test_retry_after_is_waited_for_up_to_ten_minutes(server: FaultServer, header: str) -> None:
    server.status = (429, {"retry-after": header}, b"{}")
    if header.startswith(("0.4", "nonsense")):
        asyncio.run(_free_later(server, 0.2))
        return
    with pytest.raises(RunError, match=rf"asks for a pause of .*; run again after it\. {KEPT}"):
        ask(server, some_pieces(3))


async def _free_later(server: FaultServer, seconds: float) -> None:
    began = time.monotonic()
    asking = asyncio.create_task(asyncio.to_thread(ask, server, some_pieces(3)))
    while not server.log:
        began = time.monotonic()
        await asyncio.sleep(0.005)
    await asyncio.sleep(seconds)
    named = server.status and server.status[1]["retry-after"] == "0.4"
    server.status = None
    assert all(reply.text for reply in await asking)
    assert time.monotonic() - began >= (0.4 if named else 0.0)


def test_a_server_that_is_down_for_good_ends_with_what_is_kept() -> None:
    with FaultServer().running() as server:
        url = server.url
    with pytest.raises(RunError, match=rf"{url} has answered nothing for .*connection broken .*\. {KEPT}"):
        ask(url, some_pieces(3), patience=0.3)


def test_a_server_that_goes_down_on_the_way_ends_with_what_is_kept(server: FaultServer) -> None:
    def teacher(text: str) -> str:
        if "30" in text:
            server.status = (502, {}, b"gateway")
        return simple(text)

    server.teacher = teacher
    with pytest.raises(RunError, match=f"HTTP 502 .*{KEPT}"):
        ask(server, some_pieces(100), patience=0.3)


@pytest.mark.parametrize(("status", "advice"), [
    (401, "set OPENAI_API_KEY"), (403, "set OPENAI_API_KEY"), (404, "check base_url and model"), (402, "config"),
])  # fmt: skip
def test_a_server_that_will_not_have_us_ends_at_once(server: FaultServer, status: int, advice: str) -> None:
    server.status = (status, {}, b'{"error": {"message": "no such model"}}')
    with pytest.raises(RunError, match=f"refuses model 'm': .*no such model.*{advice}"):
        ask(server, some_pieces(3))


def test_a_server_that_rejects_everything_ends_and_one_document_that_it_rejects_does_not(
    server: FaultServer,
) -> None:
    server.status = (400, {}, b'{"error": {"message": "context too long"}}')
    with pytest.raises(RunError, match="context too long"):
        ask(server, some_pieces(30))
    server.status = None

    def teacher(text: str) -> str:
        server.status = (400, {}, b"{}") if "number 7." in text else None
        return simple(text)

    server.teacher, server.status = teacher, None
    replies = ask(server, some_pieces(12), concurrency=1)
    rejected = [reply for reply in replies if reply.text is None]
    assert [(reply.reason, reply.attempts) for reply in rejected] == [("no reply: HTTP 400", 0)] * len(rejected)
    assert replies[7].text


@pytest.mark.parametrize("count", [1, 40])
def test_a_piece_that_always_fails_is_given_up_where_the_server_answers_others(count: int) -> None:
    class Poisoned(FaultServer):
        def _fault(self) -> str:
            return "500" if "number 0." in self.log[-1] else ""

    with Poisoned().running() as server:
        replies = ask(server, some_pieces(count), patience=0.2, concurrency=2)
    assert [reply.reason for reply in replies if reply.text is None] == ["no reply: HTTP 500"]
    assert replies[0].attempts == 0


@pytest.mark.parametrize("key", ["sk-\x00secret", "sk-gehéim"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: it has characters that no HTTP header can carry"):
        Endpoint(TeacherConfig(), KEPT)


@pytest.mark.parametrize("status", [401, 400, 500, 200])
def test_the_key_is_in_no_message_and_in_no_log(
    server: FaultServer,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", f"{key}\n")
    monkeypatch.setattr(endpoint, "_COMPLAIN_SECONDS", 0.0)
    caplog.set_level(logging.DEBUG)
    server.status = (status, {}, json.dumps({"error": {"message": f"Incorrect API key: {key}"}}).encode())
    said = ""
    try:
        said = str(ask(server, some_pieces(2), patience=0.2))
    except RunError as error:
        said = "".join(traceback.format_exception(error))
    assert said
    assert key not in said + caplog.text + "".join(capsys.readouterr())
    assert collections.Counter(server.keys) == {f"Bearer {key}": len(server.log)}


def test_a_server_that_knows_the_older_name_of_the_limit_alone_gets_it(server: FaultServer) -> None:
    server.refused_fields = ("max_completion_tokens",)
    pieces = some_pieces(20)
    assert all(reply.text for reply in ask(server, pieces))
    assert any("max_tokens" in request for request in server.prompts)
    assert sum("max_completion_tokens" in request for request in server.prompts) <= 16  # those already in flight


def test_a_reply_without_content_has_its_own_reason(server: FaultServer) -> None:
    body = completion("")
    body["choices"][0]["message"]["content"] = None  # type: ignore[index]
    server.status = (200, {}, json.dumps(body).encode())
    [reply] = ask(server, some_pieces(1), attempts=2)
    assert (reply.text, reply.reason, reply.attempts) == (None, "no content", 2)


def test_a_teacher_whose_replies_are_never_valid_is_given_up(server: FaultServer) -> None:
    server.faults = {"refusal": 1.0}
    with pytest.raises(RunError, match=r"no valid reply to its first 100 pieces \(100 refused\)") as caught:
        ask(server, some_pieces(1000), attempts=1)
    assert KEPT in str(caught.value)
    assert len(server.log) < 200
