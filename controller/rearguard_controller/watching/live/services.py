"""What `discover: prometheus` finds now: the services that become targets, and those that cannot.

Here: one question to Prometheus, and the sentences. The targets are looked at like those of the file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rearguard_controller.adapters.prometheus.promql import quoted
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.config import Configuration
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Target
from rearguard_controller.model.labels import ENVIRONMENT_LABEL
from rearguard_controller.watching.live.finding import MOST_NAMED, Finding, Weight
from rearguard_controller.watching.services import Services

PROMETHEUS = "Prometheus"
MOST_LOOKED_AT = 200  # services; each costs a run of `current`


class LiveServices:
    """Asks every Prometheus; `targets` are the services once `look` has returned."""

    def __init__(self, configuration: Configuration, each: Mapping[str, Asks]) -> None:
        """Nothing is asked yet; `each` Prometheus has its name."""
        self._configuration, self._each = configuration, each
        self.targets: tuple[Target, ...] = ()

    async def look(self) -> list[Finding]:
        """How many there are; nothing where Prometheus does not answer, which is told elsewhere."""
        services = Services(self._configuration, time.monotonic)
        try:
            targets = await services.look(self._each)
        except SourceError:
            return []
        self.targets = targets[:MOST_LOOKED_AT]
        names, shared = ([name for name, _ in each] for each in (services.refused, services.shared))
        return [self._counted(len(targets)), *_unnamed(names), *_shared(shared)]

    def _counted(self, count: int) -> Finding:
        if not count:
            return Finding(PROMETHEUS, self._none(), Weight.LOOK)
        are = "1 service is" if count == 1 else f"{count} services are"
        rest = f" Looked at here: the first {MOST_LOOKED_AT}." if count > MOST_LOOKED_AT else ""
        return Finding(PROMETHEUS, f"{are} discovered.{rest}", Weight.GOOD)

    def _none(self) -> str:
        wanted = sorted({each for entry in self._configuration.services for each in entry.environments})
        named = " or ".join(f"{ENVIRONMENT_LABEL}={quoted(each)}" for each in wanted)
        return (
            f"No service is discovered: no target_info has {named}. Correct `environments` of `discover`, or what the"
            " services call their environment."
        )


def _unnamed(names: Sequence[str]) -> list[Finding]:
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    said = (
        f"These services cannot be targets, because no target may have such a name: {', '.join(names[:MOST_NAMED])}"
        f"{more}. List each in `targets`, with a name of its own."
    )
    return [Finding(PROMETHEUS, said, Weight.LOOK)]


def _shared(names: Sequence[str]) -> list[Finding]:
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    said = (
        f"Several Prometheus show these services: {', '.join(names[:MOST_NAMED])}{more}. The first alone judges them:"
        " list each in `targets`, once for each Prometheus, with a name and commands of its own."
    )
    return [Finding(PROMETHEUS, said, Weight.LOOK)]
