"""Finished replies on disk: append-only, one line each, so that kill -9 loses none and a second run repeats none.

RUN/data/rewritten/SETTINGS/ holds the replies of one teacher, prompt and set of limits: `settings.json` says
which, and other settings get another folder, so that replies are never mixed. In it every client of a fleet writes
its own segment, `shard-i-of-n.jsonl`, under a lock that dies with the process, and reads those of all others.
"""

import contextlib
import dataclasses
import json
import re
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from bench_shadows.errors import RunError
from bench_shadows.files import exclusive, hash_json, write_json
from bench_shadows.json_lines import JsonLines

SYNC_LINES, SYNC_SECONDS = 64, 1.0
"""The disk is waited for after so many lines, and with a line that comes so long after the last time: a power cut
loses less than SYNC_LINES replies, a killed process none."""
_OPEN_SEGMENTS = 256  # of other clients, open for reading at once
_LINE_START = re.compile(rb'\{"key": "([0-9a-f]{32})", ')


class Reply(NamedTuple):
    """What came of one piece of a document: a line of the journal."""

    key: str
    """Of piece and document: `piece_key`."""
    text: str | None
    """The rewritten piece; None where no reply was valid."""
    reason: str | None
    """Why the last reply was invalid."""
    refused: str | None
    """The beginning of the last reply that was not taken, for the report."""
    attempts: int
    """Replies that were asked for."""
    tokens_in: int
    tokens_out: int


def piece_key(document: str, number: int, text: str, kind: str, language: str) -> str:
    """32 hexadecimal digits that name a piece: the document's id, the piece's number, its content and its kind."""
    return hash_json([document, number, text, kind, language])[:32]


def open_settings(folder: Path, settings: dict[str, Any]) -> Path:
    """The folder of replies made with these settings, new or old.

    Raises RunError where `settings.json` in it says something else.
    """
    home = folder / hash_json(settings)[:12]
    path = home / "settings.json"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        with exclusive(home / ".settings.lock", f"opening {home}", wait=True):
            write_json(path, settings)
    elif json.loads(path.read_text(encoding="utf-8")) != settings:
        raise RunError(f"{path} was changed: its folder is named after other settings; delete {home}")
    return home


class Journal:
    """The replies of one settings folder; written by one client, and read from all.

        with Journal.open(home, index=0, count=1) as journal:
            journal.find(key) or journal.append(reply)

    Found are the replies that lay there when it was opened: a client asks for nothing twice.
    """

    def __init__(self, home: Path, own: Path):
        self.damaged = 0  # lines that cannot be read; what they held is asked for again
        self.home = home
        self._own = JsonLines(own)
        self._paths = sorted(home.glob("shard-*.jsonl"))
        self._others: dict[int, BinaryIO] = {}
        self._hashes, self._places = self._index()
        self._unsynced, self._synced = 0, time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def open(cls, home: Path, index: int, count: int) -> Iterator["Journal"]:
        """Takes shard `index` of `count` until the context ends.

        Raises RunError while another process has that shard, or divides the documents by another number.
        """
        name = f"shard-{index:05d}-of-{count:05d}"
        with exclusive(home / f"{name}.lock", f"shard {index}/{count} of the rewriting in {home}"):
            for lock in sorted(set(home.glob("shard-*.lock")) - set(home.glob(f"*-of-{count:05d}.lock"))):
                with exclusive(lock, f"the rewriting in {home}, divided by another number ({lock.stem})"):
                    pass  # nobody is there
            journal = cls(home, home / f"{name}.jsonl")
            try:
                yield journal
            finally:
                journal.close()

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, key: str) -> Reply | None:
        """The reply of an earlier run: a valid one if there is, else the one with the most attempts."""
        wanted = np.uint64(_hash(key.encode()))
        first, last = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        replies = [self._reply(int(place)) for place in self._places[first:last]]
        found = [reply for reply in replies if reply is not None and reply.key == key]
        return max(found, key=lambda reply: (reply.text is not None, reply.attempts), default=None)

    def append(self, reply: Reply) -> None:
        """Hands one line to the operating system, and now and then waits for the disk."""
        self._own.append(reply._asdict())
        self._unsynced += 1
        if self._unsynced >= SYNC_LINES or time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Brings every line to the disk."""
        if self._unsynced:
            self._own.sync()
        self._unsynced, self._synced = 0, time.monotonic()

    def close(self) -> None:
        """Brings every line to the disk and closes all files."""
        self.sync()
        self._own.close()
        for file in self._others.values():
            file.close()

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """(hash, place) of every line, sorted by hash, 16 bytes a reply: a hundred million go into 1.6 GB."""
        segments = [_scan(path) for path in self._paths]
        self.damaged = sum(segment.damaged for segment in segments)
        hashes = np.concatenate([np.array(segment.hashes, dtype=np.uint64) for segment in segments])
        places = np.concatenate([
            np.array(segment.offsets, dtype=np.int64) | number << _OFFSET_BITS
            for number, segment in enumerate(segments)
        ])  # fmt: skip
        order = np.argsort(hashes, kind="stable")
        return hashes[order], places[order]

    def _reply(self, place: int) -> Reply | None:
        number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
        if number not in self._others:
            if len(self._others) >= _OPEN_SEGMENTS:
                for file in self._others.values():
                    file.close()
                self._others.clear()
            self._others[number] = open(self._paths[number], "rb")  # noqa: SIM115, closed by `close`
        file = self._others[number]
        file.seek(offset)
        try:
            return Reply(**json.loads(file.readline()))
        except (ValueError, TypeError):
            self.damaged += 1
            return None


_OFFSET_BITS = 44  # 16 TiB a segment, half a million segments


@dataclasses.dataclass
class _Segment:
    """The lines of a segment up to `end`."""

    inode: int
    end: int = 0
    hashes: "array[int]" = dataclasses.field(default_factory=lambda: array("Q"))
    offsets: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))
    damaged: int = 0


_segments: dict[Path, _Segment] = {}  # seen by this process, which opens a journal for every stretch of documents


def _scan(path: Path) -> _Segment:
    """A segment's lines; those that an earlier look saw are not read again."""
    status = path.stat()
    segment = _segments.get(path)
    if segment is None or segment.inode != status.st_ino or segment.end > status.st_size:
        segment = _segments[path] = _Segment(status.st_ino)
    with open(path, "rb") as file:
        file.seek(segment.end)
        for line in file:
            if not line.endswith(b"\n"):
                break  # its client is writing it just now, or was killed
            if found := _LINE_START.match(line):
                segment.hashes.append(_hash(found[1]))
                segment.offsets.append(segment.end)
            else:
                segment.damaged += 1
            segment.end += len(line)
    return segment


def _hash(key: bytes) -> int:
    """A key's first 64 bits; `find` compares the whole key."""
    return int(key[:16], 16)
