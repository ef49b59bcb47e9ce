"""A headless Chromium, driven through its debugging pipe: no driver and no package is needed."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import Any, Self

SECONDS = 60.0
"""Only bounds a hang."""

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


_LAUNCHER = """
import os, sys
reads, writes, *command = sys.argv[1:]
os.dup2(int(reads), 3)
os.dup2(int(writes), 4)
os.execv(command[0], command)
"""
"""Chromium reads its commands from descriptor 3 and writes the answers to 4."""


def find_chromium() -> str | None:
    """The path of a Chromium, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path is not None), None)


class Page:
    """One page. For one thread."""

    def __init__(self, program: str, profile: Path) -> None:
        """`profile`: an empty directory that it may write into."""
        from_browser, browser_writes = os.pipe()
        browser_reads, to_browser = os.pipe()
        # Above 4, so that neither is closed as the other becomes 3 or 4.
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (browser_reads, browser_writes)]
        launcher = [sys.executable, "-c", _LAUNCHER, *map(str, given)]
        self._process = subprocess.Popen(
            [*launcher, program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (browser_reads, browser_writes, *given):
            os.close(end)
        self._in, self._out = from_browser, to_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: deque[dict[str, Any]] = deque()
        """What the browser told unasked, oldest first."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise RuntimeError(f"{method}: Chromium has ended")

    def show(self, url: str, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Load a page and wait until it is there. Forgets earlier events."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        if any(event.get("method") == "Page.loadEventFired" for event in self.events):
            return
        for event in self._messages():
            self.events.append(event)
            if event.get("method") == "Page.loadEventFired":
                return
        raise RuntimeError("Chromium has ended")

    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen (or the whole page) as a PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            message, found, rest = self._buffer.partition(b"\0")
            if found:
                self._buffer = rest
                yield json.loads(message)
                continue
            if not select([self._in], [], [], SECONDS)[0]:
                raise TimeoutError(f"Chromium has said nothing for {SECONDS:g} s")
            chunk = os.read(self._in, 1 << 16)
            if not chunk:
                return
            self._buffer += chunk
