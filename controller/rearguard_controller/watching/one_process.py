"""Addresses that stand for more than one process, by Prometheus: asked once in each poll, for all targets.

Here: what is asked, and what it means for one target. A restart or a crash loop is none of it: the time at which a
process began then only goes up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rearguard_controller.adapters.prometheus.promql import selector_text
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Check, Labels, Sample, Target, is_subset
from rearguard_controller.model.checks import ONE_PROCESS
from rearguard_controller.model.labels import SERVICE_LABEL

Address = tuple[str, str]  # job and instance

AMBIGUOUS = "instance:service:ambiguous"
COUNTS = "instance:http_requests:sum"
# In turn: twice in five minutes the process began earlier than the one before, and had counted less than it. One of
# the two alone proves nothing: a clock that is corrected moves the start of a process, and a restart its counts.
# Workers that were started together begin in the same hundredth of a second: their counts fall, and nothing began.
IN_TURN = """
group by (job, instance) (
  resets(process_start_time_seconds[5m]) >= 2
  and on (job, instance) (
    resets(process_cpu_seconds_total[5m]) >= 2
    or on (job, instance)
    resets(instance:http_requests:sum[5m]) >= 2
  )
)
or
(
  max by (job, instance) (resets(process_cpu_seconds_total[5m]) or resets(instance:http_requests:sum[5m]))
  - max by (job, instance) (changes(process_start_time_seconds[5m]))
) >= 2
""".strip()
# The same where processes do not say when they began: counts that fell often. `take_turns` looks closer.
FALLING = """
resets(instance:http_requests:sum[10m]) >= 4
unless on (job, instance) process_start_time_seconds
""".strip()
LOOK = 600.0  # seconds of counts that are looked at closer
PARTS = 6  # into which that time is divided
MOST_LOOKED_AT = 20  # addresses that are looked at closer in one poll
_MOST_NAMED = 3

_GOOD = "Each address shows one process."
_UNKNOWN = "Prometheus did not say whether each address shows one process."
_ADVICE = "Give each process a job and instance of its own: see 'What makes an instance' in docs/rules.md."


@dataclass(frozen=True, slots=True)
class Shared:
    """What Prometheus knows of addresses that stand for several processes."""

    ambiguous: tuple[Sample, ...] = ()  # one for each service that an ambiguous (job, instance) shows
    in_turn: frozenset[Address] = frozenset()  # answered by several processes in turn


async def read(prometheus: Asks, now: float) -> Shared | None:
    """Ask Prometheus; None without an answer."""
    try:
        ambiguous, turning, falling = await asyncio.gather(
            _found(prometheus, AMBIGUOUS), _found(prometheus, IN_TURN), _found(prometheus, FALLING)
        )
        suspects = [each for each in falling if each.labels.get("instance")][:MOST_LOOKED_AT]
        counts = await asyncio.gather(*(_counts(prometheus, each.labels, now) for each in suspects))
    except SourceError:
        return None
    found = {address_of(each.labels) for each in turning}
    found |= {
        address_of(each.labels) for each, values in zip(suspects, counts, strict=True) if take_turns(values, now)
    }
    return Shared(ambiguous, frozenset(found))


async def _found(prometheus: Asks, question: str) -> tuple[Sample, ...]:
    """The series that a question finds. A recorded series of somebody's own rules may say "none" by a zero."""
    return tuple(each for each in await prometheus.query(question) if each.value > 0)


async def _counts(prometheus: Asks, labels: Labels, now: float) -> list[tuple[float, float]]:
    series = await prometheus.query_range(f"{COUNTS}{selector_text(labels)}", now - LOOK, now, 5.0)
    return sorted(point for each in series for point in each.points)


def take_turns(counts: Iterable[tuple[float, float]], now: float) -> bool:
    """Whether counts that fall again and again are those of several processes, and not of one that restarts.

    The smallest and the largest of several counters grow from part to part of the time. What a process counts between
    two crashes does not.
    """
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for moment, value in counts:
        place = int((moment - (now - LOOK)) / LOOK * PARTS)
        parts[min(max(place, 0), PARTS - 1)].append(value)
    if not all(parts):
        return False
    lowest, highest = [min(part) for part in parts], [max(part) for part in parts]
    return all(before < after for values in (lowest, highest) for before, after in pairwise(values))


def check(target: Target, instances: Iterable[Address] | None, known: Shared | None) -> Check:
    """Whether each address of a target shows one process.

    Args:
        target: whose.
        instances: addresses of the series that its `telemetry` selects; None: not known.
        known: what Prometheus said of all addresses; None: nothing.
    """
    if known is None or instances is None:
        return Check(ONE_PROCESS, None, _UNKNOWN)
    mine, selectors = set(instances), (target.telemetry, *target.match)
    shown: dict[Address, set[str]] = {}  # what each ambiguous address of the target shows
    concerned: set[Address] = set()
    for each in known.ambiguous:
        address = address_of(each.labels)
        who = (each.labels.get(SERVICE_LABEL), each.labels.get(VERSION_LABEL))
        shown.setdefault(address, set()).add(" ".join(filter(None, who)))
        if address in mine or any(is_subset(selector, each.labels) for selector in selectors):
            concerned.add(address)
    said = [_is_ambiguous(address, shown[address]) for address in sorted(concerned)[:_MOST_NAMED]]
    turning = known.in_turn & mine - concerned
    said += [
        f"{_named(address)} is answered by several processes in turn: what they count goes back and forth "
        "(workers behind one port, or a load balancer)."
        for address in sorted(turning)[: _MOST_NAMED - len(said)]
    ]
    if not said:
        return Check(ONE_PROCESS, True, _GOOD)
    left_out = len(concerned) + len(turning) - len(said)
    more = f" {left_out} more are alike." if left_out else ""
    return Check(ONE_PROCESS, False, f"{' '.join(said)}{more} No figure of them is right. {_ADVICE}")


def _is_ambiguous(address: Address, processes: Iterable[str]) -> str:
    shown = sorted(processes)
    if len(shown) == 1:
        return f"{_named(address)} stands for several processes of {shown[0]}."
    return f"{_named(address)} stands for several processes: {', '.join(shown[:-1])} and {shown[-1]}."


def _named(address: Address) -> str:
    job, instance = address
    return f"Instance {instance} of job {job}"


def address_of(labels: Labels) -> Address:
    """The job and instance of a series."""
    return labels.get("job", ""), labels.get("instance", "")
