"""What services said of first messages, so that later ones go to the same thread, through a restart as well.

Here: keeping it by service and key, and its text for the journal. Never here: what it means to a service.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import structlog

from rearguard_controller.errors import RearguardError

log = structlog.get_logger(__name__)

MOST = 1000  # threads that are known
MOST_KEPT = 250  # of which the newest are in the journal
_FEW = 8  # facts of one thread

Keep = Callable[[str], Awaitable[None]]


class Threads:
    """The threads of every service. What is learned is kept soon, without anybody waiting for it."""

    def __init__(self, keep: Keep | None = None) -> None:
        """Know nothing yet; `keep` stores the text, and may raise a `RearguardError`."""
        self._keep = keep
        self._known: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()
        self._writing: asyncio.Task[None] | None = None
        self._is_new = False

    def known(self, service: str, key: str) -> Mapping[str, str]:
        """What the service said of the first message with this key; empty if there was none."""
        return self._known.get((service, key), {})

    def learn(self, service: str, key: str, said: Mapping[str, str]) -> None:
        """Remember what the service said, for later messages with the same key."""
        self._remember(service, key, said)
        self._is_new = True
        if self._keep is not None and self._writing is None:
            self._writing = asyncio.create_task(self._write(self._keep), name="threads of notices")

    def take(self, text: str | None) -> None:
        """Remember what was kept before; whatever is not ours in it is left out."""
        try:
            found = json.loads(text or "[]")
        except ValueError:
            found = []
        for entry in found if isinstance(found, list) else []:
            match entry:
                case [str(service), str(key), dict(said)] if len(said) <= _FEW:
                    self._remember(service, key, {name: each for name, each in said.items() if isinstance(each, str)})

    async def close(self, within: float) -> None:
        """Wait until what was learned is kept, for so many seconds."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=within)

    def _remember(self, service: str, key: str, said: Mapping[str, str]) -> None:
        self._known[service, key] = {**self._known.get((service, key), {}), **said}
        self._known.move_to_end((service, key))
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    async def _write(self, keep: Keep) -> None:
        try:
            while self._is_new:  # also what was learned while it was written
                self._is_new = False
                newest = list(self._known.items())[-MOST_KEPT:]
                await keep(json.dumps([[*names, said] for names, said in newest]))
        except RearguardError as error:
            log.warning("threads_not_kept", error=error.message)
        finally:
            self._writing = None
