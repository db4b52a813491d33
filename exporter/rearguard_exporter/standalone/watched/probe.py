"""HTTP probes: an address is asked on a timer, each time over a new connection, and the last answer is shown.

The names are those of Prometheus' blackbox exporter. No address, header or body ever leaves this module.
"""

from __future__ import annotations

import asyncio
import calendar
import ssl
import time
from typing import Any

import aiohttp

from rearguard_exporter.families import Family
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.standalone import families
from rearguard_exporter.standalone.config.configuration import ProbeSettings
from rearguard_exporter.standalone.watched.figures import Figures

_MOST_READ = 65_536  # bytes of an answer in which `contains` is looked for
_MOST_REDIRECTS = 10
_GOOD = range(200, 300)


class Probe:
    """One address. There are no figures before the first probe ended."""

    def __init__(self, settings: ProbeSettings) -> None:
        self._settings = settings
        self._labels = (settings.name,)
        self._told: str | None = None
        self._expiries: list[float] = []
        self._tls = _context(settings, self._see)
        self.figures: Figures = {}

    async def run(self) -> None:
        """Probe every `interval` seconds, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.interval)

    def stop(self) -> None:
        """Nothing: a probe leaves nothing open."""

    async def look(self) -> None:
        """Probe once, for at most `timeout` seconds."""
        began = time.monotonic()
        self._expiries.clear()
        status, failure = 0, ""
        try:
            # The limit is also for looking the name up.
            async with asyncio.timeout(self._settings.timeout):
                status, failure = await self._ask()
        except TimeoutError:
            failure = f"no answer within {self._settings.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - whatever an answer holds; messages of aiohttp hold the address
            failure = type(error).__name__
        spent = time.monotonic() - began
        figures: dict[Family, dict[tuple[str, ...], float]] = {
            families.PROBE_SUCCESS: {self._labels: 0.0 if failure else 1.0},
            families.PROBE_DURATION: {self._labels: spent},
            families.PROBE_STATUS: {self._labels: float(status)},
        }
        if self._expiries:
            figures[families.PROBE_CERTIFICATE] = {self._labels: min(self._expiries)}
        self.figures = figures
        if failure != self._told:
            state = f"fails: {failure}" if failure else "succeeds"
            log.info("rearguard_exporter: probe %s %s", self._settings.name, state)
        self._told = failure

    async def _ask(self) -> tuple[int, str]:
        """The status, and what is wrong with the answer."""
        settings = self._settings
        headers = {"User-Agent": "rearguard-exporter"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token}"
        connector = aiohttp.TCPConnector(ssl=self._tls, force_close=True)
        timeout = aiohttp.ClientTimeout(total=settings.timeout)
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.request(
                settings.method,
                settings.url,
                headers=headers,
                allow_redirects=settings.follow_redirects,
                max_redirects=_MOST_REDIRECTS,
            ) as answer,
        ):
            if answer.status not in (settings.statuses or _GOOD):
                return answer.status, f"status {answer.status}"
            if settings.contains is not None and settings.contains.encode() not in await _beginning(answer):
                return answer.status, "the answer does not contain the text"
            return answer.status, ""

    def _see(self, certificate: dict[str, Any]) -> None:
        ends = time.strptime(certificate["notAfter"], "%b %d %H:%M:%S %Y GMT")
        self._expiries.append(float(calendar.timegm(ends)))


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    found = b""
    while len(found) < _MOST_READ and (piece := await answer.content.read(_MOST_READ - len(found))):
        found += piece
    return found


def _context(settings: ProbeSettings, see: Any) -> ssl.SSLContext:
    """A client's context that shows the server's certificate to `see`, when hands were shaken."""

    class Seeing(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if certificate := self.getpeercert():
                see(certificate)

    context = ssl.create_default_context(cadata=settings.certificates)
    context.sslobject_class = Seeing
    return context
