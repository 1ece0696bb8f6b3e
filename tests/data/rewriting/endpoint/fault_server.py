"""An OpenAI-compatible server that rewrites by a Python function and goes wrong at random, on purpose."""

import asyncio
import collections
import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

CONTENT = re.compile(r"\n<(content-[0-9a-f]+)>\n(.*)\n</\1>\Z", re.DOTALL)
EVERY_FAULT = {
    "429": 0.06, "500": 0.04, "503": 0.02, "hang up": 0.04, "half": 0.04, "half json": 0.04, "garbage": 0.04,
    "other json": 0.04, "slow": 0.10, "stuck": 0.01, "empty": 0.02, "truncated": 0.02, "refusal": 0.02,
}  # fmt: skip
GARBAGE = [b"<html>Bad gateway</html>", b"\xff\xfe\x00nonsense", b"", b"null", b"[]", b"NaN", b'"text"']
OTHER_JSON: list[object] = [
    {"error": "busy"},
    {"choices": []},
    {"choices": [{"message": {"content": None}}]},
    {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": "\ud800"}, "finish_reason": "stop"}]},
    {"choices": "none"},
]


def simple(text: str) -> str:
    """A teacher: some words become simpler."""
    return text.replace("utilise", "use").replace("endeavour", "try")


class FaultServer:
    """Answers `POST /v1/chat/completions` on a free port of this machine, in a thread.

    `faults` gives the probability of each fault; what is left over is answered. `log` holds the text of every
    request, `served` counts the texts whose whole reply was sent.
    """

    def __init__(
        self, teacher: Callable[[str], str] = simple, faults: Mapping[str, float] | None = None, seed: int = 0
    ):
        self.teacher, self.faults = teacher, dict(faults or {})
        self.random = random.Random(seed)
        self.log: list[str] = []
        self.prompts: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.served: collections.Counter[str] = collections.Counter()
        self.in_flight = self.most_in_flight = 0
        self.status: tuple[int, dict[str, str], bytes] | None = None
        """Every request is answered with this status, headers and body, while it is set."""
        self.refused_fields: tuple[str, ...] = ()
        """Fields of a request that this server does not know."""
        self.limit = 10**9
        """Requests in flight from which on the answer is 429."""
        self.latency = 0.0
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["FaultServer"]:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    if not await self._answer(head, body, writer):
                        break
                finally:
                    self.in_flight -= 1
        writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Sends one answer; False where the connection ends with it."""
        if not head.startswith(b"POST /v1/chat/completions "):
            return await send(writer, 404, json.dumps({"error": {"message": "no such page"}}).encode())
        request = json.loads(body)
        self.prompts.append(request)
        self.keys += re.findall(r"(?im)^authorization: (.*?)\r$", head.decode())
        found = CONTENT.search(request["messages"][0]["content"])
        assert found, "a request without its content between marks"
        text = found[2]
        self.log.append(text)
        for field in self.refused_fields:
            if field in request:
                message = f"Unsupported parameter: '{field}' is not supported; use 'max_tokens' instead."
                return await send(writer, 400, json.dumps({"error": {"message": message}}).encode())
        if self.status:
            return await send(writer, self.status[0], self.status[2], self.status[1])
        if self.in_flight > self.limit:
            return await send(writer, 429, b"{}", {"retry-after": "0.02"})
        fault = self._fault()
        await asyncio.sleep(self.latency)
        if fault in ("429", "500", "503"):
            headers = {"retry-after": self.random.choice(["0", "0.05", "1e-2"])} if fault != "500" else {}
            return await send(writer, int(fault), b'{"error": {"message": "on purpose"}}', headers)
        if fault == "hang up":
            return False
        if fault == "garbage":
            return await send(writer, 200, self.random.choice(GARBAGE))
        if fault == "other json":
            return await send(writer, 200, json.dumps(self.random.choice(OTHER_JSON)).encode())
        if fault in ("slow", "stuck"):
            await asyncio.sleep(self.random.uniform(0.05, 0.2) if fault == "slow" else 3600)
        reply = f"<output> {self.teacher(text)} </output>"
        reply = {"empty": "<output>  </output>", "refusal": "I'm sorry, but I can't help with this."}.get(
            fault, reply
        )
        data = json.dumps(completion(reply, "length" if fault == "truncated" else "stop")).encode()
        if fault == "half json":
            return await send(writer, 200, data[: len(data) // 2])
        if fault == "half":
            await send(writer, 200, data, cut=len(data) // 2)
            return False
        await send(writer, 200, data)
        if fault in ("", "slow"):
            self.served[text] += 1
        return True

    def _fault(self) -> str:
        draw = self.random.random()
        for name, probability in self.faults.items():
            if (draw := draw - probability) < 0:
                return name
        return ""


def completion(reply: str, finish: str = "stop") -> dict[str, object]:
    message = {"role": "assistant", "content": reply}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


async def send(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    cut: int | None = None,
) -> bool:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:cut])
    await writer.drain()
    return True
