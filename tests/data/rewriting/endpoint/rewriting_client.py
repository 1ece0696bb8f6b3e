"""A client of the fleet as its own process, to be killed: `rewriting_client.py URL DOCUMENTS FOLDER [I N]`."""

import json
import sys
from pathlib import Path

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rewrite import Rewriting, rewrite_shard


def client_config(url: str, concurrency: int = 32) -> Rewriting:
    teacher = TeacherConfig(base_url=url, model="m", concurrency=concurrency, timeout_seconds=2.0, attempts=8)
    return Rewriting("endpoint", teacher)


if __name__ == "__main__":
    url, documents, folder, index, count = [*sys.argv[1:], "0", "1"][:5]
    lines = Path(documents).read_text(encoding="utf-8").splitlines()
    stream = (Document(**json.loads(line)) for line in lines)
    rewrite_shard(client_config(url), stream, Path(folder), int(index), int(count))
