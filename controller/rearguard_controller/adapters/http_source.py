"""Asking an outside HTTP source that may have several addresses: one object, one kind of error.

Here: requests with a limit in time and size, the bearer token read at each use, the next address when one does not
answer, and what an operator is told if none answers or one refuses.
Never here: retries, caches.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.errors import SourceError
from rearguard_controller.wording import address, plain

CONNECT_TIMEOUT = 2.0  # seconds of an address' time to connect
ANSWER_CAP = 16 * 1024 * 1024  # bytes of one answer

_GOOD = 200
_SHOWN = 300  # characters of an error text that a sentence repeats
_JSON: Mapping[str, str] = {"Content-Type": "application/json"}

T = TypeVar("T")


class NextAddressError(Exception):
    """This address gave no usable answer; ends in the next address, or in a `SourceError`."""

    def __init__(self, sentence: str, hint: str) -> None:
        """What an operator is told should no other address answer."""
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class AnswerTooLargeError(SourceError):
    """The answer, or the work for it, is beyond a limit: a smaller question may be answered."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who is asked.

    Attributes:
        name: as people know it: Prometheus.
        key: its part of the configuration, for hints: prometheus.
        urls: base addresses without a slash at the end, tried in order.
        kind: with its article, for hints: a Prometheus.
        api: where its API begins, which does not belong into `urls`: /api/v1.
        timeout: seconds for one address.
        content: takes what was asked for out of an answer; raises `NextAddressError` or `SourceError` if it is not
            there.
        wanted: the hint for operators when an answer has another shape.
        hints: for each HTTP status that means something special, what to do.
    """

    name: str
    key: str
    kind: str
    api: str
    urls: tuple[str, ...]
    token_file: Path | None
    ca_file: Path | None
    timeout: float
    content: Callable[[Answer], object]
    wanted: str
    hints: Mapping[int, str] = field(default_factory=dict)

    @property
    def away(self) -> str:
        """The hint when it does not answer."""
        return f"Is {self.name} running, and {self.key}.url right?"

    def hint(self, status: int) -> str:
        """The hint when it answers with this status."""
        match status:
            case 401 | 403:
                return f"Set {self.key}.token_file to a token that may read."
            case 404:
                return f"{self.key}.url must be the base address, without {self.api}."
            case _:
                return self.hints.get(status, self.away)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address of a source answered; `document` is the JSON in it, None where there is none."""

    source: Source
    url: str
    status: int
    document: object

    @property
    def good(self) -> bool:
        """Whether the status says that the request succeeded."""
        return self.status == _GOOD

    def refusal(self, words: object) -> NextAddressError:
        """The error for a status that is not good; `words` are the source's own, if they are text."""
        return self._complaint(f"answered {self.status}", words, self.source.hint(self.status))

    def stranger(self, problem: str, words: object = None) -> NextAddressError:
        """The error for a good status with an answer that this source would not send."""
        return self._complaint(problem, words, f"Is {self.source.key}.url really {self.source.kind}?")

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
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._retired = False

    async def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str],
        shape: Callable[[object], T],
        *,
        document: bytes | None = None,
    ) -> T:
        """The shaped document of the first address that answers; `document` is JSON to send instead of fields."""
        self._under_way += 1
        try:
            return await self._first(method, path, fields if document is None else document, shape)
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
        self, method: str, path: str, sent: Mapping[str, str] | bytes, shape: Callable[[object], T]
    ) -> T:
        failed: list[NextAddressError] = []
        for url in self._source.urls:
            try:
                return shape(await self._document(method, url, path, sent))
            except NextAddressError as one:
                failed.append(one)
            except ShapeError as error:
                raise SourceError(
                    f"{self._source.name} at {address(url)} gave an unexpected answer to {path}: {error}",
                    hint=self._source.wanted,
                ) from None
        raise SourceError("; ".join(one.sentence for one in failed), hint=failed[-1].hint)

    async def _document(self, method: str, url: str, path: str, sent: Mapping[str, str] | bytes) -> object:
        """The document of a successful answer."""
        source = self._source
        try:
            async with self._http().request(
                method,
                url + path,
                data=sent or None,
                headers={**self._headers(), **(_JSON if isinstance(sent, bytes) else {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=source.timeout, sock_connect=CONNECT_TIMEOUT),
            ) as response:
                status, body = response.status, await self._read(response, url)
        except TimeoutError:
            sentence = f"{source.name} at {address(url)} did not answer within {source.timeout:g} s"
            raise NextAddressError(sentence, source.away) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = plain(str(error)) or type(error).__name__
            raise NextAddressError(f"{source.name} at {address(url)} cannot be asked: {why}", source.away) from None
        if isinstance(sent, bytes) and status == _GOOD and not body:
            return None  # what was handed over was taken; there is nothing to say
        return source.content(Answer(source, url, status, _json(body)))

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > ANSWER_CAP:
                raise AnswerTooLargeError(
                    f"{self._source.name} at {address(url)} answered more than {ANSWER_CAP // 1024 // 1024} MiB",
                    hint="Ask for less: aggregate the expression, ask for a shorter time, let fewer alerts fire.",
                )
        return bytes(body)

    def _headers(self) -> dict[str, str]:
        file = self._source.token_file
        if file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {file.read_text(encoding='utf-8').strip()}"}
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"the token file {file} cannot be read ({type(error).__name__})",
                hint=f"Make {self._source.key}.token_file readable for the controller.",
            ) from None

    def _http(self) -> aiohttp.ClientSession:
        """The session, made at first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._trust()),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _trust(self) -> ssl.SSLContext | bool:
        ca_file = self._source.ca_file
        if ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(ca_file))
        except OSError as error:  # also ssl.SSLError: not a certificate
            raise SourceError(
                f"the certificates in {ca_file} cannot be used: {error.strerror or error}",
                hint=f"{self._source.key}.ca_file must name a readable PEM file.",
            ) from None


def _json(body: bytes) -> object:
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document
