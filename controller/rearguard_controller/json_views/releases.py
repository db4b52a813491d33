"""Versions of a target, and how well the serving one does, as users see them."""

from __future__ import annotations

from typing import Annotated, TypedDict

from rearguard_controller import model
from rearguard_controller.json_views.terms import Checks, Count, Time
from rearguard_controller.model import TargetState
from rearguard_controller.wording import moment


class SharedFault(TypedDict):
    """A fault that an older version showed beside this one, so that this one is not to blame for it."""

    alert: Annotated[str, "The name of an alert about this fault."]
    figure: Annotated[str, "PromQL; alerts with the same figure and threshold are about the same fault."]
    threshold: Annotated[str, "Operator and PromQL, or `exists` for an alert without a figure."]
    version: Annotated[str, "The `service_version` of the older version."]
    at: Annotated[Time, "When it had lasted long enough beside this version."]
    own: Annotated[float | None, "What this version showed then; null when the alert has no figure."]
    older: Annotated[float | None, "What the older version showed then."]
    limit: Annotated[float | None, "What the threshold was then."]
    ended_at: Annotated[
        Time | None, "When this version had shown it alone for long enough; null while it still clears this version."
    ]


class Release(TypedDict):
    """What is remembered of a version."""

    target: Annotated[str, "The target."]
    version: Annotated[str, "The version, as the target's own commands name it."]
    service_version: Annotated[str | None, "Its label `service_version` in Prometheus; null until it is known."]
    description: Annotated[str, "How people know it: revision and images of a workload; empty where it needs none."]
    first_seen: Annotated[Time, "When it was first announced or seen."]
    last_seen: Annotated[Time, "When it was last announced or seen."]
    known_good_at: Annotated[Time | None, "When it earned trust; null when it has not."]
    suspect_at: Annotated[Time | None, "When a rollback away from it started; null when none has."]
    bad_at: Annotated[Time | None, "When a rollback away from it helped; null when none has."]
    barrier: Annotated[bool, "True: no automatic rollback goes back past it."]
    interrupted: Annotated[Count, "Automatic rollbacks away from it that ended as `interrupted`."]
    shared_faults: Annotated[list[SharedFault], "Faults that older versions showed beside it, one for each figure."]


class RememberedRelease(Release):
    """What is remembered of a version, and what it is to its target now."""

    served_at: Annotated[Time | None, "When it was first seen serving; null while it is only announced."]
    serving: Annotated[bool, "Whether it serves."]
    last_known_good: Annotated[bool, "Whether an automatic rollback would go here."]


class Serving(TypedDict):
    """How long the serving version serves, and how well."""

    target: Annotated[str, "The target."]
    at: Annotated[Time, "When this was answered."]
    serving_version: Annotated[str | None, "The version that serves; null when it is unknown."]
    serving_since: Annotated[Time | None, "When it was first seen serving."]
    clean_for_s: Annotated[
        float | None,
        "Seconds of service without a fault, as polls saw it; null when the last poll saw one, or is too long ago.",
    ]


class Releases(Serving):
    """A target's versions, newest first, and how well the serving one does; always one page."""

    known_good_after_s: Annotated[float, "Seconds of good service that earn trust."]
    prometheus_age_s: Annotated[float | None, "Seconds since Prometheus last answered; null before it ever did."]
    checks: Annotated[Checks, "The readiness checks by name: whether each holds; null when it is unknown."]
    triggers: Annotated[list[str], "Names of the trigger alerts that fire, sorted."]
    releases: Annotated[list[RememberedRelease], "At most `limit` of them."]
    next: Annotated[None, "Always null."]


def release(value: model.Release) -> Release:
    """What is remembered of a version."""
    return {
        "target": value.target,
        "version": value.version,
        "service_version": value.service_version,
        "description": value.known_as,
        "first_seen": moment(value.first_seen),
        "last_seen": moment(value.last_seen),
        "known_good_at": moment(value.known_good_at),
        "suspect_at": moment(value.suspect_at),
        "bad_at": moment(value.bad_at),
        "barrier": value.barrier,
        "interrupted": value.interrupted,
        "shared_faults": [_shared_fault(each) for each in value.shared_faults],
    }


def _shared_fault(value: model.SharedFault) -> SharedFault:
    return {
        "alert": value.alert,
        "figure": value.figure,
        "threshold": value.threshold,
        "version": value.version,
        "at": moment(value.at),
        "own": value.own,
        "older": value.older,
        "limit": value.limit,
        "ended_at": moment(value.ended_at),
    }


def remembered(value: model.Release, state: TargetState, good: model.Release | None) -> RememberedRelease:
    """What is remembered of a version, and what it is to its target now; `good` is the last known good one."""
    serves = value.version == state.serving_version
    last_seen = max(value.last_seen, state.looked_at or 0.0) if serves else value.last_seen
    return {
        **release(value),
        "last_seen": moment(last_seen),
        "served_at": moment(value.served_at),
        "serving": serves,
        "last_known_good": good is not None and value.version == good.version,
    }


def serving(value: TargetState, now: float, *, most_gap: float) -> Serving:
    """How long the serving version serves, and how long without a break it was seen to serve well.

    `clean_for_s` is null unless a poll at most `most_gap` seconds ago found the version serving well.
    """
    since, checked = value.clean_since, value.clean_checked_at
    clean = since is not None and checked is not None and 0 <= now - checked <= most_gap
    return {
        "target": value.target,
        "at": moment(now),
        "serving_version": value.serving_version,
        "serving_since": moment(value.serving_since),
        "clean_for_s": max(0.0, checked - since) if clean and since is not None and checked is not None else None,
    }
