"""Asking Alertmanager: the questions of its HTTP API (v2) that are asked here.

Here: paths of the questions, and what an operator is told of a refusal.
Never here: the network (`asking`), the shape of answers (`answers`), retries, caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import orjson

from rearguard_controller.alertmanager import answers
from rearguard_controller.alertmanager.answers import ManagedAlert, Silence
from rearguard_controller.asking import Asking, NextAddressError, Source
from rearguard_controller.config import AlertmanagerSettings
from rearguard_controller.model import DRILL_LABEL, Alert
from rearguard_controller.shapes import address, moment

TIMEOUT = 2.0  # seconds for one address: judgements wait for it
_ALL = "/api/v2/alerts"
_HELD = _ALL + "?active=false&unprocessed=false"
_DRILLS = _ALL + "?filter=" + quote(f'{DRILL_LABEL}=~".+"')
_GOOD = 200
_SHOWN = 300  # characters of an error text that a sentence repeats
_HINTS = {
    401: "Set alertmanager.token_file to a token that may read.",
    403: "Set alertmanager.token_file to a token that may read.",
    404: "alertmanager.url must be the base address, without /api/v2.",
}
_AWAY = "Is Alertmanager running, and alertmanager.url right?"


class Alertmanager:
    """The Alertmanager of the configuration. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        """Nothing is connected yet."""
        self._asking = Asking(
            Source(
                name="Alertmanager",
                key="alertmanager",
                urls=settings.urls,
                token_file=settings.token_file,
                ca_file=settings.ca_file,
                timeout=TIMEOUT,
                content=_content,
                away=_AWAY,
                wanted="Is it Alertmanager 0.16 or later?",
            )
        )

    async def alerts(self, *, only_held: bool) -> tuple[ManagedAlert, ...]:
        """The alerts that it knows now; with `only_held` those that are silenced or inhibited."""
        return await self._asking.ask("GET", _HELD if only_held else _ALL, {}, answers.alerts)

    async def drills(self) -> tuple[ManagedAlert, ...]:
        """The alerts of drills that it knows now, whoever drills."""
        found = await self._asking.ask("GET", _DRILLS, {}, answers.alerts)
        return tuple(each for each in found if each.labels.get(DRILL_LABEL))

    async def silences(self) -> tuple[Silence, ...]:
        """The silences that hold now, or will."""
        return await self._asking.ask("GET", "/api/v2/silences", {}, answers.silences)

    async def reachable(self) -> None:
        """Return when it answers."""
        await self._asking.ask("GET", "/api/v2/status", {}, lambda _: None)

    async def post_alerts(self, alerts: Sequence[Alert], *, ends_at: float) -> None:
        """Hand alerts over as Prometheus does; at `ends_at` (seconds since the epoch) they count as resolved."""
        document = [
            {
                "labels": dict(each.labels),
                "annotations": dict(each.annotations),
                "endsAt": moment(ends_at),
                **({} if each.starts_at is None else {"startsAt": moment(each.starts_at)}),
            }
            for each in alerts
        ]
        await self._asking.ask("POST", _ALL, {}, lambda _: None, document=orjson.dumps(document))

    async def close(self) -> None:
        """Close open connections."""
        await self._asking.close()

    async def retire(self) -> None:
        """Keep no connection when no answer is waited for; whoever still holds this one may go on asking."""
        await self._asking.retire()


def _content(url: str, status: int, body: bytes) -> object:
    """The answer's document, or the fitting complaint with Alertmanager's own words."""
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if status == _GOOD and document is not None:
        return document
    if status == _GOOD:
        hint = "Is alertmanager.url really an Alertmanager?"
        raise NextAddressError(f"Alertmanager at {address(url)} did not answer in JSON", hint)
    words = document.get("message") if isinstance(document, dict) else document
    said = f": {words[:_SHOWN]}" if isinstance(words, str) and words else ""
    hint = _HINTS.get(status, _AWAY)
    raise NextAddressError(f"Alertmanager at {address(url)} answered {status}{said}", hint)
