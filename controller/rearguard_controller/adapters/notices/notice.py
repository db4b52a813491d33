"""What people are told: one notice for each event, as JSON and as a sentence.

Here: the protocol that is called once something is recorded, the notice itself, and its body.
Never here: anything secret. Outputs of commands stay out, as does what `json_views` leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NotRequired, Protocol, TypedDict, assert_never

from rearguard_controller import json_views, wording
from rearguard_controller.errors import shortened
from rearguard_controller.model import (
    LEFT_PAUSED,
    Alert,
    Decision,
    NoticeEvent,
    PauseOwner,
    Release,
    Rollback,
    Step,
    Trigger,
    Verdict,
)

MOST_SAID = 500  # characters of somebody else's words that a sentence repeats


class Notices(Protocol):
    """Takes what happened, after it was recorded. No call waits for anything or raises."""

    def alerts(self, came: Sequence[tuple[Alert, float]], owner: Callable[[Alert], str | None]) -> None:
        """Alertmanager delivered alerts, each at its moment; repeats are not new. `owner` names its target."""

    def decided(self, decision: Decision, rollback: Rollback | None) -> None:
        """A decision was recorded, with the rollback that it opened, if any."""

    def started(self, rollback: Rollback, decision: Decision | None) -> None:
        """The first step of a rollback has started; its decision, where it can be read."""

    def finished(self, rollback: Rollback, decision: Decision | None) -> None:
        """A rollback was closed; its decision, where it can be read."""

    def undo_failing(self, rollback: Rollback, step: Step, decision: Decision | None) -> None:
        """An undo hook has failed for the third time; it is tried again until it succeeds or a person closes it."""

    def bad_version(self, release: Release, rollback: Rollback | None, at: float) -> None:
        """A version that was rolled away from serves again since a moment; the rollback, where it is still kept."""

    def heartbeat(self, at: float, *, came_back: bool) -> None:
        """Alertmanager's heartbeat is lost since a moment, or came back."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell people.

    Attributes:
        at: when it happened, in seconds since the epoch.
        target: its name; None when there is not exactly one.
        repeated: the same was told shortly before.
    """

    event: NoticeEvent
    at: float
    target: str | None
    alert: Alert | None = None
    decision: Decision | None = None
    rollback: Rollback | None = None
    release: Release | None = None
    step: Step | None = None
    repeated: bool = False


class NoticeNouns(TypedDict):
    """What a notice is about, without its sentence."""

    event: Annotated[NoticeEvent, "What happened."]
    at: Annotated[json_views.Time, "When."]
    target: Annotated[str | None, "The target; null when it is not exactly one."]
    alert: NotRequired[Annotated[json_views.Alert, "The alert that was delivered."]]
    decision: NotRequired[Annotated[json_views.Decision, "The decision that was recorded, or that led here."]]
    rollback: NotRequired[Annotated[json_views.Rollback, "The rollback that it is about."]]
    release: NotRequired[Annotated[json_views.Release, "The version that serves again."]]
    step: NotRequired[Annotated[json_views.Step, "The step that fails."]]


class NoticeBody(NoticeNouns):
    """A notice as it is posted."""

    text: Annotated[str, "One sentence for people."]


def body(notice: Notice) -> NoticeBody:
    """The notice as it is posted: only what belongs to its event, as the API shows it."""
    found: NoticeNouns = {"event": notice.event, "at": wording.moment(notice.at), "target": notice.target}
    if notice.alert is not None:
        found["alert"] = json_views.alert(notice.alert)
    if notice.decision is not None:
        found["decision"] = json_views.decision(notice.decision)
    if notice.rollback is not None:
        found["rollback"] = json_views.rollback(notice.rollback)
    if notice.release is not None:
        found["release"] = json_views.release(notice.release)
    if notice.step is not None:
        found["step"] = json_views.step(notice.step)
    return {**found, "text": text(notice)}


def text(notice: Notice) -> str:
    """One sentence for people."""
    match notice.event:
        case NoticeEvent.ALERT:
            return _alert(notice)
        case NoticeEvent.DECIDED:
            return _decided(notice)
        case NoticeEvent.STARTED:
            return f"{_way(notice)} has started."
        case NoticeEvent.FINISHED:
            rollback = notice.rollback
            outcome = "" if rollback is None or rollback.outcome is None else rollback.outcome.value
            return _with(
                f"{_way(notice)} ended as {outcome}",
                "" if rollback is None else f"{rollback.detail or rollback.stopping_detail} {_left_paused(rollback)}",
            )
        case NoticeEvent.UNDO_FAILING:
            return _undo_failing(notice)
        case NoticeEvent.BAD_VERSION:
            return _bad_version(notice)
        case NoticeEvent.HEARTBEAT_LOST:
            return (
                "Alertmanager's heartbeat has not come for 5 minutes: its deliveries do not reach the controller."
                " Polling still finds alerts, only later. See the runbook of RearguardHeartbeatLost."
            )
        case NoticeEvent.HEARTBEAT_BACK:
            return "Alertmanager's heartbeat comes again."
    assert_never(notice.event)


def _left_paused(rollback: Rollback) -> str:
    """What a person has to let go on, as the step that paused it says."""
    said = (step.detail for step in rollback.steps if isinstance(step.action, PauseOwner))
    return " ".join(each for each in said if LEFT_PAUSED in each)


def _alert(notice: Notice) -> str:
    alert = notice.alert
    if alert is None:
        return ""
    about = "" if notice.target is None else f" for {notice.target}"
    told = f"{alert.name}{about} {'is firing' if alert.firing else 'is over'}"
    return _with(told, alert.annotations.get("summary", "") if alert.firing else "")


def _decided(notice: Notice) -> str:
    decision = notice.decision
    if decision is None:
        return ""
    target = notice.target
    way = f"from {decision.from_version} to {decision.to_version}"
    blocking = next((reason.detail for reason in decision.reasons if reason.blocks), "")
    if decision.verdict is Verdict.ROLL_BACK:
        if decision.trigger is Trigger.MANUAL:
            return _with(f"{target} is rolled back {way} by hand", decision.note)
        name = "" if decision.alert is None else f" because of {decision.alert.name}"
        return _with(
            f"{target} is rolled back {way}{name}", "" if notice.rollback is None else notice.rollback.reason
        )
    if decision.verdict is Verdict.ASK:
        return _with(f"A person should decide whether {target} is rolled back {way}", blocking)
    if decision.would is not Verdict.LEAVE:
        return _with(f"{target} would be rolled back {way}, but is left as it is", blocking)
    if target is None and decision.alert is not None:
        return _with(f"Nothing is rolled back because of {decision.alert.name}", blocking)
    return _with(f"{target} is left as it is", blocking)


def _undo_failing(notice: Notice) -> str:
    rollback, step = notice.rollback, notice.step
    if rollback is None or step is None:
        return ""
    told = (
        f"What was begun for the rollback of {notice.target} is not undone: {step.name} has failed three times and is"
        f" tried again. Undo it by hand and run `rearguard close {rollback.id} --reason ...`, or mend what it needs"
    )
    return _with(told, step.detail)


def _bad_version(notice: Notice) -> str:
    release, rollback = notice.release, notice.rollback
    if release is None:
        return ""
    mark = "bad" if release.bad_at is not None else "suspect"
    led = "a rollback that is no longer kept" if rollback is None else f"rollback {rollback.id}"
    to = "" if rollback is None else f" to {rollback.to_version}"
    now, marked = notice.at, release.distrusted_since
    again, since = wording.clock_time(now), wording.clock_time(now if marked is None else marked)
    return (
        f"{notice.target} serves {release.version} again, since {again}: it is marked {mark} since"
        f" {since}, when {led} went away from it{to}. Deploy another version, or run"
        f" `rearguard rollback {notice.target} --reason ...`; if it is good after all:"
        f" `rearguard release {notice.target} {release.version} --good`."
    )


def _way(notice: Notice) -> str:
    rollback = notice.rollback
    way = "" if rollback is None else f" from {rollback.from_version} to {rollback.to_version}"
    return f"The rollback of {notice.target}{way}"


def _with(told: str, detail: str) -> str:
    """A sentence with what there is to add, on one line and not too long."""
    words = shortened(" ".join(detail.split()), MOST_SAID)
    return f"{told}: {words}" if words else f"{told}."
