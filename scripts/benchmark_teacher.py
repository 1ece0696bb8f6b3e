"""What the client of the rewriting teacher costs: documents a second, its own CPU, the journal's index.

    python scripts/benchmark_teacher.py [--documents 5000] [--lines 1000000]

The server answers at once and does nothing else, in a process of its own: the figures are the client's ceiling,
not a teacher's speed. Documents are of 2 kB. A busy machine makes the figures worthless.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.endpoint.journal import Journal, Reply, piece_key
from bench_shadows.data.rewriting.rewrite import Rewriting, rewrite_shard

TEXT = "We utilise the apparatus, and endeavour to go on with it. " * 35
MESSAGE = {"role": "assistant", "content": f"<output> {TEXT} </output>"}
REPLY = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": {
    "prompt_tokens": 700, "completion_tokens": 500, "total_tokens": 1200}}  # fmt: skip


async def serve(port: Connection) -> None:
    """Answers every request with REPLY, for ever."""
    body = json.dumps(REPLY).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(request.split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(head + body)
                await writer.drain()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


def _serve(port: Connection) -> None:
    asyncio.run(serve(port))


def client(documents: int, concurrency: int) -> None:
    """Rewrites documents and prints how fast."""
    made = (Document(str(n), f"{n} {TEXT}", "web", "en", "text", "s") for n in range(documents))
    with server() as url, tempfile.TemporaryDirectory() as folder:
        teacher = TeacherConfig(base_url=url, model="m", concurrency=concurrency)
        began, cpu = time.perf_counter(), time.process_time()
        # Tokens for so much text: the estimate reads it.
        rewriting = Rewriting("endpoint", teacher, tokens=documents // 5 * 4096)
        rewrite_shard(rewriting, made, Path(folder), 0, 1)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{documents:,} documents, {concurrency} in flight: {documents / seconds:,.0f} documents/s, "
        f"{1e3 * cpu / documents:.2f} ms of CPU each"
    )


def journal(lines: int) -> None:
    """Writes, opens and searches a journal and prints how fast."""
    keys = [piece_key(str(n), 0, "", "text", "en") for n in range(lines)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        began = time.perf_counter()
        with Journal.open(home, 0, 2) as written:
            for key in keys:
                written.append(Reply(key, TEXT[:400], None, None, 1, 700, 500))
        wrote, began = time.perf_counter() - began, time.perf_counter()
        with Journal.open(home, 1, 2) as read:
            opened, began = time.perf_counter() - began, time.perf_counter()
            for key in keys[:: max(1, lines // 20_000)]:
                assert read.find(key)
            found = (time.perf_counter() - began) / len(keys[:: max(1, lines // 20_000)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"journal of {lines:,} replies: {lines / wrote:,.0f} written a second, opened in {opened:.1f} s, "
        f"{1e6 * found:.0f} us to find one; at most {memory:,.0f} MiB in this process"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for concurrency in (64, 256):
        client(arguments.documents, concurrency)
    journal(arguments.lines)
