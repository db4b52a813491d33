"""Answers of Prometheus and Alertmanager in which one field is replaced by what nobody expects there.

Here: a good answer of each reader, the hostile values, and every document that has one of them in one place.
Never here: expectations.
"""

import copy

from rearguard_controller.adapters.alertmanager import answers as alertmanager
from rearguard_controller.adapters.prometheus import answers as prometheus

AT = "2026-01-01T00:00:00Z"
LEFT_OUT = object()  # the field is not there
VALUES = [
    None, True, 0, -1, 1.5, 1e308, -1e308, 10**18, 2**63, 10**400, "", "x", "NaN", "+Inf", "-Inf", "Infinity",
    "1e400", "1_0", "٣", "250y", "9" * 20 + "y", "1m 5s", "-5s", "15", " 15s", "1.5h", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "2026-01-01", "20260101T000000Z", "2026-W01-1T00:00:00Z",
    "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+99:00", "9" * 5000, "\x00", "\ud7ff", "(" * 5000, [], {}, [[]], [{}],
    {"a": None}, {"": ""}, ["x"], [1, 2, 3], [None, None], [1, "NaN"], ["NaN", "1"], ["1e300", "1"], "a" * 100_000,
    LEFT_OUT,
]  # fmt: skip
ALERT = {
    "labels": {"alertname": "ReleaseErrorRate", "action": "rollback", "service_name": "checkout"},
    "annotations": {"figure": "errors", "threshold": "> 0.1"},
    "state": "firing",
    "activeAt": AT,
    "value": "1e+00",
}
RULE = {
    "type": "alerting", "name": "ReleaseErrorRate", "query": "errors > 0.1", "duration": 60, "keepFiringFor": 0,
    "labels": {"action": "rollback"}, "annotations": {"figure": "errors", "threshold": "> 0.1"}, "health": "ok",
    "lastError": "", "alerts": [ALERT],
}  # fmt: skip
RECORDING = {"type": "recording", "name": "errors", "query": "sum(failures)", "labels": {}, "health": "ok"}
METRIC = {"service_name": "checkout", "service_version": "v2", "job": "j", "instance": "i"}
SILENCE = {
    "id": "s", "status": {"state": "active"}, "startsAt": AT, "endsAt": "2027-01-01T00:00:00Z", "createdBy": "c",
    "comment": "c", "matchers": [{"name": "n", "value": "v", "isRegex": False, "isEqual": True}],
}  # fmt: skip
MANAGED = {
    "labels": {"a": "b"}, "fingerprint": "f", "receivers": [{"name": "r"}], "annotations": {}, "startsAt": AT,
    "status": {"state": "active", "silencedBy": ["s"], "inhibitedBy": [], "mutedBy": []},
}  # fmt: skip
READERS = {  # by the path that is asked: what reads the answer, and a good one
    "/api/v1/alerts": (prometheus.alerts, {"alerts": [ALERT]}),
    "/api/v1/rules": (prometheus.rules, {"groups": [{"name": "g", "interval": 15, "rules": [RULE, RECORDING]}]}),
    "/api/v1/query": (
        prometheus.samples,
        {"resultType": "vector", "result": [{"metric": METRIC, "value": [1, "1"]}]},
    ),
    "/api/v1/query scalar": (prometheus.samples, {"resultType": "scalar", "result": [1767225600.0, "1"]}),
    "/api/v1/query_range": (
        prometheus.series,
        {"resultType": "matrix", "result": [{"metric": METRIC, "values": [[1, "1"], [2, "2"]]}]},
    ),
    "/api/v1/targets": (
        prometheus.scrape_intervals,
        {"activeTargets": [{"labels": {"job": "j", "instance": "i"}, "scrapeInterval": "15s"}]},
    ),
    "/api/v2/alerts": (alertmanager.alerts, [MANAGED]),
    "/api/v2/silences": (alertmanager.silences, [SILENCE]),
}


def documents(path):
    """Every document of a path with one hostile value, each with the place of the value."""
    yield from documents_of(READERS[path][1])


def documents_of(good):
    """Every document like a good one with one hostile value, each with the place of the value."""
    for place in _places(good):
        for value in VALUES:
            if place or value is not LEFT_OUT:
                yield place, _with(good, place, value)


def _places(document, at=()):
    yield at
    parts = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, part in parts:
        yield from _places(part, (*at, key))


def _with(document, place, value):
    if not place:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if value is LEFT_OUT:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return changed
