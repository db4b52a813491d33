"""What several replicas of Prometheus say of one condition: it holds, or does not, only if none denies it.

Here: the judgement of their measurements. A replica that does not scrape the target neither confirms nor denies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.http_source import AwayError
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Measurement
from rearguard_controller.wording import address, describe

HINT = "Do all of prometheus.url scrape the target, and have the same rules? See the check replicas_agree."


@dataclass(frozen=True, slots=True)
class Said:
    """What one replica measured; `blind` is true if it scrapes the target and has no figure for it."""

    url: str
    measured: Measurement
    blind: bool = False

    def __str__(self) -> str:
        """As a part of a sentence."""
        return f"{address(self.url)}: {'no figure' if self.measured.past is None else describe(self.measured)}"


async def agreed(
    replicas: Sequence[Asks],
    measure: Callable[[Asks], Awaitable[Measurement]],
    scrapes: Callable[[Asks], Awaitable[bool]] | None = None,
) -> Measurement:
    """The one measurement of replicas that agree.

    Args:
        replicas: who is asked; one that is away does not count.
        measure: measures by one of them.
        scrapes: whether one of them scrapes the target, asked only of one without a figure. None: it does not matter.

    Raises:
        SourceError: they disagree, one of them refused the question, or none answered.
    """
    answers = await asyncio.gather(*(measure(each) for each in replicas), return_exceptions=True)
    said: list[Said] = []
    faults: list[SourceError] = []
    for each, answer in zip(replicas, answers, strict=True):
        if isinstance(answer, AwayError):
            faults.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            blind = answer.past is None and scrapes is not None and await scrapes(each)
            said.append(Said(url_of(each), answer, blind))
    if not said:
        raise faults[0]
    known = [each for each in said if each.measured.past is not None]
    if not known:
        return said[0].measured
    speaking = [each for each in said if each.blind or each.measured.past is not None]
    if len({each.measured.past for each in speaking}) > 1:
        told = "; ".join(map(str, speaking))
        raise SourceError(f"the replicas of Prometheus disagree ({told})", hint=HINT)
    return _mildest(known)


def _mildest(known: Sequence[Said]) -> Measurement:
    """Of measurements that agree the one that claims least: the value nearest to the threshold."""
    measured = [each.measured for each in known]
    near = [each for each in measured if each.value is not None and each.threshold is not None]
    if not near:
        return measured[0]
    return min(near, key=lambda each: abs((each.value or 0.0) - (each.threshold or 0.0)))


def url_of(asks: Asks) -> str:
    """The address of who is asked, as far as it has one."""
    return str(getattr(asks, "address", ""))
