"""Alertmanager's webhook body (version 4) becomes alerts.

Here: which fields of the JSON are read, how strictly, and their limits. Unknown fields are ignored: Alertmanager adds
some with its versions. A label's value is untrusted data, whoever sent it. `webhook` caps the size of the body.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import orjson

from rearguard_controller.errors import InvalidInputError, shortened
from rearguard_controller.model import Alert, AlertStatus, Labels
from rearguard_controller.model.annotations import MAX_ANNOTATION_BYTES, MAX_ANNOTATIONS_BYTES, cut, level, size_of
from rearguard_controller.times import moments

MAX_ALERTS = 10_000  # about 5 MB as Alertmanager writes them
MAX_LABELS = 256  # in one set of labels or annotations
MAX_NAME_BYTES = 1_024  # of a label's name
MAX_VALUE_BYTES = (
    MAX_ANNOTATION_BYTES  # of a label's value, which is refused beyond, or an annotation's, which is cut
)
MAX_DELIVERED_ANNOTATIONS = 8 * 1_024 * 1_024  # bytes of all annotations of a delivery; beyond, the longest are cut
MAX_LABEL_BYTES = 64 * 1_024  # of all labels of one alert, names and values: they are kept in memory
MAX_FINGERPRINT = 128  # characters; Alertmanager writes 16

_STATUSES = tuple(AlertStatus)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Prometheus 3 allows any UTF-8 text as a label's name, quotes and backslashes too; control characters are refused.
_NAME_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8: text that is short enough by its characters need not be encoded
_SHOWN = 60  # characters of a bad value that an error repeats


def parse(body: bytes, refused: list[InvalidInputError] | None = None) -> tuple[Alert, ...]:
    """Read a webhook body, all or nothing but for times that are out of bounds.

    Args:
        body: JSON.
        refused: takes what is wrong with each alert whose time is out of bounds; the others are still returned.
            Without it, such an alert is an error, too.

    Returns:
        The alerts in the order of the body; an empty list is no error.

    Raises:
        InvalidInputError: anything is wrong; `field` names the place, e.g. `alerts[3].labels.alertname`.
    """
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(
            f"the body is not JSON: {error}", hint="Send Alertmanager's webhook, version 4.", field="body"
        ) from None
    fields = _mapping(document, "body")
    version = fields.get("version", "4")
    if version != "4":
        raise InvalidInputError(
            f"version is {_shown(version)}, but only '4' is understood",
            hint="Send Alertmanager's webhook without a payload of your own.",
            field="version",
        )
    entries = fields.get("alerts")
    if not isinstance(entries, list):
        raise _wrong("alerts", "a list of alerts", entries)
    if len(entries) > MAX_ALERTS:
        raise InvalidInputError(
            f"alerts holds {len(entries)} entries, more than {MAX_ALERTS}",
            hint="Set max_alerts on the receiver, or group by more labels.",
            field="alerts",
        )
    alerts: list[Alert] = []
    for index, entry in enumerate(entries):
        try:
            alerts.append(_alert(entry, f"alerts[{index}]"))
        except _TimeOutOfRangeError as error:
            if refused is None:
                raise
            refused.append(error)
    if len(body) <= MAX_DELIVERED_ANNOTATIONS:  # JSON is never shorter than the texts in it
        return tuple(alerts)
    return tuple(_cut_together(alerts))


class _TimeOutOfRangeError(InvalidInputError):
    """An alert's time is one that cannot be shown in every zone."""


def _cut_together(alerts: Sequence[Alert]) -> Iterable[Alert]:
    """The alerts with annotations of at most `MAX_DELIVERED_ANNOTATIONS` bytes in all."""
    sizes = [size_of(alert.annotations) for alert in alerts]
    if sum(sizes) <= MAX_DELIVERED_ANNOTATIONS:
        return alerts
    most = level(sizes, MAX_DELIVERED_ANNOTATIONS)
    return (
        alert if size <= most else replace(alert, annotations=cut(alert.annotations, most))
        for alert, size in zip(alerts, sizes, strict=True)
    )


def _alert(value: object, place: str) -> Alert:
    fields = _mapping(value, place)
    status = fields.get("status")
    if status not in _STATUSES:
        raise _wrong(f"{place}.status", "'firing' or 'resolved'", status)
    labels = _labels(fields.get("labels"), f"{place}.labels")
    name = labels.get("alertname")
    if not name:
        raise _wrong(f"{place}.labels.alertname", "the alert's name", name)
    annotations = fields.get("annotations")
    return Alert(
        name=name,
        labels=labels,
        annotations={} if annotations is None else _annotations(annotations, f"{place}.annotations"),
        firing=status == AlertStatus.FIRING,
        starts_at=_time(fields.get("startsAt"), f"{place}.startsAt"),
        fingerprint=_fingerprint(fields.get("fingerprint"), f"{place}.fingerprint"),
        source="webhook",
    )


def _mapping(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong(place, "an object", value)
    return value


def _labels(value: object, place: str) -> Labels:
    """A set of labels, checked one by one and by their size together."""
    labels = _texts(value, place)
    together = "".join((*labels, *labels.values()))
    if not _longer(together, min(MAX_VALUE_BYTES, MAX_LABEL_BYTES)):
        return labels
    for name, text in labels.items():
        if _longer(text, MAX_VALUE_BYTES):
            raise InvalidInputError(f"{place}.{name} is longer than {MAX_VALUE_BYTES} bytes", field=f"{place}.{name}")
    if _longer(together, MAX_LABEL_BYTES):
        raise InvalidInputError(f"{place} are longer than {MAX_LABEL_BYTES} bytes together", field=place)
    return labels


def _annotations(value: object, place: str) -> Labels:
    """A set of annotations. What is too long is cut: people read it, and it decides nothing."""
    return cut(_texts(value, place), MAX_ANNOTATIONS_BYTES)


def _longer(text: str, most: int) -> bool:
    """Whether a text has more than `most` bytes."""
    return len(text) > most // _MOST_BYTES_OF_A_CHARACTER and len(text.encode()) > most


def _texts(value: object, place: str) -> Labels:
    """A set of labels or annotations: names to UTF-8 text without NUL."""
    pairs = _mapping(value, place)
    if len(pairs) > MAX_LABELS:
        raise InvalidInputError(f"{place} holds {len(pairs)} names, more than {MAX_LABELS}", field=place)
    for name, text in pairs.items():
        if not _is_name(name):
            raise InvalidInputError(f"{place} holds {_shown(name)}, which is no label name", field=place)
        if not isinstance(text, str):
            raise _wrong(f"{place}.{name}", "text", text)
        if "\x00" in text:
            raise InvalidInputError(f"{place}.{name} holds a NUL character", field=f"{place}.{name}")
    return cast("Labels", pairs)


@functools.lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return bool(name) and len(name.encode()) <= MAX_NAME_BYTES and not _NAME_FORBIDDEN.search(name)


def _time(value: object, place: str) -> float | None:
    """RFC 3339 to seconds since the epoch; None when absent or Go's zero time."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(place, "an RFC 3339 time", value)
    try:
        return _seconds_of(value)
    except moments.OutOfRangeError:
        raise _TimeOutOfRangeError(
            f"{place} is {_shown(value)}: it must be a time up to the year {moments.LAST_YEAR}",
            hint="Correct the clock of the sender.",
            field=place,
        ) from None
    except ValueError:
        raise _wrong(place, "an RFC 3339 time", value) from None


@functools.lru_cache(maxsize=256)  # what a rule raises began together
def _seconds_of(text: str) -> float | None:
    """A time as seconds since the epoch; None for Go's zero time. Raises as `moments.seconds_of`."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("no RFC 3339 time")
    try:
        return moments.seconds_of(text.upper())
    except moments.TooEarlyError:
        return None


def _fingerprint(value: object, place: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_FINGERPRINT or "\x00" in value:
        raise _wrong(place, f"text of at most {MAX_FINGERPRINT} characters", value)
    return value


def _wrong(place: str, wanted: str, got: object) -> InvalidInputError:
    problem = "is missing" if got is None else f"is {_shown(got)}"
    return InvalidInputError(f"{place} {problem}: it must be {wanted}", field=place)


def _shown(value: object) -> str:
    """A bad value as an error may repeat it: short, and with nothing that could end a line."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return shortened(ascii(value), _SHOWN)
