"""Shoppers: a realistic load on the shop through the proxy, counted by route and status.

Here: what clients do and what they see. Never here: what the shop or the controller should do about it.
In-process: `async with Load(url): ...`, or `LoadThread` beside synchronous code. As a command:
`python -m local_stack.load URL --seconds 30`.
"""

import argparse
import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

SHOPPERS = 20
LISTENERS = 4  # of the price feed
RATE = 40.0  # requests a second, all shoppers together
_CUSTOMERS = 100
_PRODUCTS = 40
_RECONNECT_SECONDS = 1.0
_SERVER_ERROR = 500
_UNAVAILABLE = 503

# method, path, weight: mostly looking, sometimes buying
_MIX: tuple[tuple[str, str, int], ...] = (
    ("GET", "/", 15),
    ("GET", "/products", 15),
    ("GET", "/products/{product}", 40),
    ("GET", "/cart", 10),
    ("POST", "/cart?product={product}", 14),
    ("POST", "/checkout", 6),
)


@dataclass(slots=True)
class Counts:
    """What clients saw. Status 0 means that no answer came."""

    by_status: Counter[int] = field(default_factory=Counter)
    prices: int = 0  # messages of the price feed
    feeds_cut: int = 0
    first_fault: float | None = None  # when a shopper first got a 500, seconds since the Unix epoch
    last_fault: float | None = None

    def see(self, status: int) -> None:
        """Count one answer."""
        self.by_status[status] += 1
        if status == _SERVER_ERROR:
            self.last_fault = time.time()
            self.first_fault = self.first_fault or self.last_fault

    @property
    def total(self) -> int:
        """How many requests were made."""
        return sum(self.by_status.values())

    def told(self) -> list[tuple[str, str]]:
        """Return (what, how many) for people to read."""
        bad = {0, _SERVER_ERROR, _UNAVAILABLE}
        good = sum(number for status, number in self.by_status.items() if status not in bad)
        return [
            ("answered well", f"{good} of {self.total} requests"),
            ("met the fault", f"{self.by_status[_SERVER_ERROR]} (status 500)"),
            ("turned away", f"{self.by_status[_UNAVAILABLE]} (status 503 from HAProxy, try again in 5 s)"),
            ("no answer", f"{self.by_status[0]}"),
            ("price feeds", f"{self.prices} prices received, {self.feeds_cut} feeds ended and came back"),
        ]

    def __str__(self) -> str:
        """One line: the total, then each status."""
        parts = ", ".join(f"{status or 'no answer'}: {n}" for status, n in sorted(self.by_status.items()))
        return f"{self.total} requests ({parts}), {self.prices} prices, {self.feeds_cut} feeds cut"


class Load:
    """Shoppers and listeners as tasks of the running event loop."""

    def __init__(self, url: str, *, rate: float = RATE) -> None:
        """Start nothing yet; `rate` is in requests a second."""
        self.counts = Counts()
        self._url = url
        self._pause = SHOPPERS / rate
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Send the shoppers in."""
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._session = session
        workers = [self._shop(session) for _ in range(SHOPPERS)]
        workers += [self._listen(session) for _ in range(LISTENERS)]
        self._tasks = [asyncio.create_task(worker) for worker in workers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send them home."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _shop(self, session: aiohttp.ClientSession) -> None:
        weights = [weight for _, _, weight in _MIX]
        await asyncio.sleep(random.random() * self._pause)
        while True:
            began = time.monotonic()
            method, path, _ = random.choices(_MIX, weights)[0]
            path = path.format(product=random.randint(1, _PRODUCTS))
            customer = random.randint(1, _CUSTOMERS)
            joint = "&" if "?" in path else "?"
            await self._ask(session, method, f"{self._url}{path}{joint}customer={customer}")
            think = self._pause * random.uniform(0.5, 1.5)
            await asyncio.sleep(max(0.0, think - (time.monotonic() - began)))

    async def _ask(self, session: aiohttp.ClientSession, method: str, url: str) -> None:
        try:
            async with session.request(method, url) as answer:
                await answer.read()
                self.counts.see(answer.status)
        except (aiohttp.ClientError, TimeoutError):
            self.counts.see(0)

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.ws_connect(f"{self._url}/ws/prices") as feed:
                    async for _ in feed:
                        self.counts.prices += 1
                    self.counts.feeds_cut += 1
            await asyncio.sleep(_RECONNECT_SECONDS)


class LoadThread:
    """A load with an event loop and thread of its own, for callers that are not asynchronous."""

    def __init__(self, url: str, *, rate: float = RATE) -> None:
        """Start nothing yet."""
        self._load = Load(url, rate=rate)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    @property
    def counts(self) -> Counts:
        """What clients have seen so far."""
        return self._load.counts

    def __enter__(self) -> Self:
        """Start the load."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    def start(self) -> None:
        """Start the load."""
        self._thread.start()

    def stop(self) -> None:
        """End the load and wait for its end. May be repeated, and called before `start`."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        async def live() -> None:
            async with self._load:
                await self._stop.wait()

        try:
            self._loop.run_until_complete(live())
        finally:
            self._loop.close()


async def _report(url: str, seconds: float, rate: float, tell: Callable[[str], None]) -> Counts:
    async with Load(url, rate=rate) as load:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(5.0, left))
            tell(str(load.counts))
        return load.counts


def main() -> int:
    """Load a shop for a while; returns 0 when every request was answered without a server error."""
    parser = argparse.ArgumentParser(prog="load", description="Realistic load on the demo's shop.")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second (default 40)")
    options = parser.parse_args()
    counts = asyncio.run(_report(options.url.rstrip("/"), options.seconds, options.rate, print))
    bad = [status for status in counts.by_status if status == 0 or status >= _SERVER_ERROR]
    return 1 if bad else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
