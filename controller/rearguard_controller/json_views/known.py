"""What is known of a target now, in sentences: API, command line and page show the same ones. Pure.

Here: version and since when, what it answers, figures against their thresholds, trust and when it comes, what happens
next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from rearguard_controller import model
from rearguard_controller.model import Mode, Trust
from rearguard_controller.model.observations import EXISTS, is_armed, is_unreadable, last_known_good
from rearguard_controller.wording import clock_time, number, span

MOST_FIGURES = 3  # that are told, those nearest to their thresholds first
ARMING = "docs/arming.md"


class Figure(Protocol):
    """A value of a trigger's figure."""

    @property
    def alert(self) -> str:
        """Whose figure."""

    @property
    def version(self) -> str | None:
        """The service_version it was measured for; None where it speaks for all."""

    @property
    def value(self) -> float | None:
        """The value; None without data."""

    @property
    def operator(self) -> str:
        """How it is compared."""

    @property
    def threshold(self) -> float | None:
        """With what; None where Prometheus has none."""


def known_of(
    target: model.Target,
    state: model.TargetState,
    releases: Sequence[model.Release],
    figures: Iterable[Figure],
    traffic: Iterable[model.Traffic],
    open_rollback: model.Rollback | None,
    now: float,
) -> list[str]:
    """The sentences; one that says so if the version that serves is not known."""
    version = state.serving_version
    if is_unreadable(state):
        return [state.armed_reason]
    if version is None:
        return ["Which version serves is not known yet, so nothing is judged."]
    serving = next((each for each in releases if each.version == version), None)
    since = state.serving_since
    when = "" if since is None else f" since {clock_time(since)}"
    told = [f"{version} serves{when}."]
    shown = None if serving is None else serving.service_version
    told += _answers([each for each in traffic if each.version in (None, shown)])
    told += _figures(each for each in figures if each.version in (None, shown))
    if serving is not None and not (serving.distrusted and open_rollback is not None):
        told.append(_trust(target, state, serving, now))
    told.append(_next(target, state, releases, open_rollback, now))
    return told


def _answers(traffic: Sequence[model.Traffic]) -> Iterator[str]:
    """How many requests, how many of them fail, and how long they take; nothing where nobody counts them."""
    if not traffic:
        return
    busiest = max(traffic, key=lambda each: each.requests)
    parts = [f"It answers {number(busiest.requests, 3)} requests/s"]
    if busiest.errors is not None:
        parts.append(f"{number(busiest.errors * 100, 2)} % of them fail")
    if busiest.mean is not None:
        parts.append(f"{number(busiest.mean)} s each on average")
    yield ", ".join(parts) + "."


def _figures(figures: Iterable[Figure]) -> Iterator[str]:
    """What was measured, in one sentence; none without a value."""
    worst: dict[tuple[str, str], Figure] = {}
    for each in figures:
        if each.operator != EXISTS and each.threshold is not None and each.value is not None:
            key = each.alert, each.operator
            if key not in worst or _share(each) > _share(worst[key]):
                worst[key] = each
    nearest = sorted(worst.values(), key=_share, reverse=True)
    if not nearest:
        yield "No trigger rule has a value for it now: without requests there is none."
        return
    parts = [
        f"{each.alert} {number(each.value)} (threshold {each.operator} {number(each.threshold)}{_percent(each)})"
        for each in nearest
    ]
    more = f" and {len(parts) - MOST_FIGURES} more" if len(parts) > MOST_FIGURES else ""
    yield f"Measured now: {', '.join(parts[:MOST_FIGURES])}{more}."


def _percent(figure: Figure) -> str:
    """How much of its threshold a figure is; nothing where it must not fall below, or where the threshold is 0."""
    if not figure.operator.startswith(">") or not figure.threshold:
        return ""
    return f", {number(_share(figure) * 100, 2)} % of it"


def _share(figure: Figure) -> float:
    """How near a figure is to its threshold; 1 is there, more is past it."""
    limit, value = figure.threshold or 0.0, figure.value or 0.0
    above = figure.operator.startswith(">")
    if above:
        return value / limit if limit else float(value > 0)
    return limit / value if value else float(limit > 0)


def _trust(target: model.Target, state: model.TargetState, serving: model.Release, now: float) -> str:
    version, needs = serving.version, target.policy.known_good_after
    if serving.distrusted:
        return f"{version} is marked as bad: a rollback led away from it."
    if serving.known_good_at is not None:
        return f"{version} is trusted since {clock_time(serving.known_good_at)}."
    if state.clean_since is None:
        return f"{version} earns no trust at the moment: see what fires, and what is not ready."
    left = state.clean_since + needs - now
    measured = state.figure_at is not None and state.figure_at >= state.clean_since
    if not measured and target.policy.trust is not Trust.BY_UP:
        return f"{version} is trusted {span(needs)} after a trigger rule has a first value for it."
    return f"{version} is trusted in {_minutes(left)}, if it goes on serving well."


def _minutes(seconds: float) -> str:
    """A time to come in whole minutes: a sentence that changed each second would be news each second."""
    return span(60.0 * math.ceil(seconds / 60.0)) if seconds > 60.0 else "less than a minute"  # noqa: PLR2004  # a minute


def _next(
    target: model.Target,
    state: model.TargetState,
    releases: Sequence[model.Release],
    open_rollback: model.Rollback | None,
    now: float,
) -> str:
    name, mode = target.name, target.policy.mode
    if open_rollback is not None:
        return f"A rollback to {open_rollback.to_version} is open: rearguard show {open_rollback.id}."
    if mode is Mode.OBSERVE:
        return f"A trigger alert is judged, and nothing is put back (mode observe). To change that: {ARMING}."
    if not is_armed(state, now):
        return f"Nothing is put back by itself: the target is disarmed. To arm it: rearguard arm {name}."
    good = last_known_good(releases)
    if good is None:
        return "A trigger alert puts nothing back: no version is trusted yet."
    if good.version == state.serving_version:
        return f"The next release has {good.version} to go back to."
    does = "asks a person whether to put" if mode is Mode.ASK else "puts"
    return f"A trigger alert {does} {good.version} back, if every reason holds: rearguard explain {name}."
