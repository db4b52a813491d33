"""Who is told: the entries of `notify`.

Here: one frozen value for each entry, read from its block, and which service an address belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.config import hooks
from rearguard_controller.config.keys.service import NOTIFY
from rearguard_controller.config.reading import LEAST_TIMEOUT, Block, Place
from rearguard_controller.model import NoticeEvent

TIMEOUT = 10.0
_USUAL = tuple(event for event in NoticeEvent if event is not NoticeEvent.ALERT)


@unique
class ReceiverKind(StrEnum):
    """How a service wants its notices."""

    WEBHOOK = "webhook"  # the notice as JSON
    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    OPSGENIE = "opsgenie"
    TEAMS = "teams"
    DISCORD = "discord"
    SENTRY = "sentry"
    DATADOG = "datadog"
    GRAFANA = "grafana"
    APPRISE = "apprise"  # mail and whatever else Apprise knows


_HOSTS: tuple[tuple[str, ReceiverKind], ...] = (  # a host, or the end of one after a dot
    ("slack.com", ReceiverKind.SLACK),
    ("slack-gov.com", ReceiverKind.SLACK),
    ("pagerduty.com", ReceiverKind.PAGERDUTY),
    ("opsgenie.com", ReceiverKind.OPSGENIE),
    ("logic.azure.com", ReceiverKind.TEAMS),
    ("api.powerplatform.com", ReceiverKind.TEAMS),
    ("webhook.office.com", ReceiverKind.TEAMS),
    ("discord.com", ReceiverKind.DISCORD),
    ("discordapp.com", ReceiverKind.DISCORD),
    ("sentry.io", ReceiverKind.SENTRY),
    ("datadoghq.com", ReceiverKind.DATADOG),
    ("datadoghq.eu", ReceiverKind.DATADOG),
    ("ddog-gov.com", ReceiverKind.DATADOG),
    ("grafana.net", ReceiverKind.GRAFANA),
)
_USUAL_ADDRESS = {
    ReceiverKind.SLACK: "https://slack.com/api",
    ReceiverKind.PAGERDUTY: "https://events.pagerduty.com",
    ReceiverKind.OPSGENIE: "https://api.opsgenie.com",
    ReceiverKind.DATADOG: "https://api.datadoghq.com",
}
_NEED_TOKEN = frozenset({ReceiverKind.PAGERDUTY, ReceiverKind.OPSGENIE, ReceiverKind.DATADOG, ReceiverKind.GRAFANA})


def kind_of(url: str) -> ReceiverKind:
    """The service that an address belongs to, by its scheme and host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ReceiverKind.WEBHOOK
    if parts.scheme not in ("http", "https"):
        return ReceiverKind.APPRISE
    return next((kind for end, kind in _HOSTS if f".{host}".endswith(f".{end}")), ReceiverKind.WEBHOOK)


@dataclass(frozen=True, slots=True)
class NotifyEntry:
    """One receiver of notices; at most one of `url` and `url_file` is given, and one unless its kind has an address.

    Attributes:
        name: for metrics and logs; None: the host of the address is used.
        kind: None: the address says it.
        token_file: holds the key or token that the service asks for.
        channel: of Slack, for a bot.
        organization: of Sentry, to mark releases.
        timeout: seconds for one attempt.
    """

    events: frozenset[NoticeEvent]
    name: str | None = None
    url: str | None = field(default=None, repr=False)  # its path may be secret
    url_file: Path | None = None
    headers_file: Path | None = None
    timeout: float = TIMEOUT
    kind: ReceiverKind | None = None
    token_file: Path | None = None
    channel: str = ""
    organization: str = ""

    @property
    def usual_address(self) -> str:
        """The address of its kind, for an entry that gives none; empty if there is none."""
        return "" if self.kind is None else _USUAL_ADDRESS.get(self.kind, "")


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
    name, url, events = block.get("name"), block.get("url"), block.get("events")
    kind = None if "kind" not in block.entries else ReceiverKind(block.word("kind", tuple(ReceiverKind), ""))
    entry = NotifyEntry(
        events=frozenset(_USUAL) if events is None else _events(events),
        name=None if name is None else hooks.name(name),
        url=None if url is None else hooks.url(url, placeholders=False),
        url_file=_path(block, "url_file", folder),
        headers_file=_path(block, "headers_file", folder),
        timeout=block.duration("timeout", TIMEOUT, least=LEAST_TIMEOUT),
        kind=kind or (None if url is None else kind_of(url.line())),
        token_file=_path(block, "token_file", folder),
        channel=block.line("channel") or "",
        organization=block.line("organization") or "",
    )
    _check(place, entry)
    return entry


def _check(place: Place, entry: NotifyEntry) -> None:
    """Refuse an entry that lacks what its kind needs."""
    kind, given = entry.kind, (entry.url is not None, entry.url_file is not None)
    if all(given) or not (any(given) or entry.usual_address):
        raise place.error("an entry has one address", "give exactly one of url and url_file")
    if kind in _NEED_TOKEN and entry.token_file is None:
        raise place.error(f"{kind} needs a key", "name the file that holds it by `token_file: PATH`")
    if kind is ReceiverKind.SLACK and (not any(given) or entry.token_file is not None):
        if entry.token_file is None:
            raise place.error("slack needs an incoming webhook or a bot", "give url_file, or token_file and channel")
        if not entry.channel:
            raise place.error("a bot needs to know where to speak", "name the channel by `channel: C0123456789`")
    if entry.organization and entry.token_file is None:
        raise place.error("to mark releases needs a token", "name the file that holds it by `token_file: PATH`")


def _path(block: Block, key: str, folder: Path) -> Path | None:
    place = block.get(key)
    return None if place is None else folder / place.line("a path")


def _events(place: Place) -> frozenset[NoticeEvent]:
    words = tuple(event.value for event in NoticeEvent)
    found = frozenset(NoticeEvent(item.word(words)) for item in place.items("a list of events"))
    if not found:
        raise place.error("this is empty", f"name at least one of: {', '.join(words)}")
    return found
