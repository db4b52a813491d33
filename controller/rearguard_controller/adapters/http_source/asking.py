"""Requests to a source: each has a limit in time and size, and every failure becomes a `SourceError`.

Here: requests with a limit in time and size, the next address when one does not answer, and what an operator is told
if none answers or one refuses. Large answers are read beside the event loop.
Never here: retries, caches.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import aiohttp
import orjson
import structlog

from rearguard_controller.adapters.foreign_json import ShapeError, UnreadableError, reading
from rearguard_controller.adapters.http_source import hints, identity
from rearguard_controller.adapters.http_source.hints import Asked, Refusal
from rearguard_controller.adapters.http_source.sieve import Sieve
from rearguard_controller.config.http_config import HttpConfig
from rearguard_controller.errors import SourceError
from rearguard_controller.wording import address, fault

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 2.0  # seconds of an address' time to connect
ANSWER_CAP = 16 * 1024 * 1024  # bytes of one answer, without what a sieve drops
SIEVED_CAP = 64 * ANSWER_CAP  # bytes of an answer that is sieved
SIEVED_TIMEOUT = 30.0  # seconds for such an answer
MOST_OBJECTS = 100_000  # JSON objects in one answer that no sieve thins out: a series has two
MOST_LISTS = 200_000  # JSON lists in one such answer: a point is one
BESIDE = 256 * 1024  # bytes from which on an answer is read beside the event loop

_GOOD = 200
_MOST_KINDS = 100  # of faults of reading that are remembered, so that each is logged once
_SHOWN = 300  # characters of an error text that a sentence repeats
_JSON = ("Content-Type", "application/json")

T = TypeVar("T")


class NextAddressError(Exception):
    """This address gave no usable answer; ends in the next address, or in a `SourceError`."""

    def __init__(self, sentence: str, hint: str) -> None:
        """What an operator is told should no other address answer."""
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class AwayError(SourceError):
    """None of the addresses gave a usable answer; nothing is known of what was asked."""


class AnswerTooLargeError(SourceError):
    """The answer, or the work for it, is beyond a limit: a smaller question may be answered."""


class Kept(NamedTuple):
    """What is left of the elements of long lists of an answer: see `Sieve`."""

    key: str
    begin: Callable[[], Callable[[bytes], bytes | None]]  # gives what is asked about each element of one answer
    known: Collection[bytes] = ()  # elements that came before


@dataclass(frozen=True, slots=True)
class Source:
    """Who is asked.

    Attributes:
        name: as people know it: Prometheus.
        key: its part of the configuration, for hints: prometheus.
        kind: with its article, for hints: a Prometheus.
        api: where its API begins, which does not belong into `urls`: /api/v1.
        urls: base addresses without a slash at the end, tried in order.
        http: who the controller says it is, and whom it trusts.
        timeout: seconds for one address.
        content: takes what was asked for out of an answer; raises `NextAddressError` or `SourceError` if it is not
            there.
        wanted: the hint for operators when an answer has another shape.
        advice: for each HTTP status that means something special, what to do.
    """

    name: str
    key: str
    kind: str
    api: str
    urls: tuple[str, ...]
    http: HttpConfig
    timeout: float
    content: Callable[[Answer], object]
    wanted: str
    advice: Mapping[int, str] = field(default_factory=dict)

    @property
    def asked(self) -> Asked:
        """Who is asked, for hints."""
        return Asked(self.name, self.key, self.api, self.http.said_by if self.http.secret_file is not None else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address of a source answered.

    Attributes:
        document: the JSON in it, None where there is none.
        said: status, and what else of it a hint needs.
        is_page: whether it is a web page.
    """

    source: Source
    url: str
    document: object
    said: Refusal
    is_page: bool = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.said.status

    @property
    def good(self) -> bool:
        """Whether the status says that the request succeeded."""
        return self.status == _GOOD

    def refusal(self, words: object) -> NextAddressError:
        """The error for a status that is not good; `words` are the source's own, if they are text."""
        source = self.source
        hint = source.advice.get(self.status) or hints.of_status(source.asked, self.said)
        return self._complaint(f"answered {self.status}", words or self.said.text, hint)

    def stranger(self, problem: str, words: object = None) -> NextAddressError:
        """The error for a good status with an answer that this source would not send."""
        question = f"Is {self.source.key}.url really {self.source.kind}"
        if self.is_page:
            hint = f"{question}, with its path prefix, and no login page in between?"
            return self._complaint(f"{problem}, but with a web page", words, hint)
        return self._complaint(problem, words, f"{question}?")

    def _complaint(self, problem: str, words: object, hint: str) -> NextAddressError:
        return NextAddressError(f"{self.source.name} at {address(self.url)} {problem}{quoted(words)}", hint)


def quoted(words: object) -> str:
    """A source's own words as the end of a sentence; nothing where there are none."""
    return f": {words[:_SHOWN]}" if isinstance(words, str) and words else ""


class Asking:
    """A source that can be asked. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, source: Source) -> None:
        """Nothing is connected yet."""
        self._source = source
        self._tls = identity.Tls(source.http.tls, source.key)
        self._session: aiohttp.ClientSession | None = None
        self._logged: set[tuple[str, str]] = set()  # faults of reading: path and kind
        self._under_way = 0
        self._retired = False
        self._date = ""  # the header `Date` of the last answer

    @property
    def address(self) -> str:
        """The first of its addresses, for sentences."""
        return address(self._source.urls[0])

    async def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str],
        shape: Callable[[object], T],
        *,
        document: bytes | None = None,
        kept: Kept | None = None,
    ) -> T:
        """The shaped document of the first address that answers.

        Args:
            method: of HTTP.
            path: below the base address.
            fields: of a form; none are sent if empty.
            shape: makes the value out of the document; raises `ShapeError`.
            document: JSON to send instead of fields.
            kept: what is kept of an answer that may be very long; None keeps all of it.
        """
        self._under_way += 1
        try:
            return await self._first(method, path, fields if document is None else document, shape, kept)
        finally:
            self._under_way -= 1
            if self._retired and not self._under_way:
                await self.close()

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

    async def _first(
        self,
        method: str,
        path: str,
        sent: Mapping[str, str] | bytes,
        shape: Callable[[object], T],
        kept: Kept | None,
    ) -> T:
        failed: list[NextAddressError] = []
        for url in self._source.urls:
            try:
                return await self._shaped(method, url, path, sent, shape, kept)
            except NextAddressError as one:
                failed.append(one)
            except ShapeError as error:
                self._log_once(path, error)
                raise SourceError(
                    f"{self._source.name} at {address(url)} gave an unexpected answer to {path}: {error}",
                    hint=self._source.wanted,
                ) from None
        raise AwayError("; ".join(one.sentence for one in failed), hint=failed[-1].hint)

    def _log_once(self, path: str, error: ShapeError) -> None:
        """Log an answer that broke its reader, once for each kind: it may be our fault, which the traceback shows."""
        kind = path.partition("?")[0], repr(error.__cause__)[:_SHOWN].partition("(")[0]
        if isinstance(error, UnreadableError) and kind not in self._logged and len(self._logged) < _MOST_KINDS:
            self._logged.add(kind)
            log.error("answer_unreadable", source=self._source.name, path=kind[0], exc_info=error.__cause__)

    async def _shaped(
        self,
        method: str,
        url: str,
        path: str,
        sent: Mapping[str, str] | bytes,
        shape: Callable[[object], T],
        kept: Kept | None,
    ) -> T:
        """The value in a successful answer of one address; whatever fails while it is read, the answer is none."""
        source = self._source

        def value() -> T:
            if isinstance(sent, bytes) and response.status == _GOOD and not body:
                return shape(None)  # what was handed over was taken; there is nothing to say
            return shape(source.content(_read(source, url, url + path, response, body)))

        with reading(NextAddressError, SourceError):
            response, body = await self._answer(method, url, path, sent, kept)
            if kept is None and body.count(b"{") > MOST_OBJECTS:
                raise self._too_much(url, f"more than {MOST_OBJECTS // 2} series")
            if kept is None and body.count(b"[") > MOST_LISTS:
                raise self._too_much(url, f"more than {MOST_LISTS} points")
            return value() if len(body) < BESIDE else await asyncio.to_thread(_unhurried, value)

    async def _answer(
        self, method: str, url: str, path: str, sent: Mapping[str, str] | bytes, kept: Kept | None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        source = self._source
        headers = await identity.headers(source.http, source.key) + ([_JSON] if isinstance(sent, bytes) else [])
        context = await self._tls.context()
        limit = source.timeout if kept is None else max(source.timeout, SIEVED_TIMEOUT)
        try:
            async with self._http().request(
                method,
                url + path,
                data=sent or None,
                headers=headers,
                allow_redirects=False,
                ssl=context,
                server_hostname=source.http.tls.server_name or None,
                timeout=aiohttp.ClientTimeout(total=limit, sock_connect=CONNECT_TIMEOUT),
            ) as response:
                self._date = response.headers.get("Date", "")
                return response, await self._body(response, url, kept)
        except TimeoutError:
            sentence = f"{source.name} at {address(url)} did not answer within {limit:g} s"
            raise NextAddressError(sentence, source.asked.away) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = fault(error)
            sentence = f"{source.name} at {address(url)} cannot be asked: {why}"
            raise NextAddressError(sentence, hints.of_fault(source.asked, why)) from None

    async def _body(self, response: aiohttp.ClientResponse, url: str, kept: Kept | None) -> bytes:
        """All of an answer; with `kept` only what a sieve leaves of it."""
        body, sieve, size = bytearray(), None, 0
        if kept is not None and response.status == _GOOD:
            sieve = Sieve(kept.key, kept.begin(), kept.known)
        async for piece in response.content.iter_any():
            body += piece
            size += len(piece)
            if sieve is not None and len(body) >= BESIDE:
                await asyncio.to_thread(sieve.feed, bytes(body))
                body.clear()
            if (len(body) if sieve is None else len(sieve.rest) + sieve.taken) > ANSWER_CAP or size > SIEVED_CAP:
                raise self._too_much(url, f"more than {ANSWER_CAP // 1024 // 1024} MiB")
        if sieve is None:
            return bytes(body)
        sieve.feed(bytes(body))
        return sieve.end()

    def _too_much(self, url: str, what: str) -> AnswerTooLargeError:
        return AnswerTooLargeError(
            f"{self._source.name} at {address(url)} answered {what}",
            hint="Ask for less: aggregate the expression, ask for a shorter time, let fewer alerts fire.",
        )

    def _http(self) -> aiohttp.ClientSession:
        """The session, made at first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _unhurried(work: Callable[[], T]) -> T:
    """The value of some work in a thread, without collecting garbage in between, which would stop all other threads.

    A large document makes many objects at once and no cycles, so there is nothing to collect.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return work()
    finally:
        if collects:
            gc.enable()


def _read(source: Source, url: str, asked: str, response: aiohttp.ClientResponse, body: bytes) -> Answer:
    headers = response.headers
    document = _json(body)
    is_page = document is None and ("html" in headers.get("Content-Type", "").lower() or body.lstrip()[:1] == b"<")
    text = ""
    if document is None and not is_page:
        text = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    said = Refusal(
        asked,
        response.status,
        challenge=headers.get("WWW-Authenticate", ""),
        location=headers.get("Location", ""),
        text=text if text.isprintable() else "",
    )
    return Answer(source, url, document, said, is_page)


def _json(body: bytes) -> object:
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document
