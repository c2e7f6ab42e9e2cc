"""A real browser, without a window, that a test drives over its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

START_S, ANSWER_S, POLL_S = 30.0, 30.0, 0.05


class Tab:
    """One page of the browser (Chrome DevTools Protocol); ``complaints`` has what its scripts complain of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=ANSWER_S)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def wait_for(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(ANSWER_S):
            while not await self.evaluate(script):
                await asyncio.sleep(POLL_S)

    async def look(self, file: Path, *, width: int = 1100, dark: bool = False) -> None:
        """Take a picture of the whole page, drawn so wide."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        height = 900
        for _ in range(2):
            await self.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            height = int(await self.evaluate("document.documentElement.scrollHeight"))
        picture = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(picture["data"]))


@asynccontextmanager
async def tab(url: str) -> AsyncIterator[Tab]:
    """A browser with this page open; it has ended after the block."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "no chromium here; testbed/provision.sh --tests installs it"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as client:
                async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [page for page in await answer.json() if page["type"] == "page"]
                async with client.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    made = Tab(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await made.call(f"{domain}.enable")
                    await made.call("Page.navigate", url=url)
                    yield made
        finally:
            browser.terminate()
            with suppress(subprocess.TimeoutExpired):
                browser.wait(10)
            browser.kill()
            browser.wait()


async def _port(file: Path) -> int:
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError, ValueError, IndexError):
                return int(file.read_text().splitlines()[0])
            await asyncio.sleep(POLL_S)
