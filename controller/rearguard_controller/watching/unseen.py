"""Why no trigger rule can say anything about a target, in sentences that say what to do. Pure.

Here: which label of `match` differs, and which values there are instead; which metrics the rules lack, and what the
instances show instead of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice

from rearguard_controller.config import selectors
from rearguard_controller.model import VERSION_LABEL, Labels, Target, normalised
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, SERVICE_LABEL
from rearguard_controller.watching.label_sets import LabelSets

MOST_NAMED = 5  # labels, values or metrics that a sentence names
MOST_COMPARED = 100  # values with what was asked for: each takes some 10 us, and thousands of targets may have none
_NEEDED_OF_TARGET_INFO = (SERVICE_LABEL, ENVIRONMENT_LABEL)  # by the shipped rules
_ADVICE_ONE = {
    ENVIRONMENT_LABEL: f"Name {ENVIRONMENT_LABEL} in `match` (and `telemetry`).",
    "service_namespace": "The shipped rules know a service by its name alone: give each a service_name of its own.",
}
_OF_SHIPPED_ALERTS = frozenset({*_NEEDED_OF_TARGET_INFO, VERSION_LABEL})

_REQUESTS = "http_server_request_duration_seconds_count"
_OLDER = re.compile(r"http_server_duration(?:_|$)")
_READS_REQUESTS = re.compile(r"(?:http|grpc|rpc|request|latency|calls)", re.IGNORECASE)
_ONE_SERVICE = (ENVIRONMENT_LABEL, "service_namespace")  # labels that differ between services of one name
_OF_REQUESTS = re.compile(r"(?:http|grpc|rpc|request|latency|duration|calls)", re.IGNORECASE)
_PARTS = {  # metrics that tell a share only beside another
    "process_memory_usage_bytes": "process_memory_limit_bytes",
    "container_memory_usage_bytes": "container_memory_available_bytes",
}
_BESIDE = re.compile(r"(?:target_info|up|scrape_|push_|promhttp_|prometheus_|otelcol_)")  # say nothing of the service


def by_labels(target: Target, alerts: LabelSets, info: LabelSets) -> str:
    """Why no alert could belong to the target, as far as labels say; empty when one could.

    Args:
        target: whose `match` is compared.
        alerts: what the alerts of the trigger rules could carry.
        info: every `target_info`.
    """
    if any(alerts.having(match) for match in target.match):
        return ""
    told = [_of_match(match, alerts, info) for match in target.match]
    return " ".join(dict.fromkeys(filter(None, told)))


def _of_match(match: Labels, alerts: LabelSets, info: LabelSets) -> str:
    wanted = normalised(match)
    if not info.all and not alerts.all:
        return "Prometheus has no target_info, which the shipped rules need: instrument the service, or write a rule."
    foreign = [name for name in wanted if alerts.all and not alerts.values(name)]
    seen = info.having({name: value for name, value in wanted.items() if info.values(name)}) if info.all else []
    if not foreign and not seen and any(info.values(name) for name in wanted):
        return f"{_differing(wanted, info, 'target_info')} Correct `match`, or what the service calls itself."
    other = foreign or [name for name, value in wanted.items() if alerts.all and value not in alerts.values(name)]
    is_of_shipped = seen and wanted.keys() <= _OF_SHIPPED_ALERTS  # they carry what target_info says, given a figure
    if other and alerts.all and not is_of_shipped:
        return _foreign(wanted, other, alerts, seen)
    lacking = [name for name in _NEEDED_OF_TARGET_INFO if seen and not any(each.get(name) for each in seen)]
    if lacking:
        return (
            f"The target_info of {shown(wanted)} has no {' and no '.join(lacking)}, which the shipped rules need: set"
            " it as a resource attribute."
        )
    if alerts.all and not seen:
        return f"{_differing(wanted, alerts, 'alert of a trigger rule')} Correct `match`, or write a rule."
    return "" if is_of_shipped else _never_together(wanted, alerts)


def _never_together(wanted: Labels, alerts: LabelSets) -> str:
    """A label that no alert has beside the others: rules differ in the labels that their alerts carry."""
    for name in sorted(wanted, key=lambda each: each in _OF_SHIPPED_ALERTS):
        others = {each: value for each, value in wanted.items() if each != name}
        if others and alerts.having(others):
            return (
                f"No alert of a trigger rule with {shown(others)} has {name}, too. Take {name} out of `match`, or"
                " write a rule whose alerts have it."
            )
    return ""


def _foreign(wanted: Labels, foreign: Sequence[str], alerts: LabelSets, seen: Sequence[Labels]) -> str:
    """Labels that no alert could have; `seen` are the target_info that agree with the others."""
    name = foreign[0]
    values = alerts.values(name)
    if values:
        told = f'No alert of a trigger rule has {name}="{wanted[name]}"; there are {_nearest(wanted[name], values)}.'
    else:
        names = sorted(alerts.names - {"alertname"})
        told = f"No alert of a trigger rule has the label {name}; their labels are {few(names)}."
    said = [{each: of[each] for each in _NEEDED_OF_TARGET_INFO if of.get(each)} for of in seen]
    agreed = said[0] if said and all(each == said[0] for each in said) else {}
    if agreed and any(wanted.get(each) != value for each, value in agreed.items()):
        return f"{told} Write {shown(agreed)} into `match` instead: so its target_info says."
    if agreed:
        return f"{told} Take {name} out of `match`, or write a rule whose alerts have it."
    return f"{told} Match labels that they have, or write a rule whose alerts have it."


def _differing(wanted: Labels, known: LabelSets, what: str) -> str:
    """The first label that none of these has, and the values that there are."""
    for name, value in wanted.items():
        values = known.values(name)
        if values and value not in values:
            return f'No {what} has {name}="{value}"; there are {_nearest(value, values)}.'
    for name, value in wanted.items():
        others = {each: of for each, of in wanted.items() if each != name and known.values(each)}
        values = frozenset(each[name] for each in known.having(others) if each.get(name)) if others else frozenset()
        if values and value not in values:
            return f'The {what} of {shown(others)} has no {name}="{value}"; there is {_nearest(value, values)}.'
    return f"No {what} has {shown(wanted)} together."


def _nearest(value: str, values: frozenset[str]) -> str:
    """The values that are most like it, of many those that stand around it in the alphabet; then others."""
    ordered = _ordered(values)
    begin = max(0, min(bisect_left(ordered, value) - MOST_COMPARED // 2, len(ordered) - MOST_COMPARED))
    near = sorted(get_close_matches(value, ordered[begin : begin + MOST_COMPARED], MOST_NAMED, 0.5))
    others = islice((each for each in ordered if each not in near), MOST_NAMED)
    return _shortened([*near, *others], len(ordered))


@lru_cache(maxsize=4)
def _ordered(values: frozenset[str]) -> tuple[str, ...]:
    """Sorted once for all targets that look for one of them."""
    return tuple(sorted(values))


def of_others(target: Target, instances: Iterable[Labels]) -> str:
    """Why the target's figures may be somebody else's; empty when `telemetry` selects one service, that of `match`.

    Args:
        target: whose `telemetry` is looked at.
        instances: labels of those that it selects.
    """
    differ = selectors.differ(target)
    if differ:
        return differ
    matches = [normalised(match) for match in target.match]
    known = [normalised(labels) for labels in instances]
    for name in _ONE_SERVICE:
        values = {labels[name] for labels in known if labels.get(name)}
        if len(values) > 1 and not values <= {match.get(name) for match in matches}:
            return (
                f"`telemetry` ({shown(normalised(target.telemetry))}) selects instances with {name}"
                f" {few(sorted(values))}: figures and alerts of one would count for the other. {_ADVICE_ONE[name]}"
            )
    return ""


def compares_nothing(rules: Collection[str]) -> str:
    """What is said of rules whose figure has a value for a target, and whose expression has none for anybody."""
    return (
        f"The expression of {few(sorted(rules))} compares nothing, so that it could never fire, although its figure"
        " has a value: see whether Prometheus has every series that it names."
    )


def tells_of_requests(metric: str) -> bool:
    """Whether a metric seems to say how requests went."""
    return _READS_REQUESTS.search(metric) is not None


def unread_requests(there: Collection[str]) -> str:
    """What instances show of requests that the shipped rules cannot read; empty when there is nothing of the kind."""
    told = _instead(there)
    is_unread = any(_OLDER.match(name) for name in there) or (
        _REQUESTS not in there and _REQUESTS.removesuffix("_count") in there
    )
    return told if is_unread or any("." in name and "http.server" in name for name in there) else ""


def by_metrics(needed: Collection[str], there: Collection[str]) -> str:
    """Which metrics the figures of the trigger rules lack, and what the instances show instead.

    Args:
        needed: what the figures read in the end, without what only tells that something is there.
        there: every metric that the target's instances show.
    """
    lone = {name: part for name, part in sorted(_PARTS.items()) if name in there and part not in there}
    found = sorted((set(needed) & set(there)) - lone.keys() - set(lone.values()))
    if found:
        are = "is" if len(found) == 1 else "are"
        return (
            f"{few(found)} {are} there, and no figure comes of it yet: nothing was counted so far, or no request with"
            " the label http_response_status_code."
        )
    missing = sorted(set(needed) - lone.keys(), key=lambda name: (name != _REQUESTS, name))
    halves = f" {few(lone)} says nothing without {few(lone.values())}." if set(needed) & lone.keys() else ""
    return f"The figures need one of {few(missing)}, and its instances show none of them.{halves} {_instead(there)}"


def _instead(there: Collection[str]) -> str:
    older = sorted(name for name in there if _OLDER.match(name))
    if older:
        return (
            f"They show {few(older)}, of OpenTelemetry's older conventions: set"
            " OTEL_SEMCONV_STABILITY_OPT_IN=http, or take a newer instrumentation."
        )
    if _REQUESTS.removesuffix("_count") in there:
        return (
            f"They show {_REQUESTS.removesuffix('_count')} as a native histogram only: load"
            " rules/optional/native_histograms.yml, too; or let Prometheus keep the classic one"
            " (scrape_classic_histograms; from Prometheus 3 on always_scrape_classic_histograms)."
        )
    dotted = sorted(name for name in there if "." in name)
    if dotted:
        return f"They show {few(dotted)}: let names be translated with underscores, units and _total."
    others = sorted(name for name in there if _OF_REQUESTS.search(name) and not _BESIDE.match(name))
    if others:
        return (
            f"They show {few(others)}: write a rule about these, or instrument the service by OpenTelemetry's"
            " conventions (http.server.request.duration in seconds)."
        )
    return "They show nothing of requests: instrument the service, or write a rule about what they show."


def shown(labels: Labels) -> str:
    """Labels for people."""
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def few(names: Iterable[str]) -> str:
    """At most `MOST_NAMED` of these, and how many more there are."""
    every = list(names)
    return _shortened(every, len(every))


def _shortened(first: Sequence[str], count: int) -> str:
    """The first of so many."""
    return ", ".join(first[:MOST_NAMED]) + (f" and {count - MOST_NAMED} more" if count > MOST_NAMED else "")
