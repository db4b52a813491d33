"""What Prometheus shows of the services that somebody runs, and what is wrong with each, in words. Pure.

Here: the nouns of a survey, and the sentences. Each says what is wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rearguard_controller.model import Labels
from rearguard_controller.wording import span

SLOWEST_SCRAPE = 15.0  # seconds between two scrapes that alerts about a release still allow
_VERSION_CURE = "Set it by Monitor(version=...), REARGUARD_VERSION, or service.version in OTEL_RESOURCE_ATTRIBUTES"


@dataclass(frozen=True, slots=True)
class Service:
    """A service in one environment, as its target_info tells it.

    Attributes:
        labels: that all its series carry, and those of no other service.
        versions: that serve now, the newest first.
        since: when the newest was first seen; None: it is not known.
        requests: per second; None: nothing counts them.
        errors: share of them that failed, 0 to 1.
        releases: versions that came within the time that was looked at; None: it is not known.
        problems: what stands in the way of judging it, each with its cure.
    """

    name: str
    environment: str
    labels: Labels
    versions: tuple[str, ...]
    since: float | None
    instances: int
    requests: float | None
    errors: float | None
    releases: int | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """A job without target_info that counts requests all the same.

    Attributes:
        counter: its metric.
        failed: a matcher of the requests that failed; empty: no label tells them.
        version: metric and label that name the version, if one does.
    """

    job: str
    counter: str
    failed: str
    instances: int
    requests: float | None
    errors: float | None
    version: tuple[str, str] | None = None

    @property
    def problem(self) -> str:
        """Why the shipped rules cannot speak of it, and what to do."""
        return (
            f"It shows no target_info, so the shipped rules say nothing of it. Instrument it, or use {self.counter}"
            " with the alert of its own in own-alerts.yml"
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was found; `others` are jobs that count no requests."""

    services: tuple[Service, ...]
    plain: tuple[Plain, ...]
    others: tuple[str, ...]
    rules_loaded: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a service, before it is judged.

    Attributes:
        said: the values of service_version, as they stand.
        scraped: seconds between two scrapes of its instances, by job.
        shared: addresses that stand for several processes.
        down: addresses that cannot be scraped.
    """

    said: Collection[str]
    environment: str
    counted: bool
    scraped: dict[str, float]
    shared: Collection[str]
    down: Collection[str]


def problems(seen: Seen) -> Iterator[str]:
    """What stands in the way of judging a service, the worst first."""
    if seen.shared:
        yield (
            f"Several workers answer on one address ({_few(seen.shared)}), so its counts jump. Give each worker an"
            " address, or let them share their metrics (docs/workers.md)"
        )
    if not any(seen.said):
        yield f"No service_version, so nothing can be blamed on a release. {_VERSION_CURE}"
    elif all(each.lower() == "unknown" for each in seen.said if each):
        yield f"Its version is unknown, so nothing can be blamed on a release. {_VERSION_CURE}"
    elif "" in seen.said:
        yield f"Some instances show no service_version. {_VERSION_CURE}"
    if not seen.environment:
        yield (
            "No deployment_environment_name. Set it, as Monitor(environment=...), REARGUARD_ENVIRONMENT or"
            " deployment.environment.name in OTEL_RESOURCE_ATTRIBUTES"
        )
    slow = {job: seconds for job, seconds in seen.scraped.items() if seconds > SLOWEST_SCRAPE}
    if slow:
        told = ", ".join(f"job {job} every {span(seconds)}" for job, seconds in sorted(slow.items()))
        yield f"Scraped too rarely for alerts about a release ({told}). Set scrape_interval to 15s or less, best 5s"
    if seen.down:
        yield f"Not every instance can be scraped ({_few(seen.down)}). See /targets of Prometheus"
    if not seen.counted:
        yield (
            "No http_server_request_duration_seconds, so neither its errors nor its times are known. Instrument its"
            " requests"
        )


def _few(names: Collection[str]) -> str:
    first = sorted(names)[:2]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
