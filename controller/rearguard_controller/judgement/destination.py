"""Where a rollback goes: the newest version that earned trust and can still be gone back to. Pure.

Here: the choice, and for each version the one thing that stands in its way, in words.
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.model import Release, TargetFacts


def choose_destination(known: TargetFacts) -> Release | None:
    """The newest known-good release that can be gone back to (see `obstacle`); None if there is none.

    Newest means: it served most recently. A release that never served, but that somebody called good, comes last.
    """
    return _newest(release for release in known.releases if obstacle(release, known) is None)


def obstacle(release: Release, known: TargetFacts) -> str | None:
    """Why a version is no destination, in words; None when it is one."""
    if release.version == known.serving_version:
        return "it serves now"
    if release.bad_at is not None:
        return "it is marked bad"
    if release.suspect_at is not None:
        return "it is suspect: a rollback away from it has started"
    if release.known_good_at is None:
        return "it has not earned trust"
    barrier = barrier_before(release, known)
    if barrier is not None:
        return f"it lies behind the barrier release {barrier.version}"
    if known.activatable is not None and release.version not in known.activatable:
        return "the target no longer lists it as one that can be activated"
    return known.checked.get(release.version) or None


def barrier_before(release: Release, known: TargetFacts) -> Release | None:
    """The newest barrier release that began to serve after `release` did, if any; one that never served is none."""
    since = release.first_seen if release.served_at is None else release.served_at
    later = [(other.served_at, other) for other in known.releases if other.barrier and other.served_at is not None]
    passed = [(served_at, other) for served_at, other in later if served_at > since]
    return max(passed, key=lambda each: each[0])[1] if passed else None


def _newest(releases: Iterable[Release]) -> Release | None:
    return max(releases, key=lambda each: (each.served_at is not None, each.last_seen, each.first_seen), default=None)
