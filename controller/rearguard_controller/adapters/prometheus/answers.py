"""The answers of Prometheus' HTTP API (v1) as values.

Here: the records, and the shapes that `/alerts`, `/rules`, `/query` and `/query_range` are expected to have. A wrong
shape raises `ShapeError`, which names the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from rearguard_controller.adapters import foreign_json
from rearguard_controller.model import AlertState, Labels, Sample
from rearguard_controller.times import durations, moments

About = Callable[[Labels], bool]  # whether a series with these labels is wanted
LabelItems = frozenset[tuple[str, str]]  # labels, so that they can be looked up

_STATES = {"firing": AlertState.FIRING, "pending": AlertState.PENDING, "inactive": AlertState.INACTIVE}


@dataclass(frozen=True, slots=True)
class PrometheusAlert:
    """An alert that Prometheus itself says is pending or firing.

    Attributes:
        active_at: when its expression became true, in seconds since the epoch.
        value: what the expression was at the last evaluation.
    """

    labels: Labels  # with `alertname`
    annotations: Labels
    state: AlertState
    active_at: float | None
    value: float | None

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """An alerting rule as Prometheus has loaded it; annotations are its templates."""

    name: str
    query: str
    labels: Labels
    annotations: Labels
    for_seconds: float
    health: str  # ok | err | unknown
    last_error: str
    group: str
    interval: float  # seconds between two evaluations of its group
    keep_firing_for: float = 0.0  # seconds for which it still fires after its condition ended; since Prometheus 2.42
    alerts: frozenset[LabelItems] = frozenset()  # its alerts that are pending or firing; some queriers leave them out


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A recording rule as Prometheus has loaded it."""

    name: str
    query: str
    labels: Labels
    health: str
    last_error: str
    group: str
    interval: float


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in the order of Prometheus' answer.

    Attributes:
        reaches: seconds that expressions reach back by these rules, as far as `promql` has worked them out.
    """

    alerting: tuple[AlertingRule, ...] = ()
    recording: tuple[RecordingRule, ...] = ()
    reaches: dict[tuple[str, str | None, frozenset[str]], float] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _alerting: dict[str, list[AlertingRule]] = field(default_factory=dict, init=False, compare=False, repr=False)
    _recording: dict[str, list[RecordingRule]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Arrange the rules by name: a storm of alerts asks for them thousands of times."""
        for alerting in self.alerting:
            self._alerting.setdefault(alerting.name, []).append(alerting)
        for recording in self.recording:
            self._recording.setdefault(recording.name, []).append(recording)

    def raising(self, name: str) -> Sequence[AlertingRule]:
        """The alerting rules of this name."""
        return self._alerting.get(name, ())

    @property
    def recorded(self) -> Mapping[str, Sequence[RecordingRule]]:
        """The recording rules by name."""
        return self._recording


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over time: points of (seconds since the epoch, value), without those that are not a number."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


@foreign_json.decoder
def short_target(entry: bytes) -> bytes:
    """An entry of `/api/v1/targets` with what `scrape_intervals` reads of it: a tenth of its length."""
    try:
        fields = foreign_json.mapping(orjson.loads(entry), "a target")
    except orjson.JSONDecodeError:
        raise foreign_json.ShapeError("a target is no JSON") from None
    labels = foreign_json.labels(fields.get("labels"), "a target's labels")
    names = {name: value for name, value in labels.items() if name in ("job", "instance")}
    return orjson.dumps({"labels": names, "scrapeInterval": _interval_of(fields)})


def _interval_of(target: Mapping[str, object]) -> object:
    """How often a target is scraped, as it is written: VictoriaMetrics tells it only among the discovered labels."""
    found = target.get("discoveredLabels")
    told = found.get("__scrape_interval__") if isinstance(found, dict) else None
    return target.get("scrapeInterval") or told


@foreign_json.decoder
def scrape_intervals(data: object) -> dict[tuple[str, str], float]:
    """The `data` of `/api/v1/targets`: seconds between two scrapes by (job, instance).

    A target without an interval that can be read is left out: it is not known how often that one is scraped.
    """
    intervals: dict[tuple[str, str], float] = {}
    for place, entry in foreign_json.entries(
        foreign_json.mapping(data, "data").get("activeTargets"), "data.activeTargets"
    ):
        labels = foreign_json.labels(entry.get("labels"), f"{place}.labels")
        written = _interval_of(entry)  # since Prometheus 2.33
        interval = durations.of_answer(written) if isinstance(written, str) else None
        if interval is not None:
            intervals[labels.get("job", ""), labels.get("instance", "")] = interval
    return intervals


@foreign_json.decoder
def alerts(data: object) -> tuple[PrometheusAlert, ...]:
    """The `data` of `/api/v1/alerts`."""
    entries = foreign_json.entries(foreign_json.mapping(data, "data").get("alerts"), "data.alerts")
    return tuple(alert(entry, place) for place, entry in entries)


@foreign_json.decoder
def alert(entry: Mapping[str, object], place: str) -> PrometheusAlert:
    """One of them, which stands at this place."""
    return PrometheusAlert(
        labels=foreign_json.labels(entry.get("labels"), f"{place}.labels"),
        annotations=foreign_json.labels(entry.get("annotations", {}), f"{place}.annotations"),
        state=_STATES.get(foreign_json.text(entry.get("state"), f"{place}.state"), AlertState.UNKNOWN),
        active_at=_active_at(entry.get("activeAt"), f"{place}.activeAt"),
        value=None if (value := entry.get("value")) is None else foreign_json.number(value, f"{place}.value"),
    )


def _active_at(value: object, place: str) -> float | None:
    """When an alert's expression became true; None, which is unknown, also for a time that is out of bounds.

    The alert itself stays: one that is left out would count as one that does not fire.
    """
    try:
        return foreign_json.moment(value, place)
    except moments.OutOfRangeError:
        return None


@foreign_json.decoder
def rules(data: object) -> Rules:
    """The `data` of `/api/v1/rules`; rules of unknown types are left out."""
    alerting: list[AlertingRule] = []
    recording: list[RecordingRule] = []
    for group_place, group in foreign_json.entries(foreign_json.mapping(data, "data").get("groups"), "data.groups"):
        name = foreign_json.text(group.get("name"), f"{group_place}.name")
        interval = foreign_json.seconds(group.get("interval", 0), f"{group_place}.interval")
        for place, rule in foreign_json.entries(group.get("rules"), f"{group_place}.rules"):
            match rule.get("type"):
                case "alerting":
                    alerting.append(_alerting(rule, place, name, interval))
                case "recording":
                    recording.append(_recording(rule, place, name, interval))
                case _:
                    continue
    return Rules(tuple(alerting), tuple(recording))


def _alerting(rule: Mapping[str, object], place: str, group: str, interval: float) -> AlertingRule:
    return AlertingRule(
        name=foreign_json.text(rule.get("name"), f"{place}.name"),
        query=foreign_json.text(rule.get("query"), f"{place}.query"),
        labels=foreign_json.labels(rule.get("labels", {}), f"{place}.labels"),
        annotations=foreign_json.labels(rule.get("annotations", {}), f"{place}.annotations"),
        for_seconds=foreign_json.seconds(rule.get("duration", 0), f"{place}.duration"),
        health=foreign_json.text(rule.get("health", "unknown"), f"{place}.health"),
        last_error=foreign_json.text(rule.get("lastError", ""), f"{place}.lastError"),
        group=group,
        interval=interval,
        keep_firing_for=foreign_json.seconds(rule.get("keepFiringFor", 0), f"{place}.keepFiringFor"),
        alerts=frozenset(
            frozenset(foreign_json.labels(entry.get("labels"), f"{where}.labels").items())
            for where, entry in foreign_json.entries(rule.get("alerts"), f"{place}.alerts")
        ),
    )


def _recording(rule: Mapping[str, object], place: str, group: str, interval: float) -> RecordingRule:
    return RecordingRule(
        name=foreign_json.text(rule.get("name"), f"{place}.name"),
        query=foreign_json.text(rule.get("query"), f"{place}.query"),
        labels=foreign_json.labels(rule.get("labels", {}), f"{place}.labels"),
        health=foreign_json.text(rule.get("health", "unknown"), f"{place}.health"),
        last_error=foreign_json.text(rule.get("lastError", ""), f"{place}.lastError"),
        group=group,
        interval=interval,
    )


@foreign_json.decoder
def samples(data: object) -> tuple[Sample, ...]:
    """The `data` of `/api/v1/query`, a vector or a scalar (then without labels); NaN is no value, Inf is one."""
    fields = foreign_json.mapping(data, "data")
    kind, result = fields.get("resultType"), fields.get("result")
    if kind == "scalar":
        at, value = foreign_json.point(result, "data.result")
        return () if math.isnan(value) else (Sample({}, value, at),)
    if kind != "vector":
        raise foreign_json.ShapeError(f"the expression gives a {_shown(kind)}, where one value per series is needed")
    found: list[Sample] = []
    for place, entry in foreign_json.entries(result, "data.result"):
        if "value" not in entry:  # a native histogram is no number
            continue
        at, value = foreign_json.point(entry["value"], f"{place}.value")
        if not math.isnan(value):
            found.append(Sample(foreign_json.labels(entry.get("metric"), f"{place}.metric"), value, at))
    return tuple(found)


@foreign_json.decoder
def series(data: object, about: About | None = None) -> tuple[Series, ...]:
    """The `data` of `/api/v1/query_range`; with `about` only the series whose labels it accepts."""
    fields = foreign_json.mapping(data, "data")
    if fields.get("resultType") != "matrix":
        raise foreign_json.ShapeError(
            f"the expression gives a {_shown(fields.get('resultType'))}, where series are needed"
        )
    found: list[Series] = []
    for place, entry in foreign_json.entries(fields.get("result"), "data.result"):
        values = entry.get("values", [])
        if not isinstance(values, list):
            raise foreign_json.ShapeError(f"{place}.values is no list")
        labels = foreign_json.labels(entry.get("metric"), f"{place}.metric")
        if about is not None and not about(labels):
            continue
        points = foreign_json.points(values, f"{place}.values")
        if points:
            found.append(Series(labels, points))
    return tuple(found)


def _shown(kind: object) -> str:
    return kind if isinstance(kind, str) and kind.isalpha() else repr(kind)
