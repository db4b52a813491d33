"""A notice as a message for people: title, text and facts in plain text, and what a service needs to join messages.

Here: what is said, whatever the service. Each service escapes and shortens it for its own markup.
Never here: anything secret, and any markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import blake2b
from typing import assert_never

from rearguard_controller import wording
from rearguard_controller.adapters.notices import notice as notices
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.model import (
    Alert,
    Decision,
    NoticeEvent,
    Outcome,
    Phase,
    Reason,
    ReasonCode,
    Rollback,
    StepKind,
    StepState,
    TargetState,
    Verdict,
)
from rearguard_controller.model.identity import key_of
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, SERVICE_LABEL, UNTOLD, VERSION_LABEL, normalised
from rearguard_controller.rollback.consequences import arming

WELL = frozenset({Outcome.RECOVERED, Outcome.COMPLETED, Outcome.NOT_NEEDED, Outcome.SUPERSEDED})
BY_PEOPLE = frozenset({Outcome.VETOED, Outcome.ABORTED})  # somebody is there already


@unique
class Severity(StrEnum):
    """How much it matters, in four steps that every service knows."""

    GOOD = "good"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Message:
    """What is said.

    Attributes:
        key: the same for messages that belong together: a thread, an incident, an alias.
        ends: whether it ends what the earlier messages with its key told of.
        title: one line.
        text: why, in sentences; may be empty.
        facts: names and values, in their order.
        link: where people read on; None where nothing is known of it.
        ask: the rollback that people may approve (`True`) or veto (`False`) now; None: there is nothing to ask.
        version: as the metrics name the version that is blamed, or its identity.
    """

    notice: Notice
    key: str
    severity: Severity
    ends: bool
    title: str
    text: str
    facts: tuple[tuple[str, str], ...]
    link: str | None = None
    ask: bool | None = None
    service: str = ""
    environment: str = ""
    version: str = ""
    body: notices.NoticeBody | None = field(default=None, repr=False)

    @property
    def rollback(self) -> Rollback | None:
        """The rollback that it is about."""
        return self.notice.rollback

    def tags(self) -> dict[str, str]:
        """Whose it is: what is known of service, version and environment, by the names of the metrics' labels.

        The exporter gives the errors and traces of the service itself the same ones.
        """
        named = {SERVICE_LABEL: self.service, VERSION_LABEL: self.version, ENVIRONMENT_LABEL: self.environment}
        return {name: value for name, value in named.items() if value}

    @property
    def plain(self) -> str:
        """Text, facts and link in lines, for services without a form of their own."""
        lines = [self.text] if self.text else []
        lines += [f"{name}: {value}" for name, value in self.facts]
        return "\n".join([*lines, self.link] if self.link else lines)


def message(notice: Notice, external_url: str | None = None) -> Message:
    """A notice as a message; links lead to pages below `external_url`."""
    title, text = _title(notice), _text(notice)
    labels = _labels(notice)
    return Message(
        notice,
        key=_key(notice),
        severity=severity(notice),
        ends=_ends(notice),
        title=wording.printable(wording.one_line(title)),
        text=wording.printable(text, keep="\n"),
        facts=tuple((name, wording.printable(wording.one_line(value))) for name, value in _facts(notice) if value),
        link=None if external_url is None else external_url + _path(notice),
        ask=_ask(notice),
        service=labels.get(SERVICE_LABEL) or notice.target or "",
        environment=labels.get(ENVIRONMENT_LABEL, ""),
        version=labels.get(VERSION_LABEL) or _away_from(notice) or "",
        body=notices.body(notice),
    )


def is_news(notice: Notice) -> bool:
    """Whether it is a real change.

    The many decisions that would leave everything as it is in any case are none, nor is the same wish again.
    """
    decision = notice.decision
    if notice.event is not NoticeEvent.DECIDED or notice.rollback is not None:
        return True
    return decision is not None and decision.would is not Verdict.LEAVE and not notice.repeated


def severity(notice: Notice) -> Severity:
    """How much a notice matters."""
    rollback, decision = notice.rollback, notice.decision
    match notice.event:
        case NoticeEvent.ALERT:
            if notice.alert is None or not notice.alert.firing:
                return Severity.GOOD
            said = notice.alert.labels.get("severity", "")
            return Severity(said) if said in ("info", "critical") else Severity.WARNING
        case NoticeEvent.DECIDED:
            asks = _ask(notice) or (decision is not None and decision.verdict is Verdict.ASK)
            return Severity.CRITICAL if asks else Severity.WARNING if rollback is not None else Severity.INFO
        case NoticeEvent.STARTED:
            return Severity.WARNING
        case NoticeEvent.FINISHED:
            outcome = None if rollback is None else rollback.outcome
            if outcome in WELL:
                return Severity.GOOD
            return Severity.INFO if outcome in BY_PEOPLE else Severity.CRITICAL
        case NoticeEvent.HEARTBEAT_LOST:
            return Severity.WARNING
        case NoticeEvent.HEARTBEAT_BACK:
            return Severity.GOOD
        case NoticeEvent.UNDO_FAILING | NoticeEvent.BAD_VERSION:
            return Severity.CRITICAL
    assert_never(notice.event)


def _ends(notice: Notice) -> bool:
    rollback = notice.rollback
    if notice.event is NoticeEvent.FINISHED:
        return rollback is not None and (rollback.outcome in WELL or rollback.outcome in BY_PEOPLE)
    over = notice.event is NoticeEvent.ALERT and notice.alert is not None and not notice.alert.firing
    return over or notice.event is NoticeEvent.HEARTBEAT_BACK


def _key(notice: Notice) -> str:
    """What belongs together: a rollback, an alert, a version that came back, the heartbeat."""
    if notice.event is NoticeEvent.BAD_VERSION and notice.release is not None:
        return f"rearguard/{notice.target}/{notice.release.version}"
    if notice.event in (NoticeEvent.HEARTBEAT_LOST, NoticeEvent.HEARTBEAT_BACK):
        return "rearguard/heartbeat"
    if notice.rollback is not None:
        return f"rearguard/{notice.rollback.id}"
    if notice.event is NoticeEvent.ALERT and notice.alert is not None:
        return f"rearguard/alert/{digest(notice.alert)}"
    return f"rearguard/{notice.target or 'controller'}/observed"


def digest(alert: Alert) -> str:
    """An alert's identity, short enough for every service."""
    return digest_of(key_of(alert))


def digest_of(text: str) -> str:
    """A short name for any text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _path(notice: Notice) -> str:
    if notice.rollback is not None:
        return f"/rollbacks/{notice.rollback.id}"
    if notice.decision is not None:
        return f"/decisions/{notice.decision.id}"
    return "/"


def _ask(notice: Notice) -> bool | None:
    rollback = notice.rollback
    if notice.event is not NoticeEvent.DECIDED or rollback is None or rollback.phase is not Phase.WAITING:
        return None
    return rollback.needs_approval


# --- words --------------------------------------------------------------------------------------------------------


def _title(notice: Notice) -> str:
    rollback, target = notice.rollback, notice.target or ""
    match notice.event:
        case NoticeEvent.DECIDED:
            return f"{target}: {_decided(notice)}"
        case NoticeEvent.STARTED:
            return f"{target}: the rollback {_way(notice)} has started"
        case NoticeEvent.FINISHED:
            return f"{target}: {_finished(rollback)}" if rollback is not None else target
        case NoticeEvent.UNDO_FAILING:
            step = "" if notice.step is None else notice.step.name
            return f"{target}: a person is needed, because what {step} began is not undone"
        case NoticeEvent.BAD_VERSION:
            version = "" if notice.release is None else notice.release.version
            return f"{target}: the bad version {version} serves again"
        case NoticeEvent.ALERT:
            alert = notice.alert
            name, over = ("", "") if alert is None else (alert.name, " is firing" if alert.firing else " is over")
            return f"{target}: {name}{over}" if target else f"{name}{over}"
        case NoticeEvent.HEARTBEAT_LOST:
            return "Alertmanager's deliveries do not reach Rearguard"
        case NoticeEvent.HEARTBEAT_BACK:
            return "Alertmanager's deliveries reach Rearguard again"
    assert_never(notice.event)


def _decided(notice: Notice) -> str:
    rollback, decision = notice.rollback, notice.decision
    way = _way(notice)
    if rollback is not None and rollback.phase is Phase.WAITING:
        until = "" if rollback.wait_until is None else f" until {wording.clock_time(rollback.wait_until)}"
        if rollback.needs_approval:
            return f"a person should approve the rollback {way}{until}"
        return f"the rollback {way} waits for a veto{until}"
    if rollback is not None:
        return f"is rolled back {way}"
    if decision is not None and decision.would is not Verdict.LEAVE:
        return f"would be rolled back {way}, but is left as it is"
    return "is left as it is"


def _finished(rollback: Rollback) -> str:
    way = f"the rollback from {rollback.from_version} to {rollback.to_version}"
    match rollback.outcome:
        case Outcome.RECOVERED:
            return f"recovered, and {rollback.to_version} serves instead of {rollback.from_version}"
        case Outcome.NOT_RECOVERED:
            return f"not recovered, although {rollback.to_version} serves instead of {rollback.from_version}"
        case Outcome.NEEDS_A_PERSON:
            return f"a person is needed, because {way} has stopped"
        case Outcome.VETOED:
            return f"{way} was vetoed"
        case Outcome.EXPIRED:
            return f"nobody approved {way} in time"
        case Outcome.NOT_NEEDED:
            return f"{way} is not needed any more"
        case Outcome.SUPERSEDED:
            return f"{way} was not begun, because another version serves"
        case Outcome.ABORTED:
            return f"{way} was aborted"
        case Outcome.COMPLETED:
            return f"{way} is done"
        case Outcome.FAILED:
            return f"{way} failed"
        case Outcome.INTERRUPTED | None:
            return f"{way} was interrupted before it began"
    assert_never(rollback.outcome)


def _text(notice: Notice) -> str:
    rollback = notice.rollback
    match notice.event:
        case NoticeEvent.DECIDED:
            return _why(notice)
        case NoticeEvent.STARTED:
            return "" if rollback is None else rollback.reason
        case NoticeEvent.FINISHED if rollback is not None:
            return (rollback.detail or rollback.stopping_detail).strip()
        case NoticeEvent.ALERT:
            alert = notice.alert
            return "" if alert is None or not alert.firing else alert.annotations.get("summary", "")
    return notices.text(notice)


def _why(notice: Notice) -> str:
    decision, rollback = notice.decision, notice.rollback
    if rollback is not None:
        return rollback.reason
    if decision is None:
        return ""
    return " ".join(reason.detail for reason in decision.reasons if reason.blocks)


def _facts(notice: Notice) -> list[tuple[str, str]]:
    rollback, decision, alert = notice.rollback, notice.decision, notice.alert
    annotations = {} if alert is None else alert.annotations
    return [
        ("Serves now", _serves(notice)),
        ("Rolled away from", _away_from(notice) or "" if has_left(rollback) else ""),
        ("Version of the alert", _labels(notice).get(VERSION_LABEL, "") if notice.event is NoticeEvent.ALERT else ""),
        ("Alert", "" if alert is None else alert.name),
        ("Measured", _measured(decision)),
        ("Figure", annotations.get("figure", "")),
        ("Threshold", annotations.get("threshold", "")),
        ("Approve", f'rearguard approve {rollback.id} --reason "..."' if _ask(notice) and rollback else ""),
        ("Veto", f'rearguard veto {rollback.id} --reason "..."' if _ask(notice) is not None and rollback else ""),
        ("Rollback", "" if rollback is None else rollback.id),
        ("Automatic rollbacks", _disarmed(notice)),
        ("Why", "" if decision is None else f"rearguard explain {decision.id}"),
    ]


def _measured(decision: Decision | None) -> str:
    """What the alert's figure was, in words with its numbers."""
    found: tuple[Reason, ...] = () if decision is None else decision.reasons
    return next((each.detail for each in found if each.code is ReasonCode.ALERT_CONFIRMED), "")


def _disarmed(notice: Notice) -> str:
    """How to re-arm, if the end of the rollback disarmed its target."""
    rollback = notice.rollback
    if notice.event is not NoticeEvent.FINISHED or rollback is None:
        return ""
    if rollback.outcome is Outcome.VETOED:
        away = f"none away from {rollback.from_version}"
        return f'{away}; allow them again: rearguard arm {rollback.target} --reason "..."'
    if arming(TargetState(rollback.target), rollback).armed:
        return ""
    return f'disarmed; allow them again: rearguard arm {rollback.target} --reason "..."'


def has_left(rollback: Rollback | None) -> bool:
    """Whether its destination was put back."""
    step = None if rollback is None else rollback.step_of(StepKind.ROLL_BACK)
    return step is not None and step.state is StepState.DONE


def _serves(notice: Notice) -> str:
    """The version that serves as far as the notice knows."""
    rollback, decision = notice.rollback, notice.decision
    if notice.release is not None:
        return notice.release.version
    if rollback is None:
        return "" if decision is None else decision.from_version or "unknown"
    step = rollback.step_of(StepKind.ROLL_BACK)
    if has_left(rollback):
        return rollback.to_version
    if step is None or step.attempt == 0:
        return "another version" if rollback.outcome is Outcome.SUPERSEDED else rollback.from_version
    return f"not known for sure: {rollback.from_version} or {rollback.to_version}"


def _away_from(notice: Notice) -> str | None:
    if notice.rollback is not None:
        return notice.rollback.from_version
    if notice.release is not None:
        return notice.release.version
    return None if notice.decision is None else notice.decision.from_version


def _way(notice: Notice) -> str:
    of = notice.rollback or notice.decision
    return "" if of is None else f"from {of.from_version or 'unknown'} to {of.to_version or 'unknown'}"


def _labels(notice: Notice) -> dict[str, str]:
    """What is known of the service in the metrics' own words, by the newer names of labels."""
    selectors = () if notice.rollback is None else notice.rollback.conditions
    known = dict(selectors[0].selector) if selectors else {}
    labels = {**normalised(known), **({} if notice.alert is None else normalised(notice.alert.labels))}
    return {name: value for name, value in labels.items() if value not in UNTOLD}
