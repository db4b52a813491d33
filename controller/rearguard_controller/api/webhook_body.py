"""Alertmanager's webhook body (version 4) becomes alerts.

Here: which fields of the JSON are read, how strictly, and their limits. Unknown fields are ignored: Alertmanager adds
some with its versions. A label's value is untrusted data, whoever sent it. `webhook` caps the size of the body.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

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

_STATUSES = tuple(status.value for status in AlertStatus)
_FIRING = AlertStatus.FIRING.value
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Prometheus 3 allows any UTF-8 text as a label's name, quotes and backslashes too; control characters are refused.
_NAME_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8: text that is short enough by its characters need not be encoded
_NEVER_TOO_LONG = min(MAX_VALUE_BYTES, MAX_LABEL_BYTES)  # bytes of a set: no limit needs a look at each text
MOST_REMEMBERED = 4_096  # characters of a set of labels whose names are remembered
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
    if not isinstance(document, dict):
        raise _not("body", "an object", document).at("")
    fields: Mapping[str, object] = document
    version = fields.get("version", "4")
    if version != "4":
        raise InvalidInputError(
            f"version is {_shown(version)}, but only '4' is understood",
            hint="Send Alertmanager's webhook without a payload of your own.",
            field="version",
        )
    entries = fields.get("alerts")
    if not isinstance(entries, list):
        raise _not("alerts", "a list of alerts", entries).at("")
    if len(entries) > MAX_ALERTS:
        raise InvalidInputError(
            f"alerts holds {len(entries)} entries, more than {MAX_ALERTS}",
            hint="Set max_alerts on the receiver, or group by more labels.",
            field="alerts",
        )
    alerts: list[Alert] = []
    for index, entry in enumerate(entries):
        try:
            alerts.append(_alert(entry))
        except _WrongError as wrong:
            problem = wrong.at(f"alerts[{index}]")
            if refused is None or not wrong.is_out_of_range:
                raise problem from None
            refused.append(problem)
    if len(body) <= MAX_DELIVERED_ANNOTATIONS:  # JSON is never shorter than the texts in it
        return tuple(alerts)
    return tuple(_cut_together(alerts))


class _WrongError(Exception):
    """What is wrong within one alert. Where that alert stands is put into words only then."""

    def __init__(self, path: str, problem: str, *, hint: str = "", is_out_of_range: bool = False) -> None:
        """`path` begins with a point, or is empty for the alert itself. `problem` ends a sentence that it begins."""
        super().__init__(path, problem)
        self.path, self.problem, self.hint = path, problem, hint
        self.is_out_of_range = is_out_of_range  # a time that cannot be shown in every zone

    def at(self, alert: str) -> InvalidInputError:
        """The same as an error about this alert."""
        place = alert + self.path
        return InvalidInputError(f"{place} {self.problem}", hint=self.hint, field=place)


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


def _alert(fields: object) -> Alert:
    if not isinstance(fields, dict):
        raise _not("", "an object", fields)
    status = fields.get("status")
    if status not in _STATUSES:
        raise _not(".status", "'firing' or 'resolved'", status)
    labels, together = _texts(fields.get("labels"), ".labels")
    if _longer(together, _NEVER_TOO_LONG):
        _check_lengths(labels, together, ".labels")
    name = labels.get("alertname")
    if not name:
        raise _not(".labels.alertname", "the alert's name", name)
    annotations: Labels = {}
    given = fields.get("annotations")
    if given is not None:
        annotations, together = _texts(given, ".annotations")
        if _longer(together, _NEVER_TOO_LONG):
            annotations = cut(annotations, MAX_ANNOTATIONS_BYTES)  # people read it, and it decides nothing
    return Alert(
        name,
        labels,
        annotations,
        status == _FIRING,
        _time(fields.get("startsAt"), ".startsAt"),
        _fingerprint(fields.get("fingerprint"), ".fingerprint"),
        "webhook",
    )


def _check_lengths(labels: Labels, together: str, path: str) -> None:
    for name, text in labels.items():
        if _longer(text, MAX_VALUE_BYTES):
            raise _WrongError(f"{path}.{name}", f"is longer than {MAX_VALUE_BYTES} bytes")
    if _longer(together, MAX_LABEL_BYTES):
        raise _WrongError(path, f"are longer than {MAX_LABEL_BYTES} bytes together")


def _longer(text: str, most: int) -> bool:
    """Whether a text has more than `most` bytes."""
    return len(text) > most // _MOST_BYTES_OF_A_CHARACTER and len(text.encode()) > most


def _texts(pairs: object, path: str) -> tuple[Labels, str]:
    """A set of labels or annotations, names to UTF-8 text without NUL; and all of it as one text, for its size.

    They are checked all at once. Only if that finds a fault, they are gone through for the first one.
    """
    if not isinstance(pairs, dict):
        raise _not(path, "an object", pairs)
    try:
        together = "".join((*pairs, *pairs.values()))
    except TypeError:
        together = "\x00"  # a value is no text
    if len(pairs) > MAX_LABELS or "\x00" in together or not _are_names(tuple(pairs), together):
        _refuse_texts(pairs, path)
    return pairs, together


def _refuse_texts(pairs: Mapping[str, object], path: str) -> None:
    if len(pairs) > MAX_LABELS:
        raise _WrongError(path, f"holds {len(pairs)} names, more than {MAX_LABELS}")
    for name, text in pairs.items():
        if not _is_name(name):
            raise _WrongError(path, f"holds {_shown(name)}, which is no label name")
        if not isinstance(text, str):
            raise _not(f"{path}.{name}", "text", text)
        if "\x00" in text:
            raise _WrongError(f"{path}.{name}", "holds a NUL character")


def _are_names(names: tuple[str, ...], together: str) -> bool:
    """Whether all are names of labels. Small sets are remembered: the alerts of a rule have the same names."""
    return _are_known_names(names) if len(together) <= MOST_REMEMBERED else all(map(_is_name, names))


@functools.lru_cache(maxsize=512)
def _are_known_names(names: tuple[str, ...]) -> bool:
    return all(map(_is_name, names))


@functools.lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return bool(name) and len(name.encode()) <= MAX_NAME_BYTES and not _NAME_FORBIDDEN.search(name)


def _time(value: object, path: str) -> float | None:
    """RFC 3339 to seconds since the epoch; None when absent or Go's zero time."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _not(path, "an RFC 3339 time", value)
    try:
        return _seconds_of(value)
    except moments.OutOfRangeError:
        raise _WrongError(
            path,
            f"is {_shown(value)}: it must be a time up to the year {moments.LAST_YEAR}",
            hint="Correct the clock of the sender.",
            is_out_of_range=True,
        ) from None
    except ValueError:
        raise _not(path, "an RFC 3339 time", value) from None


@functools.lru_cache(maxsize=256)  # what a rule raises began together
def _seconds_of(text: str) -> float | None:
    """A time as seconds since the epoch; None for Go's zero time. Raises as `moments.seconds_of`."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("no RFC 3339 time")
    try:
        return moments.seconds_of(text.upper())
    except moments.TooEarlyError:
        return None


def _fingerprint(value: object, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_FINGERPRINT or "\x00" in value:
        raise _not(path, f"text of at most {MAX_FINGERPRINT} characters", value)
    return value


def _not(path: str, wanted: str, got: object) -> _WrongError:
    problem = "is missing" if got is None else f"is {_shown(got)}"
    return _WrongError(path, f"{problem}: it must be {wanted}")


def _shown(value: object) -> str:
    """A bad value as an error may repeat it: short, and with nothing that could end a line."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return shortened(ascii(value), _SHOWN)
