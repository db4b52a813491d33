"""Asking Prometheus: one object, several addresses, one kind of error.

Here: requests with a limit in time and size, the bearer token read at each use, the next address when one does not
answer, and what an operator is told when none does.
Never here: the shape of answers (`answers`), retries, caches.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson

from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Sample
from rearguard_controller.prometheus import answers
from rearguard_controller.prometheus.answers import PrometheusAlert, Rules, Series, ShapeError
from rearguard_controller.shapes import address, plain

TIMEOUT = 5.0  # seconds for one address
CONNECT_TIMEOUT = 2.0  # seconds of these to connect
ANSWER_CAP = 16 * 1024 * 1024  # bytes of one answer
_OUR_FAULT = (400, 422)  # the expression or parameters are bad: no other address would help
_GOOD = 200
_SHOWN = 300  # characters of an error text that a sentence repeats
_HINTS = {
    401: "Set prometheus.token_file to a token that may read.",
    403: "Set prometheus.token_file to a token that may read.",
    404: "prometheus.url must be the base address, without /api/v1.",
    503: "Prometheus is starting or stopping; it will be asked again.",
}
_AWAY = "Is Prometheus running, and prometheus.url right?"

T = TypeVar("T")


class _NextAddress(Exception):  # noqa: N818 - it ends in the next address or in a SourceError
    """This address gave no usable answer."""

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class Prometheus:
    """The Prometheus of the configuration. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._retired = False

    async def alerts(self) -> tuple[PrometheusAlert, ...]:
        """What is pending or firing now."""
        return await self._ask("GET", "/api/v1/alerts", {}, answers.alerts)

    async def rules(self) -> Rules:
        """All rules that are loaded."""
        return await self._ask("GET", "/api/v1/rules", {}, answers.rules)

    async def scrape_intervals(self) -> dict[tuple[str, str], float]:
        """Seconds between two scrapes of each active target, by (job, instance)."""
        return await self._ask("GET", "/api/v1/targets?state=active", {}, answers.scrape_intervals)

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """A vector or scalar at a moment (seconds since the epoch), or now. NaN is left out, Inf is kept."""
        fields = {"query": expression, "timeout": f"{TIMEOUT:g}s"}
        if time is not None:
            fields["time"] = f"{time:.3f}"
        return await self._ask("POST", "/api/v1/query", fields, answers.samples)

    async def query_range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A figure from `start` to `end` (seconds since the epoch) every `step` seconds."""
        fields = {
            "query": expression,
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step:g}",
            "timeout": f"{TIMEOUT:g}s",
        }
        return await self._ask("POST", "/api/v1/query_range", fields, answers.series)

    async def close(self) -> None:
        """Close open connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def retire(self) -> None:
        """Keep no connection when no answer is waited for; whoever still holds this one may go on asking."""
        self._retired = True
        if not self._under_way:
            await self.close()

    async def _ask(self, method: str, path: str, fields: Mapping[str, str], shape: Callable[[object], T]) -> T:
        """The shaped data of the first address that answers."""
        self._under_way += 1
        try:
            return await self._first(method, path, fields, shape)
        finally:
            self._under_way -= 1
            if self._retired and not self._under_way:
                await self.close()

    async def _first(self, method: str, path: str, fields: Mapping[str, str], shape: Callable[[object], T]) -> T:
        failed: list[_NextAddress] = []
        for url in self._settings.urls:
            try:
                return shape(await self._data(method, url, path, fields))
            except _NextAddress as one:
                failed.append(one)
            except ShapeError as error:
                raise SourceError(
                    f"Prometheus at {address(url)} gave an unexpected answer to {path}: {error}",
                    hint="Is it Prometheus 2.42 or later, and the expression one value per series?",
                ) from None
        raise SourceError("; ".join(one.sentence for one in failed), hint=failed[-1].hint)

    async def _data(self, method: str, url: str, path: str, fields: Mapping[str, str]) -> object:
        """The `data` of a successful answer."""
        try:
            async with self._http().request(
                method,
                url + path,
                data=fields or None,
                headers=self._headers(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=CONNECT_TIMEOUT),
            ) as response:
                status, body = response.status, await _read(response, url)
        except TimeoutError:
            raise _NextAddress(f"Prometheus at {address(url)} did not answer within {TIMEOUT:g} s", _AWAY) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _NextAddress(
                f"Prometheus at {address(url)} cannot be asked: {plain(str(error)) or type(error).__name__}", _AWAY
            ) from None
        return _content(url, status, body)

    def _headers(self) -> dict[str, str]:
        file = self._settings.token_file
        if file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {file.read_text(encoding='utf-8').strip()}"}
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"the token file {file} cannot be read ({type(error).__name__})",
                hint="Make prometheus.token_file readable for the controller.",
            ) from None

    def _http(self) -> aiohttp.ClientSession:
        """The session, made at first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=_trust(self._settings.ca_file)),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # also ssl.SSLError: not a certificate
        raise SourceError(
            f"the certificates in {ca_file} cannot be used: {error.strerror or error}",
            hint="prometheus.ca_file must name a readable PEM file.",
        ) from None


async def _read(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_CAP:
            raise SourceError(
                f"Prometheus at {address(url)} answered more than {ANSWER_CAP // 1024 // 1024} MiB",
                hint="Aggregate the expression, or ask for a shorter time.",
            )
    return bytes(body)


def _content(url: str, status: int, body: bytes) -> object:
    """The answer's data, or the fitting complaint with Prometheus' own words."""
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    fields = document if isinstance(document, dict) else {}
    if status == _GOOD and fields.get("status") == "success":
        return fields.get("data")
    words = fields.get("error")
    said = f": {words[:_SHOWN]}" if isinstance(words, str) and words else ""
    if status in _OUR_FAULT:
        raise SourceError(
            f"Prometheus refused the request ({status}){said}",
            hint="Correct the expression, e.g. in the rule's annotation.",
        )
    if status == _GOOD:
        problem = "answered with an error" if fields else "did not answer in JSON"
        raise _NextAddress(f"Prometheus at {address(url)} {problem}{said}", "Is prometheus.url really a Prometheus?")
    raise _NextAddress(f"Prometheus at {address(url)} answered {status}{said}", _HINTS.get(status, _AWAY))
