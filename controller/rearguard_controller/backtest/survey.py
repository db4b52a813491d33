"""Asks Prometheus which services there are: few questions, each about all of them at once. It reads only.

Here: the questions, none of which needs our rules, and what their answers say of each service.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest.archive import together
from rearguard_controller.backtest.services import Plain, Seen, Service, Survey, problems
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Labels, Sample, normalised
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, NO_VERSION, OLDER_ENVIRONMENT_LABEL

T = TypeVar("T")

Address = tuple[str, str]  # job and instance

FORTNIGHT = 14 * 86_400.0  # seconds in which releases are counted
LOOK_EVERY = 1800.0  # seconds between two looks at that time
LATELY, LATELY_EVERY = 7200.0, 60.0  # seconds that are looked at more often
MOST_SECONDS = 4.0  # for that question: without its answer a survey is still one
RATES = ("1m", "5m")  # the second one where two scrapes lie further apart
COUNTER = "http_server_request_duration_seconds_count"
OURS = "default:http_error_ratio:threshold"  # recorded by our rules alone
# Counters of requests under other names, the most telling first: by client libraries, Micrometer, proxies.
PLAIN = (
    "http_requests_total",
    "http_request_duration_seconds_count",
    "http_server_requests_seconds_count",
    "http_request_total",
    "flask_http_request_total",
    "starlette_requests_total",
    "django_http_responses_total_by_status_total",
    "gin_requests_total",
    "http_server_duration_milliseconds_count",
    "grpc_server_handled_total",
)
_OUTCOMES = ("code", "status", "status_code", "http_status", "http_status_code", "http_response_status_code")
_FAILED = re.compile("5..")  # a code 500, and a class 5xx
_SHARED = """
max by (job, instance) (resets(process_start_time_seconds[5m])) >= 2
and on (job, instance) max by (job, instance) (resets(process_cpu_seconds_total[5m])) >= 2
or on (job, instance)
(
  max by (job, instance) (resets(process_cpu_seconds_total[5m]))
  - max by (job, instance) (changes(process_start_time_seconds[5m]))
) >= 2
or on (job, instance)
(
  max by (job, instance) (resets(http_server_request_duration_seconds_count[10m])) >= 4
  unless on (job, instance) process_start_time_seconds
)
""".strip()
_BY = f"job, instance, service_name, {ENVIRONMENT_LABEL}, {OLDER_ENVIRONMENT_LABEL}, {VERSION_LABEL}"
_SERVICE = f"service_name, {ENVIRONMENT_LABEL}, {OLDER_ENVIRONMENT_LABEL}, {VERSION_LABEL}"
_BUILD = re.compile(r"(?!go_|prometheus_|node_|alertmanager_)(?:[A-Za-z0-9_]+_)?build_info")


class Key(NamedTuple):
    """What tells services apart."""

    name: str
    environment: str


class _Answers(NamedTuple):
    info: tuple[Sample, ...]
    up: tuple[Sample, ...]
    requests: dict[Address, float]
    failures: dict[Address, float]
    plain: dict[str, tuple[Sample, ...]]
    builds: tuple[Sample, ...]
    shared: frozenset[Address]
    scraped: Mapping[Address, float]
    first_seen: tuple[Sample, ...]
    ours: bool


async def look(prometheus: Prometheus) -> Survey:
    """The services, jobs and rules that Prometheus knows now.

    Raises:
        SourceError: it cannot be reached, or does not say what it scrapes.
    """
    found = await _ask(prometheus)
    by_key: dict[Key, list[Sample]] = defaultdict(list)
    for each in found.info:
        if each.labels.get("service_name"):
            by_key[_key(each.labels)].append(each)
    first: dict[Key, dict[str, float]] = defaultdict(dict)
    for each in found.first_seen:
        version = each.labels.get(VERSION_LABEL, "")
        if version.lower() not in NO_VERSION:
            known = first[_key(each.labels)]
            known[version] = min(each.value, known.get(version, each.value))
    shown = Counter(_address(each.labels) for each in found.info)
    services = tuple(_service(key, by_key[key], first[key], shown, found) for key in sorted(by_key))
    instrumented = {each.labels.get("job", "") for each in found.info if each.labels.get("service_name")}
    plain = tuple(_plain(found, instrumented))
    judged = instrumented | {each.job for each in plain}
    others = sorted({each.labels.get("job", "") for each in found.up} - judged - {""})
    return Survey(services, plain, tuple(others), rules_loaded=found.ours)


async def _ask(prometheus: Prometheus) -> _Answers:
    failed = f'{COUNTER}{{http_response_status_code=~"5.."}}'
    broken = f'{COUNTER}{{error_type!="",http_response_status_code!~"4..|5.."}}'
    builds = 'count by (__name__, job, version) ({__name__=~".*build_info",version!=""})'
    now, plain, scraped, first_seen = await asyncio.gather(  # none waits for another
        together(
            map(
                prometheus.query,
                (
                    f"group by ({_BY}) (target_info)",
                    "up",
                    f"sum by (job, instance) ({_rate(COUNTER)})",
                    f"sum by (job, instance) ({_rate(failed)} or {_rate(broken)})",
                    builds,
                    _SHARED,
                    OURS,
                ),
            )
        ),
        _counters(prometheus),
        _or(prometheus.scrape_intervals(), {}),
        _first_seen(prometheus),
    )
    info, up, requests, failures, built, shared, ours = now
    return _Answers(
        info,
        up,
        {_address(each.labels): each.value for each in requests},
        {_address(each.labels): each.value for each in failures},
        plain,
        built,
        frozenset(_address(each.labels) for each in shared),
        scraped,
        first_seen,
        bool(ours),
    )


async def _counters(prometheus: Prometheus) -> dict[str, tuple[Sample, ...]]:
    """Of each known counter that is there: requests per second by job, instance and how they went."""
    names = "|".join(PLAIN)
    there = {each.labels.get("__name__", "") for each in await prometheus.query(_group(names))}
    asked = [name for name in PLAIN if name in there]
    by = f"job, instance, {', '.join(_OUTCOMES)}"
    answers = await together(prometheus.query(f"sum by ({by}) ({_rate(name)})") for name in asked)
    return dict(zip(asked, answers, strict=True))


def _rate(series: str) -> str:
    """PromQL of how fast these series grow, per second."""
    return " or ".join(f"rate({series}[{each}])" for each in RATES)


def _group(names: str) -> str:
    return f'group by (__name__) ({{__name__=~"{names}"}})'


async def _first_seen(prometheus: Prometheus) -> tuple[Sample, ...]:
    """When each version was first seen: over a fortnight roughly, and lately closely; the earliest moment counts."""
    # By a range: a subquery of the same moments takes Prometheus fifteen times as long (200 services: 20 s).
    now, question = time.time(), f"group by ({_SERVICE}) (target_info)"
    within = ((FORTNIGHT, LOOK_EVERY), (LATELY, LATELY_EVERY))
    try:
        async with asyncio.timeout(MOST_SECONDS):
            found = await together(
                prometheus.query_range(question, (now - seconds) // every * every, now, every)
                for seconds, every in within
            )
    except (SourceError, TimeoutError):
        return ()
    return tuple(Sample(each.labels, each.points[0][0]) for several in found for each in several if each.points)


async def _or(asked: Awaitable[T], instead: T) -> T:
    """What is answered; `instead` if nothing is: a survey without it is still one."""
    try:
        return await asked
    except SourceError:
        return instead


# --- what the answers say -----------------------------------------------------------------------------------------


def _service(
    key: Key, info: Sequence[Sample], first: Mapping[str, float], shown: Mapping[Address, int], found: _Answers
) -> Service:
    """One service.

    Args:
        key: which one.
        info: what its instances' target_info says.
        first: when each version was first seen.
        shown: how many target_info each address shows.
        found: what Prometheus answered.
    """
    addresses = {_address(each.labels) for each in info}
    said = {each.labels.get(VERSION_LABEL, "") for each in info}
    down = {_address(each.labels) for each in found.up if each.value == 0} & addresses
    versions = sorted(
        (each for each in said if each.lower() not in NO_VERSION), key=lambda each: (-first.get(each, 0.0), each)
    )
    scraped: dict[str, float] = {}
    for job, instance in addresses:
        every = found.scraped.get((job, instance))
        if every is not None:
            scraped[job] = max(scraped.get(job, 0.0), every)
    shared = {address for address in addresses if address in found.shared or shown[address] > 1}
    requests = _sum(found.requests, addresses)
    seen = Seen(
        said,
        key.environment,
        requests is not None,
        scraped,
        {instance for _, instance in shared},
        {instance for _, instance in down},
    )
    return Service(
        name=key.name,
        environment=key.environment,
        labels=_labels(key),
        versions=tuple(versions),
        since=first.get(versions[0]) if versions else None,
        instances=len(addresses),
        requests=requests,
        errors=_share(_sum(found.failures, addresses), requests),
        releases=_releases(first.values()),
        problems=tuple(problems(seen)),
    )


def _releases(first: Collection[float]) -> int | None:
    """How many versions came while somebody looked: the one that was there at first is none of them."""
    if not first:
        return None
    return sum(at > min(first) + LOOK_EVERY for at in first)


def _plain(found: _Answers, instrumented: Collection[str]) -> Iterator[Plain]:
    """The jobs without target_info that count requests, each by its most telling counter."""
    counters: dict[str, str] = {}
    for name, samples in found.plain.items():
        for each in samples:
            counters.setdefault(each.labels.get("job", ""), name)
    for job, name in sorted(counters.items()):
        if job and job not in instrumented:
            yield _of_job(job, name, found)


def _of_job(job: str, name: str, found: _Answers) -> Plain:
    mine = [each for each in found.plain[name] if each.labels.get("job") == job]
    label = next((each for each in _OUTCOMES if any(each in sample.labels for sample in mine)), "")
    failed = [each for each in mine if label and _FAILED.fullmatch(each.labels.get(label, ""))]
    requests = sum(each.value for each in mine)
    builds = {
        each.labels["__name__"]
        for each in found.builds
        if each.labels.get("job") == job and _BUILD.fullmatch(each.labels.get("__name__", ""))
    }
    return Plain(
        job=job,
        counter=name,
        failed=f'{label}=~"5.."' if label else "",
        instances=len({each.labels.get("instance") for each in mine}),
        requests=requests,
        errors=_share(sum(each.value for each in failed), requests) if label else None,
        version=(builds.pop(), "version") if len(builds) == 1 else None,
    )


def _sum(rates: Mapping[Address, float], addresses: Iterable[Address]) -> float | None:
    mine = [rates[address] for address in addresses if address in rates]
    return sum(mine) if mine else None


def _share(failures: float | None, requests: float | None) -> float | None:
    if requests is None or not requests > 0:
        return None
    return (failures or 0.0) / requests


def _address(labels: Labels) -> Address:
    return labels.get("job", ""), labels.get("instance", "")


def _key(labels: Labels) -> Key:
    """The service of a series. One without a service_name is left out: no rule could speak of it."""
    named = normalised(labels)
    return Key(named.get("service_name", ""), named.get(ENVIRONMENT_LABEL, ""))


def _labels(key: Key) -> Labels:
    found = {"service_name": key.name, ENVIRONMENT_LABEL: key.environment}
    return {name: value for name, value in found.items() if value}
