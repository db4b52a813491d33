"""Looks at each target by itself, beside the poll: a slow one holds up no other.

Here: which version serves and what follows from it, in a task of its own for each target; what readiness, metrics
and the next polls are told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.model import Check, Release, Target
from rearguard_controller.model.checks import CURRENT, SERVICE_VERSION
from rearguard_controller.model.observations import is_armed, is_given_up, last_known_good
from rearguard_controller.releases import looks
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.returned import Returns
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import attention, readiness_rules
from rearguard_controller.watching.attention import Attention
from rearguard_controller.watching.coverage import Coverage, Serving
from rearguard_controller.watching.faults import Faults
from rearguard_controller.watching.last_poll import LastPoll
from rearguard_controller.watching.pace import Pace
from rearguard_controller.watching.readiness import Readiness
from rearguard_controller.watching.side_by_side import Figures, SideBySide

log = structlog.get_logger(__name__)

MOST_IN_STORM = 16  # looks side by side at targets that only have alerts: judgements need their turn, too


@dataclass(frozen=True, slots=True)
class Kept:
    """What polls and looks share, and what they keep of each target."""

    coverage: Coverage
    pace: Pace
    care: Attention
    faults: Faults
    last: dict[str, LastPoll]


class EachTarget:
    """Runs at most one look at each target at a time, while this replica leads."""

    def __init__(
        self,
        runtime: Runtime,
        releases: Releases,
        readiness: Readiness,
        beside: SideBySide,
        kept: Kept,
        *,
        poll_interval: float,
    ) -> None:
        """Wire it. What a look finds goes into `kept`."""
        self._runtime, self._telemetry = runtime, runtime.telemetry
        self._releases, self._readiness, self._returns = releases, readiness, Returns(runtime)
        self._coverage, self._beside = kept.coverage, beside
        self._pace, self._care, self._faults, self._last = kept.pace, kept.care, kept.faults, kept.last
        self._poll_interval = poll_interval
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._in_storm = asyncio.Semaphore(MOST_IN_STORM)

    def is_looking(self, target_name: str) -> bool:
        """Whether a look at a target has not ended."""
        task = self._looking.get(target_name)
        return task is not None and not task.done()

    async def ended(self) -> None:
        """Return when no look goes on."""
        await asyncio.gather(*self._looking.values())

    async def settled(self, within: float) -> None:
        """Return when no look goes on, or after so many seconds."""
        going_on = [task for task in self._looking.values() if not task.done()]
        if going_on:
            await asyncio.wait(going_on, timeout=within)

    async def close(self) -> None:
        """End what goes on."""
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    def look(
        self, target: Target, watch: Watch, shown: Figures | None, ready: Callable[[], Mapping[str, bool | None]]
    ) -> None:
        """Begin a look, unless one goes on; `ready` gives the answers to the target's checks."""
        if self._runtime.lead.of(target.name).epoch is not None and not self.is_looking(target.name):
            self._pace.look(target.name)
            self._looking[target.name] = asyncio.create_task(self._look(target, watch, shown, ready))

    async def _look(
        self, target: Target, watch: Watch, shown: Figures | None, ready: Callable[[], Mapping[str, bool | None]]
    ) -> None:
        name, calm = target.name, False
        try:
            async with self._in_storm if watch.in_storm and not watch.closely else contextlib.nullcontext():
                serving, known, current = await self._ask(target, watch, shown)
            calm = attention.is_calm(target, serving, current, watch, self._runtime.clock())
        except LeaseLostError:
            return
        except JournalError as error:
            self._telemetry.journal_failed()
            log.error("target_not_tracked", target=name, error=error.message, hint=error.hint)
            return
        except Exception as error:  # noqa: BLE001  # a fault of ours must not pass for a target that is well
            self._faults.note("target_not_tracked", error, target=name)
            self._tell(name, {CURRENT: readiness_rules.broke(CURRENT)})
            self._telemetry.ready(name, ready())
            return
        finally:
            self._care.found(name, calm=calm)
            self._pace.plan(name, attention.turns(max(self._poll_interval, self._pace.seconds())) if calm else 1)
        self._tell(name, self._checks(target, serving))
        self._readiness.see(target, serving.version, known, patient=watch.in_storm)
        self._telemetry.ready(name, ready())
        self._show(target, serving, known, current)

    async def _ask(
        self, target: Target, watch: Watch, shown: Figures | None
    ) -> tuple[looks.Serving, tuple[Release, ...], Release | None]:
        """Which version serves, all that are known, and what is known of the one that serves."""
        name = target.name
        serving = await self._releases.track(
            target, watch, poll_interval=self._poll_interval, every=self._pace.every_before(name)
        )
        known = await self._runtime.journal.releases(name)
        now_serving = serving.version or serving.state.serving_version
        current = next((each for each in known if each.version == now_serving), None)
        others = {each.service_version for each in known if each is not current} - {None}
        called = current.service_version if current else None
        self._coverage.serves(name, Serving(now_serving, called, frozenset(filter(None, others))))
        await self._returns.look(serving.state, current)
        if shown is not None and serving.version is not None:
            await self._beside.look(target, serving.state, known, shown)
        return serving, known, current

    def _checks(self, target: Target, serving: looks.Serving) -> dict[str, Check]:
        """The checks that a look answers."""
        about = (serving.version, serving.state, self._runtime.clock())
        odd = readiness_rules.in_turn(*about) or readiness_rules.set_back(*about)
        told = serving.version is not None
        return {
            CURRENT: odd or readiness_rules.current(serving.version, serving.detail, target.release, serving.unready),
            SERVICE_VERSION: readiness_rules.service_version(named=serving.named)
            if told
            else readiness_rules.no_version(),
        }

    def _tell(self, name: str, checks: Mapping[str, Check]) -> None:
        self._last[name] = replace(self._last[name], checks={**self._last[name].checks, **checks})

    def _show(
        self, target: Target, serving: looks.Serving, known: tuple[Release, ...], current: Release | None
    ) -> None:
        """Tell the metrics and the log."""
        name, state, best = target.name, serving.state, last_known_good(known)
        armed = is_armed(state, self._runtime.clock())
        self._telemetry.armed(name, armed=armed, by=None if armed else state.disarmed_by)
        self._telemetry.given_up(name, given_up=is_given_up(state, current))
        self._telemetry.observed(name, state.score)
        bad = current.version if current is not None and current.distrusted else None
        now_serving = serving.version or state.serving_version
        self._telemetry.versions(name, serving=now_serving, last_known_good=best.version if best else None, bad=bad)
        if serving.version is None:
            log.warning("target_unreadable", target=name, error=serving.detail)
