"""The judgement of `rearguard watch`: turns the controller's answers, one after the other, into one result.

Here: values and pure functions. A version is good only when the controller *saw* it serve well for long enough.
Missing data, a pending alert and a controller that does not answer never count as good.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique

from rearguard_controller.wording import span

LONGEST_OPEN = 3600.0  # seconds to wait for an open rollback to close
LED_NOWHERE = frozenset({"not_needed", "interrupted"})  # outcomes after which the version is watched on


@unique
class Result(StrEnum):
    """How a watch ends."""

    GOOD = "good"
    BLAMED = "blamed"  # it is at fault and still serves: nothing was done, or a person said no
    ROLLED_BACK = "rolled_back"
    REPLACED = "replaced"  # another version serves, and no rollback led there
    TIMED_OUT = "timed_out"


EXIT_CODES = {Result.GOOD: 0, Result.BLAMED: 1, Result.ROLLED_BACK: 3, Result.REPLACED: 4, Result.TIMED_OUT: 4}


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for; times in seconds."""

    version: str
    lasts: float  # how long the version must be seen to serve well
    start_within: float  # how long to wait until it serves at all

    @property
    def most(self) -> float:
        """The longest time from its first service to the result: one bad moment may start `lasts` again."""
        return 2 * self.lasts


@dataclass(frozen=True, slots=True)
class Leaving:
    """A rollback away from the version; `begun` says whether one of its steps was started."""

    id: str
    to_version: str
    at: float
    begun: bool
    waiting: bool
    outcome: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Blame:
    """A decision that would have rolled the version back if mode, environment and arming had allowed it."""

    id: str
    at: float
    alert: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Look:
    """What the controller answers at one moment; times are seconds since the epoch, by its clock."""

    at: float
    serving: str | None
    serving_since: float | None
    clean_for: float | None  # None: not seen to serve well at the last poll
    known_good_at: float | None
    lacking: str  # why it is not clean, in words
    triggers: tuple[str, ...] = ()  # trigger alerts that fire now
    leavings: tuple[Leaving, ...] = ()  # newest first
    blames: tuple[Blame, ...] = ()  # newest first


@dataclass(frozen=True, slots=True)
class Progress:
    """What is remembered between looks; times are seconds since the watch began, by a clock that never jumps."""

    first_at: float | None = None  # the controller's time at the first look
    served_at: float | None = None
    leaving_at: float | None = None  # when an open rollback was first seen
    leaving_begun: bool = False
    said: str = "Nothing was seen yet."


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of the watch: `result` is None while it goes on; `text` says it in words."""

    result: Result | None
    text: str
    rollback: str | None = None


def judge(order: Order, before: Progress, look: Look | None, elapsed: float) -> tuple[Progress, Finding]:
    """Judge one look.

    Args:
        order: what the user asked for.
        before: what was remembered after the look before.
        look: what the controller answers; None when it does not answer.
        elapsed: seconds since the watch began.

    Returns:
        What to remember, and the state of the watch.
    """
    if look is None:
        return before, _in_time(order, before, elapsed, f"The controller does not answer. {before.said}")
    progress = before if before.first_at is not None else replace(before, first_at=look.at)
    if look.serving == order.version and progress.served_at is None:
        progress = replace(progress, served_at=elapsed)
    leaving = _leaving(order, progress, look)
    if leaving is not None:
        progress, finding = _left(order, progress, leaving, elapsed)
    else:
        progress = replace(progress, leaving_at=None, leaving_begun=False)
        finding = _stands(order, progress, look) or _in_time(order, progress, elapsed, _waits(order, progress, look))
    return replace(progress, said=finding.text), finding


def _leaving(order: Order, progress: Progress, look: Look) -> Leaving | None:
    """The rollback that concerns this watch, if any: open, or begun since shortly before the watch."""
    newest = next(iter(look.leavings), None)
    if newest is None:
        return None
    if newest.outcome is None:
        return newest
    since = look.at if progress.first_at is None else progress.first_at
    if look.serving == order.version and look.serving_since is not None:
        since = max(since - order.start_within, look.serving_since)
    else:
        since -= order.start_within
    return newest if newest.at >= since and newest.outcome not in LED_NOWHERE else None


def _left(order: Order, progress: Progress, leaving: Leaving, elapsed: float) -> tuple[Progress, Finding]:
    way = f"Rollback {leaving.id} from {order.version} to {leaving.to_version}"
    if leaving.outcome is None:
        first = elapsed if progress.leaving_at is None else progress.leaving_at
        progress = replace(progress, leaving_at=first, leaving_begun=leaving.begun)
        state = "waits for a person or its countdown" if leaving.waiting else "is under way"
        return progress, _in_time(order, progress, elapsed, f"{way} {state}.", leaving.id)
    ended = f"{way} ended as {leaving.outcome}" + (f": {leaving.detail}" if leaving.detail else ".")
    if leaving.begun:
        return progress, Finding(Result.ROLLED_BACK, ended, leaving.id)
    if leaving.outcome == "superseded":
        return progress, Finding(Result.REPLACED, ended, leaving.id)
    return progress, Finding(Result.BLAMED, f"{ended} {order.version} is blamed, and nothing was done.", leaving.id)


def _stands(order: Order, progress: Progress, look: Look) -> Finding | None:
    """The result that the serving version and its decisions give; None while the watch must go on."""
    if progress.served_at is None:
        return None
    if look.serving != order.version:
        if look.serving is None:
            return None
        return Finding(Result.REPLACED, f"{look.serving} serves now, and no rollback led from {order.version} to it.")
    blame = next((each for each in look.blames if _counts(each, progress, look)), None)
    if blame is not None:
        guilty = f"{blame.alert} is blamed on {order.version} (decision {blame.id})"
        return Finding(Result.BLAMED, f"{guilty}, but nothing was done: {blame.why_not}")
    if look.clean_for is None or look.triggers:
        return None
    if look.clean_for >= order.lasts:
        return Finding(Result.GOOD, f"{order.version} was seen to serve well for {span(look.clean_for)}.")
    earned = (
        look.known_good_at is not None and look.serving_since is not None and look.known_good_at >= look.serving_since
    )
    return Finding(Result.GOOD, f"{order.version} serves and is known good.") if earned else None


def _counts(blame: Blame, progress: Progress, look: Look) -> bool:
    """Whether a decision counts: made during this service, and since the watch began or while an alert fires."""
    if look.serving_since is not None and blame.at < look.serving_since:
        return False
    return progress.first_at is None or blame.at >= progress.first_at or bool(look.triggers)


def _in_time(order: Order, progress: Progress, elapsed: float, text: str, rollback: str | None = None) -> Finding:
    """Go on with the watch, or end it because the time is up."""
    if progress.leaving_at is not None:
        if elapsed - progress.leaving_at < LONGEST_OPEN:
            return Finding(None, text, rollback)
        result = Result.ROLLED_BACK if progress.leaving_begun else Result.TIMED_OUT
        return Finding(result, f"{text} It is not waited for any longer.", rollback)
    if progress.served_at is None:
        if elapsed < order.start_within:
            return Finding(None, text)
        late = f"{order.version} was not seen to serve within {span(order.start_within)}."
        return Finding(Result.TIMED_OUT, f"{late} {text}")
    if elapsed - progress.served_at < order.most:
        return Finding(None, text)
    late = f"{order.version} was not seen to serve well for {span(order.lasts)} within {span(order.most)}."
    return Finding(Result.TIMED_OUT, f"{late} {text}")


def _waits(order: Order, progress: Progress, look: Look) -> str:
    """How it stands while the watch goes on."""
    if look.serving is None:
        return "What serves is not known."
    if progress.served_at is None:
        return f"{look.serving} serves; waiting for {order.version}."
    if look.clean_for is None or look.triggers:
        return f"{order.version} serves, and is not seen to serve well: {look.lacking}."
    return f"{order.version} is seen to serve well for {span(look.clean_for)} of {span(order.lasts)}."
