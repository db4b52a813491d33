"""Telling people: what happened becomes notices, and each goes to the receivers that asked for it.

Here: which notices go to whom, what is new of the alerts and of what is only observed, and what becomes of what waits
at a reload and at the end. `receiver` delivers.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b

import structlog

from rearguard_controller.adapters.notices.addresses import UNKNOWN, check, post_to, service_of, services_of
from rearguard_controller.adapters.notices.message import message
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.adapters.notices.receiver import (
    BACK_OFF,
    DROPPED,
    GIVE_UP,
    QUEUE,
    Note,
    Receiver,
    Ways,
    nowhere,
)
from rearguard_controller.adapters.notices.templates import Templates
from rearguard_controller.adapters.notices.threads import Threads
from rearguard_controller.config import NotifyEntry
from rearguard_controller.model import Alert, Decision, NoticeEvent, Release, Rollback, Step, Verdict
from rearguard_controller.model.identity import key_of

__all__ = ["QUEUE", "UNKNOWN", "Notify", "check", "post_to", "service_of", "services_of"]

log = structlog.get_logger(__name__)

STOP_GRACE = 3.0  # seconds that the queues are given at the end
REPEAT_AFTER = 3600.0  # seconds after which an alert that is still delivered is news again
MOST_REMEMBERED = 50_000  # alerts of which is known what was told last

Count = Callable[[str, str], None]


class Notify:
    """Everybody who is told. It lives as long as the process; `use` gives it the entries."""

    def __init__(
        self,
        count: Count,
        note: Note = nowhere,
        *,
        back_off: float = BACK_OFF,
        give_up: float = GIVE_UP,
        threads: Threads | None = None,
    ) -> None:
        """Nobody is told yet; `count` takes a service and a result for each notice, `note` also the notice.

        `threads` is what services said of first messages, as far as it is known.
        """
        self._count = count
        self.threads = threads or Threads()
        self._ways = Ways(message, count, note, back_off, give_up, self.threads)
        self._receivers: tuple[Receiver, ...] = ()
        self._last_told: OrderedDict[bytes, tuple[bool, float]] = OrderedDict()  # of an alert: it fired, and when

    @property
    def services(self) -> tuple[str, ...]:
        """The entries' names in metrics."""
        return tuple(receiver.service for receiver in self._receivers)

    def use(
        self,
        entries: Sequence[NotifyEntry],
        services: Mapping[NotifyEntry, str] | None = None,
        *,
        external_url: str | None = None,
        templates: Templates | None = None,
    ) -> None:
        """Tell these from now on.

        Unchanged entries go on; what waits for a changed one goes to the new one of its name.

        Args:
            entries: in their order.
            services: as `services_of` gives them; None reads them now, and waits for the files.
            external_url: where people reach the controller; None: there are no links.
            templates: other words for some events.
        """
        ways = replace(self._ways, worded=partial((templates or Templates()).message, external_url=external_url))
        services = {entry: service_of(entry) for entry in entries} if services is None else services
        before = {receiver.entry: receiver for receiver in self._receivers}
        kept = {entry: before.pop(entry) for entry in entries if entry in before}
        for entry, receiver in kept.items():
            receiver.service, receiver.ways = services[entry], ways
        left: dict[str, list[Notice]] = {}
        for receiver in before.values():
            left.setdefault(receiver.service, []).extend(receiver.stop())
        found = []
        for entry in entries:
            receiver = kept.get(entry) or Receiver(entry, services[entry], ways)
            receiver.take_over(left.pop(receiver.service, ()))
            found.append(receiver)
        self._receivers = tuple(found)
        for service, waiting in left.items():
            _drop(service, len(waiting), self._count, "Its entry is gone.")

    async def close(self, grace: float = STOP_GRACE) -> None:
        """Go on delivering for at most `grace` seconds, then drop the rest."""
        tasks = [receiver.task for receiver in self._receivers if receiver.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for receiver in self._receivers:
            _drop(receiver.service, len(receiver.stop()), self._count, "The controller stops.")
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.threads.close(grace)

    # --- what happened ------------------------------------------------------------------------------------

    def alerts(self, came: Sequence[tuple[Alert, float]], owner: Callable[[Alert], str | None]) -> None:
        """Tell of each alert when it is new, changed its status, or was told of an hour ago.

        In the log, those that differ in nothing but their labels share a line.
        """
        new = [(alert, at, owner(alert)) for alert, at in came if self._is_new(alert)]
        alike: dict[tuple[str, bool, str | None], list[Alert]] = {}
        for alert, _, target in new:
            alike.setdefault((alert.name, alert.firing, target), []).append(alert)
        for (name, firing, target), (first, *others) in alike.items():
            status, more = "firing" if firing else "resolved", {"alike": len(others)} if others else {}
            log.info("alert", alert=name, status=status, target=target, fingerprint=first.fingerprint, **more)
        if self._hears(NoticeEvent.ALERT):
            for alert, at, target in new:
                self._tell(Notice(NoticeEvent.ALERT, at, target, alert=alert))

    def _is_new(self, alert: Alert) -> bool:
        key = blake2b(key_of(alert).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return self._is_news(key, firing=alert.firing)

    def _is_news(self, key: bytes, *, firing: bool) -> bool:
        before, now = self._last_told.get(key), time.monotonic()
        if before is not None and before[0] == firing and now - before[1] < REPEAT_AFTER:
            return False
        self._last_told[key] = (firing, now)
        self._last_told.move_to_end(key)
        if len(self._last_told) > MOST_REMEMBERED:
            self._last_told.popitem(last=False)
        return True

    def decided(self, decision: Decision, rollback: Rollback | None) -> None:
        """Tell of a decision."""
        if not self._hears(NoticeEvent.DECIDED):  # a storm of alerts makes thousands of decisions
            return
        at, target = decision.decided_at, decision.target or None
        notice = Notice(NoticeEvent.DECIDED, at, target, decision.alert, decision, rollback)
        again = rollback is None and decision.would is not Verdict.LEAVE and not self._is_new_wish(decision)
        self._tell(replace(notice, repeated=again))

    def _is_new_wish(self, decision: Decision) -> bool:
        """Whether nobody was told within an hour that this would be done."""
        about = (decision.target, decision.from_version, decision.to_version, str(decision.verdict))
        key = blake2b(repr(about).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return self._is_news(key, firing=True)

    def started(self, rollback: Rollback, decision: Decision | None) -> None:
        """Tell of the first step of a rollback."""
        at = min(
            (step.started_at for step in rollback.steps if step.started_at is not None), default=rollback.opened_at
        )
        self._tell(_of_rollback(NoticeEvent.STARTED, at, rollback, decision))

    def finished(self, rollback: Rollback, decision: Decision | None) -> None:
        """Tell of the end of a rollback."""
        at = rollback.opened_at if rollback.closed_at is None else rollback.closed_at
        self._tell(_of_rollback(NoticeEvent.FINISHED, at, rollback, decision))

    def undo_failing(self, rollback: Rollback, step: Step, decision: Decision | None) -> None:
        """Tell of an undo hook that fails again and again."""
        at = rollback.opened_at if step.ended_at is None else step.ended_at
        self._tell(replace(_of_rollback(NoticeEvent.UNDO_FAILING, at, rollback, decision), step=step))

    def bad_version(self, release: Release, rollback: Rollback | None, at: float) -> None:
        """Tell of the return of a version that was rolled away from."""
        self._tell(Notice(NoticeEvent.BAD_VERSION, at, release.target, rollback=rollback, release=release))

    def heartbeat(self, at: float, *, came_back: bool) -> None:
        """Tell that Alertmanager's heartbeat is lost, or came back."""
        self._tell(Notice(NoticeEvent.HEARTBEAT_BACK if came_back else NoticeEvent.HEARTBEAT_LOST, at, None))

    def _hears(self, event: NoticeEvent) -> bool:
        return any(event in receiver.entry.events for receiver in self._receivers)

    def _tell(self, notice: Notice) -> None:
        for receiver in self._receivers:
            if receiver.wants(notice):
                receiver.put(notice)


def _of_rollback(event: NoticeEvent, at: float, rollback: Rollback, decision: Decision | None) -> Notice:
    return Notice(event, at, rollback.target, None if decision is None else decision.alert, decision, rollback)


def _drop(service: str, number: int, count: Count, why: str) -> None:
    for _ in range(number):
        count(service, DROPPED)
    if number:
        log.error("notices_dropped", service=service, number=number, why=why)
