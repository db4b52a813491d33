"""Judges alerts: which target each may roll back, what is decided, and what of it is new and recorded.

Here: one judgement per (alert, target, serving version), made again at every poll and recorded again only when an
answer changes. Of one target a single judgement runs at a time; a person's request takes its turn there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

import structlog

from rearguard_controller.errors import ConflictError, DamagedError, JournalError, LeaseLostError
from rearguard_controller.facts.alerts_now import AlertsReading, as_alert
from rearguard_controller.facts.gather import FactGatherer, Gathered
from rearguard_controller.facts.owners import Owners
from rearguard_controller.facts.pieces import in_pieces
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.intake.queues import Waiting
from rearguard_controller.intake.together import Firing, tied
from rearguard_controller.judgement import policy, score
from rearguard_controller.judgement.together import going
from rearguard_controller.model import (
    Alert,
    AlertState,
    Decision,
    Facts,
    Reason,
    ReasonCode,
    Rollback,
    Target,
    Verdict,
    is_subset,
)
from rearguard_controller.model.identity import key_of
from rearguard_controller.model.shards import NOBODYS
from rearguard_controller.releases.trust import recently_released
from rearguard_controller.rollback.plan import plan, waiting_for
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 32  # targets that are judged side by side
MOST_TOGETHER = 100  # decisions that are recorded at once
MOST_REMEMBERED = 50_000  # alerts whose last answers are kept; the same answers to a forgotten one are recorded again

Leaves = dict[bytes, tuple[bytes, Decision]]  # decisions to be recorded, with their answers, by what they are about


class Judging:
    """Judges alerts and opens rollbacks, as the leader."""

    def __init__(
        self,
        runtime: Runtime,
        targets: Sequence[Target],
        gatherer: FactGatherer,
        decisions: Decisions,
        *,
        firing: Firing = lambda _target: (),
    ) -> None:
        """Judge alerts of these targets by what `gatherer` finds; `decisions` records what is decided.

        `firing` tells the trigger alerts of a target that goes back together with another one, as last seen.
        """
        self._firing = firing
        self._targets = {target.name: target for target in targets}
        self._owners = Owners(targets)
        self._journal, self._lead, self._telemetry = runtime.journal, runtime.lead, runtime.telemetry
        self._clock, self._new_id = runtime.clock, runtime.new_id
        self._gatherer = gatherer
        self._decisions = decisions
        self._one_by_one = {name: asyncio.Lock() for name in self._targets}
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self._recorded: OrderedDict[bytes, bytes] = OrderedDict()  # of a judgement's subject and of its answers
        self._marked: tuple[tuple[Reason, ...], bytes] = ((), _digest())  # the last reasons, in a few bytes

    def alone(self, target_name: str) -> contextlib.AbstractAsyncContextManager[object]:
        """While it is entered, nobody else judges this target."""
        return self._one_by_one[target_name]

    async def as_prometheus_has(self, delivered: Sequence[Waiting]) -> list[Waiting]:
        """The alerts that Prometheus has, in place of the deliveries that may mean them.

        A delivery only says where to look: its labels decide neither whose an alert is nor whether it is a trigger. A
        delivery stays as it is if no trigger of any target fits it in Prometheus. It will not be confirmed then, and
        the decision says so.
        """
        hints = [each for each in delivered if self._is_hint(each.alert)]
        if not hints:
            return list(delivered)
        newest = max((each.received_at or 0.0) for each in hints)
        readings: Sequence[AlertsReading] = ()
        with set_aside(*(each.alert.name for each in hints)):
            readings = await self._gatherer.readings([each.alert for each in hints], newest)
        return [one async for each in in_pieces(delivered) for one in self._meant(each, readings)]

    def _meant(self, delivery: Waiting, readings: Sequence[AlertsReading]) -> list[Waiting]:
        if not self._is_hint(delivery.alert):
            return [delivery]
        found = [
            (each, of)
            for of in readings
            for each in of.meant(delivery.alert)
            if self._owners.are_triggered_by(each.labels, of.prometheus)
        ]
        firing = [(each, of) for each, of in found if each.state == AlertState.FIRING]
        alerts = [as_alert(each, delivery.alert.source, prometheus=of.prometheus) for each, of in firing or found[:1]]
        alerts = [each if each.firing else replace(each, firing=True) for each in alerts]
        if not alerts:
            return [delivery]
        first, *others = (replace(delivery, alert=alert) for alert in alerts)
        return [first, *(replace(each, ids=()) for each in others)]

    async def whose(self, alert: Alert) -> str | None:
        """The name of the target that an alert may roll back; `NOBODYS` if it is not exactly one. Nothing is kept.

        None if it is no trigger, so that nothing is to be decided.
        """
        owners = self._owners.of(alert.labels, alert.prometheus)
        if not owners:
            return NOBODYS if self._owners.may_trigger(alert.labels) else None
        if not any(is_subset(target.policy.alerts, alert.labels) for target in owners):
            return None
        target = owners[0] if len(owners) == 1 else await self._only_recent(owners)
        return NOBODYS if target is None else target.name

    async def target_of(self, alert: Alert) -> Target | None:
        """The target that an alert may roll back; None if it is not exactly one.

        If it is not, and the alert is a trigger, a decision that says so is recorded.
        """
        owners = self._owners.of(alert.labels, alert.prometheus)
        if not owners:
            if self._owners.may_trigger(alert.labels):
                await self._leave_alone(alert, policy.decide(self._new_id("d"), alert, None, Facts(self._clock())))
            return None
        if not any(is_subset(target.policy.alerts, alert.labels) for target in owners):
            return None  # not a trigger: the watcher shows it, nothing is to be decided
        target = owners[0] if len(owners) == 1 else await self._only_recent(owners)
        if target is None:
            await self._leave_alone(alert, policy.decide_unclear(self._new_id("d"), alert, owners, self._clock()))
        return target

    async def _leave_alone(self, alert: Alert, decision: Decision) -> None:
        leaves: Leaves = {}
        await self._leave(alert, decision, leaves)
        await self._keep(leaves)

    async def judge(self, name: str, waiting: Sequence[Waiting]) -> None:
        """Judge alerts of one target on the same facts, which are gathered anew after each rollback that they open.

        Raises:
            JournalError, LeaseLostError: some were not judged; all of them stay in the inbox.
        """
        target = self._targets[name]
        async with self.alone(name), self._side_by_side:
            left = list(waiting)
            while left:
                gathered: Sequence[Gathered | Exception] = ()
                with set_aside(*(each.alert.name for each in left), target=name):
                    delivered = max((each.received_at for each in left if each.received_at is not None), default=0.0)
                    gathered = await self._gatherer.gather(
                        target, [each.alert for each in left], delivered=delivered, spare=True
                    )
                done, together = len(left), policy.Together()
                leaves: Leaves = {}
                for number, found in enumerate(gathered):
                    with set_aside(left[number].alert.name, target=name):
                        if isinstance(found, Exception):
                            raise found
                        if await self._decide(target, found, left[number], leaves, together):
                            done = number + 1
                            break
                await self._keep(leaves)
                left = left[done:]
        ids = [number for each in waiting for number in each.ids]
        if ids:
            await self._lead.of(name).mark_judged(ids, self._clock())

    async def _decide(
        self, target: Target, gathered: Gathered, waiting: Waiting, leaves: Leaves, together: policy.Together
    ) -> bool:
        """Decide and record; True if the target's facts changed by that.

        A decision to leave the alert is put among `leaves`, which are recorded together: that changes no facts.
        """
        if target.release.proves:  # which may take long: what is decided already does not wait for it
            await self._keep(leaves)
        facts, alert, number = gathered.facts, gathered.alert, self._new_id("d")
        facts, decision = await self._decisions.checked(
            target, facts, lambda facts: together.decide(number, alert, target, facts)
        )
        if decision.verdict is Verdict.LEAVE:
            await self._leave(alert, decision, leaves)
            return False
        await self._keep(leaves)  # decisions are recorded in the order in which they were made
        conditions = () if gathered.condition is None else (gathered.condition,)
        confirmed = next(each.detail for each in decision.reasons if each.code is ReasonCode.ALERT_CONFIRMED)
        companions = going(target, facts)
        steps = plan(target, conditions=conditions, together=bool(companions))
        rollback = self._decisions.rollback(decision, facts, steps, conditions, confirmed)
        rollback = waiting_for(rollback, decision.verdict, target.policy)
        rollback, others = tied(rollback, target, companions, new_id=self._new_id, firing=self._firing)
        await self._say(decision, rollback)
        try:
            await self._decisions.record(replace(decision, rollback_id=rollback.id), rollback, others)
        except ConflictError as error:  # the journal's own rule: somebody was faster
            log.warning("rollback_refused", target=target.name, error=error.message)
            return True
        self._telemetry.judged(target.name, decision.decided_at, waiting.received_at, waiting.fired_at)
        return True

    async def _leave(self, alert: Alert, decision: Decision, leaves: Leaves) -> None:
        """Put a decision among those that are recorded next, if its answers are new; many are recorded at once."""
        subject = _digest(key_of(alert), decision.target, decision.from_version)
        answers = self._mark(decision)
        if subject in leaves and leaves[subject][0] != answers:
            await self._keep(leaves)
        if self._recorded.get(subject) == answers:
            self._recorded.move_to_end(subject)
        else:
            leaves[subject] = answers, decision
        if len(leaves) >= MOST_TOGETHER:
            await self._keep(leaves)

    def _mark(self, decision: Decision) -> bytes:
        """The decision's answers in a few bytes. Alerts that are alike share their reasons, one after another."""
        reasons, mark = self._marked
        if reasons is not decision.reasons:
            mark = _digest(*(f"{each.code} {each.holds}" for each in decision.reasons))
            self._marked = decision.reasons, mark
        return mark

    async def _keep(self, leaves: Leaves) -> None:
        """Record these decisions, in one transaction, and forget them.

        A fault of ours with one of them keeps none of the others back.

        Raises:
            JournalError, LeaseLostError: some were not recorded.
        """
        new = dict(leaves)
        leaves.clear()
        if not new:
            return
        try:
            await self._record(new)
        except (JournalError, LeaseLostError) as error:
            if not isinstance(error, DamagedError):
                raise
        except Exception as error:  # each by itself says whose it is
            log.error("decisions_not_together", exc_info=error)
        else:
            return
        for subject, one in new.items():
            with set_aside(one[1].alert.name if one[1].alert else "", target=one[1].target):
                await self._record({subject: one})

    async def _record(self, new: Leaves) -> None:
        said = {each.from_version: each for _, each in reversed(new.values()) if score.is_said(each, None)}
        for first in said.values():  # it counts once for a version, however many alerts say it
            await self._say(first, None)
        await self._decisions.record_several([decision for _, decision in new.values()])
        for subject, (answers, _) in new.items():
            self._recorded[subject] = answers
            self._recorded.move_to_end(subject)
        while len(self._recorded) > MOST_REMEMBERED:
            self._recorded.popitem(last=False)

    async def _say(self, decision: Decision, opened: Rollback | None) -> None:
        """Count a decision for the score before it is recorded.

        If the journal fails in between, both are done again. Counting it twice counts once, so nothing is lost or
        doubled.
        """
        if score.is_said(decision, opened):
            await self._lead.change_target(
                decision.target, lambda state: score.said(state, decision.from_version, decision.decided_at)
            )

    async def _only_recent(self, owners: Sequence[Target]) -> Target | None:
        now = self._clock()
        recent = []
        for target in owners:
            state = await self._journal.target_state(target.name)
            if recently_released(state, now, target.policy.watch_window):
                recent.append(target)
        return recent[0] if len(recent) == 1 else None

    def _is_hint(self, delivered: Alert) -> bool:
        return delivered.firing and self._owners.may_trigger(delivered.labels)


@contextlib.contextmanager
def set_aside(*names: str, target: str | None = None) -> Iterator[None]:
    """Log a fault of ours with a target's alerts, and go on. Errors of the journal and a lost lease are raised."""
    alerts = ", ".join(dict.fromkeys(names))
    try:
        yield
    except DamagedError as error:  # asking again does not mend a record
        log.error("alert_set_aside", target=target, alert=alerts, error=error.message, hint=error.hint)
    except (JournalError, LeaseLostError):
        raise
    except Exception as error:  # one alert that cannot be judged must not stop the others
        log.error("alert_set_aside", target=target, alert=alerts, exc_info=error)


def _digest(*parts: object) -> bytes:
    """Parts as a few bytes: labels may be long, and there may be many of them."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
