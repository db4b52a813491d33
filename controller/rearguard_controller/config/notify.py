"""Who is told: the entries of `notify`.

Here: one frozen value for each entry, read from its block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rearguard_controller.config import hooks
from rearguard_controller.config.keys.service import NOTIFY
from rearguard_controller.config.reading import LEAST_TIMEOUT, Place
from rearguard_controller.model import NoticeEvent

TIMEOUT = 10.0
_USUAL = tuple(event for event in NoticeEvent if event is not NoticeEvent.ALERT)


@dataclass(frozen=True, slots=True)
class NotifyEntry:
    """One receiver of notices; exactly one of `url` and `url_file` is given.

    Attributes:
        name: for metrics and logs; None: the host of the address is used.
        timeout: seconds for one attempt.
    """

    events: frozenset[NoticeEvent]
    name: str | None = None
    url: str | None = field(default=None, repr=False)  # its path may be secret
    url_file: Path | None = None
    headers_file: Path | None = None
    timeout: float = TIMEOUT


def notify(place: Place | None, folder: Path) -> tuple[NotifyEntry, ...]:
    """The entries in their order; names that are given are unique."""
    if place is None:
        return ()
    entries: list[NotifyEntry] = []
    for item in place.items("a list of entries"):
        entry = _entry(item, folder)
        if entry.name is not None and any(entry.name == other.name for other in entries):
            raise item.error(f"two entries are named {entry.name!r}", "give each its own name")
        if entry in entries:
            raise item.error("this entry stands twice", "remove one of them")
        entries.append(entry)
    return tuple(entries)


def _entry(place: Place, folder: Path) -> NotifyEntry:
    block = place.block(NOTIFY)
    name, url, url_file = block.get("name"), block.get("url"), block.get("url_file")
    events, headers_file = block.get("events"), block.get("headers_file")
    if (url is None) == (url_file is None):
        raise place.error("an entry has one address", "give exactly one of url and url_file")
    return NotifyEntry(
        events=frozenset(_USUAL) if events is None else _events(events),
        name=None if name is None else hooks.name(name),
        url=None if url is None else hooks.url(url, placeholders=False),
        url_file=None if url_file is None else folder / url_file.line("a path"),
        headers_file=None if headers_file is None else folder / headers_file.line("a path"),
        timeout=block.duration("timeout", TIMEOUT, least=LEAST_TIMEOUT),
    )


def _events(place: Place) -> frozenset[NoticeEvent]:
    words = tuple(event.value for event in NoticeEvent)
    found = frozenset(NoticeEvent(item.word(words)) for item in place.items("a list of events"))
    if not found:
        raise place.error("this is empty", f"name at least one of: {', '.join(words)}")
    return found
