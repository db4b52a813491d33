"""The way of an alert: accepted, confirmed, judged, decided. It never acts; it opens a rollback for the runner.

Here: taking alerts from the webhook and the watcher into one judgement per (alert, target, serving version), judged
again at every poll and recorded again only when an answer flips.
Never here: the judgement itself (`policy`), requests by hand (`by_hand`), what is done about it (`runner`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

import structlog

from rearguard_controller.adapters.telemetry import Span
from rearguard_controller.errors import ConflictError, DamagedError, JournalError, LeaseLostError
from rearguard_controller.facts.gather import FactGatherer, Gathered
from rearguard_controller.intake.by_hand import ByHand, ManualAnswer, ManualRequest
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.intake.drill_alert import drills_in, is_of_a_drill
from rearguard_controller.intake.heartbeat import WATCHDOG
from rearguard_controller.intake.queues import RETRY_AFTER, Queues, Waiting
from rearguard_controller.judgement import policy, score
from rearguard_controller.lasting import Lasting
from rearguard_controller.model import (
    Alert,
    Condition,
    Decision,
    Facts,
    ReasonCode,
    Rollback,
    Target,
    Verdict,
    is_subset,
)
from rearguard_controller.releases.trust import recently_released
from rearguard_controller.rollback.plan import plan, waiting_for

log = structlog.get_logger()

INBOX_BATCH = 250  # alerts that are read at once: each may have tens of kilobytes
MOST_AT_ONCE = 32  # targets that are judged side by side
LOOK_EVERY = 1.0  # seconds between looks for alerts that other replicas accepted
GATHER = 0.1  # seconds between two looks while alerts keep coming: what comes meanwhile is judged together
MOST_DRILLS = 10  # whose alerts one delivery may bring back
MOST_REMEMBERED = 50_000  # alerts whose last answers are known; of a forgotten one the same is recorded once more


class Intake:
    """Judges alerts and opens rollbacks."""

    def __init__(
        self,
        lasting: Lasting,
        targets: Sequence[Target],
        gatherer: FactGatherer,
        *,
        opened: Callable[[], None],
        firing: Callable[[Target], tuple[tuple[Alert, Condition | None], ...]],
        delivered: Callable[[Sequence[Alert]], None],
    ) -> None:
        """Wire the intake.

        Args:
            lasting: what lasts as long as the process.
            targets: as configured.
            gatherer: who asks the world.
            opened: called when a rollback was opened; wakes the runner.
            firing: the target's trigger alerts that fire now, with their conditions, as the watcher last saw them.
            delivered: called with every delivery by webhook; takes the heartbeat from it.
        """
        self._targets = {target.name: target for target in targets}
        self._journal, self._lead = lasting.journal, lasting.lead
        self._gatherer = gatherer
        self._telemetry, self._notices = lasting.telemetry, lasting.notices
        self._clock, self._new_id = lasting.clock, lasting.new_id
        self._delivered = delivered
        self._decisions = Decisions(lasting, gatherer, opened)
        self._wake = asyncio.Event()
        self._read_at = 0.0  # by the loop's clock
        self._one_by_one = {name: asyncio.Lock() for name in self._targets}
        self._by_hand = ByHand(lasting, targets, self._decisions, alone=self._one_by_one.__getitem__, firing=firing)
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self._queues = Queues(self._judge, failed=self._telemetry.journal_failed, drained=self._wake.set)
        self._recorded: OrderedDict[bytes, bytes] = OrderedDict()  # of a judgement's subject and of its answers

    async def receive(self, alerts: Sequence[Alert]) -> None:
        """Accept alerts from the webhook: on return they are on disk; they are judged afterwards.

        Raises:
            JournalError: they could not be stored.
        """
        await self._journal.accept(alerts, self._clock())
        self._telemetry.alert_received("webhook", len(alerts))
        self._delivered(alerts)
        self._wake.set()
        for drill in drills_in(alerts)[:MOST_DRILLS]:  # any replica may be asked what came to this one
            await self._journal.note_drill_back(drill, self._clock())

    async def run(self) -> None:
        """Judge accepted alerts as they come, for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    while await self._hand_out():
                        pass
                    with contextlib.suppress(TimeoutError):  # other replicas cannot wake us
                        async with asyncio.timeout(LOOK_EVERY):
                            await self._wake.wait()
                    await asyncio.sleep(max(0.0, self._read_at + GATHER - loop.time()))
                    self._wake.clear()
                except JournalError as error:
                    self._telemetry.journal_failed()
                    log.error("inbox_unreadable", error=error.message, hint=error.hint)
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            await self._queues.close()

    async def consider(self, alerts: Iterable[Alert]) -> None:
        """Let alerts that the watcher found in Prometheus' own list be judged; returns before they are."""
        for alert in alerts:
            await self._hand_to_target(Waiting(alert))

    async def by_hand(self, request: ManualRequest) -> ManualAnswer:
        """A rollback that a person asks for; judged neither beside an alert of its target nor beside another request.

        Raises:
            As `ByHand.open`.
        """
        return await self._by_hand.open(request)

    # --- alerts -----------------------------------------------------------------------------------------

    async def _hand_out(self) -> bool:
        """Read some of the inbox and give each alert to its target's queue; True when there may be more."""
        entries = await self._journal.unjudged(INBOX_BATCH, but_not=self._queues.in_hand)
        newest: dict[str, Waiting] = {}
        drills = [entry.id for entry in entries if is_of_a_drill(entry.alert)]
        for entry in entries:
            if entry.id in drills:
                continue
            if entry.alert.name != WATCHDOG:
                self._notices.alert(entry.alert, entry.received_at, self._owner)
            before = newest.get(entry.alert.key)
            ids = (entry.id,) if before is None else (*before.ids, entry.id)
            newest[entry.alert.key] = Waiting(entry.alert, entry.received_at, ids, entry.alert.starts_at)
        settled = [tuple(drills)] if drills else []
        settled += [each.ids for each in newest.values() if not await self._hand_to_target(each)]
        if settled:
            await self._lead.mark_judged([number for ids in settled for number in ids], self._clock())
        if entries:
            self._read_at = asyncio.get_running_loop().time()
        return len(entries) == INBOX_BATCH

    def _owner(self, alert: Alert) -> str | None:
        """The one target that an alert belongs to, triggers or not."""
        owners = [name for name, target in self._targets.items() if target.owns(alert.labels)]
        return owners[0] if len(owners) == 1 else None

    async def _hand_to_target(self, one: Waiting) -> bool:
        """Whether a target's queue has it now; else there is nothing to judge."""
        target = None
        if one.alert.firing:
            with _set_aside(one.alert.name):
                target = await self._target_of(one.alert)
        if target is not None:
            self._queues.put(target.name, one)
        return target is not None

    async def _target_of(self, alert: Alert) -> Target | None:
        """The target that an alert may roll back; where it is not exactly one, that is decided here."""
        owners = [target for target in self._targets.values() if target.owns(alert.labels)]
        if not owners:
            if self._may_trigger(alert):
                await self._leave(alert, policy.decide(self._new_id("d"), alert, None, Facts(self._clock())))
            return None
        if not any(is_subset(target.policy.alerts, alert.labels) for target in owners):
            return None  # not a trigger: the watcher shows it, nothing is to be decided
        target = owners[0] if len(owners) == 1 else await self._only_recent(owners)
        if target is None:
            await self._leave(alert, policy.decide_unclear(self._new_id("d"), alert, owners, self._clock()))
        return target

    async def _judge(self, name: str, waiting: Sequence[Waiting]) -> None:
        """Judge alerts of one target on the same facts, gathered anew after each rollback that they open.

        Raises:
            JournalError, LeaseLostError: some were not judged; all of them stay in the inbox.
        """
        target = self._targets[name]
        async with self._one_by_one[name], self._side_by_side:
            left = list(waiting)
            while left:
                gathered: Sequence[Gathered | Exception] = ()
                with _set_aside(*(each.alert.name for each in left)):
                    delivered = max((each.received_at for each in left if each.received_at is not None), default=0.0)
                    gathered = await self._gatherer.gather(target, [each.alert for each in left], delivered=delivered)
                done = len(left)
                for number, found in enumerate(gathered):
                    with _set_aside(left[number].alert.name):
                        if isinstance(found, Exception):
                            raise found
                        if await self._decide(target, found, left[number]):
                            done = number + 1
                            break
                left = left[done:]
        ids = [number for each in waiting for number in each.ids]
        if ids:
            await self._lead.mark_judged(ids, self._clock())

    async def _decide(self, target: Target, gathered: Gathered, waiting: Waiting) -> bool:
        """Decide and record; True when the target's facts are others now."""
        facts, alert, number = gathered.facts, gathered.alert, self._new_id("d")
        facts, decision = await self._decisions.checked(
            target, facts, lambda facts: policy.decide(number, alert, target, facts)
        )
        if decision.verdict is Verdict.LEAVE:
            await self._leave(alert, decision)
            return False
        conditions = () if gathered.condition is None else (gathered.condition,)
        confirmed = next(each.detail for each in decision.reasons if each.code is ReasonCode.ALERT_CONFIRMED)
        rollback = self._decisions.rollback(
            decision, facts, plan(target, conditions=conditions), conditions, confirmed
        )
        rollback = waiting_for(rollback, decision.verdict, target.policy)
        await self._say(decision, rollback)
        try:
            await self._decisions.record(replace(decision, rollback_id=rollback.id), rollback)
        except ConflictError as error:  # the journal's own rule: somebody was faster
            log.warning("rollback_refused", target=target.name, error=error.message)
            return True
        self._time(target.name, waiting, decision)
        return True

    async def _leave(self, alert: Alert, decision: Decision) -> None:
        subject = _digest(alert.key, decision.target, decision.from_version)
        answers = _digest(decision.verdict, *((reason.code, reason.holds) for reason in decision.reasons))
        if self._recorded.get(subject) != answers:
            await self._say(decision, None)
            await self._decisions.record(decision, None)
            self._recorded[subject] = answers
        self._recorded.move_to_end(subject)
        if len(self._recorded) > MOST_REMEMBERED:
            self._recorded.popitem(last=False)

    async def _say(self, decision: Decision, opened: Rollback | None) -> None:
        """Count for the score what will be recorded: before it is, because saying it twice counts once.

        So a journal that fails in between loses nothing, and doubles nothing when it is all done again.
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

    def _may_trigger(self, alert: Alert) -> bool:
        return any(is_subset(target.policy.alerts, alert.labels) for target in self._targets.values())

    def _time(self, target: str, waiting: Waiting, decision: Decision) -> None:
        if waiting.received_at is None:
            return
        self._telemetry.span(target, Span.RECEIPT_TO_DECISION, decision.decided_at - waiting.received_at)
        if waiting.fired_at is not None:
            self._telemetry.span(target, Span.ALERT_TO_RECEIPT, waiting.received_at - waiting.fired_at)


@contextlib.contextmanager
def _set_aside(*names: str) -> Iterator[None]:
    """Go on after a fault of ours with these alerts; a journal that fails is not theirs."""
    try:
        yield
    except DamagedError as error:  # asking again does not mend a record
        log.error("alert_set_aside", alert=", ".join(dict.fromkeys(names)), error=error.message, hint=error.hint)
    except (JournalError, LeaseLostError):
        raise
    except Exception as error:  # one alert that cannot be judged must not stop the others
        log.error("alert_set_aside", alert=", ".join(dict.fromkeys(names)), exc_info=error)


def _digest(*parts: object) -> bytes:
    """Parts as a few bytes: labels may be long, and there may be many of them."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
