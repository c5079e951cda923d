"""A real browser for tests: headless Chromium over its DevTools protocol on a pipe, so that no driver is needed."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.requirements_check import require
from tests.waiting import PATIENCE, wait_until

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe", "--mute-audio"),
)
_KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowRight": 39}
CONTROL = 2


class _Pipe:
    """Commands to the browser and its answers; each message is JSON and ends with a zero byte."""

    def __init__(self, write: int, read: int) -> None:
        self._write = os.fdopen(write, "wb", buffering=0)
        self._read = os.fdopen(read, "rb")
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._last = 0
        self.events: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """The result of a command. Raises AssertionError where the browser refuses it."""
        self._last += 1
        number = self._last
        answer: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers[number] = answer
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._write.write(json.dumps(message).encode() + b"\0")
        told = answer.get(timeout=PATIENCE)
        assert "error" not in told, f"{method}: {told['error']}"
        result: dict[str, Any] = told["result"]
        return result

    def close(self) -> None:
        """To be called once the browser has ended."""
        self._write.close()
        self._listener.join(PATIENCE)
        self._read.close()

    def _listen(self) -> None:
        rest = b""
        while piece := os.read(self._read.fileno(), 1 << 16):
            *messages, rest = (rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                if (number := message.get("id")) is None:
                    self.events.append(message)
                else:
                    self._answers.pop(number).put(message)


@dataclass
class Page:
    """One tab."""

    pipe: _Pipe
    session: str

    def call(self, method: str, **params: object) -> dict[str, Any]:
        return self.pipe.call(method, self.session, **params)

    def open(self, url: str) -> None:
        """Loads a page, and waits until its modules have run."""
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.js("document.readyState") == "complete", f"{url} to load", 0.02)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> None:
        """Waits until an expression is true in the page."""
        wait_until(lambda: bool(self.js(expression)), lambda: f"{expression}\n{self.text('body')[-1500:]}", 0.03)

    def text(self, selector: str) -> str:
        """What an element shows; "" where there is none."""
        return str(self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.js(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)")
        return found

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector: str, text: str) -> None:
        """Replaces what a field holds, as a person who types does."""
        self.js(f"(() => {{const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select()}})()")
        self.call("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        common = {"key": key, "windowsVirtualKeyCode": _KEYS[key], "modifiers": modifiers}
        more = {"text": "\r"} if key == "Enter" and not modifiers else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, *, width: int = 1280, height: int = 860, dark: bool = False, phone: bool = False) -> None:
        """Sets the window's size and the reader's preferences; motion is reduced, so that pictures are still."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def events(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the events that came so far."""
        return [
            event["params"]
            for event in list(self.pipe.events)
            if event["method"] == method and event.get("sessionId") == self.session
        ]

    def requested(self) -> list[str]:
        """The URLs of all requests so far."""
        return [str(event["request"]["url"]) for event in self.events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """What the console has to complain of: errors of scripts and what the page's policy has blocked."""
        thrown = [str(event["exceptionDetails"]) for event in self.events("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self.events("Log.entryAdded")]
        logged = [f"{e['source']}: {e['text']}" for e in entries if e["level"] == "error" and e["source"] != "network"]
        spoken = [str(event["args"]) for event in self.events("Runtime.consoleAPICalled") if event["type"] == "error"]
        return thrown + logged + spoken


class Browser:
    """A running Chromium; each tab has storage of its own."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    def page(self) -> Page:
        context = self._pipe.call("Target.createBrowserContext")["browserContextId"]
        target = self._pipe.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self._pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self._pipe, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.look()
        return page


@contextmanager
def open_browser(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Browser]:
    """Chromium with a profile in `folder`. Skips the test where the machine has none."""
    chromium = shutil.which("chromium")
    require("chromium", present=chromium is not None, remedy="install the package chromium")
    to_browser, ours = os.pipe()
    theirs, from_browser = os.pipe()
    # The browser reads its commands from descriptor 3 and answers on 4.
    command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", str(chromium), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        pass_fds=(to_browser, from_browser),
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    pipe = _Pipe(ours, theirs)
    try:
        yield Browser(pipe)
        pipe.call("Browser.close")
    finally:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pipe.close()
