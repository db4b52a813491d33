"""Watches: a stream of changes from a version on, with bookmarks, until the client's time is over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from local_cluster.errors import ApiError, expired
from local_cluster.kinds import Kind
from local_cluster.objects import Object
from local_cluster.reading import selection
from local_cluster.request import Asked, wants
from local_cluster.selectors import Test
from local_cluster.store import Change, Store

_LONGEST = 1800.0  # seconds of a watch whose client sets no time
_INITIAL_END = {"k8s.io/initial-events-end": "true"}
Shape = Callable[[Object], Object]


@dataclass(slots=True)
class Watches:
    """All open watches, and what a test has made of them."""

    bookmark_every: float = 10.0
    held: bool = False  # nothing is sent, not even a bookmark, and nothing ends
    _open: set["asyncio.Queue[Change | ApiError | None]"] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many watches are open."""
        return len(self._open)

    def end_all(self, error: ApiError | None = None) -> None:
        """End all open watches: silently, or after an ERROR event."""
        for queue in self._open:
            queue.put_nowait(error)

    def opened(self, queue: "asyncio.Queue[Change | ApiError | None]") -> None:
        """Note an open watch."""
        self._open.add(queue)

    def closed(self, queue: "asyncio.Queue[Change | ApiError | None]") -> None:
        """Forget a watch."""
        self._open.discard(queue)


async def answer_watch(
    store: Store, watches: Watches, asked: Asked, request: web.Request, shape: Shape
) -> web.StreamResponse:
    """Answer with the stream until it ends; `shape` makes an object what the client wants to see."""
    fits = selection(asked, request)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    with suppress(ConnectionError, asyncio.CancelledError):
        async for what, value in _events(store, watches, asked, request, fits):
            shown = value if what in ("BOOKMARK", "ERROR") else shape(value)
            await response.write(orjson.dumps({"type": what, "object": shown}) + b"\n")
        await response.write_eof()
    return response


async def _events(
    store: Store, watches: Watches, asked: Asked, request: web.Request, fits: Test
) -> AsyncIterator[tuple[str, Object]]:
    queue: asyncio.Queue[Change | ApiError | None] = asyncio.Queue()
    unlisten = store.listen(asked.kind, queue.put_nowait)
    watches.opened(queue)
    try:
        for event in _first_events(store, asked.kind, request, fits):
            yield event
            if event[0] == "ERROR":
                return
        async for event in _later_events(store, watches, asked.kind, request, fits, queue):
            yield event
    finally:
        unlisten()
        watches.closed(queue)


def _first_events(store: Store, kind: Kind, request: web.Request, fits: Test) -> list[tuple[str, Object]]:
    version = request.query.get("resourceVersion", "")
    if version in ("", "0") or wants(request, "sendInitialEvents"):
        events = [("ADDED", one) for one in store.all(kind) if fits(one)]
        if wants(request, "sendInitialEvents"):
            events.append(("BOOKMARK", _bookmark(kind, store.version, _INITIAL_END)))
        return events
    try:
        changes = list(store.changes_since(kind, int(version)))
    except ApiError as error:
        return [("ERROR", error.as_status())]
    return [event for event in (_seen(change, fits) for change in changes) if event]


async def _later_events(
    store: Store,
    watches: Watches,
    kind: Kind,
    request: web.Request,
    fits: Test,
    queue: "asyncio.Queue[Change | ApiError | None]",
) -> AsyncIterator[tuple[str, Object]]:
    loop = asyncio.get_running_loop()
    ends = loop.time() + float(request.query.get("timeoutSeconds") or _LONGEST)
    marks = wants(request, "allowWatchBookmarks")
    while True:
        wait = min(ends - loop.time(), watches.bookmark_every)
        try:
            async with asyncio.timeout(max(wait, 0.0)):
                change = await queue.get()
        except TimeoutError:
            if watches.held:
                await asyncio.sleep(watches.bookmark_every)
                continue
            if marks:
                yield "BOOKMARK", _bookmark(kind, store.version, {})
            if loop.time() >= ends:
                return
            continue
        while watches.held:  # noqa: ASYNC110 - a test's switch, looked at now and then
            await asyncio.sleep(0.05)
        if change is None:
            return
        if isinstance(change, ApiError):
            yield "ERROR", change.as_status()
            return
        if event := _seen(change, fits):
            yield event


def _seen(change: Change, fits: Test) -> tuple[str, Object] | None:
    """Return the change as this watch sees it: an object that no longer fits is deleted for it."""
    now = change.what != "DELETED" and fits(change.object)
    before = change.previous is not None and fits(change.previous)
    if now:
        return ("MODIFIED" if before else "ADDED"), change.object
    if not before:
        return None
    if change.what == "DELETED":
        return "DELETED", change.object
    version = change.object["metadata"]["resourceVersion"]
    gone: Object = change.previous or {}
    return "DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": version}}


def _bookmark(kind: Kind, version: int, annotations: dict[str, str]) -> Object:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}


def too_old() -> ApiError:
    """Return what a watch is told whose version is too old."""
    return expired("too old resource version")
