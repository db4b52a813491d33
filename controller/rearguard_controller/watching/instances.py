"""The instances of all targets, asked of Prometheus once for each poll.

Here: the question, and finding the instances of one target in the answer. Where the answer for all is too large,
each target is asked for by itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rearguard_controller.adapters.prometheus import AnswerTooLargeError, promql
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.pieces import computed
from rearguard_controller.model import Sample, Target
from rearguard_controller.releases.presence import Instances
from rearguard_controller.watching.label_sets import ByLabels
from rearguard_controller.watching.one_process import Address, address_of

NOTHING = Instances(0.0)  # Prometheus could not be asked


@dataclass(frozen=True, slots=True)
class _Whole:
    """One answer for all."""

    asked_at: float
    samples: ByLabels[Sample]
    ages: ByLabels[Sample] | None
    addresses: frozenset[Address]


class InstancesOfAll:
    """What one poll saw of every target's instances."""

    def __init__(self, whole: _Whole | None, alone: Callable[[Target], Awaitable[Instances]] | None = None) -> None:
        """Made by `read`. Without `whole`, each target is asked for `alone`; without that, nothing is known."""
        self._whole, self._alone = whole, alone

    def addresses(self) -> frozenset[Address]:
        """The addresses of all instances, as far as they are known without another question."""
        return frozenset() if self._whole is None else self._whole.addresses

    def seen_of(self, target: Target) -> Instances | None:
        """The same, as far as it is known without another question."""
        if self._whole is None:
            return None if self._alone is not None else NOTHING
        ages = None if self._whole.ages is None else self._whole.ages.having(target.telemetry)
        return Instances(self._whole.asked_at, self._whole.samples.having(target.telemetry), ages)

    async def of(self, target: Target) -> Instances:
        """The instances that the target's telemetry selects."""
        seen = self.seen_of(target)
        if seen is None and self._alone is not None:
            return await self._alone(target)
        return seen or NOTHING


async def read(
    asks: Asks, targets: Sequence[Target], clock: Callable[[], float] = time.time, *, ages: bool
) -> InstancesOfAll:
    """Ask for the instances of all targets at once.

    Args:
        asks: whom.
        targets: whose `telemetry` selects them.
        clock: ours, in seconds since the epoch.
        ages: also ask when each was scraped (see `Instances.ages`).
    """
    question = promql.presence_of_any(target.telemetry for target in targets)
    try:
        asked_at, samples, scraped = await _ask(asks, question, clock, ages=ages)
    except AnswerTooLargeError:
        return InstancesOfAll(None, partial(_of_one, asks, clock))
    except SourceError:
        return InstancesOfAll(None)
    found = await _by_labels(samples)
    addresses = frozenset(address_of(each.labels) for each in samples)
    return InstancesOfAll(_Whole(asked_at, found, None if scraped is None else await _by_labels(scraped), addresses))


async def _ask(
    asks: Asks, question: str, clock: Callable[[], float], *, ages: bool
) -> tuple[float, Sequence[Sample], Sequence[Sample] | None]:
    """When it was asked, what is shown, and the ages. The ages come first: what is shown later is never older."""
    asked_at = clock()
    scraped = await asks.query(f"timestamp({question}) - time()") if ages else None
    return asked_at, await asks.query(question), scraped


async def _by_labels(samples: Sequence[Sample]) -> ByLabels[Sample]:
    return await computed(len(samples), lambda: ByLabels((sample.labels, sample) for sample in samples))


async def _of_one(asks: Asks, clock: Callable[[], float], target: Target) -> Instances:
    try:
        return Instances(*await _ask(asks, promql.presence(target.telemetry), clock, ages=True))
    except SourceError:
        return NOTHING
