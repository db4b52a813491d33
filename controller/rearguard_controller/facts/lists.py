"""Reads Prometheus' lists of alerts and rules; where they take long, the triggers alone, which never do.

Here: how long the lists are waited for, what stands in for them, and when they are asked for again. Prometheus 2.42
cannot be asked for a part of a list, and a careless rule of others may fill it with 50,000 alerts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from rearguard_controller.adapters.prometheus import Prometheus, PrometheusAlert, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Labels

log = structlog.get_logger(__name__)

PATIENCE = 2.0  # seconds that a reading waits for the lists
LISTS_PAUSE = 30.0  # seconds after the end of a long reading before the lists are asked for again
RULES_HOLD = 600.0  # seconds for which the health of rules is believed that were read before

Found = tuple[tuple[PrometheusAlert, ...], Rules]


class Lists:
    """Reads the lists, and remembers the rules."""

    def __init__(self, prometheus: Prometheus, triggers: Sequence[Labels]) -> None:
        """Nothing is read yet; `triggers` are labels of triggers; without any, the lists are always awaited."""
        self._prometheus = prometheus
        self._triggers = triggers
        self._rules: tuple[float, Rules] | None = None  # when they were read, by the loop's clock
        self._long: asyncio.Task[Found] | None = None  # a reading of the lists that nobody waits for any more
        self._next_at = 0.0  # by the loop's clock

    async def read(self) -> Found:
        """All wanted alerts and all rules; where the lists take long, triggers and the rules that were read last.

        Raises:
            SourceError: Prometheus gave no usable answer.
        """
        if self._long is not None or asyncio.get_running_loop().time() < self._next_at:
            return await self._triggers_alone()
        reading = asyncio.create_task(self._all(), name="lists of Prometheus")
        reading.add_done_callback(noticed)
        try:
            await asyncio.wait({reading}, timeout=PATIENCE if self._triggers else None)
            if reading.done():
                return reading.result()
            alone = await self._triggers_alone()  # an error here: it is not only the lists that take long
            if self._rules is None:
                return await reading
        except BaseException:
            reading.cancel()
            raise
        if reading.done():
            return reading.result()
        self._long = reading
        reading.add_done_callback(self._ended)
        log.warning("prometheus_lists_slow", waited=PATIENCE, instead="triggers alone")
        return alone

    async def _all(self) -> Found:
        alerts, rules = await asyncio.gather(self._prometheus.alerts(), self._prometheus.rules())
        self._rules = asyncio.get_running_loop().time(), rules
        return tuple(alerts), rules

    def _ended(self, reading: asyncio.Task[Found]) -> None:
        """A reading that took long has ended; it was for the rules alone."""
        self._long, self._next_at = None, reading.get_loop().time() + LISTS_PAUSE
        fault = None if reading.cancelled() else reading.exception()
        if isinstance(fault, SourceError):
            log.warning("prometheus_lists_unread", error=fault.message, hint=fault.hint)

    async def _triggers_alone(self) -> Found:
        read_at, rules = self._rules or (0.0, Rules())
        found = await asyncio.gather(*(self._prometheus.alerting(labels, rules) for labels in self._triggers))
        alerts = {tuple(sorted(each.labels.items())): each for of_policy in found for each in of_policy}
        if asyncio.get_running_loop().time() - read_at > RULES_HOLD:
            rules = replace(rules, alerting=tuple(replace(each, health="unknown") for each in rules.alerting))
        return tuple(alerts.values()), rules


def noticed(reading: asyncio.Task[Any]) -> None:
    """Whoever waited may have been ended in the moment in which the reading failed: then nobody else asks why."""
    if not reading.cancelled():
        reading.exception()
