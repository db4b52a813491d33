"""How much each service answers, how much of it fails and how long it takes, asked once for all targets at each poll.

Here: the one question, and a target's part of the answer. It is told to people; nothing is judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Sample, Target, Traffic
from rearguard_controller.watching.label_sets import ByLabels

_WHAT = "rearguard_says"  # a label that tells the three figures apart
_BY = f"service_name, deployment_environment_name, {VERSION_LABEL}"
REQUESTS, ERRORS, MEAN = "requests", "errors", "mean"
QUESTION = " or ".join(
    f'label_replace({figure}, "{_WHAT}", "{what}", "", "")'
    for what, figure in (
        (REQUESTS, f"sum by ({_BY}) (last_over_time(version:http_requests:increase1m[21s])) / 60"),
        (ERRORS, f"max by ({_BY}) (last_over_time(version:http_error_ratio:over1m[21s]))"),
        (MEAN, f"max by ({_BY}) (last_over_time(version:http_mean_seconds:over1m[21s]))"),
    )
)


class TrafficOfAll:
    """What one poll saw of every service's requests."""

    def __init__(self, samples: Sequence[Sample] = ()) -> None:
        """`samples` answer `QUESTION`."""
        self._found = ByLabels((each.labels, each) for each in samples)

    def of(self, target: Target) -> tuple[Traffic, ...]:
        """A target's requests, one for each version that has any."""
        by_version: dict[str, dict[str, float]] = {}
        for each in self._found.having(target.telemetry):
            of_version = by_version.setdefault(each.labels.get(VERSION_LABEL, ""), {})
            of_version[each.labels.get(_WHAT, "")] = each.value
        return tuple(
            Traffic(version or None, found[REQUESTS], found.get(ERRORS), found.get(MEAN))
            for version, found in sorted(by_version.items())
            if REQUESTS in found
        )


async def read(asks: Asks) -> TrafficOfAll:
    """Ask for the requests of all services; of none if Prometheus gives no usable answer."""
    try:
        return TrafficOfAll(await asks.query(QUESTION))
    except SourceError:
        return TrafficOfAll()
