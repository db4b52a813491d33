"""Where a rollback goes: the newest version that earned trust and can still be gone back to. Pure.

Here: the choice, and for each version the one thing that stands in its way, in words.
Never here: whether to go at all (`policy`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.model import Facts, Release


def choose_destination(facts: Facts) -> Release | None:
    """The newest known-good release that can be gone back to; None if there is none.

    Newest means: served most recently; one that is only said to be good comes after all that served. Not the version
    serving now, not suspect or bad, not behind a barrier, and activatable where the target can tell.
    """
    return _newest(release for release in facts.releases if obstacle(release, facts) is None)


def obstacle(release: Release, facts: Facts) -> str | None:
    """Why a version is no destination, in words; None when it is one."""
    if release.version == facts.serving_version:
        return "it serves now"
    if release.bad_at is not None:
        return "it is marked bad"
    if release.suspect_at is not None:
        return "it is suspect: a rollback away from it has started"
    if release.known_good_at is None:
        return "it has not earned trust"
    barrier = barrier_before(release, facts)
    if barrier is not None:
        return f"it lies behind the barrier release {barrier.version}"
    if facts.activatable is not None and release.version not in facts.activatable:
        return "the target no longer lists it as one that can be activated"
    return facts.checked.get(release.version) or None


def barrier_before(release: Release, facts: Facts) -> Release | None:
    """The newest barrier that served only after `release` did, if any; one that never served was never passed."""
    since = release.first_seen if release.served_at is None else release.served_at
    later = [(other.served_at, other) for other in facts.releases if other.barrier and other.served_at is not None]
    passed = [(served_at, other) for served_at, other in later if served_at > since]
    return max(passed, key=lambda each: each[0])[1] if passed else None


def _newest(releases: Iterable[Release]) -> Release | None:
    return max(releases, key=lambda each: (each.served_at is not None, each.last_seen, each.first_seen), default=None)
