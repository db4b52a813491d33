"""What Prometheus' history proves of a target that is seen for the first time: which versions earned trust. Pure.

Here: from points of the past to stretches of service, from those to releases that are remembered, and why a version
is not adopted. The measure is the same as for a version that serves now (`trust`): scraped without a break, measured,
and no trigger alert pending or firing. Of each version only the last stretch of service counts. Which rules were
loaded in the past cannot be known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from rearguard_controller.model import Release
from rearguard_controller.wording import span

NEAR = 1.5  # steps; two points that lie further apart do not follow one another


@dataclass(frozen=True, slots=True)
class History:
    """A target's past in points `step` seconds apart, the last one at `end` (seconds since the epoch).

    Attributes:
        shown: by service_version the moments at which instances showed it, and whether all of them were scraped;
            under "" those of instances that show none.
        alerts: by service_version that they name the moments around which trigger alerts were pending or firing;
            under "" of those that name none.
        measured: by service_version the moments at which anything that trigger rules measure had a value, under ""
            what names none; None: nobody asked, as the policy trusts by `up`.
    """

    end: float
    step: float
    shown: Mapping[str, Mapping[float, bool]]
    alerts: Mapping[str, Collection[float]]
    measured: Mapping[str, Collection[float]] | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The last unbroken time in which a service_version served alone; seconds since the epoch."""

    service_version: str
    start: float
    end: float
    clean_from: float | None  # since when it was without a trigger alert up to its end; None: it ended with one
    measured: bool = True  # whether anything was measured of it since then, or nobody asked

    @property
    def clean(self) -> float:
        """Seconds without a trigger alert at its end."""
        return 0.0 if self.clean_from is None else self.end - self.clean_from


def stretches(history: History) -> tuple[Stretch, ...]:
    """The last stretch of every service_version, the one that ended last first."""
    alone = _alone(history)
    found: dict[str, Stretch] = {}
    run: list[float] = []
    for at in sorted(alone, reverse=True):
        if run and (alone[at] != alone[run[-1]] or run[-1] - at > NEAR * history.step):
            _keep(found, alone[run[-1]], run, history)
            run = []
        run.append(at)
    if run:
        _keep(found, alone[run[-1]], run, history)
    return tuple(sorted(found.values(), key=lambda each: each.end, reverse=True))


def not_adopted(history: History, serving: Stretch | None, known_good_after: float) -> str:
    """Why history does not prove that the version serving now earned trust; empty when it does."""
    if serving is None or serving.end < history.end:
        return "Prometheus has no unbroken history of it, alone and scraped, up to now"
    if serving.clean >= known_good_after:
        return "" if serving.measured else "nothing that a trigger rule measures has a value in its history"
    end = "a trigger alert of it" if serving.clean_from is None or serving.clean_from > serving.start else "a gap"
    return f"{span(serving.clean)} of service are known since {end}, and {span(known_good_after)} are needed"


def adopt_serving(release: Release, serving: Stretch, known_good_after: float) -> Release:
    """The serving version, known good since its history earned that; marks that it has already stay."""
    if release.distrusted or serving.clean_from is None:
        return release
    return replace(
        release,
        first_seen=min(release.first_seen, serving.start),
        served_at=min(release.first_seen if release.served_at is None else release.served_at, serving.start),
        known_good_at=release.known_good_at or serving.clean_from + known_good_after,
    )


def adopt_earlier(
    serving: Release, past: Iterable[Stretch], listed: Collection[str] | None, known_good_after: float
) -> tuple[Release, ...]:
    """Versions that served before and had earned trust when they left, as far as their identities are known.

    Args:
        serving: the version that serves now, with its service_version.
        past: last stretches of service.
        listed: identities that the target can activate; None when it cannot tell.
        known_good_after: seconds of clean service that earn trust.
    """
    found = []
    for each in past:
        version = _identity(each.service_version, serving, listed)
        if version is None or not each.measured or each.clean_from is None or each.clean < known_good_after:
            continue
        found.append(
            Release(
                target=serving.target,
                version=version,
                first_seen=each.start,
                last_seen=each.end,
                served_at=each.start,
                service_version=each.service_version,
                known_good_at=each.clean_from + known_good_after,
            )
        )
    return tuple(found)


def _identity(service_version: str, serving: Release, listed: Collection[str] | None) -> str | None:
    """The version that a service_version of the past belongs to: the same text, if the target names versions so."""
    if service_version in (serving.service_version, serving.version):
        return None
    if listed is not None:
        return service_version if service_version in listed else None
    return service_version if serving.version == serving.service_version else None


def _alone(history: History) -> dict[float, str]:
    """The moments at which exactly one service_version was shown, and every instance was scraped."""
    shown: dict[float, set[str]] = {}
    sick: set[float] = set()
    for service_version, moments in history.shown.items():
        for at, scraped in moments.items():
            if not scraped:
                sick.add(at)
            if service_version:
                shown.setdefault(at, set()).add(service_version)
    return {at: min(versions) for at, versions in shown.items() if len(versions) == 1 and at not in sick}


def _keep(found: dict[str, Stretch], service_version: str, run: list[float], history: History) -> None:
    """Take the run as the version's last stretch, unless a later one was seen; `run` goes back in time."""
    stained = {*history.alerts.get("", ()), *history.alerts.get(service_version, ())}
    clean_from = None
    for at in run:
        if at in stained:
            break
        clean_from = at
    since = run[0] if clean_from is None else clean_from
    found.setdefault(
        service_version,
        Stretch(service_version, run[-1], run[0], clean_from, _is_measured(history, service_version, since, run[0])),
    )


def _is_measured(history: History, service_version: str, start: float, end: float) -> bool:
    if history.measured is None:
        return True
    moments = {*history.measured.get("", ()), *history.measured.get(service_version, ())}
    return any(start <= at <= end for at in moments)
