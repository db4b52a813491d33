"""One receiver of notices: what waits for it, and the task that delivers while something waits.

Here: retries that are bounded in number and time, the pauses that a service asks for, and what became of each notice.
An error is told by its kind only: a library's words may repeat an address, of which all but the host is secret.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

import aiohttp
import structlog

from rearguard_controller.adapters.notices import kinds
from rearguard_controller.adapters.notices.addresses import post_to
from rearguard_controller.adapters.notices.message import Message, is_news
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.adapters.notices.post import LONGEST_ANSWER, LONGEST_PAUSE, Post, Reply, Result
from rearguard_controller.adapters.notices.threads import Threads
from rearguard_controller.config import NotifyEntry, ReceiverKind
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import NoticeEvent

log = structlog.get_logger(__name__)

QUEUE = 256  # notices that wait for one receiver; beyond, the oldest alert goes, else the oldest of all
ATTEMPTS = 5
BACK_OFF = 1.0  # seconds before the second attempt; doubles
GIVE_UP = 90.0  # seconds for all attempts of one notice, without the pauses that the service asked for
SENT, FAILED, REFUSED, DROPPED = "sent", "failed", "refused", "dropped"

Note = Callable[[str, Notice, str], None]  # takes a service, a notice and what became of it, in words


def nowhere(_service: str, _notice: Notice, _result: str) -> None:
    """Keep nothing."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What all receivers share.

    Attributes:
        worded: makes the message of a notice.
        count: takes a service and a result for each notice.
        note: takes a service, a notice and what became of it, in words; it waits for nothing.
        back_off: seconds before the second attempt; doubles.
        give_up: seconds for all attempts of one notice.
        threads: what services said of first messages.
    """

    worded: Callable[[Notice], Message]
    count: Callable[[str, str], None]
    note: Note = nowhere
    back_off: float = BACK_OFF
    give_up: float = GIVE_UP
    threads: Threads = field(default_factory=Threads)


class Receiver:
    """One entry: what waits for it, and the task that posts it while something waits."""

    def __init__(self, entry: NotifyEntry, service: str, ways: Ways) -> None:
        """Nothing waits yet."""
        self.entry = entry
        self.service = service
        self.task: asyncio.Task[None] | None = None
        self.ways = ways
        self._waiting: deque[Notice] = deque()
        self._is_full = False
        self._told_refused = ""  # the refusal that was logged last

    def wants(self, notice: Notice) -> bool:
        """Whether it asked for such a notice. People get real changes only; a program gets every decision."""
        if notice.event not in self.entry.events:
            return False
        return is_news(notice) or self.entry.kind in (None, ReceiverKind.WEBHOOK)

    def put(self, notice: Notice) -> None:
        """Add a notice to the queue. If the queue is full, the oldest alert is dropped, else the oldest notice."""
        if len(self._waiting) >= QUEUE:
            alert = next((at for at, each in enumerate(self._waiting) if each.event is NoticeEvent.ALERT), 0)
            gone = self._waiting[alert]
            del self._waiting[alert]
            self._ended(gone, DROPPED)
            if not self._is_full:
                self._is_full = True
                log.error("notices_dropped", service=self.service, why=f"More than {QUEUE} wait for it.")
        self._waiting.append(notice)
        if self.task is None:
            self.task = asyncio.create_task(self._work(), name=f"notices for {self.service}")

    def take_over(self, waiting: Iterable[Notice]) -> None:
        """Take over what waited for the entry in its old form; what it does not want any more is dropped."""
        for notice in waiting:
            if self.wants(notice):
                self.put(notice)
            else:
                self._ended(notice, DROPPED)

    def stop(self) -> tuple[Notice, ...]:
        """Post nothing more; returns what waited, without what was just being posted, which counts as dropped."""
        waiting = tuple(self._waiting)
        self._waiting.clear()
        if self.task is not None:
            self.task.cancel()
        return waiting

    def _ended(self, notice: Notice, result: str, why: str = "") -> None:
        self.ways.count(self.service, result)
        self.ways.note(self.service, notice, f"{result}: {why}" if why else result)

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
        ended, attempts, last = DROPPED, 0, Result()  # unless it comes to an end
        try:
            attempts, last = await self._try(session, notice)
            if attempts == 0 and not last.why:
                ended = ""  # this service is told nothing of such a notice
                return
            ended = SENT if not last.why else FAILED if last.again else REFUSED
        finally:
            if ended:
                self._ended(notice, ended, last.why)
        if not last.why:
            self._told_refused = ""
        elif ended != REFUSED or last.why != self._told_refused:  # a refusal is told once, and counted each time
            self._told_refused = last.why if ended == REFUSED else ""
            log.error("notice_not_sent", service=self.service, notice=notice.event.value, target=notice.target,
                      attempts=attempts, why=last.why, refused=ended == REFUSED)  # fmt: skip

    async def _try(self, session: aiohttp.ClientSession, notice: Notice) -> tuple[int, Result]:
        """The number of attempts, and what came of the last one."""
        attempts, last, done = 0, Result("", again=True), 0
        left = LONGEST_PAUSE  # seconds of pauses that are granted
        try:
            async with asyncio.timeout(self.ways.give_up) as limit:
                while last.again and attempts < ATTEMPTS:
                    if attempts:
                        await asyncio.sleep(max(last.pause, self.ways.back_off * 2 ** (attempts - 1)))
                    attempts += 1
                    done, last = await self._attempt(session, notice, done)
                    if done == 0 and not last.why and not last.again:
                        return (0 if last is _NOTHING else attempts), last
                    pause = min(left, last.pause)
                    left -= pause
                    when = limit.when()
                    if pause and when is not None:  # a pause that the service asked for does not count
                        limit.reschedule(when + pause)
        except TimeoutError:
            last = last if last.why else Result(f"no answer within {self.ways.give_up:g} s", again=True)
        except Exception as error:  # noqa: BLE001 - one notice must not stop the others, nor its words reach the log
            last = Result(type(error).__name__, again=True)
        return attempts, last

    async def _attempt(self, session: aiohttp.ClientSession, notice: Notice, done: int) -> tuple[int, Result]:
        """Send what is not done yet; returns how many of the requests are done, and what came of the last one."""
        try:
            to = await post_to(self.entry)
        except ConfigError as error:  # the file may just be replaced
            return done, Result(error.message, again=True)
        if to.kind is not ReceiverKind.WEBHOOK and not is_news(notice):
            return 0, _NOTHING
        message = self.ways.worded(notice)
        if to.kind is ReceiverKind.APPRISE:
            return done, await kinds.by_apprise.send(message, to, self.entry.timeout)
        known = self.ways.threads.known(self.service, message.key)
        sent = kinds.posts(message, to, known)
        if not sent:
            return 0, _NOTHING
        result = Result()
        for post in islice(sent, done, None):
            result = await self._send(session, post)
            if result.why:
                return done, result
            done += 1
            if result.learned:
                self.ways.threads.learn(self.service, message.key, result.learned)
        return done, result

    async def _send(self, session: aiohttp.ClientSession, post: Post) -> Result:
        try:
            async with session.request(
                post.method,
                post.url,
                data=post.data,
                headers={"Content-Type": "application/json", **post.headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.entry.timeout),
            ) as response:
                body = await response.content.read(LONGEST_ANSWER)
                return post.read(Reply(response.status, response.headers, body))
        except TimeoutError:
            return Result(f"no answer within {self.entry.timeout:g} s", again=True)
        except aiohttp.ClientConnectorCertificateError:
            return Result("its certificate is not to be trusted", again=True)
        except (aiohttp.ClientError, OSError) as error:
            return Result(type(error).__name__, again=True)


_NOTHING = Result()
