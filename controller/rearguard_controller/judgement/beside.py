"""Whether an older version showed the same fault while it served beside a release. Pure.

Here: from readings of both versions, one after another, to what is remembered of the fault. Polls, judgements and
back-tests use the same functions.

A release is cleared of a fault when both versions served, both figures were past the threshold, and that lasted. This
stays when the older version is gone or silent. It ends only by what is seen side by side, too: both were well again,
and later the release alone showed the fault for as long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from rearguard_controller.model import Condition, Measurement, Release, SharedFault, TargetFacts, compare
from rearguard_controller.model.observations import EPISODE_GAP, EXISTS

LEAST = (
    10.0  # seconds between two readings that show more than a moment's fault, with enough traffic in both versions
)
NEAR = 0.5  # of a threshold: below it a version is well, between both nothing is concluded

Traffic = Mapping[float, Collection[str]]  # the versions with enough traffic, by moment
Limit = tuple[str, float | None]  # operator and threshold; EXISTS: it holds while the expression returns anything


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure of a release, and of the older version that is worst by it, at one moment.

    Attributes:
        at: seconds since the epoch.
        own: of the release; None if it is not scraped, or shows none.
        older: of the older version; None likewise.
        version: the older version's `service_version`.
        enough: whether both are known to have enough traffic to be compared.
    """

    at: float
    own: Measurement | None
    older: Measurement | None
    version: str = ""
    enough: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """What readings have shown so far.

    Attributes:
        fault: what an older version showed; None if nothing.
        both_since: since when both show it, without a reading against it; None: they do not.
        enough_since: the same, of readings with enough traffic.
        alone_since: since when only the release shows it, after both were well; None: it does not.
        read_at: the last reading with data of both.
    """

    fault: SharedFault | None = None
    both_since: float | None = None
    enough_since: float | None = None
    alone_since: float | None = None
    read_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """The `service_version` of a release, and those of the older versions that it is compared with."""

    own: str
    older: frozenset[str]


def follow(known: Beside, condition: Condition, reading: Reading) -> Beside:
    """What is known after one more reading.

    Without data of both versions nothing changes. After more than a minute without a reading, time counts anew.
    """
    own, older, at = reading.own, reading.older, reading.at
    if own is None or older is None or own.past is None or older.past is None:
        return known
    paused = known.read_at is not None and not 0 <= at - known.read_at <= EPISODE_GAP
    known = Beside(known.fault, read_at=at) if paused else replace(known, read_at=at)
    if own.past and older.past:
        return _shared(known, condition, reading)
    if not own.past:
        known = replace(known, both_since=None, enough_since=None, alone_since=None)
        fault = holding(known.fault)
        if fault is not None and fault.well_at is None and _well(own) and _well(older):
            return replace(known, fault=replace(fault, well_at=at))
        return known
    return _alone(known, condition, at) if _well(older) else known


def _shared(known: Beside, condition: Condition, reading: Reading) -> Beside:
    """Both show the fault.

    It counts once it lasted: `LEAST` seconds with enough traffic. Where that is not known, as long as the figure
    looks back: two readings that far apart share no request, so a single failed request clears nobody.
    """
    at = reading.at
    both = at if known.both_since is None else known.both_since
    enough = (known.enough_since or at) if reading.enough else known.enough_since
    known = replace(known, both_since=both, enough_since=enough, alone_since=None)
    lasted = at - both >= max(LEAST, condition.settle) or (reading.enough and at - (enough or at) >= LEAST)
    if not lasted or holding(known.fault) is not None:
        return known
    return replace(known, fault=shared(condition, reading))


def _alone(known: Beside, condition: Condition, at: float) -> Beside:
    """Only the release shows the fault, and the older version is well: after both were well, that is a new fault."""
    known, fault = replace(known, both_since=None, enough_since=None), holding(known.fault)
    if fault is None or fault.well_at is None:
        return known
    since = at if known.alone_since is None else known.alone_since
    ended = at - since >= max(LEAST, condition.settle)
    return replace(known, alone_since=since, fault=replace(fault, ended_at=at) if ended else fault)


def shared(condition: Condition, reading: Reading) -> SharedFault:
    """What is remembered of a fault that both versions show in this reading."""
    own = None if reading.own is None else reading.own.value
    older = None if reading.older is None else reading.older.value
    limit = None if reading.own is None else reading.own.threshold
    return SharedFault(
        condition.alert, condition.figure, condition.threshold, reading.version, reading.at, own, older, limit
    )


def holding(fault: SharedFault | None) -> SharedFault | None:
    """The fault, if it still clears the release."""
    return fault if fault is not None and fault.ended_at is None else None


def reading_of(
    at: float, limit: Limit, values: Iterable[tuple[str, float]], pair: Pair, scraped: Collection[str]
) -> Reading:
    """A reading from the values of single versions, without whether their traffic is enough.

    Args:
        at: the moment.
        limit: of the figure.
        values: (service_version, value).
        pair: the versions to compare.
        scraped: the versions that are scraped at that moment: a figure may outlive the process that it was about.
    """
    operator, threshold = limit
    found: dict[str, float] = {}
    for version, value in values:
        found[version] = _worse(operator, found.get(version, value), value)
    measured = {
        version: _measured(operator, threshold, found.get(version))
        for version in sorted({pair.own, *pair.older}.intersection(scraped))
        if version in found or operator == EXISTS
    }
    worst = max(
        (version for version in measured if version != pair.own),
        key=lambda version: (measured[version].past is True, not _well(measured[version])),
        default="",
    )
    return Reading(at, measured.get(pair.own), measured.get(worst), worst)


def pair_of(known: TargetFacts, shown: Collection[str]) -> Pair | None:
    """The release that serves and the older versions to compare it with.

    Versions that were rolled away from are left out: what they show is their own fault. While both versions serve,
    the release's label may not be known yet. Then it is its identity, or the only label that no other version has.

    Args:
        known: of the target.
        shown: the labels that Prometheus shows.

    Returns:
        None when there is no release, no older version, or nothing that tells them apart.
    """
    state, serving = known.state, known.serving
    if state is None or serving is None or not state.is_release:
        return None
    others = [each for each in known.releases if each.version != serving.version]
    free = sorted(set(shown) - {label(each) for each in others})
    own = serving.service_version
    if own is None:
        own = serving.version if serving.version in shown else free[0] if len(free) == 1 else None
    older = {label(each) for each in others if is_older(each, serving)} - {own}
    return None if own is None or not older else Pair(own, frozenset(older))


def label(release: Release) -> str:
    """The `service_version` of a version; its identity while it is known by no other label."""
    return release.service_version or release.version


def is_older(one: Release, serving: Release) -> bool:
    """Whether a version served before another one first did, and was not rolled away from since."""
    if one.version == serving.version or one.served_at is None or one.distrusted:
        return False
    return serving.served_at is None or one.served_at < serving.served_at


def follow_all(
    known: Beside, condition: Condition, readings: Iterable[Reading], own: str, traffic: Traffic
) -> Beside:
    """What is known after readings in the order of time; `own` is the release's `service_version`."""
    for each in readings:
        having = traffic.get(each.at, ())
        known = follow(known, condition, replace(each, enough=own in having and each.version in having))
    return known


def _worse(operator: str, one: float, other: float) -> float:
    return min(one, other) if operator in ("<", "<=") else max(one, other)


def _measured(operator: str, threshold: float | None, value: float | None) -> Measurement:
    if operator == EXISTS:
        return Measurement(value, None, EXISTS, past=value is not None)
    past = None if value is None or threshold is None else compare(value, operator, threshold)
    return Measurement(value, threshold, operator, past)


def _well(measured: Measurement) -> bool:
    """Whether a version is well beyond doubt: not past its threshold, and not near it."""
    if measured.past is not False:
        return False
    near = measured.operator in (">", ">=") and measured.value is not None and measured.threshold is not None
    return not near or (measured.value or 0.0) < NEAR * (measured.threshold or 0.0)
