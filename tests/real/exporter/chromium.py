"""A real Chromium without a window, driven by its DevTools protocol. Never here: pages, expectations."""

import asyncio
import itertools
import json
import subprocess
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from local_stack import binaries, npm_packages


def need_browser():
    """Skip the test where this system has no Chromium or no npm; `make setup` says so, too."""
    lacking = binaries.missing(["chromium"])
    if lacking:
        pytest.skip(f"chromium: {lacking['chromium']}")
    try:
        npm_packages.find()
    except binaries.BinaryMissingError as error:
        pytest.skip(str(error))


class Tab:
    """One tab that listens to us."""

    def __init__(self, browser, session):
        self.browser = browser
        self.session = session

    async def call(self, method, **parameters):
        return await self.browser.call(method, self.session, **parameters)

    async def open(self, url):
        await self.call("Page.navigate", url=url)

    async def back(self):
        """Go back one page, as the button does."""
        history = await self.call("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        await self.call("Page.navigateToHistoryEntry", entryId=entry["id"])

    async def click(self, x, y):
        """A click of a user, which scripts cannot make."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def evaluate(self, expression):
        """The value of this JavaScript; None also while the page is being loaded."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, expression, seconds=20.0):
        """Wait until this JavaScript is true."""
        deadline = time.monotonic() + seconds
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < deadline, f"it did not become true in time: {expression}"
            await asyncio.sleep(0.05)
        return value


class Chromium:
    """A browser that runs. Use `chromium()`."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, method, session=None, **parameters):
        """Call a method of the protocol, and return its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(20):
            while True:
                answer = json.loads((await self._socket.receive()).data)
                if answer.get("id") == number:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]

    async def tab(self):
        """A new tab."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        return Tab(self, attached["sessionId"])

    async def open_unwatched(self, url):
        """Open a tab that nobody is attached to: Chromium prerenders nothing for others."""
        await self.call("Target.createTarget", url=url)


@asynccontextmanager
async def chromium(folder):
    """Runs a browser with a fresh profile in this folder."""
    need_browser()
    program = await asyncio.create_subprocess_exec(
        binaries.find("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-dev-shm-usage", "--window-size=1000,700",
        "--remote-debugging-port=0", f"--user-data-dir={folder}",
        env=binaries.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, path = await _address(folder / "DevToolsActivePort", program)
        async with (
            ClientSession() as client,
            client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            yield Chromium(socket)
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def _address(file, program):
    deadline = time.monotonic() + 30
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return lines
        assert program.returncode is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser does not listen"
        await asyncio.sleep(0.05)
