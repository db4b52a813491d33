"""Which version served when, told from which versions were scraped when. Pure.

Here: the changes of the serving version, and which of them were rollbacks that people did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rearguard_controller.backtest.nouns import Change, Presence, Return
from rearguard_controller.releases.rollout import ONE_ROLLOUT


def changes(presence: Sequence[Presence], look_every: float) -> tuple[Change, ...]:
    """The changes of a target's serving version.

    A version never seen before serves from its first sample on. One that was seen before serves again only when the
    version that serves is gone: instances of an old version may come and go while a new one is rolled out. While no
    version is scraped, the last one counts as serving.

    Args:
        presence: of the target's versions.
        look_every: seconds between two looks. If both versions are scraped at a change, then the old one counts as
            last seen serving one look before it.
    """
    edges = sorted(
        [(each.start, 0, each) for each in presence] + [(each.end, 1, each) for each in presence],
        key=lambda edge: edge[:2],
    )
    found: list[Change] = []
    known: set[str] = set()
    now: dict[str, Presence] = {}
    for at, ends, one in edges:
        serving = found[-1].version if found else None
        if not ends:
            now[one.version] = one
            new = one.version not in known
            known.add(one.version)
            if one.version != serving and (new or serving not in now):
                found.append(Change(at, one.version, _last_seen(presence, serving, at, look_every)))
        elif now.get(one.version) is one:
            del now[one.version]
            if one.version == serving and now:
                other = max(now.values(), key=lambda each: each.start)
                found.append(Change(at, other.version, at))
    return tuple(_without_turns(found))


def _without_turns(found: Sequence[Change]) -> list[Change]:
    """The changes without those of one rollout: a version that comes back within minutes never went away.

    Both versions serve then, and a scrape through a load balancer reaches either. That is so for the newer of the two
    only: if the older one comes back, people rolled back.
    """
    order = {version: number for number, version in enumerate(dict.fromkeys(each.version for each in found))}
    kept: list[Change] = []
    for change in found:
        came_back = len(kept) > 1 and kept[-2].version == change.version and change.at - kept[-1].at <= ONE_ROLLOUT
        if came_back and order[change.version] > order[kept[-1].version]:
            kept.pop()
        else:
            kept.append(change)
    return kept


def returns(target: str, changed: Iterable[Change]) -> tuple[Return, ...]:
    """The changes to a version that was first seen before the version that it replaced."""
    order: dict[str, int] = {}
    found: list[Return] = []
    before: str | None = None
    for change in changed:
        order.setdefault(change.version, len(order))
        if before is not None and order[change.version] < order[before]:
            found.append(Return(target, change.at, before, change.version))
        before = change.version
    return tuple(found)


def _last_seen(presence: Sequence[Presence], version: str | None, at: float, look_every: float) -> float | None:
    """When a version was last seen before a moment: one look before it if the version is still scraped then."""
    ends = [each.end for each in presence if each.version == version and each.start < at]
    if not ends:
        return None
    return at - look_every if max(ends) >= at else max(ends)
