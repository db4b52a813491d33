"""One kind of object in one namespace as it is now: listed once, then followed by a watch.

Here: list and watch, resumed where it broke, begun anew when the server has forgotten that moment; how old the
picture may be.
Never here: what the objects mean.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.kubernetes.api import Api, ApiError, Document, Event
from rearguard_controller.errors import SourceError

log = structlog.get_logger(__name__)

T = TypeVar("T")

PAUSE_FIRST, PAUSE_MOST = 0.5, 15.0  # seconds before a broken watch is taken up again
STALE = 30.0  # seconds without a watch after which nothing is claimed any more
QUICK = 1.0  # seconds; a watch that ended sooner is followed by a pause
FIRST_LOOK = 10.0  # seconds that a question waits for the first list


class Mirror(Generic[T]):
    """The objects of one list by name. `run` follows them for ever."""

    def __init__(
        self,
        api: Api,
        path: str,
        read: Callable[[Document], T],
        changed: Callable[[T, T], None] | None = None,
    ) -> None:
        """Wire it.

        Args:
            api: whom to ask.
            path: of the list.
            read: makes the record that is kept of an object; raises `ShapeError`.
            changed: is told of each object that was another before, as it was and as it is.
        """
        self._api, self._path, self._read, self._changed = api, path, read, changed
        self._kept: dict[str, T] = {}
        self._listed = asyncio.Event()
        self._moved = asyncio.Event()
        self._since = ""
        self._seen_at = 0.0  # when the picture was last known to be true, by the steady clock
        self._broken: SourceError | None = None
        self._watching = False
        self._odd: set[str] = set()

    async def objects(self) -> dict[str, T]:
        """The objects by name; not to be changed.

        Raises:
            SourceError: they are not known, or only as they were more than `STALE` seconds ago.
        """
        if not self._listed.is_set():
            try:
                async with asyncio.timeout(FIRST_LOOK):
                    await self._listed.wait()
            except TimeoutError:
                raise self._unknown("were not listed yet") from None
        age = time.monotonic() - self._seen_at
        if not self._watching and age > STALE:
            raise self._unknown(f"were last seen {age:.0f} s ago")
        return self._kept

    async def moved(self) -> None:
        """Return when anything changed from now on."""
        await self._moved.wait()

    async def run(self) -> None:
        """List, watch, and take up again what broke, for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                if not self._since:
                    await self._list()
                await self._watch()
                failures = 0 if time.monotonic() - began > QUICK else failures + 1
            except SourceError as error:
                failures = failures + 1 if time.monotonic() - began < STALE else 1
                self._note(error)
            except ShapeError as error:
                failures += 1
                self._since = ""
                self._note(SourceError(f"The API server's list {self._path} cannot be read: {error}."))
            except Exception as error:  # a fault of ours: everything is read again
                failures += 1
                self._since = ""
                log.error("watch_broke", path=self._path, exc_info=error)
                self._broken = SourceError(
                    "The controller could not read what the API server said; its log says why."
                )
            finally:
                self._watching = False
            if failures:
                wait = self._broken.wait if isinstance(self._broken, ApiError) else 0.0
                pause = min(PAUSE_MOST, PAUSE_FIRST * 2 ** (failures - 1))
                await asyncio.sleep(max(wait, pause * random.uniform(0.5, 1.0)))  # noqa: S311  # no secret

    async def _list(self) -> None:
        """Read the whole list; what is not in it any more is gone."""
        fresh: dict[str, T] = {}
        version = ""
        async for page, version in self._api.pages(self._path):  # noqa: B007  # the last one counts
            for document in page:
                self._take(document, fresh)
        before, self._kept, self._since = self._kept, fresh, version
        self._well()
        self._listed.set()
        for name, one in fresh.items():
            self._tell(before.get(name), one)
        self._stir()

    async def _watch(self) -> None:
        try:
            async for event in self._api.watch(self._path, self._since):
                self._watching = True
                self._apply(event)
                self._well()
        except ApiError as error:
            if error.is_gone:
                self._since = ""
                return
            raise

    def _apply(self, event: Event) -> None:
        if event.kind == "OPENED":
            return
        about = event.document.get("metadata")
        version = about.get("resourceVersion") if isinstance(about, dict) else None
        if event.kind != "BOOKMARK":
            name = str(about.get("name")) if isinstance(about, dict) else ""
            before = self._kept.get(name)
            if event.kind == "DELETED":
                self._kept.pop(name, None)
            else:
                self._take(event.document, self._kept)
                self._tell(before, self._kept.get(name))
            self._stir()
        if isinstance(version, str) and version:
            self._since = version

    def _take(self, document: Document, kept: dict[str, T]) -> None:
        """Keep an object; one that cannot be read is left out and told of once: the others go on."""
        about = document.get("metadata")
        name = about.get("name") if isinstance(about, dict) else None
        if not isinstance(name, str):
            return
        try:
            kept[name] = self._read(document)
        except ShapeError as error:
            kept.pop(name, None)
            if name not in self._odd:
                self._odd.add(name)
                log.warning("object_unreadable", path=self._path, name=name, error=str(error))

    def _tell(self, before: T | None, now: T | None) -> None:
        if self._changed is not None and before is not None and now is not None and before != now:
            self._changed(before, now)

    def _stir(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _well(self) -> None:
        self._seen_at = time.monotonic()
        if self._broken is not None:
            self._broken = None
            log.info("watch_resumed", path=self._path)

    def _note(self, error: SourceError) -> None:
        if self._broken is None or self._broken.message != error.message:
            log.warning("watch_broken", path=self._path, error=error.message, hint=error.hint)
        self._broken = error

    def _unknown(self, what: str) -> SourceError:
        if self._broken is None:
            return SourceError(f"The objects of {self._path} {what}.", hint="The controller goes on asking.")
        return SourceError(
            f"{self._broken.message.rstrip('.')}; the objects of {self._path} {what}.", hint=self._broken.hint
        )
