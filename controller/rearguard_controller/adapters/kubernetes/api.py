"""Requests to the API server: each has a limit in time and size, and every failure becomes a `SourceError`.

Here: reading, listing by pages, patching, creating and watching; when to ask again, and what an operator is told.
Never here: which objects, and what is in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import orjson
import structlog

from rearguard_controller.adapters.foreign_json import ShapeError, mapping
from rearguard_controller.adapters.http_source import identity
from rearguard_controller.adapters.kubernetes.access import Access, access, private_folder
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.config.beside import beside
from rearguard_controller.errors import SourceError
from rearguard_controller.wording import fault, printable

log = structlog.get_logger(__name__)

TIMEOUT = 10.0  # seconds for one answer
CONNECT_TIMEOUT = 3.0  # seconds of it to connect
ANSWER_CAP = 32 * 1024 * 1024  # bytes of one answer, and of one event
BESIDE = 128 * 1024  # bytes from which on JSON is read beside the event loop
PAGE = 100  # objects of one answer to a list
MOST_PAGES = 1000  # of one list
TRIES = 3  # of a question that changes nothing
PAUSE = 0.5  # seconds before the second of them, unless the server says how long
LONGEST_PAUSE = 10.0  # seconds that a server's Retry-After is honoured for while somebody waits for the answer
WATCH_FOR = 290  # seconds after which the server ends a watch
SILENT = 90.0  # seconds without an event or bookmark (there is one each minute) after which a watch counts as dead
JSON_PATCH = "application/json-patch+json"

_SHOWN = 300  # characters of the server's words that a sentence repeats
_TOO_MANY, _GONE, _CONFLICT, _NOT_FOUND = 429, 410, 409, 404
_UNAUTHORIZED, _FORBIDDEN, _INVALID, _SERVER_ERROR, _REDIRECTED = 401, 403, 422, 500, 300
_HINTS = {
    _UNAUTHORIZED: "The API server does not know the controller: is its token valid? See docs/kubernetes.md.",
    _FORBIDDEN: "Give its account the verbs of deploy/kubernetes/components/target-namespace.",
    _NOT_FOUND: "Are namespace, kind and name right?",
    _TOO_MANY: "The API server is busy; the controller asks again.",
    _GONE: "The controller reads the whole list again by itself.",
}
_TOO_LARGE = "No answer of Kubernetes is so large: is this really its API server?"
_AWAY = "Is the API server running, and does the network policy let the controller reach it?"

Document = Mapping[str, object]


class ApiError(SourceError):
    """The API server refused, or gave no usable answer.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        wait: seconds after which it may be asked again, as it said; 0 where it did not say.
    """

    def __init__(self, message: str, *, hint: str, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.wait = wait

    @property
    def passes(self) -> bool:
        """Whether asking again may help."""
        return self.status in (0, _TOO_MANY) or self.status >= _SERVER_ERROR

    @property
    def is_gone(self) -> bool:
        """Whether the version from which a watch began is too old."""
        return self.status == _GONE

    @property
    def is_conflict(self) -> bool:
        """Whether a test of a patch failed, or somebody else was faster."""
        return self.status in (_CONFLICT, _INVALID)

    @property
    def is_missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == _NOT_FOUND

    @property
    def is_refusal(self) -> bool:
        """Whether the account may not do this."""
        return self.status in (_UNAUTHORIZED, _FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Event:
    """What a watch says: OPENED once it is there; then ADDED, MODIFIED, DELETED or BOOKMARK, and of which object."""

    kind: str
    document: Document


class Api:
    """The API server of one cluster. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: KubernetesSettings) -> None:
        """Nothing is read or connected yet."""
        self._settings = settings
        self._private = None if settings.kubeconfig is None else private_folder()
        self._access: Access | None = None
        self._tls: identity.Tls | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Close open connections, and take back what was written for them."""
        session, self._session, self._closed = self._session, None, True
        if session is not None:
            await session.close()
        if self._private is not None:
            self._private.cleanup()

    async def get(self, path: str) -> Document:
        """One object."""
        return await self._patiently(path)

    async def pages(
        self, path: str, fields: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[list[Document], str]]:
        """The objects of a list, page by page, each with the version of the list.

        Raises:
            ApiError: `is_gone` when the list changed so much that it has to be read anew.
        """
        wanted = {**(fields or {}), "limit": str(PAGE)}
        for _ in range(MOST_PAGES):
            page = await self._patiently(f"{path}?{urlencode(wanted)}")
            found = page.get("items")
            about = mapping(page.get("metadata"), "a list's metadata")
            version, rest = about.get("resourceVersion"), about.get("continue")
            yield [each for each in found if isinstance(each, dict)] if isinstance(found, list) else [], str(version)
            if not isinstance(rest, str) or not rest:
                return
            if wanted.get("continue") == rest:
                break
            wanted["continue"] = rest
        raise ApiError(f"The list {path} of the API server never ends.", hint=_TOO_LARGE)

    async def post(self, path: str, document: Document) -> Document:
        """Create an object; what the server made of it."""
        return await self._ask(path, "POST", orjson.dumps(document), "application/json")

    async def review(self, path: str, document: Document) -> Document:
        """Ask a question that has the form of an object; nothing is stored, so it is asked a few times."""
        return await self._patiently(path, "POST", orjson.dumps(document), "application/json")

    async def patch(self, path: str, operations: list[Document], *, dry_run: bool = False) -> Document:
        """Change an object by a JSON patch; what the server made of it. With `dry_run` nothing is stored."""
        fields = {"fieldManager": "rearguard"} | ({"dryRun": "All"} if dry_run else {})
        ask = self._patiently if dry_run else self._ask
        return await ask(f"{path}?{urlencode(fields)}", "PATCH", orjson.dumps(operations), JSON_PATCH)

    async def watch(self, path: str, since: str, *, silent: float = SILENT) -> AsyncIterator[Event]:
        """Everything that happens to a list after a version of it, until the server ends the watch.

        Raises:
            ApiError: it broke, or nothing came for `silent` seconds; `is_gone` when `since` is too old.
        """
        fields = {
            "watch": "1",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_FOR),
        }
        limit = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=silent)
        try:
            async with await self._request("GET", f"{path}?{urlencode(fields)}", None, {}, limit) as response:
                if response.status >= _REDIRECTED:
                    raise _refused(response, await _body(response))
                yield Event("OPENED", {})
                async for line in _lines(response):
                    yield await _event(line)
        except TimeoutError:
            raise ApiError(f"Nothing came from {self._name} for {silent:g} s.", hint=_AWAY) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._away(error) from None

    async def _patiently(self, path: str, method: str = "GET", sent: bytes | None = None, kind: str = "") -> Document:
        """The answer to a question that changes nothing, asked a few times."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._ask(path, method, sent, kind)
            except ApiError as error:
                if not error.passes or attempt == TRIES or error.wait > LONGEST_PAUSE:
                    raise
                await asyncio.sleep(error.wait or PAUSE * attempt)
        raise AssertionError  # the last try returns or raises

    async def _ask(self, path: str, method: str, sent: bytes | None = None, kind: str = "") -> Document:
        limit = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        headers = {} if sent is None else {"Content-Type": kind}
        try:
            async with await self._request(method, path, sent, headers, limit) as response:
                body = await _body(response)
        except TimeoutError:
            raise ApiError(f"{self._name} did not answer within {TIMEOUT:g} s.", hint=_AWAY) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._away(error) from None
        if response.status >= _REDIRECTED:
            raise _refused(response, body)
        return await _read(body)

    async def _request(
        self, method: str, path: str, sent: bytes | None, headers: Mapping[str, str], limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._closed:  # a reload has put another cluster in its place
            raise ApiError("This cluster is not asked any more: the configuration names another.", hint="Ask again.")
        known, tls = await self._known()
        carried = [
            *await identity.headers(known.http, "kubernetes"),
            *headers.items(),
            ("Accept", "application/json"),
        ]
        return await self._http().request(
            method,
            known.url + path,
            data=sent,
            headers=carried,
            allow_redirects=False,
            ssl=await tls.context(),
            server_hostname=known.http.tls.server_name or None,
            timeout=limit,
        )

    async def _known(self) -> tuple[Access, identity.Tls]:
        """Where the server is; found out at the first question, and again after one that was refused."""
        if self._access is None or self._tls is None:
            file = self._settings.kubeconfig
            private = Path("/nonexistent" if self._private is None else self._private.name)
            self._access = await beside(partial(access, self._settings, private), [] if file is None else [file])
            self._tls = identity.Tls(self._access.http.tls, "kubernetes")
        return self._access, self._tls

    @property
    def _name(self) -> str:
        return "The API server" + ("" if self._access is None else f" at {self._access.url}")

    def _away(self, error: Exception) -> ApiError:
        self._access = None  # the file may name another server by now
        return ApiError(f"{self._name} cannot be asked: {fault(error)}.", hint=_AWAY)

    def _http(self) -> aiohttp.ClientSession:
        """The session, made at first use: it belongs to the running loop. Each watch holds one connection."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector)
        return self._session


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_CAP:
            raise ApiError(f"The API server answered more than {ANSWER_CAP >> 20} MiB.", hint=_TOO_LARGE)
    return bytes(body)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a watch, without empty ones; a line that is cut off is none."""
    rest = bytearray()
    async for piece in response.content.iter_any():
        rest += piece
        if len(rest) > ANSWER_CAP:
            raise ApiError(f"An event of the API server has more than {ANSWER_CAP >> 20} MiB.", hint=_TOO_LARGE)
        if b"\n" in piece:
            *whole, last = rest.split(b"\n")
            rest = bytearray(last)
            for line in whole:
                if line.strip():
                    yield bytes(line)


async def _event(line: bytes) -> Event:
    document = await _read(line)
    kind, thing = document.get("type"), document.get("object")
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise ApiError("An event of the API server has no type or object.", hint=_AWAY)
    if kind == "ERROR":
        code = thing.get("code")
        raise _told(code if isinstance(code, int) else 0, thing.get("message"))
    return Event(kind, thing)


async def _read(body: bytes) -> Document:
    try:
        found = orjson.loads(body) if len(body) < BESIDE else await asyncio.to_thread(orjson.loads, body)
        return mapping(found, "its answer")
    except (orjson.JSONDecodeError, ShapeError):
        raise ApiError("The API server did not answer with one JSON object.", hint=_AWAY) from None


def _refused(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    """The error for a status that is none of success, with the server's own words and wish to wait."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    words = status.get("message") if isinstance(status, dict) else None
    error = _told(response.status, words)
    said = response.headers.get("Retry-After", "")
    error.wait = min(float(said), 3600.0) if said.isascii() and said.isdigit() else 0.0
    return error


def _told(status: int, words: object) -> ApiError:
    said = f": {printable(words[:_SHOWN])}" if isinstance(words, str) and words else ""
    return ApiError(f"The API server answered {status}{said}", hint=_HINTS.get(status, _AWAY), status=status)


def pointing(*words: str) -> str:
    """Words as a JSON pointer (RFC 6901)."""
    return "".join("/" + word.replace("~", "~0").replace("/", "~1") for word in words)


def with_test(operations: list[Document], *tests: tuple[str, object]) -> list[Document]:
    """Operations of a JSON patch (RFC 6902) that hold only while these places have these values."""
    return [{"op": "test", "path": path, "value": value} for path, value in tests] + operations
