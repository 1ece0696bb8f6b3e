"""Opens a page in headless Chromium and tells what happened: requests, errors, images. One helper for all reports.

Chromium is driven over its DevTools protocol through two pipes (`--remote-debugging-pipe`): no port, no driver, no
other package. No host has an address for it, so that a page that asks the network is found out and not served.
"""

import base64
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever a page or the browser itself asks for finds no host
    "--remote-debugging-pipe",
)
SECONDS = 60.0
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
LOOK = """
(async () => {
  document.querySelectorAll('details').forEach(one => { one.open = true; });
  const images = [...document.images];
  images.forEach(image => { image.loading = 'eager'; });
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  const box = document.documentElement;
  return {
    images: images.map(image => [image.getAttribute('src'), image.naturalWidth, image.alt]),
    overflow: box.scrollWidth - box.clientWidth,
    text: document.body.innerText,
  };
})()
"""


@dataclasses.dataclass(frozen=True)
class Visit:
    """What a page did."""

    requests: tuple[str, ...]
    """Every URL that was asked for, the page itself first."""
    errors: tuple[str, ...]
    """Exceptions, messages in the console from warnings up, and requests that failed."""
    images: dict[str, int]
    """Source -> width in pixels, 0 where an image did not load."""
    alts: tuple[str, ...]
    overflow: int
    """Pixels by which the page is wider than the window: sideways scrolling."""
    text: str

    @property
    def abroad(self) -> list[str]:
        """Requests that are no file of this machine."""
        return [url for url in self.requests if not url.startswith(("file://", "data:"))]


def visit(page: Path, width: int = 1300, picture: Path | None = None, **media: str) -> Visit:
    """Opens a page, loads all of its images and tells what happened; skips the test where there is no Chromium.

    Args:
      page: an HTML file.
      width: of the window, in pixels.
      picture: where to put a PNG of the whole page, to be looked at.
      media: features, as `prefers_color_scheme="dark"`; `type="print"` for the page as it is printed;
        `scripts="off"` for a browser that runs none.
    """
    with _opened(page, width, media) as browser:
        value = browser.evaluate(LOOK)
        if picture is not None:
            shot = browser.ask("Page.captureScreenshot", captureBeyondViewport=True, **_whole(browser))
            picture.write_bytes(base64.b64decode(shot["data"]))
        return Visit(
            requests=tuple(event["request"]["url"] for event in browser.events("Network.requestWillBeSent")),
            errors=tuple(_errors(browser)),
            images={source: size for source, size, _ in value["images"]},
            alts=tuple(alt for _, _, alt in value["images"]),
            overflow=value["overflow"],
            text=value["text"],
        )


def ask(page: Path, script: str, width: int = 1300, **media: str) -> Any:
    """What a JavaScript expression gives in a page that was opened as `visit` does; a promise is waited for."""
    with _opened(page, width, media) as browser:
        return browser.evaluate(script)


def violations(page: Path, width: int = 1300, **media: str) -> list[str]:
    """What axe-core finds against WCAG 2.0 and 2.1, A and AA, with all details open: rule, element and reason."""
    package = importlib.util.find_spec("axe_core_python")
    assert package is not None, "axe-core-python is not installed (extra: peers)"
    assert package.origin is not None
    axe = (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    with _opened(page, width, media) as browser:
        browser.evaluate(LOOK)
        browser.evaluate(axe + "; true")
        found = browser.evaluate(
            f"axe.run(document, {json.dumps({'runOnly': WCAG, 'resultTypes': ['violations']})})"
        )
    assert sum(len(found[kind]) for kind in ("passes", "violations", "inapplicable")) > 30, "axe did not run"
    return [
        f"{rule['id']}: {node['html'][:160]}: {' '.join(node['failureSummary'].split())}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@contextlib.contextmanager
def _opened(page: Path, width: int, media: dict[str, str]) -> Iterator["_Browser"]:
    """A Chromium that has loaded a page."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (looked for " + ", ".join(NAMES) + ")")
    with _browser(program) as browser:
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.ask(f"{domain}.enable")
        browser.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        features = [
            {"name": name.replace("_", "-"), "value": value}
            for name, value in media.items()
            if name not in ("type", "scripts")
        ]
        browser.ask("Emulation.setEmulatedMedia", media=media.get("type", "screen"), features=features)
        browser.ask("Emulation.setScriptExecutionDisabled", value=media.get("scripts") == "off")
        browser.ask("Page.navigate", url=page.resolve().as_uri())
        browser.until("Page.loadEventFired")
        yield browser


def _whole(browser: "_Browser") -> dict[str, Any]:
    size = browser.ask("Page.getLayoutMetrics")["cssContentSize"]
    return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}


def _errors(browser: "_Browser") -> Iterator[str]:
    for event in browser.events("Runtime.exceptionThrown"):
        yield event["exceptionDetails"]["text"]
    for event in browser.events("Runtime.consoleAPICalled"):
        if event["type"] in ("error", "warning", "assert"):
            yield " ".join(str(argument.get("value")) for argument in event["args"])
    for event in browser.events("Log.entryAdded"):
        if event["entry"]["level"] in ("error", "warning"):
            yield event["entry"]["text"]
    for event in browser.events("Network.loadingFailed"):
        yield f"request failed: {event['errorText']}"


@contextlib.contextmanager
def _browser(program: str) -> Iterator["_Browser"]:
    """A Chromium of our own, ended whatever happens; it reads commands from descriptor 3 and answers on 4."""
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    folder = tempfile.mkdtemp(prefix="chromium-")
    words = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    shell = f'exec 3<&{command_read} 4>&{answer_write}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *words],
        pass_fds=(command_read, answer_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(command_read)
    os.close(answer_write)
    try:
        yield _Browser(command_write, answer_read)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        os.close(command_write)
        os.close(answer_read)
        shutil.rmtree(folder, ignore_errors=True)


class _Browser:
    """Commands and events of the DevTools protocol: JSON texts that end with a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._rest, self._last, self._seen = b"", 0, []
        self.session: str | None = None

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; raises RuntimeError for an exception in it."""
        found = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return found["result"].get("value")

    def until(self, method: str) -> None:
        """Waits for an event."""
        while not self.events(method):
            self._next(method)

    def events(self, method: str) -> list[dict[str, Any]]:
        """The events of a kind so far."""
        return [event["params"] for event in self._seen if event["method"] == method]

    def _next(self, waiting_for: str) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        os.set_blocking(self._answers, False)
        while b"\0" not in self._rest:
            if time.monotonic() > end:
                raise TimeoutError(f"Chromium did not answer to {waiting_for} in {SECONDS:.0f} s")
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._answers, 1 << 20)
                if not part:
                    raise RuntimeError(f"Chromium ended while it was asked for {waiting_for}")
                self._rest += part
                continue
            time.sleep(0.01)
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self._seen.append(message)
        return message
