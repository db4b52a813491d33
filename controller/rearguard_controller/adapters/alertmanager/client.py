"""Asks Alertmanager through its HTTP API (v2).

Here: paths of the questions, and what counts as an answer to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import orjson

from rearguard_controller.adapters import foreign_json
from rearguard_controller.adapters.alertmanager import answers
from rearguard_controller.adapters.alertmanager.answers import ManagedAlert, Silence
from rearguard_controller.adapters.foreign_json import Wanted
from rearguard_controller.adapters.http_source import Answer, Asking, Kept, Source
from rearguard_controller.adapters.http_source.clock import Skew, skew_by_date
from rearguard_controller.config import AlertmanagerSettings
from rearguard_controller.model import DRILL_LABEL, Alert, Labels
from rearguard_controller.model.labels import LABEL_NAME
from rearguard_controller.wording import moment

TIMEOUT = 2.0  # seconds for one address: judgements wait for it
_ALL = "/api/v2/alerts"
_HELD = _ALL + "?active=false&unprocessed=false"
_DRILLS = _ALL + "?filter=" + quote(f'{DRILL_LABEL}=~".+"')


class Alertmanager(Asking):
    """The Alertmanager of the configuration. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: AlertmanagerSettings, *, clock: Callable[[], float] | None = None) -> None:
        """Nothing is connected yet.

        Args:
            settings: whom to ask, and how.
            clock: ours, in seconds since the epoch. All times that are given and returned are by this clock, however
                wrong one of the two is. Without it, times are Alertmanager's own.
        """
        self._clock = clock
        self._skew: Skew | None = None
        self._wanted: Callable[[], Wanted] | None = None
        self._filter = ""
        super().__init__(
            Source(
                name="Alertmanager",
                key="alertmanager",
                kind="an Alertmanager",
                api="/api/v2",
                urls=settings.urls,
                http=settings.http,
                timeout=TIMEOUT,
                content=_content,
                wanted="Is it Alertmanager 0.16 or later?",
            )
        )

    def look_for(self, everywhere: Labels, wanted: Callable[[], Wanted]) -> None:
        """From now on ask only for wanted alerts, however many there are.

        Args:
            everywhere: labels that every wanted alert has.
            wanted: makes the question for one reading: whether an alert with these labels and this state is kept.
        """
        self._wanted = wanted
        plain = {name: value for name, value in everywhere.items() if LABEL_NAME.fullmatch(name)}
        self._filter = "".join(f"&filter={quote(f'{name}={quoted(value)}')}" for name, value in plain.items())

    async def alerts(self, *, only_held: bool) -> tuple[ManagedAlert, ...]:
        """The wanted alerts that it knows now; with `only_held` those that are silenced or inhibited."""
        path = (_HELD if only_held else _ALL + "?active=true") + self._filter
        kept = Kept("", partial(foreign_json.only, self._wanted))
        return await self.ask("GET", path, {}, answers.alerts, kept=kept)

    async def drills(self) -> tuple[ManagedAlert, ...]:
        """The alerts of drills that it knows now, whoever drills."""
        found = await self.ask("GET", _DRILLS, {}, answers.alerts)
        return tuple(each for each in found if each.labels.get(DRILL_LABEL))

    async def silences(self) -> tuple[Silence, ...]:
        """The silences that hold now, or will."""
        asked_at, began = (self._clock or time.time)(), time.monotonic()
        found = await self.ask("GET", "/api/v2/silences", {}, answers.silences)
        if self._clock is not None:
            self._skew = skew_by_date(self._date, asked_at, time.monotonic() - began) or self._skew
        shift = self.ahead
        return tuple(replace(each, starts_at=each.starts_at - shift, ends_at=each.ends_at - shift) for each in found)

    @property
    def ahead(self) -> float:
        """Seconds that its clock is ahead of ours; 0 while that is not known, or may be nothing."""
        return 0.0 if self._skew is None else self._skew.shift

    async def reachable(self) -> None:
        """Return when it answers."""
        await self.ask("GET", "/api/v2/status", {}, lambda _: None)

    async def configuration(self) -> str:
        """Its configuration as it runs: YAML, with `<secret>` in place of secrets."""
        return await self.ask("GET", "/api/v2/status", {}, answers.configuration)

    async def post_alerts(self, alerts: Sequence[Alert], *, ends_at: float) -> None:
        """Hand alerts over as Prometheus does; at `ends_at` (seconds since the epoch) they count as resolved."""
        document = [
            {
                "labels": dict(each.labels),
                "annotations": dict(each.annotations),
                "endsAt": moment(ends_at + self.ahead),
                **({} if each.starts_at is None else {"startsAt": moment(each.starts_at + self.ahead)}),
            }
            for each in alerts
        ]
        await self.ask("POST", _ALL, {}, lambda _: None, document=orjson.dumps(document))


def quoted(text: str) -> str:
    """A text as a matcher of Alertmanager takes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _content(answer: Answer) -> object:
    """The answer's document; raises the fitting error, with Alertmanager's own words, if there is none."""
    document = answer.document
    if answer.good and document is not None:
        return document
    if answer.good:
        raise answer.stranger("did not answer in JSON")
    raise answer.refusal(document.get("message") if isinstance(document, dict) else document)
