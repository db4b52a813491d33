"""The answers of Alertmanager's HTTP API (v2) as values.

Here: the records, and the shapes that `/alerts` and `/silences` are expected to have.
A wrong shape raises `ShapeError`, which names the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rearguard_controller.adapters import foreign_json
from rearguard_controller.model import Labels
from rearguard_controller.times import moments

_EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ManagedAlert:
    """An alert that Alertmanager knows, and what holds its notices back.

    Attributes:
        silenced_by: ids of the silences that hold for it.
        inhibited_by: fingerprints of the alerts that inhibit it; Alertmanager names one of them.
        fingerprint: its own.
    """

    labels: Labels
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a silence asks of one label; a label that is absent counts as empty."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that holds, or will hold; times in seconds since the epoch."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str


@foreign_json.decoder
def alerts(data: object) -> tuple[ManagedAlert, ...]:
    """The answer of `/api/v2/alerts`."""
    found: list[ManagedAlert] = []
    for place, entry in foreign_json.entries(data, "alerts"):
        status = foreign_json.mapping(entry.get("status"), f"{place}.status")
        found.append(
            ManagedAlert(
                labels=foreign_json.labels(entry.get("labels"), f"{place}.labels"),
                silenced_by=foreign_json.texts(status.get("silencedBy"), f"{place}.status.silencedBy"),
                inhibited_by=foreign_json.texts(status.get("inhibitedBy"), f"{place}.status.inhibitedBy"),
                fingerprint=foreign_json.text(entry.get("fingerprint", ""), f"{place}.fingerprint"),
            )
        )
    return tuple(found)


@foreign_json.decoder
def silences(data: object) -> tuple[Silence, ...]:
    """The answer of `/api/v2/silences`, without those that are expired."""
    return tuple(
        _silence(place, entry)
        for place, entry in foreign_json.entries(data, "silences")
        if foreign_json.mapping(entry.get("status"), f"{place}.status").get("state") != _EXPIRED
    )


@foreign_json.decoder
def configuration(data: object) -> str:
    """The configuration in the answer of `/api/v2/status`."""
    config = foreign_json.mapping(foreign_json.mapping(data, "status").get("config"), "status.config")
    return foreign_json.text(config.get("original"), "status.config.original")


def _silence(place: str, entry: Mapping[str, object]) -> Silence:
    return Silence(
        id=foreign_json.text(entry.get("id"), f"{place}.id"),
        matchers=tuple(_matcher(*each) for each in foreign_json.entries(entry.get("matchers"), f"{place}.matchers")),
        starts_at=_moment(entry.get("startsAt"), f"{place}.startsAt"),
        ends_at=_moment(entry.get("endsAt"), f"{place}.endsAt"),
        created_by=foreign_json.text(entry.get("createdBy", ""), f"{place}.createdBy"),
        comment=foreign_json.text(entry.get("comment", ""), f"{place}.comment"),
    )


def _matcher(place: str, entry: Mapping[str, object]) -> Matcher:
    return Matcher(
        name=foreign_json.text(entry.get("name"), f"{place}.name"),
        value=foreign_json.text(entry.get("value"), f"{place}.value"),
        is_regex=foreign_json.flag(entry.get("isRegex", False), f"{place}.isRegex"),
        is_equal=foreign_json.flag(entry.get("isEqual", True), f"{place}.isEqual"),  # absent before 0.22
    )


def _moment(value: object, place: str) -> float:
    """A time of a silence; one after the last that is let in counts as that: somebody meant for ever."""
    try:
        found = foreign_json.moment(value, place)
    except moments.OutOfRangeError:
        return moments.LAST
    if found is None:
        raise foreign_json.ShapeError(f"{place} is no time")
    return found
