"""Telling people by webhook: each receiver has a queue and a task of its own, and nobody waits for either.

Here: which notices go to whom, what is new of the alerts, posting with retries that are bounded in number and time,
and what becomes of what waits at a reload and at the end.
All of an address but its host is a secret. So an error is told by its kind only: a library's words may repeat the
address.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b

import aiohttp
import orjson
import structlog

from rearguard_controller.adapters.notices import notice as notices
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.config import NotifyEntry, secret_files
from rearguard_controller.config.named_files import beside
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import Alert, Decision, NoticeEvent, Release, Rollback, Step
from rearguard_controller.model.identity import key_of

log = structlog.get_logger(__name__)

QUEUE = 256  # notices that wait for one receiver; beyond, the oldest alert goes, else the oldest of all
ATTEMPTS = 5
BACK_OFF = 1.0  # seconds before the second attempt; doubles
GIVE_UP = 90.0  # seconds for all attempts of one notice
STOP_GRACE = 3.0  # seconds that the queues are given at the end
REPEAT_AFTER = 3600.0  # seconds after which an alert that is still delivered is news again
MOST_REMEMBERED = 50_000  # alerts of which is known what was told last
UNKNOWN = "unknown"  # the service of an entry whose address cannot be read
SENT, FAILED, DROPPED = "sent", "failed", "dropped"
_GOOD = range(200, 300)
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})  # statuses that another attempt may change

Count = Callable[[str, str], None]


class Notify:
    """Everybody who is told. It lives as long as the process; `use` gives it the entries."""

    def __init__(self, count: Count, *, back_off: float = BACK_OFF, give_up: float = GIVE_UP) -> None:
        """Nobody is told yet; `count` takes a service and a result for each notice."""
        self._count = count
        self._back_off, self._give_up = back_off, give_up
        self._receivers: tuple[Receiver, ...] = ()
        self._last_told: OrderedDict[bytes, tuple[bool, float]] = OrderedDict()  # of an alert: it fired, and when

    @property
    def services(self) -> tuple[str, ...]:
        """The entries' names in metrics."""
        return tuple(receiver.service for receiver in self._receivers)

    def use(self, entries: Sequence[NotifyEntry], services: Mapping[NotifyEntry, str] | None = None) -> None:
        """Tell these from now on.

        Unchanged entries go on; what waits for a changed one goes to the new one of its name.

        Args:
            entries: in their order.
            services: as `services_of` gives them; None reads them now, and waits for the files.
        """
        services = {entry: service_of(entry) for entry in entries} if services is None else services
        before = {receiver.entry: receiver for receiver in self._receivers}
        kept = {entry: before.pop(entry) for entry in entries if entry in before}
        for entry, receiver in kept.items():
            receiver.service = services[entry]
        left: dict[str, list[Notice]] = {}
        for receiver in before.values():
            left.setdefault(receiver.service, []).extend(receiver.stop())
        found = []
        for entry in entries:
            receiver = kept.get(entry) or Receiver(
                entry, services[entry], self._count, back_off=self._back_off, give_up=self._give_up
            )
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
        key, now = blake2b(key_of(alert).encode("utf-8", "surrogatepass"), digest_size=16).digest(), time.monotonic()
        before = self._last_told.get(key)
        if before is not None and before[0] == alert.firing and now - before[1] < REPEAT_AFTER:
            return False
        self._last_told[key] = (alert.firing, now)
        self._last_told.move_to_end(key)
        if len(self._last_told) > MOST_REMEMBERED:
            self._last_told.popitem(last=False)
        return True

    def decided(self, decision: Decision, rollback: Rollback | None) -> None:
        """Tell of a decision."""
        if not self._hears(NoticeEvent.DECIDED):  # a storm of alerts makes thousands of decisions
            return
        at, target = decision.decided_at, decision.target or None
        self._tell(Notice(NoticeEvent.DECIDED, at, target, decision.alert, decision, rollback))

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

    def _hears(self, event: NoticeEvent) -> bool:
        return any(event in receiver.entry.events for receiver in self._receivers)

    def _tell(self, notice: Notice) -> None:
        for receiver in self._receivers:
            if notice.event in receiver.entry.events:
                receiver.put(notice)


class Receiver:
    """One entry: what waits for it, and the task that posts it while something waits."""

    def __init__(self, entry: NotifyEntry, service: str, count: Count, *, back_off: float, give_up: float) -> None:
        """Nothing waits yet."""
        self.entry = entry
        self.service = service
        self.task: asyncio.Task[None] | None = None
        self._count = count
        self._back_off, self._give_up = back_off, give_up
        self._waiting: deque[Notice] = deque()
        self._is_full = False

    def put(self, notice: Notice) -> None:
        """Add a notice to the queue. If the queue is full, the oldest alert is dropped, else the oldest notice."""
        if len(self._waiting) >= QUEUE:
            alert = next((at for at, each in enumerate(self._waiting) if each.event is NoticeEvent.ALERT), 0)
            del self._waiting[alert]
            self._count(self.service, DROPPED)
            if not self._is_full:
                self._is_full = True
                log.error("notices_dropped", service=self.service, why=f"More than {QUEUE} wait for it.")
        self._waiting.append(notice)
        if self.task is None:
            self.task = asyncio.create_task(self._work(), name=f"notices for {self.service}")

    def take_over(self, waiting: Iterable[Notice]) -> None:
        """Take over what waited for the entry in its old form; what it does not want any more is dropped."""
        for notice in waiting:
            if notice.event in self.entry.events:
                self.put(notice)
            else:
                self._count(self.service, DROPPED)

    def stop(self) -> tuple[Notice, ...]:
        """Post nothing more; returns what waited, without what was just being posted, which counts as dropped."""
        waiting = tuple(self._waiting)
        self._waiting.clear()
        if self.task is not None:
            self.task.cancel()
        return waiting

    async def _work(self) -> None:
        try:
            while self._waiting:  # also what came while the session was closed
                async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                    while self._waiting:
                        await self._deliver(session, self._waiting.popleft())
                        self._is_full = False
        finally:
            self.task = None

    async def _deliver(self, session: aiohttp.ClientSession, notice: Notice) -> None:
        result = DROPPED  # unless it comes to an end
        try:
            attempts, why = await self._try(session, notice)
            result = FAILED if why else SENT
        finally:
            self._count(self.service, result)
        if why:
            log.error("notice_not_sent", service=self.service, notice=notice.event.value, target=notice.target,
                      attempts=attempts, why=why)  # fmt: skip

    async def _try(self, session: aiohttp.ClientSession, notice: Notice) -> tuple[int, str]:
        """The number of attempts, and what went wrong with the last one, or nothing."""
        attempts, why, is_worth_it = 0, "", True
        try:
            async with asyncio.timeout(self._give_up):
                while is_worth_it and attempts < ATTEMPTS:
                    if attempts:
                        await asyncio.sleep(self._back_off * 2 ** (attempts - 1))
                    attempts += 1
                    why, is_worth_it = await self._post(session, notice)
        except TimeoutError:
            why = why or f"no answer within {self._give_up:g} s"
        except Exception as error:  # noqa: BLE001 - one notice must not stop the others, nor its words reach the log
            why = type(error).__name__
        return attempts, why

    async def _post(self, session: aiohttp.ClientSession, notice: Notice) -> tuple[str, bool]:
        """What went wrong, or nothing; and whether another attempt may help."""
        try:
            url, headers = await post_to(self.entry)
            async with session.post(
                url,
                data=orjson.dumps(notices.body(notice)),
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.entry.timeout),
            ) as response:
                status = response.status
        except ConfigError as error:  # the file may just be replaced
            return error.message, True
        except TimeoutError:
            return f"no answer within {self.entry.timeout:g} s", True
        except aiohttp.ClientConnectorCertificateError:
            return "its certificate is not to be trusted", True
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__, True
        if status in _GOOD:
            return "", False
        redirect = " (redirects are not followed)" if status in range(300, 400) else ""
        return f"answered {status}{redirect}", status in _AGAIN


async def post_to(entry: NotifyEntry) -> tuple[str, dict[str, str]]:
    """Where an entry's notices go now, and with which headers: a secret, but for the host.

    Files are read beside the event loop.

    Raises:
        ConfigError: as `check`, or a file hangs.
    """
    files = [file for file in (entry.url_file, entry.headers_file) if file is not None]
    return await beside(partial(_address, entry), files) if files else _address(entry)


async def services_of(entries: Sequence[NotifyEntry]) -> dict[NotifyEntry, str]:
    """What `service_of` says of each entry; files are read beside the event loop.

    Raises:
        ConfigError: a file hangs.
    """
    files = [entry.url_file for entry in entries if entry.url_file is not None]
    return await beside(lambda: {entry: service_of(entry) for entry in entries}, files)


def check(entry: NotifyEntry) -> None:
    """Read the files that an entry names.

    Raises:
        ConfigError: one cannot be read or used; the message names it, and nothing of what stands in it.
    """
    _address(entry)


def _address(entry: NotifyEntry) -> tuple[str, dict[str, str]]:
    """The address and headers as the files hold them now."""
    headers = {} if entry.headers_file is None else secret_files.read_headers(entry.headers_file)
    return (entry.url or "") if entry.url_file is None else secret_files.read_address(entry.url_file), headers


def service_of(entry: NotifyEntry) -> str:
    """The name by which metrics and sentences call whoever an entry tells: its own, or its address' host."""
    if entry.name:
        return entry.name
    try:
        url = (entry.url or "") if entry.url_file is None else secret_files.read_address(entry.url_file)
    except ConfigError as error:
        log.error("notify_file_unreadable", error=error.message, hint=error.hint)
        return UNKNOWN
    return secret_files.host_of(url) or UNKNOWN


def _of_rollback(event: NoticeEvent, at: float, rollback: Rollback, decision: Decision | None) -> Notice:
    return Notice(event, at, rollback.target, None if decision is None else decision.alert, decision, rollback)


def _drop(service: str, number: int, count: Count, why: str) -> None:
    for _ in range(number):
        count(service, DROPPED)
    if number:
        log.error("notices_dropped", service=service, number=number, why=why)
