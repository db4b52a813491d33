"""What Kubernetes itself tells of a rollout enters the intake like an alert.

Here: asking again and again, while this replica leads. Whether the release is to blame is judged as for any alert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from rearguard_controller.errors import JournalError, LeaseLostError, SourceError
from rearguard_controller.facts.cluster_troubles import ClusterTroubles
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.model import Alert, KubernetesRelease, Target
from rearguard_controller.model.observations import OF_CLUSTER
from rearguard_controller.runtime import Runtime, Shard

log = structlog.get_logger(__name__)

LOOK_EVERY = 2.0  # seconds; what is followed is asked, so that a look costs no request
AGAIN_EVERY = 15.0  # seconds after which a trouble that lasts is judged again


class ClusterTriggers:
    """Hands the troubles of workloads to the intake."""

    def __init__(self, runtime: Runtime, targets: Sequence[Target], troubles: ClusterTroubles) -> None:
        """Wire it."""
        self._lead, self._telemetry, self._steady = runtime.lead, runtime.telemetry, runtime.steady
        self._targets = [target for target in targets if isinstance(target.release, KubernetesRelease)]
        self._troubles = troubles
        self._judged: dict[tuple[str, str], float] = {}  # target and trouble -> when it was handed on last

    async def run(self, intake: Intake, shard: Shard | None = None) -> None:
        """Look for ever; at the targets of one shard, where there are several."""
        targets = [each for each in self._targets if shard is None or shard.has(each.name)]
        while True:
            alerts = await self._new(targets)
            if targets and self._lead.epoch is not None:
                try:
                    self._telemetry.alert_received(OF_CLUSTER, len(alerts))
                    await intake.consider(alerts)
                except LeaseLostError:
                    pass  # another replica looks now
                except JournalError as error:
                    self._telemetry.journal_failed()
                    log.error("cluster_not_looked_at", error=error.message, hint=error.hint)
            await asyncio.sleep(LOOK_EVERY)

    async def _new(self, targets: Sequence[Target]) -> list[Alert]:
        """The troubles that are to be judged now; only who leads judges them, and every replica tells of them."""
        now, found = self._steady(), []
        for target in targets:
            try:
                alerts = await self._troubles.alerts(target)
            except SourceError:
                continue  # the check `current` tells of it
            for alert in alerts:
                key = target.name, alert.name
                if (
                    self._lead.of(target.name).epoch is not None
                    and now - self._judged.get(key, -AGAIN_EVERY) >= AGAIN_EVERY
                ):
                    self._judged[key] = now
                    found.append(alert)
        return found
